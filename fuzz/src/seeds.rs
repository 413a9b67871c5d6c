//! Inputs to begin with: a good one of each kind, so that the fuzzer starts behind the checks.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use gateway_core::Verdict;

use crate::lane::{
    CONTAINER_MAC, EXTERNAL_PORT, GATEWAY, GATEWAY_V6, INTERNAL_PORT, Lane, PUBLISHED_PORT, Policy,
    REMOTE_PORT, SERVER_MAC, UPLINK_MAC, external, server,
};
use crate::layout::IP;
use crate::neighbors::{answer, question, router_question};
use crate::packet::{ACK, Carries, FIN, Packet, RST, SYN};
use crate::pieces::part;
use crate::targets::{Step, pattern, verdict};

/// An input of a target.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The target's name.
    pub target: &'static str,
    /// The file's.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// All of them.
///
/// # Panics
/// If a frame that is to be accepted is not.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for is_v4 in [true, false] {
        seeds.extend(frames("packet_outbound", is_v4, outbound(is_v4)));
        seeds.extend(frames("packet_inbound", is_v4, inbound(is_v4)));
    }
    seeds.extend(vnet());
    seeds.extend(icmp_errors());
    seeds.extend(fragments());
    seeds.extend(engine());
    seeds.extend(archives());
    seeds
}

/// A policy, and a frame that it lets through.
type Good = (&'static str, Policy, Vec<u8>);

fn frames(target: &'static str, is_v4: bool, frames: Vec<Good>) -> impl Iterator<Item = Seed> {
    frames.into_iter().map(move |(name, policy, frame)| {
        let place = Policy::ALL.iter().position(|&p| p == policy).expect("all policies are there");
        let bytes = [vec![place as u8], frame].concat();
        let verdict = verdict(target == "packet_outbound", &bytes);
        assert!(!matches!(verdict, Verdict::Drop(_)), "{target}/{name}: {verdict:?}");
        Seed { target, name: format!("{name}_{}", if is_v4 { "v4" } else { "v6" }), bytes }
    })
}

fn outbound(is_v4: bool) -> Vec<Good> {
    let of = |policy, carries| Lane::of(policy).outbound(carries, server(is_v4));
    let to = |mut packet: Packet, address, port| {
        packet.destination = SocketAddr::new(address, port);
        packet
    };
    let opening = Carries::Tcp { flags: SYN, sequence: 7, acknowledgment: 0, options: vec![2, 4, 255, 255] };
    let gateway = if is_v4 { GATEWAY.into() } else { GATEWAY_V6.into() };
    let udp = of(Policy::Strict, Carries::Udp);
    let tcp = of(Policy::Strict, Carries::tcp(ACK, 1000, 5000));
    let unreachable =
        Carries::Icmp { kind: if is_v4 { 3 } else { 1 }, code: if is_v4 { 3 } else { 4 }, rest: [0; 4] };
    let received = Packet::new(tcp.macs, udp.destination, udp.source, Carries::Udp).frame();
    let big = of(Policy::Strict, Carries::Udp).with_payload(pattern(64)).frame();
    let own = (CONTAINER_MAC, Policy::Strict.container(is_v4));
    let mut frames = vec![
        ("tcp", Policy::Strict, tcp.frame()),
        ("tcp_end", Policy::Apdm, of(Policy::Apdm, Carries::tcp(FIN | ACK, 1000, 5000)).frame()),
        ("tcp_reset", Policy::Adm, of(Policy::Adm, Carries::tcp(RST, 1000, 0)).frame()),
        ("tcp_super", Policy::Strict, tcp.clone().with_payload(pattern(300)).offloaded(100)),
        ("tcp_new", Policy::Open, to(of(Policy::Open, opening), server(is_v4), 443).frame()),
        ("udp", Policy::Strict, udp.frame()),
        ("udp_super", Policy::Strict, udp.clone().with_payload(pattern(300)).offloaded(100)),
        ("udp_new", Policy::Apdm, to(of(Policy::Apdm, Carries::Udp), server(is_v4), 53).frame()),
        ("udp_routed", Policy::Routed, of(Policy::Routed, Carries::Udp).frame()),
        ("udp_block", Policy::Blocks, to(of(Policy::Blocks, Carries::Udp), server(is_v4), 53).frame()),
        ("fragment", Policy::Strict, part(&big, 0..40, 7)),
        ("echo", Policy::Strict, of(Policy::Strict, Carries::EchoRequest).frame()),
        ("echo_gateway", Policy::Strict, to(of(Policy::Strict, Carries::EchoRequest), gateway, 0).frame()),
        (
            "error",
            Policy::Strict,
            to(of(Policy::Strict, unreachable), server(is_v4), 0).with_payload(&received[IP..]).frame(),
        ),
        ("question", Policy::Strict, question(own, gateway)),
    ];
    if !is_v4 {
        let mut extended = of(Policy::Strict, Carries::Udp);
        extended.extensions = vec![0, 60];
        frames.push(("extensions", Policy::Strict, extended.frame()));
        let own = (CONTAINER_MAC, "fe80::2".parse().expect("an address"));
        frames.push(("router_question", Policy::Strict, router_question(own)));
    }
    frames
}

fn inbound(is_v4: bool) -> Vec<Good> {
    let remote = SocketAddr::new(server(is_v4), REMOTE_PORT);
    let at = |port| SocketAddr::new(external(is_v4), port);
    let from = |remote, to, carries| Packet::new((UPLINK_MAC, SERVER_MAC), remote, to, carries);
    let own = SocketAddr::new(Policy::Routed.container(is_v4), INTERNAL_PORT);
    let udp = from(remote, at(EXTERNAL_PORT), Carries::Udp);
    let tcp = from(remote, at(EXTERNAL_PORT), Carries::tcp(ACK, 5000, 1000));
    let sent = from(at(EXTERNAL_PORT), remote, Carries::Udp).frame();
    let kind = if is_v4 { (3, 4) } else { (2, 0) };
    let too_big = Carries::Icmp { kind: kind.0, code: kind.1, rest: [0, 0, 5, 0] };
    let stranger = SocketAddr::new(server(is_v4), 4444);
    let big = udp.clone().with_payload(pattern(64)).frame();
    vec![
        ("tcp", Policy::Strict, tcp.frame()),
        (
            "tcp_end",
            Policy::Apdm,
            from(remote, at(EXTERNAL_PORT), Carries::tcp(FIN | ACK, 5000, 1000)).frame(),
        ),
        ("tcp_reset", Policy::Adm, from(remote, at(EXTERNAL_PORT), Carries::tcp(RST, 5000, 0)).frame()),
        ("tcp_super", Policy::Strict, tcp.clone().with_payload(pattern(300)).offloaded(100)),
        ("tcp_published", Policy::Open, from(stranger, at(PUBLISHED_PORT), Carries::tcp(SYN, 9, 0)).frame()),
        ("udp", Policy::Strict, udp.frame()),
        ("udp_super", Policy::Strict, udp.clone().with_payload(pattern(300)).offloaded(100)),
        ("udp_published", Policy::Open, from(stranger, at(PUBLISHED_PORT), Carries::Udp).frame()),
        ("udp_other_port", Policy::Strict, from(stranger, at(EXTERNAL_PORT), Carries::Udp).frame()),
        ("udp_routed", Policy::Routed, from(remote, own, Carries::Udp).frame()),
        ("fragment", Policy::Strict, part(&big, 0..40, 7)),
        (
            "echo_reply",
            Policy::Strict,
            from(SocketAddr::new(server(is_v4), 0), at(EXTERNAL_PORT), Carries::EchoReply).frame(),
        ),
        (
            "error",
            Policy::Strict,
            from(SocketAddr::new(server(is_v4), 0), at(0), too_big).with_payload(&sent[IP..]).frame(),
        ),
        ("question", Policy::Strict, question((SERVER_MAC, server(is_v4)), external(is_v4))),
        ("answer", Policy::Strict, answer((SERVER_MAC, server(is_v4)), (UPLINK_MAC, external(is_v4)))),
    ]
}

/// By policy, MTUs, and bits as `targets/vnet.rs` reads them.
fn vnet() -> impl Iterator<Item = Seed> {
    let cases = (0..6u8).flat_map(|policy| (0..16u8).map(move |bits| (policy, bits)));
    cases.filter(|(policy, bits)| (policy + bits) % 3 == 0).map(|(policy, bits)| {
        let (inside, outside) = [(0, 0), (6, 0), (0, 4), (7, 2)][usize::from(bits / 4)];
        let offload = (policy + bits / 3) % 4;
        let [payload, segment] = [[300u16, 100], [4_000, 1_400], [9_000, 1_460], [60_000, 8_900]]
            [usize::from(policy % 4)]
        .map(u16::to_be_bytes);
        let mut bytes = vec![policy, inside, outside, bits, offload];
        bytes.extend([payload, segment].concat());
        bytes.extend([ACK, policy, bits % 6, 0]);
        Seed { target: "vnet", name: format!("policy{policy}_{bits:02}"), bytes }
    })
}

/// By policy, bits and type as `targets/icmp_errors.rs` reads them.
fn icmp_errors() -> impl Iterator<Item = Seed> {
    let cases = (0..6u8).flat_map(|policy| (0..48u8).map(move |bits| (policy, bits)));
    cases.filter(|(policy, bits)| (policy * 5 + bits) % 7 == 0).map(|(policy, bits)| {
        let (v4, v6): ([u8; 3], [u8; 3]) = ([3, 11, 12], [1, 2, 3]);
        let kind = if bits & 1 != 0 { v4 } else { v6 }[usize::from(policy % 3)];
        let mut bytes = vec![policy, bits, kind, bits % 14, 0, 0, 5, 0];
        if bits & 8 != 0 {
            bytes.push(3);
        }
        bytes.extend([0, if bits & 4 != 0 { 200 } else { 48 }, 0, 100, 0, 64]);
        Seed { target: "icmp_errors", name: format!("policy{policy}_{bits:02}"), bytes }
    })
}

/// By policy, MTUs, bits and steps as `targets/fragments.rs` reads them.
fn fragments() -> impl Iterator<Item = Seed> {
    // All in order; in reverse; one twice; one missing for too long; other parts, changed ones.
    const STEPS: [&[u8]; 6] = [
        &[1, 0],
        &[2, 0],
        &[0, 1, 0, 1, 1, 0],
        &[0, 0, 3, 3, 1, 0],
        &[0, 0, 4, 0, 0, 8, 0, 9, 1, 0],
        &[0, 0, 6, 1, 0, 40, 1, 1, 0, 9, 1, 7, 1, 0],
    ];
    let cases = (0..6u8).flat_map(|policy| (0..12u8).map(move |bits| (policy, bits)));
    cases.filter(|(policy, bits)| (policy + bits) % 2 == 0).map(|(policy, bits)| {
        let (inside, outside) = [(0, 0), (6, 0), (0, 4), (7, 2)][usize::from(policy % 4)];
        let mut bytes = vec![policy, inside, outside, bits, bits % 6];
        bytes.extend([[3_000u16, 8_000, 60_000][usize::from(bits) % 3].to_be_bytes(), [0, 0]].concat());
        // In even pieces, or after 800 bytes and 800 more.
        let cuts: &[u8] = if policy % 2 == 0 { &[0, 5, 0x78] } else { &[2, 0, 99, 0, 99] };
        bytes.truncate(7);
        bytes.extend(cuts);
        bytes.extend(STEPS[usize::from(policy + bits) / 2 % STEPS.len()]);
        Seed { target: "fragments", name: format!("policy{policy}_{bits:02}"), bytes }
    })
}

/// What `targets/engine.rs` reads: a first byte, containers, uplink, connectors, steps.
fn engine() -> impl Iterator<Item = Seed> {
    let cases = (0..4u8).flat_map(|modes| (0..8u8).map(move |story| (modes, story)));
    cases.map(|(modes, story)| {
        let first = modes & 1 | story << 2;
        // Bytes of a container: bits, MTU; of the uplink: bits, ports, MTU.
        let mut bytes = vec![first, 0, 0, 0, 0, if modes == 3 { 32 } else { 0 }, story % 4, 0];
        for container in 0..2u8 {
            // Container, uplink, connector, modes, rest, destinations, restrictions.
            let policy = [0, 0b0001_0101, 0b0010_1010, 0b0100_0000][usize::from(modes)];
            let policy = if modes == 3 && container == 1 { 0 } else { policy };
            let restrictions = [0, 0b0_1001, 0b0_0110, 0b1_0011][usize::from(modes)] * container;
            bytes.extend([container, 0, container, policy, 0, 0, restrictions]);
        }
        let steps = story_of(usize::from(story));
        bytes.extend(
            steps.into_iter().flat_map(|(step, decisions)| [vec![step.encode()], decisions].concat()),
        );
        Seed { target: "engine", name: format!("modes{modes}_story{story}"), bytes }
    })
}

/// Steps with what they read.
fn story_of(index: usize) -> Vec<(Step, Vec<u8>)> {
    // Container, bits, ports, remote; size, bits.
    let opens = |container, kind: u8, version: u8| {
        (Step::Outbound, vec![container, kind << 1 | version, 0, 0, 10, 0])
    };
    // Session, bits (outbound, flags), numbers; changed; size, bits.
    let goes_on = |session, outbound: u8, flags: u8| {
        (Step::Session, vec![session, outbound | flags << 1, 0o11, 0, 50, 0])
    };
    let wait = |index| (Step::Wait, vec![index]);
    match index {
        // A TCP connection from SYN to its end, and what came of it.
        0 => vec![
            opens(0, 0, 0),
            goes_on(0, 0, 4),
            goes_on(0, 1, 0),
            goes_on(0, 1, 1),
            goes_on(0, 0, 1),
            goes_on(0, 1, 0),
            wait(8),
        ],
        // UDP and echo of both versions, answers, an error.
        1 => vec![
            opens(0, 1, 0),
            opens(1, 1, 1),
            opens(0, 2, 1),
            goes_on(0, 0, 0),
            goes_on(1, 0, 0),
            goes_on(2, 0, 0),
            (Step::Error, vec![0, 0, 20, 10, 0]),
            (Step::Error, vec![1, 1, 20, 10, 0]),
            wait(5),
        ],
        // From one container to the other one and back.
        2 => vec![
            opens(0, 1, 0),
            opens(1, 1, 0),
            (Step::Outbound, vec![0, 2, 0, 3, 10, 0]),
            (Step::Outbound, vec![1, 2, 0, 3, 10, 0]),
            (Step::Outbound, vec![0, 0, 0, 7, 10, 0]),
        ],
        // Fragments, of which one is missing at first.
        3 => vec![
            opens(0, 1, 0),
            (Step::Fragments, vec![0, 0, 1, 0, 12, 0, 0, 200, 0, 3]),
            (Step::Fragments, vec![3, 0, 0, 0, 12, 0, 0, 200, 0, 3]),
            (Step::Fragments, vec![0, 0, 0, 0, 12, 0, 0, 1, 1, 3]),
            wait(4),
        ],
        // Detached with a live connection, attached again.
        4 => vec![
            opens(0, 0, 0),
            goes_on(0, 0, 4),
            goes_on(0, 1, 0),
            (Step::Detach, vec![0, 0]),
            (Step::Attach, vec![0, 0, 0, 0, 0x20, 0, 0x21, 0]),
            (Step::Inbound, vec![0, 0, 8, 0, 0, 10, 0]),
        ],
        // Strangers, silence, and no more uplink.
        5 => vec![
            opens(0, 0, 1),
            (Step::Inbound, vec![0, 1, 4, 0, 0, 10, 0]),
            (Step::Inbound, vec![0, 0, 0, 4, 0, 10, 0]),
            wait(3),
            (Step::Neighbor, vec![0x05, 0]),
            (Step::RemoveUplink, vec![0]),
        ],
        // Another link of each kind.
        6 => vec![
            (Step::AddUplink, vec![8, 1, 2]),
            (Step::AddAttachment, vec![8, 4]),
            (Step::Attach, vec![2, 1, 2, 0x80, 5, 2, 0]),
            opens(2, 1, 0),
            (Step::RemoveAttachment, vec![2]),
        ],
        // Super-packets, a TTL that ends, any bytes.
        _ => vec![
            opens(0, 0, 0),
            (Step::Session, vec![0, 1, 0, 0, 240, 0x0a]),
            (Step::Session, vec![0, 0, 0, 0, 240, 0x0e]),
            (Step::Session, vec![0, 1, 0, 0, 10, 0x18]),
            (Step::Raw, vec![1, 0, 0, 14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
        ],
    }
}

/// Code of one file, and of some files, directories and links.
fn archives() -> Vec<Seed> {
    let packed = |name: &str, make: &dyn Fn(&Path) -> std::io::Result<()>| {
        let around = tempfile::tempdir().expect("a temporary directory");
        make(around.path()).expect("files");
        let bytes = sandbox::pack(around.path()).expect("it can be added");
        Seed { target: "archives", name: name.to_owned(), bytes }
    };
    let file =
        |path: &Path| fs::write(path.join("main.py"), "def handler(event, context):\n    return event\n");
    let tree = |path: &Path| {
        file(path)?;
        fs::create_dir_all(path.join("lib/deep"))?;
        fs::write(path.join("lib/deep/zeros"), [0; 5000])?;
        fs::write(path.join("bootstrap"), "#!/bin/sh\n")?;
        fs::set_permissions(path.join("bootstrap"), Permissions::from_mode(0o755))?;
        symlink("lib/deep", path.join("to"))?;
        symlink("../../to/zeros", path.join("lib/deep/through"))
    };
    let links =
        |path: &Path| (0..8).try_for_each(|i| symlink(format!("./l{}", i + 1), path.join(format!("l{i}"))));
    vec![packed("file", &file), packed("tree", &tree), packed("links", &links)]
}
