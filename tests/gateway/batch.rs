//! Batches of frames between TAP devices, with io_uring and without.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;

use gateway::io::{Batch, Device, Failure, Staging};
use gateway::open_bare_tap;
use netlab::{Lab, Namespace};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tests::PATIENCE;

/// More than the frames of one batch.
const COUNT: u32 = 150;

const PORT: u16 = 7007;

/// Where the first byte of a frame says that it is a super-packet, and of which kind (`struct virtio_net_hdr`).
const GSO_TYPE: usize = 1;

/// No kind that there is.
const NONSENSE: u8 = 0x7f;

#[test]
fn frames_arrive_in_the_order_in_which_they_were_sent() {
    with_and_without_rings(|| {
        let path = Path::new("order");
        path.send();
        let refused = path.forward(|_, _| {});
        assert_eq!((refused, path.received(COUNT)), (vec![], (0..COUNT).collect()));
    });
}

#[test]
fn a_frame_that_the_device_refuses_is_told_and_the_others_arrive() {
    with_and_without_rings(|| {
        let path = Path::new("refused");
        path.send();
        let spoil = |number: u32, frame: &mut [u8]| {
            if number % 10 == 3 {
                frame[GSO_TYPE] = NONSENSE;
            }
        };
        let refused = path.forward(spoil);
        let (spoiled, whole): (Vec<_>, Vec<_>) = (0..COUNT).partition(|number| number % 10 == 3);
        let expected: Vec<_> = spoiled.into_iter().map(|n| (n, Failure::Refused(Errno::EINVAL))).collect();
        assert_eq!((refused, path.received(whole.len() as u32)), (expected, whole));
    });
}

#[test]
fn each_frame_for_a_device_that_is_down_or_gone_is_told() {
    with_and_without_rings(|| {
        let path = Path::new("down");
        let outcome = || {
            path.send();
            path.forward(|_, _| {})
        };
        let all = |failure| (0..COUNT).map(|number| (number, failure)).collect::<Vec<_>>();
        path.to.down("eth0").unwrap();
        assert_eq!(outcome(), all(Failure::Down));
        path.to.remove_device("eth0").unwrap();
        assert_eq!(outcome(), all(Failure::Gone));
    });
}

/// Two TAP devices in namespaces of their own, and sockets at their ends.
struct Path {
    to: Namespace,
    left: Device,
    right: Device,
    sender: UdpSocket,
    receiver: UdpSocket,
    _lab: Lab,
}

impl Path {
    fn new(topic: &str) -> Self {
        let lab = Lab::new(topic).unwrap();
        let staging = Staging::new().unwrap();
        let end = |name: &str, host: u8| {
            let namespace = lab.namespace(name).unwrap();
            let device = open_bare_tap(&staging, &namespace.netns(), "eth0", 1500).unwrap();
            let address = Ipv4Addr::new(10, 9, 0, host);
            namespace.address("eth0", format!("{address}/24").parse().unwrap()).unwrap();
            (namespace, device, address)
        };
        let (from, left, address) = end("from", 1);
        let (to, right, _) = end("to", 2);
        let sender = from.run(|| UdpSocket::bind((address, 0))).unwrap();
        // Nobody is asked for a MAC address.
        sender.set_broadcast(true).unwrap();
        let receiver = to.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))).unwrap();
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { to, left, right, sender, receiver, _lab: lab }
    }

    /// Sends datagrams with the numbers from zero on.
    fn send(&self) {
        for number in 0..COUNT {
            self.sender.send_to(&payload(number), (Ipv4Addr::new(10, 9, 0, 255), PORT)).unwrap();
        }
    }

    /// Moves all of them by batches; returns the numbers of those that the device did not take, and why.
    fn forward(&self, mut change: impl FnMut(u32, &mut [u8])) -> Vec<(u32, Failure)> {
        let (mut batch, mut seen, mut refused) = (Batch::new(), 0, Vec::new());
        while seen < COUNT {
            let mut wait = [PollFd::new(self.left.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(PATIENCE).unwrap();
            assert_eq!(poll(&mut wait, timeout), Ok(1), "{seen} of {COUNT} frames");
            let _ = batch.read(&self.left, |errno| panic!("a frame is not readable: {errno}"));
            // The kernel's own frames, of IPv6 above all, are not ours.
            let ours: Vec<_> =
                (0..batch.len()).filter(|index| number(batch.frame(*index)).is_some()).collect();
            for index in &ours {
                let frame = batch.frame_mut(*index);
                change(number(frame).unwrap(), frame);
            }
            seen += ours.len() as u32;
            batch.write(&self.right, &ours, |frame, why| refused.push((number(frame).unwrap(), why)));
        }
        refused
    }

    /// The numbers of so many datagrams, as they arrive.
    fn received(&self, count: u32) -> Vec<u32> {
        let mut datagram = [0; 64];
        let mut next = || {
            let length = self.receiver.recv(&mut datagram).unwrap();
            number(&datagram[..length]).unwrap()
        };
        (0..count).map(|_| next()).collect()
    }
}

const MARK: &[u8; 8] = b"in order";

fn payload(number: u32) -> Vec<u8> {
    [&MARK[..], &number.to_be_bytes()].concat()
}

/// The number at the end of a frame or of a datagram.
fn number(bytes: &[u8]) -> Option<u32> {
    let (rest, number) = bytes.split_last_chunk()?;
    rest.ends_with(MARK).then(|| u32::from_be_bytes(*number))
}

/// Runs it as the machine is, and on a thread to which the kernel gives no rings.
fn with_and_without_rings(test: impl Fn() + Sync) {
    test();
    let without = || {
        refuse_rings();
        test();
    };
    std::thread::scope(|scope| scope.spawn(without).join().unwrap());
}

/// Has the kernel answer EPERM to this thread whenever it asks for a ring, as container runtimes do.
fn refuse_rings() {
    const fn statement(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt, jf, k }
    }
    let setup = libc::SYS_io_uring_setup as u32;
    // The number of a system call is the first thing in `struct seccomp_data`.
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, setup),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned()),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program is live for the call, and the kernel copies it. It is this thread's only, which ends with the test.
    let set =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    assert_eq!(Errno::result(set), Ok(0));
    // SAFETY: without the filter, the kernel would refuse the null pointer.
    let asked = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, std::ptr::null_mut::<u8>()) };
    assert_eq!(Errno::result(asked), Err(Errno::EPERM));
}
