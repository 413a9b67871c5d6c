//! The short way decides and rewrites as the long way does, one frame at a time or many.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;

use etherparse::PacketBuilder;
use proptest::prelude::*;

use crate::wire::VNET_LEN;
use crate::{
    Action, AddressSpace, Addressing, AttachmentConfig, AttachmentId, Command, ConnectorConfig, ConnectorId,
    Engine, Instant, Link, MacAddr, PortSet, Protocol, RateLimits, Rates, Rule, Transmit, Unsolicited,
    UplinkConfig, UplinkId, Verdict, WorkerSlot,
};

const INSIDE: Link = Link::Attachment(AttachmentId(1));
const OUTSIDE: Link = Link::Uplink(UplinkId(1));
const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const UPLINK_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 4];
const OWN: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(10, 0, 0, 2), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
const SERVER: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(192, 0, 2, 20), Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 20));

/// Destinations that are not simply a server: the external address, somebody who does not answer, nobody who may be asked, the
/// gateway, everybody.
const OTHERS: [[&str; 2]; 6] = [
    ["192.0.2.10", "fd01::10"],
    ["192.0.2.21", "fd01::21"],
    ["127.0.0.1", "::1"],
    ["198.51.100.1", "2001:db8::1"],
    ["10.0.0.1", "fd00::1"],
    ["192.0.2.255", "ff02::1"],
];

/// An engine whose connector has one of a few policies.
fn engine(policy: usize) -> Engine {
    let mut engine = Engine::new(WorkerSlot::ONLY, [3; 32]);
    let prefixes = vec!["192.0.2.0/24".parse().unwrap(), "fd01::/64".parse().unwrap()];
    let external: Vec<IpAddr> = vec!["192.0.2.10".parse().unwrap(), "fd01::10".parse().unwrap()];
    let addressing =
        |address: IpAddr, gateway: &str| Addressing { address, gateway: gateway.parse().unwrap() };
    let uplink = UplinkConfig {
        id: UplinkId(1),
        mac: MacAddr(UPLINK_MAC),
        mtu: 1500,
        on_link: prefixes.clone(),
        next_hops: Vec::new(),
        space: AddressSpace::new(external, PortSet::default(), 1),
        reserved: Vec::new(),
        port_blocks: false,
        unsolicited: Unsolicited::default(),
    };
    let attachment = AttachmentConfig {
        id: AttachmentId(1),
        addresses: vec![addressing(OWN.0.into(), "10.0.0.1"), addressing(OWN.1.into(), "fd00::1")],
        mac: MacAddr(OWN_MAC),
        gateway_mac: MacAddr(GATEWAY_MAC),
        mtu: 1500,
    };
    let mut connector = ConnectorConfig::new(ConnectorId(1), UplinkId(1), prefixes);
    let rates = |[packets, bits, sessions]: [u64; 3]| {
        let [packets, bits, sessions] = [packets, bits, sessions].map(NonZeroU64::new);
        RateLimits::new(Rates { packets, bits, sessions })
    };
    match policy {
        0 => {}
        1 => connector.rules = rules(),
        2 => connector.limits = rates([0, 0, 2]),
        3 => connector.limits = rates([12, 0, 0]),
        _ => (connector.rules, connector.limits) = (rules(), rates([0, 9_000, 3])),
    }
    for command in [
        Command::AddUplink(uplink),
        Command::AddAttachment(attachment),
        Command::Attach { attachment: AttachmentId(1), connector },
    ] {
        engine.apply(Instant::ZERO, command).unwrap();
    }
    for v6 in [false, true] {
        engine.handle_packet(Instant::ZERO, INSIDE, &mut outbound(&Sent { v6, ..Sent::default() }));
        let address = if v6 { IpAddr::from(SERVER.1) } else { SERVER.0.into() };
        engine.learn_neighbor(Instant::ZERO, UplinkId(1), address, MacAddr(SERVER_MAC));
    }
    while engine.poll_transmit().is_some() {}
    engine
}

/// Denied: port 81 by UDP of the server, and what does not answer; nothing is said about IPv6 beside the server's.
fn rules() -> Vec<Rule> {
    let rule = |action, destination: &str, ports: Option<u16>| Rule {
        action,
        destination: destination.parse().unwrap(),
        protocol: ports.map(|_| Protocol::Udp),
        ports: ports.map(|port| port..=port),
    };
    vec![
        rule(Action::Deny, "192.0.2.20/32", Some(81)),
        rule(Action::Deny, "fd01::20/128", Some(81)),
        rule(Action::Deny, "192.0.2.21/32", None),
        rule(Action::Allow, "0.0.0.0/0", None),
        rule(Action::Allow, "fd01::20/128", None),
    ]
}

/// A packet of the container.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "choices of a generator")]
struct Sent {
    v6: bool,
    tcp: bool,
    flags: u8,
    port: u16,
    remote_port: u16,
    payload: usize,
    fragmentable: bool,
    ttl: u8,
    /// Asks for the checksum, and for segments of so many bytes if that is not 0.
    asks: Option<u16>,
    no_checksum: bool,
    /// Which of [`OTHERS`] it is for; [`SERVER`] if there is none.
    to: usize,
    /// Whether its answer follows.
    answered: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    (
        (any::<bool>(), any::<bool>(), prop::sample::select(vec![2, 16, 16, 16, 17, 24, 4, 18])),
        (4000..4004_u16, 80..82_u16, 0..1600_usize, any::<bool>()),
        (
            prop::sample::select(vec![1, 2, 64, 64, 64]),
            prop::option::of(prop::sample::select(vec![0, 100, 1400])),
        ),
        (any::<(bool, bool)>(), 0..2 * OTHERS.len()),
    )
        .prop_map(
            |(
                (v6, tcp, flags),
                (port, remote_port, payload, fragmentable),
                (ttl, asks),
                ((no_checksum, answered), to),
            )| {
                Sent {
                    v6,
                    tcp,
                    flags,
                    port,
                    remote_port,
                    payload,
                    fragmentable,
                    ttl,
                    asks,
                    no_checksum,
                    to,
                    answered,
                }
            },
        )
}

fn frame(
    sent: &Sent,
    macs: ([u8; 6], [u8; 6]),
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(macs.1, macs.0);
    let builder = match (source.0, destination.0) {
        (IpAddr::V4(from), IpAddr::V4(to)) => builder.ipv4(from.octets(), to.octets(), sent.ttl.max(1)),
        (IpAddr::V6(from), IpAddr::V6(to)) => builder.ipv6(from.octets(), to.octets(), sent.ttl.max(1)),
        _ => unreachable!("both ends have one version"),
    };
    let (mut frame, payload) = (vec![0; VNET_LEN], vec![0x5a; sent.payload]);
    if sent.tcp {
        builder.tcp(source.1, destination.1, 1, 1000).write(&mut frame, &payload).unwrap();
    } else {
        builder.udp(source.1, destination.1).write(&mut frame, &payload).unwrap();
    }
    let at = if sent.v6 { 64 } else { 44 };
    if sent.tcp {
        frame[at + 13] = sent.flags;
    } else if sent.no_checksum && !sent.v6 {
        frame[at + 6..at + 8].fill(0);
    }
    if sent.fragmentable && !sent.v6 {
        frame[30] = 0;
        frame[34..36].fill(0);
        let checksum = crate::checksum::checksum(&frame[24..44]);
        frame[34..36].copy_from_slice(&checksum.to_be_bytes());
    }
    if let Some(size) = sent.asks {
        let gso = match (size, sent.tcp, sent.v6) {
            (0, ..) => 0,
            (_, true, false) => 1,
            (_, true, true) => 4,
            (_, false, _) => 5,
        };
        (frame[0], frame[1]) = (1, gso);
        let words = [0, size, at as u16 - 10, if sent.tcp { 16 } else { 6 }];
        frame[2..VNET_LEN].copy_from_slice(words.map(u16::to_ne_bytes).as_flattened());
    }
    frame
}

fn outbound(sent: &Sent) -> Vec<u8> {
    let own: IpAddr = if sent.v6 { OWN.1.into() } else { OWN.0.into() };
    frame(sent, (OWN_MAC, GATEWAY_MAC), (own, sent.port), (destination(sent), sent.remote_port))
}

fn destination(sent: &Sent) -> IpAddr {
    let server = if sent.v6 { SERVER.1.into() } else { SERVER.0.into() };
    OTHERS.get(sent.to).map_or(server, |other| other[usize::from(sent.v6)].parse().unwrap())
}

/// The answer to what the VPC saw.
fn answer(sent: &Sent, seen: &[u8]) -> Vec<u8> {
    let at = if sent.v6 { 64 } else { 44 };
    let port = u16::from_be_bytes([seen[at], seen[at + 1]]);
    let external = OTHERS[0][usize::from(sent.v6)].parse().unwrap();
    frame(sent, (SERVER_MAC, UPLINK_MAC), (destination(sent), sent.remote_port), (external, port))
}

/// What an engine made of a frame.
fn outcome(engine: &mut Engine, verdict: Verdict, frame: Vec<u8>) -> (Verdict, Vec<u8>, Vec<Transmit>) {
    let sent = std::iter::from_fn(|| engine.poll_transmit()).collect();
    (verdict, frame, sent)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_short_way_does_what_the_long_way_does(policy in 0..5_usize, all in prop::collection::vec(sent(), 1..60)) {
        let (mut short, mut long) = (engine(policy), engine(policy));
        for (tick, sent) in all.iter().enumerate() {
            let now = Instant::from_nanos(tick as u64 * 200_000_000);
            let mut frames = vec![(INSIDE, outbound(sent))];
            while let Some((from, frame)) = frames.pop() {
                let (mut one, mut other) = (frame.clone(), frame);
                let explained = short.explain_frame(now, from, &one);
                let verdict = short.handle_packet(now, from, &mut one);
                let left_in_pieces = matches!((explained.verdict, verdict), (Verdict::Forward(_), Verdict::Respond));
                prop_assert!(left_in_pieces || explained.verdict == verdict, "{:?}, and {:?}", explained, verdict);
                let one = outcome(&mut short, verdict, one);
                let verdict = long.handle_any(now, from, &mut other);
                let other = outcome(&mut long, verdict, other);
                prop_assert_eq!(&one, &other, "{:?}", sent);
                if from == INSIDE && sent.answered && one.0 == Verdict::Forward(OUTSIDE) {
                    frames.push((OUTSIDE, answer(sent, &one.1)));
                }
            }
            prop_assert_eq!(short.poll_timeout(), long.poll_timeout());
            prop_assert_eq!(sorted(&short), sorted(&long));
        }
    }

    #[test]
    fn a_batch_is_as_many_frames(policy in 0..5_usize, all in prop::collection::vec(sent(), 1..200)) {
        let (mut many, mut single) = (engine(policy), engine(policy));
        let now = Instant::from_nanos(1);
        let mut prepared = Vec::new();
        for batch in all.chunks(64) {
            let mut frames: Vec<_> = batch.iter().map(outbound).collect();
            many.prepare(INSIDE, frames.iter().map(Vec::as_slice), &mut prepared);
            prop_assert_eq!(prepared.len(), frames.len());
            for (frame, prepared) in frames.iter_mut().zip(&prepared) {
                let mut other = frame.clone();
                let verdict = many.handle_prepared(now, INSIDE, frame, prepared);
                let one = outcome(&mut many, verdict, frame.clone());
                let verdict = single.handle_packet(now, INSIDE, &mut other);
                prop_assert_eq!(one, outcome(&mut single, verdict, other));
            }
        }
        prop_assert_eq!(sorted(&many), sorted(&single));
    }
}

fn sorted(engine: &Engine) -> Vec<crate::LinkReport> {
    let mut reports = engine.counters();
    reports.sort_by_key(|report| report.link);
    reports
}
