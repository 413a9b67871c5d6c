"""Tries to get out of its container. Every entry answers "denied: why", or what it got."""

import ctypes
import errno
import os
import resource
import socket
import struct

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    """A system call by its number on x86-64 or by a function of the C library."""
    ctypes.set_errno(0)
    answer = libc.syscall(NUMBERS[name], *arguments)
    if answer == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return f"{name} answered {answer}"


NUMBERS = {
    "ptrace": 101, "syslog": 103, "personality": 135, "pivot_root": 155, "chroot": 161, "settimeofday": 164,
    "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172,
    "init_module": 175, "add_key": 248, "keyctl": 250, "unshare": 272, "perf_event_open": 298, "fanotify_init": 300,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310,
    "kcmp": 312, "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "pidfd_getfd": 438, "mount_setattr": 442, "clone": 56,
    "clone3": 435, "quotactl_fd": 443, "acct": 163, "modify_ldt": 154, "kexec_load": 246, "mbind": 237,
}

ATTEMPTS = {}


def attempt(function):
    ATTEMPTS[function.__name__] = function
    return function


def system_calls():
    """Calls that nobody in a container may make, whatever their arguments."""
    zeros = ctypes.create_string_buffer(256)
    arguments = {
        "mount": (b"none", b"/tmp", b"tmpfs", 0, None), "umount2": (b"/proc", 2), "pivot_root": (b"/tmp", b"/tmp"),
        "chroot": (b"/tmp",), "unshare": (0x10000000,), "setns": (0, 0), "ptrace": (0, 0, 0, 0), "add_key": (b"user", b"x", b"y", 1, -3),
        "sethostname": (b"mine", 4), "clone": (0x10000000 | 17, 0, 0, 0, 0), "bpf": (0, zeros, 128), "open_tree": (-100, b"/", 1),
    }
    return {f"call {name}": lambda name=name: call(name, *arguments.get(name, (zeros, zeros, zeros, zeros))) for name in NUMBERS if name != "clone3"}


def reading(path):
    def read():
        with open(path, "rb") as file:
            content = file.read(16)
            if not content:
                raise PermissionError(errno.EPERM, "masked: empty")
            return f"read {content!r}"
    return read


def writing(path):
    def write():
        with open(path, "ab") as file:
            file.write(b"x")
        return "wrote"
    return write


def connecting(family, address, kind=socket.SOCK_STREAM):
    def connect():
        with socket.socket(family, kind) as one:
            one.settimeout(1)
            one.connect(address)
            return "connected"
    return connect


def sockets(family, kind, protocol=0):
    return lambda: str(socket.socket(family, kind, protocol))


@attempt
def become_root():
    os.setuid(0)
    return "is root"


@attempt
def become_another_group():
    os.setgroups([0])
    return "is in group 0"


@attempt
def make_a_device():
    os.mknod("/tmp/disk", 0o600 | 0o060000, os.makedev(254, 0))
    return reading("/tmp/disk")()


@attempt
def raise_a_limit():
    resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
    return "raised"


@attempt
def be_real_time():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return "is real-time"


@attempt
def see_processes_of_others():
    names = [name for name in os.listdir("/proc") if name.isdigit()]
    others = [name for name in names if int(name) not in (1, os.getpid())]
    if not others:
        raise PermissionError(errno.EPERM, "only its own")
    return f"sees {others}"


@attempt
def signal_a_process_of_the_host():
    os.kill(int(EVENT["daemon"]), 0)
    return "could"


@attempt
def see_devices_of_others():
    names = sorted(name for _, name in socket.if_nameindex())
    if not set(names) <= {"lo", "eth0", "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip6gre0"}:
        return f"sees {names}"
    raise PermissionError(errno.EPERM, "only its own")


@attempt
def make_a_network_device():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        name = b"mine\0\0\0\0"
        attribute = struct.pack("HH", 4 + len(name), 3) + name
        info = struct.pack("HH", 10, 1) + b"dummy\0" + b"\0\0"
        nested = struct.pack("HH", 4 + len(info), 18) + info
        body = struct.pack("BxHiII", 0, 0, 0, 0, 0) + attribute + nested
        netlink.send(struct.pack("IHHII", 16 + len(body), 16, 0x605, 1, 0) + body)
        code = -struct.unpack_from("i", netlink.recv(4096), 16)[0]
        if code:
            raise OSError(code, os.strerror(code))
        return "made one"


@attempt
def see_mounts_of_the_host():
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split()[4] for line in file]
    own = ("/", "/proc", "/dev", "/sys", "/tmp", "/opt/wharf", "/etc/resolv.conf", "/var/task")
    others = [mount for mount in mounts if mount not in own and not mount.startswith(("/proc/", "/dev/"))]
    if others:
        return f"sees {others}"
    raise PermissionError(errno.EPERM, "only its own")


@attempt
def find_a_set_user_id_program():
    for root in ("/usr", "/bin", "/sbin", "/opt", "/var"):
        for place, _, names in os.walk(root):
            for name in names:
                path = os.path.join(place, name)
                if os.lstat(path).st_mode & 0o6000:
                    return f"found {path}"
    raise PermissionError(errno.EPERM, "none")


@attempt
def have_a_capability():
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    if any(int(lines[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")):
        return str(lines)
    if lines["NoNewPrivs"].strip() != "1" or lines["Seccomp"].strip() != "2":
        return f"NoNewPrivs {lines['NoNewPrivs']} Seccomp {lines['Seccomp']}"
    raise PermissionError(errno.EPERM, "none")


@attempt
def look_into_the_first_process():
    if os.getpid() == 1:
        raise PermissionError(errno.EPERM, "is the first process")
    return reading("/proc/1/environ")()


FILES_TO_READ = ["/etc/shadow", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/dev/mem", "/dev/kmsg", "/dev/net/tun", "/dev/fuse",
                 "/dev/vda", "/dev/sda", "/sys/kernel/notes", "/sys/class/net/eth0/address", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                 "/proc/sysrq-trigger", os.path.join("/root", ".bashrc"), "/proc/1/root/etc/shadow", "/home", "/proc/sched_debug"]
FILES_TO_WRITE = ["/x", "/usr/x", "/etc/resolv.conf", "/etc/passwd", "/var/task/x", "/var/task/handler.py", "/opt/wharf/x", "/proc/sys/kernel/core_pattern",
                  "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/self/uid_map", "/proc/self/oom_score_adj_x", "/dev/x", "/sys/x",
                  "/usr/bin/python3", "/proc/self/exe"]


def handler(event, context):
    global EVENT
    EVENT = event
    attempts = dict(ATTEMPTS)
    attempts.update(system_calls())
    attempts.update({f"read {path}": reading(path) for path in FILES_TO_READ})
    attempts.update({f"write {path}": writing(path) for path in FILES_TO_WRITE})
    attempts["raw socket"] = sockets(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    attempts["raw IPv6 socket"] = sockets(socket.AF_INET6, socket.SOCK_RAW, 58)
    attempts["packet socket"] = sockets(socket.AF_PACKET, socket.SOCK_RAW, 3)
    attempts["vsock"] = sockets(40, socket.SOCK_STREAM)
    attempts["kernel crypto socket"] = sockets(38, socket.SOCK_SEQPACKET)
    attempts["audit netlink"] = lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9).bind((0, 1)) or "bound"
    for path in event.get("sockets", []):
        attempts[f"connect to {path}"] = connecting(socket.AF_UNIX, path)
        attempts[f"connect to abstract {path}"] = connecting(socket.AF_UNIX, "\0" + path)
    for host, port in event.get("addresses", []):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        attempts[f"connect to {host}:{port}"] = connecting(family, (host, port))
    outcomes = {}
    for name, function in attempts.items():
        try:
            outcomes[name] = f"ALLOWED: {function()}"
        except Exception as error:
            outcomes[name] = f"denied: {error}"
    return outcomes
