//! Which system calls a container may make: Docker's and Podman's default list, without what a function has no use for.

use serde_json::{Value, json};

use crate::Oci;

/// The filter as the OCI runtime specification has it (config-linux.md, "Seccomp").
///
/// Calls that exist and are refused fail with `EPERM`; those that nobody has heard of fail with `ENOSYS`, so that a newer C library takes
/// its older way.
///
/// The specification does not say which of two values is the mask of `SCMP_CMP_MASKED_EQ`. To runc and crun it is the first, to the
/// embedded library the second (libcontainer 0.7, `translate_op`).
pub(crate) fn filter(oci: &Oci) -> Value {
    let names = |list: &str| list.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let sockets = ALLOWED_FAMILIES.map(|family| {
        let argument = json!([{ "index": 0, "value": family, "op": "SCMP_CMP_EQ" }]);
        json!({ "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": argument })
    });
    // No new namespaces: a process in a user namespace of its own has all capabilities there.
    let (value, value_two) = match oci {
        Oci::Embedded => (0, CLONE_NAMESPACES),
        Oci::Program(_) => (CLONE_NAMESPACES, 0),
    };
    let clone = json!([{ "index": 0, "value": value, "valueTwo": value_two, "op": "SCMP_CMP_MASKED_EQ" }]);
    let mut calls = vec![
        json!({ "names": names(ALLOWED), "action": "SCMP_ACT_ALLOW" }),
        json!({ "names": names(REFUSED), "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EPERM }),
        json!({ "names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": clone }),
        // Its flags are in memory, where a filter cannot look.
        json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS }),
    ];
    calls.extend(sockets);
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": libc::ENOSYS,
        "architectures": [ARCHITECTURE],
        "syscalls": calls,
    })
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &str = "SCMP_ARCH_X86_64";
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: &str = "SCMP_ARCH_AARCH64";

/// Sockets of these families may be made: unix, IPv4, IPv6, netlink (by which the C library looks for addresses).
const ALLOWED_FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Every flag that makes a namespace (include/uapi/linux/sched.h).
const CLONE_NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// What may be called with any arguments.
const ALLOWED: &str = "\
accept accept4 access alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_getres \
clock_getres_time64 clock_gettime clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range \
creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait \
epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate \
fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr \
fsetxattr fstat fstatat64 fstatfs fstatfs64 fsync ftruncate futex futex_requeue futex_time64 futex_wait futex_waitv \
futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid \
getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit \
getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr inotify_add_watch inotify_init \
inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_setup io_submit ioctl ioprio_get ioprio_set kill \
landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr \
llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier memfd_create mincore mkdir mkdirat \
mlock mknod mknodat mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 \
mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap \
nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free \
pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 \
pwrite64 pwritev pwritev2 read readahead readdir readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 \
recvmsg remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending \
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo \
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler \
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler \
sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendmmsg sendmsg sendto \
set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority \
setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr shmat shmctl shmdt shmget shutdown \
sigaltstack signalfd signalfd4 socketpair splice stat statfs statx symlink symlinkat sync sync_file_range syncfs \
syscall sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd \
timerfd_create timerfd_gettime timerfd_settime times tkill truncate ugetrlimit umask uname unlink unlinkat utime \
utimensat utimensat_time64 utimes vfork wait4 waitid write writev";

/// What exists, and is refused.
const REFUSED: &str = "\
_sysctl acct add_key adjtimex bdflush bpf chroot clock_adjtime clock_adjtime64 clock_settime clock_settime64 \
delete_module fanotify_init fanotify_mark finit_module fsconfig fsmount fsopen fspick get_mempolicy init_module \
io_pgetevents ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind memfd_secret migrate_pages \
modify_ldt mount mount_setattr move_mount move_pages name_to_handle_at nfsservctl nice oldfstat oldlstat \
oldolduname oldstat olduname open_by_handle_at open_tree pciconfig_iobase pciconfig_read pciconfig_write \
perf_event_open personality pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev ptrace \
query_module quotactl quotactl_fd reboot request_key set_mempolicy set_mempolicy_home_node setdomainname sethostname \
setns settimeofday sgetmask ssetmask stime swapcontext swapoff swapon sysfs syslog umount umount2 unshare uselib \
userfaultfd ustat vhangup vm86 vm86old vmsplice";
