//! The program, run by the kernel over frames of our making (`BPF_PROG_TEST_RUN`). Needs root, as loading it does.

use gateway_core::{UplinkId, WorkerSlot};

use super::*;

const WORKERS: u32 = 4;

/// Every place that the reader can have.
fn spreads() -> impl Iterator<Item = Spread> {
    (0..WORKERS).map(|uplink| Spread::of(UplinkId(uplink), WORKERS))
}

/// The queue of the worker that owns `port`, by what the engine says of it.
fn queue_of_owner(spread: Spread, port: u16) -> u32 {
    spread.queue_of(WorkerSlot::new(0, WORKERS as u16).home_of(port).into())
}

/// A port of each block around the whole range, and the ends of a few.
fn ports() -> impl Iterator<Item = u16> {
    (0..=u16::MAX).step_by(61).chain([0, 63, 64, 127, 128, u16::MAX - 64, u16::MAX])
}

fn ipv4(protocol: i32, fragment: u16, transport: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 20 + transport.len() as u8, 0, 1];
    header.extend(fragment.to_be_bytes());
    header.extend([64, byte(protocol), 0, 0, 10, 1, 0, 1, 10, 9, 0, 1]);
    [&header, transport].concat()
}

fn ipv6(next_header: i32, transport: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0, 0, transport.len() as u8, byte(next_header), 64];
    header.extend([0x20; 32]);
    [&header, transport].concat()
}

fn byte(number: i32) -> u8 {
    number.try_into().expect("a number of eight bits")
}

/// The start of a TCP or UDP header.
fn from_to(source: u16, destination: u16) -> Vec<u8> {
    [&source.to_be_bytes()[..], &destination.to_be_bytes(), &[0; 16]].concat()
}

fn echo(kind: i32, id: u16) -> Vec<u8> {
    [&[byte(kind), 0, 0, 0], &id.to_be_bytes()[..], &[0, 1]].concat()
}

fn error(kind: i32, embedded: &[u8]) -> Vec<u8> {
    [&[byte(kind), 0, 0, 0, 0, 0, 0, 0], embedded].concat()
}

/// An Ethernet type for experiments (IEEE 802).
const LOCAL_EXPERIMENTAL: u16 = 0x88b5;

/// What is in an Ethernet frame, and its type.
type Carried = (u16, Vec<u8>);

fn v4(packet: Vec<u8>) -> Carried {
    (0x0800, packet)
}

fn v6(packet: Vec<u8>) -> Carried {
    (0x86dd, packet)
}

/// Packets of which `port` decides: no other port or id in them is of its block.
fn packets_for(port: u16) -> Vec<Carried> {
    let other = port.wrapping_add(PORT_BLOCK);
    let mut packets = Vec::new();
    for protocol in [TCP, UDP] {
        packets.push(v4(ipv4(protocol, 0x4000, &from_to(other, port))));
        packets.push(v6(ipv6(protocol, &from_to(other, port))));
        let sent = ipv4(protocol, MORE_FRAGMENTS as u16, &from_to(port, other));
        packets.extend(ICMPV4.errors.iter().map(|&kind| v4(ipv4(1, 0, &error(kind, &sent)))));
        let sent = ipv6(protocol, &from_to(port, other));
        packets.extend(ICMPV6.errors.iter().map(|&kind| v6(ipv6(58, &error(kind, &sent)))));
    }
    packets.push(v4(ipv4(1, 0, &echo(0, port))));
    packets.push(v6(ipv6(58, &echo(129, port))));
    packets.push(v4(ipv4(1, 0, &error(11, &ipv4(1, 0, &echo(8, port))))));
    packets.push(v6(ipv6(58, &error(3, &ipv6(58, &echo(128, port))))));
    packets
}

/// Packets that name no port of ours, although what stands where one could be is `port`.
fn packets_for_nobody(port: u16) -> Vec<Carried> {
    let ports = from_to(port, port);
    let options = [&[0x46, 0, 0, 44, 0, 1, 0, 0, 64, 17, 0, 0][..], &[10; 12], &ports].concat();
    let arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &ports].concat();
    vec![
        (0x0806, arp),
        v4(options),
        // Fragments: the first one, one between, the last one.
        v4(ipv4(UDP, MORE_FRAGMENTS as u16, &ports)),
        v4(ipv4(UDP, MORE_FRAGMENTS as u16 | 8, &ports)),
        v4(ipv4(UDP, FRAGMENT_OFFSET as u16, &ports)),
        v6(ipv6(44, &ports)),
        // SCTP; hop-by-hop options; an ICMP of the other version.
        v4(ipv4(132, 0, &ports)),
        v6(ipv6(0, &ports)),
        v4(ipv4(58, 0, &echo(129, port))),
        v6(ipv6(1, &echo(0, port))),
        // Requests, redirects, neighbor solicitations.
        v4(ipv4(1, 0, &echo(8, port))),
        v6(ipv6(58, &echo(128, port))),
        v4(ipv4(1, 0, &error(5, &ipv4(UDP, 0, &ports)))),
        v6(ipv6(58, &error(135, &[0x20; 16]))),
        // Errors about what we have not sent: a fragment without ports, an error about an error.
        v4(ipv4(1, 0, &error(3, &ipv4(UDP, 185, &ports)))),
        v4(ipv4(1, 0, &error(3, &ipv4(1, 0, &error(3, &ipv4(UDP, 0, &ports)))))),
    ]
}

#[test]
fn a_port_of_ours_leads_to_the_queue_of_its_owner() {
    for (spread, programs) in spreads().map(|spread| (spread, Programs::load(spread))) {
        for port in ports() {
            for packet in packets_for(port) {
                let expected = queue_of_owner(spread, port);
                assert_eq!(programs.run(&packet), [expected; 2], "{spread:?}, port {port}: {packet:02x?}");
            }
        }
    }
}

#[test]
fn what_names_no_port_of_ours_leads_to_the_reader() {
    for (spread, programs) in spreads().map(|spread| (spread, Programs::load(spread))) {
        assert_eq!(spread.queue_of(spread.reader()), 0);
        // One of these is of a block of each worker.
        for port in (0..WORKERS as u16).map(|block| block * PORT_BLOCK) {
            for packet in packets_for_nobody(port) {
                assert_eq!(programs.run(&packet), [0; 2], "{spread:?}, port {port}: {packet:02x?}");
            }
        }
    }
}

#[test]
fn a_frame_that_ends_too_early_leads_to_the_reader() {
    let spread = Spread::of(UplinkId(1), WORKERS);
    let programs = Programs::load(spread);
    let port = 1024;
    let expected = queue_of_owner(spread, port);
    assert_ne!(expected, 0, "the two answers can be told apart");
    for (_, packet) in packets_for(port) {
        // The test run does not take IP that is too short for a header; the program does not look at the Ethernet type.
        let cut = |length| (LOCAL_EXPERIMENTAL, packet[..length].to_vec());
        let queues: Vec<_> = (1..=packet.len()).map(|length| programs.run(&cut(length))).collect();
        let whole = queues.iter().position(|&queue| queue != [0; 2]).expect("the whole packet is enough");
        assert!(whole > 20, "{packet:02x?}");
        assert!(queues[whole..].iter().all(|&queue| queue == [expected; 2]), "{packet:02x?}: {queues:?}");
    }
}

#[test]
fn a_reader_alone_would_hand_over_half_of_what_two_workers_get() {
    let spread = Spread::of(UplinkId(0), 2);
    let programs = Programs::load(spread);
    let slot = WorkerSlot::new(0, 2);
    let all: Vec<_> = ports().collect();
    let of_others = all.iter().filter(|&&port| slot.home_of(port) != 0).count();
    assert!(
        (all.len() * 45 / 100..all.len() * 55 / 100).contains(&of_others),
        "{of_others} of {}",
        all.len()
    );
    let wrong = all.iter().filter(|&&port| {
        let [queue, _] = programs.run(&v4(ipv4(UDP, 0, &from_to(53, port))));
        queue != spread.queue_of(slot.home_of(port).into())
    });
    assert_eq!(wrong.count(), 0);
}

/// The program as each kind of device has it.
struct Programs([Program; 2]);

impl Programs {
    fn load(spread: Spread) -> Self {
        Self(
            [View::Network, View::Ethernet].map(|view| {
                Program::load(view, spread).expect("the kernel takes the program: run this as root")
            }),
        )
    }

    /// The queues that both say.
    fn run(&self, (kind, packet): &Carried) -> [u32; 2] {
        let ethernet = [&[2; 12][..], &kind.to_be_bytes()].concat();
        let [network, whole] = &self.0;
        // The kernel pulls one Ethernet header, as for a frame that was received.
        [
            test_run(network, &[&ethernet[..], packet].concat()),
            test_run(whole, &[&ethernet[..], &ethernet, packet].concat()),
        ]
    }
}

const BPF_PROG_TEST_RUN: libc::c_int = 10;

/// The part of `union bpf_attr` that `BPF_PROG_TEST_RUN` needs.
#[repr(C)]
struct TestRun {
    program: u32,
    result: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

/// The program's result for the frame.
fn test_run(program: &Program, frame: &[u8]) -> u32 {
    let mut request = TestRun {
        program: program.number().cast_unsigned(),
        result: u32::MAX,
        size_in: frame.len() as u32,
        size_out: 0,
        data_in: frame.as_ptr() as u64,
        data_out: 0,
        repeat: 1,
        duration: 0,
    };
    // SAFETY: `request` is live and its size goes with it, as is `frame`, of which the kernel reads `size_in` bytes.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, &raw mut request, size_of::<TestRun>()) };
    Errno::result(done).expect("the kernel runs the program");
    request.result
}
