//! `explain` says what the packet that follows will meet.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use gateway_core::{
    AttachmentId, Command, CommandError, Explanation, MacAddr, Probe, Protocol, Reason, Step, Verdict,
};

use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, far};
use crate::support::*;

const fn probe(protocol: Protocol, port: u16, remote: SocketAddr) -> Probe {
    Probe { source_port: Some(port), ..Probe::new(protocol, remote) }
}

const fn udp(remote: SocketAddr) -> Probe {
    probe(Protocol::Udp, 4000, remote)
}

/// The packet that a probe is about.
fn real(id: AttachmentId, probe: Probe) -> Packet {
    let carries = match probe.protocol {
        Protocol::Tcp => Carries::Tcp(SYN),
        Protocol::Udp => Carries::Udp,
        Protocol::Icmp => Carries::EchoRequest,
    };
    Packet::outbound(id, carries, probe.source_port.expect("has one"), probe.destination)
}

/// Explains, changes nothing by it, and then sees the packet meet just that.
fn agree(rig: &mut Rig, id: AttachmentId, probe: Probe, name: &str) -> Explanation {
    let before =
        (rig.counters(), rig.engine.session_count(), rig.engine.port_use(), rig.engine.poll_timeout());
    let explanation = rig.engine.explain(rig.now, inside(id), &probe).expect("the container exists");
    let after =
        (rig.counters(), rig.engine.session_count(), rig.engine.port_use(), rig.engine.poll_timeout());
    assert_eq!(before, after, "{name}");
    let step = rig.deliver(inside(id), real(id, probe).frame());
    let reason = match step.verdict {
        Verdict::Drop(reason) => Some(reason),
        Verdict::Forward(_) | Verdict::Hold | Verdict::Respond => None,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(explanation.reason(), reason, "{name}");
    let answers = explanation.steps == [gateway_core::Step::GatewayAnswers];
    assert_eq!(answers, step.verdict == Verdict::Respond, "{name}");
    explanation
}

#[test]
fn each_answer_agrees_with_the_packet_that_follows() {
    let forbidden = Some(Reason::DestinationForbidden);
    let cases = [
        ("new session", C1, udp(endpoint(SERVER, 53)), None),
        ("through the router", C1, udp(far(53)), None),
        ("next hop to be asked for", C1, udp(endpoint(NOBODY, 53)), None),
        ("gateway, echo", C4, probe(Protocol::Icmp, 1, endpoint(GATEWAY, 0)), None),
        ("gateway, tcp", C1, probe(Protocol::Tcp, 4000, endpoint(GATEWAY, 80)), Some(Reason::GatewayAddress)),
        ("gateway, udp", C4, udp(endpoint(GATEWAY, 53)), Some(Reason::GatewayAddress)),
        ("metadata service", C1, udp(endpoint([169, 254, 169, 254], 80)), forbidden),
        ("multicast", C1, udp(endpoint([224, 0, 0, 1], 80)), forbidden),
        ("loopback, not attached", C4, udp(endpoint([127, 0, 0, 1], 80)), forbidden),
        ("network address", C1, udp(endpoint([10, 1, 0, 0], 80)), Some(Reason::Broadcast)),
        ("broadcast address", C1, udp(endpoint([10, 1, 255, 255], 80)), Some(Reason::Broadcast)),
        ("not attached", C4, udp(endpoint(SERVER, 53)), Some(Reason::NoConnector)),
        ("no route", C1, udp(endpoint([203, 0, 113, 1], 53)), Some(Reason::NoRoute)),
        ("hairpin to nobody", C1, udp(endpoint(EXTERNAL, 53)), Some(Reason::NoMapping)),
        ("no router", C3, udp(far(53)), Some(Reason::NoNextHop)),
    ];
    for (name, id, probe, reason) in cases {
        for protocol in Protocol::ALL {
            // A probe of echo for the gateway, and of anything else, mean different things.
            let probe = if probe.destination.ip() == GATEWAY { probe } else { Probe { protocol, ..probe } };
            let explanation = agree(&mut Rig::new(), id, probe, name);
            assert_eq!(explanation.reason(), reason, "{name}");
        }
    }
}

#[test]
fn exhausted_ports_are_foreseen() {
    let mut rig = Rig::with_ports(2000..=2000);
    let mapped = udp(endpoint(SERVER, 53));
    agree(&mut rig, C1, mapped, "the last port");
    let explanation = agree(&mut rig, C2, mapped, "no port left");
    assert_eq!(explanation.reason(), Some(Reason::PortsExhausted));
    assert!(matches!(explanation.steps[..], [Step::Route { connector: TO_A, uplink: VPC_A, .. }]));
    agree(&mut rig, C1, udp(endpoint(OTHER_SERVER, 53)), "the mapping is there already");
    agree(&mut rig, C2, probe(Protocol::Tcp, 4000, endpoint(SERVER, 53)), "another protocol");
}

#[test]
fn an_unreachable_next_hop_is_known() {
    let mut rig = Rig::new();
    let silent = udp(endpoint(NOBODY, 53));
    agree(&mut rig, C1, silent, "asked for");
    agree(&mut rig, C1, silent, "being asked for");
    for _ in 0..3 {
        let due = rig.engine.poll_timeout().expect("waits for an answer");
        rig.wait_until(due);
    }
    let explanation = agree(&mut rig, C1, silent, "given up");
    assert_eq!(explanation.reason(), Some(Reason::NextHopUnreachable));
    assert_eq!(explanation.steps.last(), Some(&Step::NextHop { address: NOBODY.into(), mac: None }));
}

#[test]
fn a_full_queue_for_the_next_hop_is_known() {
    let mut rig = Rig::new();
    let silent = udp(endpoint(NOBODY, 53));
    for _ in 0..gateway_core::limits::HELD_PACKETS_PER_NEIGHBOR {
        assert_eq!(agree(&mut rig, C1, silent, "there is room").reason(), None);
    }
    assert_eq!(agree(&mut rig, C1, silent, "full").reason(), Some(Reason::NextHopQueueFull));
}

#[test]
fn the_steps_tell_the_way_of_the_packet() {
    let mut rig = Rig::new();
    let remote = endpoint(SERVER, 53);
    let prefix = "10.1.0.0/16".parse().expect("a prefix");
    let route = Step::Route { connector: TO_A, prefix, uplink: VPC_A };
    let next_hop =
        |address: Ipv4Addr| Step::NextHop { address: address.into(), mac: Some(host_mac(VPC_A, address)) };

    let new = agree(&mut rig, C1, udp(remote), "new");
    let mapping = Step::MappingNew { external: EXTERNAL.into(), free_ports: 64_512 };
    assert_eq!(new.steps, [route.clone(), mapping, next_hop(SERVER)]);

    let session = rig.sessions().remove(0);
    let external = session.external;
    let known = agree(&mut rig, C1, udp(remote), "known");
    assert_eq!(known.steps, [Step::Session(Box::new(session)), next_hop(SERVER)]);

    let reused = agree(&mut rig, C1, udp(endpoint(OTHER_SERVER, 53)), "reused");
    assert_eq!(reused.steps, [route.clone(), Step::MappingReused(external), next_hop(OTHER_SERVER)]);

    let any = Probe { source_port: None, ..udp(remote) };
    let any = rig.engine.explain(rig.now, inside(C1), &any).expect("the container exists");
    let mapping = Step::MappingNew { external: EXTERNAL.into(), free_ports: 64_511 };
    assert_eq!(any.steps, [route.clone(), mapping, next_hop(SERVER)]);

    let unknown = agree(&mut rig, C1, udp(endpoint(NOBODY, 53)), "unknown next hop");
    assert_eq!(unknown.steps.last(), Some(&Step::NextHop { address: NOBODY.into(), mac: None::<MacAddr> }));

    let hairpin = agree(&mut rig, C1, udp(endpoint(EXTERNAL, 53)), "hairpin");
    assert_eq!(hairpin.steps, [route, Step::MappingReused(external), Step::Hairpin]);
}

#[test]
fn a_detached_or_unknown_container_is_explained_as_such() {
    let mut rig = Rig::new();
    agree(&mut rig, C1, udp(endpoint(SERVER, 53)), "attached");
    rig.apply(Command::Detach { attachment: C1, connector: TO_A });
    let explanation = agree(&mut rig, C1, udp(endpoint(SERVER, 53)), "detached");
    assert_eq!(explanation, Explanation { steps: vec![], verdict: Verdict::Drop(Reason::NoConnector) });
    let nobody = AttachmentId(77);
    let unknown = rig.engine.explain(rig.now, inside(nobody), &udp(endpoint(SERVER, 53)));
    assert_eq!(unknown, Err(CommandError::UnknownAttachment(nobody)));
    assert_eq!(rig.engine.recent_drops(rig.now, nobody), Err(CommandError::UnknownAttachment(nobody)));
}

#[test]
fn the_last_drops_are_remembered_newest_first_and_bounded() {
    let mut rig = Rig::new();
    let limit = gateway_core::limits::RECENT_DROPS;
    for i in 0..limit as u16 + 10 {
        let packet = Packet::outbound(C4, Carries::Tcp(SYN), 4000 + i, endpoint(SERVER, 80));
        rig.refused(inside(C4), packet.frame(), Reason::NoConnector);
        rig.now = rig.now + seconds(1);
    }
    let drops = rig.engine.recent_drops(rig.now, C4).expect("the container exists");
    assert_eq!(drops.len(), limit);
    for (i, drop) in drops.iter().enumerate() {
        assert_eq!((drop.reason, drop.ago), (Reason::NoConnector, seconds(1 + i as u64)));
        let port = 4000 + limit as u16 + 9 - i as u16;
        assert_eq!(drop.packet.source, Some(endpoint(CONTAINER, port)));
        assert_eq!(drop.packet.destination, Some(endpoint(SERVER, 80)));
        assert_eq!((drop.packet.protocol, drop.packet.length), (Some(6), 57));
    }
}

#[test]
fn a_probe_is_the_packet_that_it_describes() {
    for (server, own) in
        [(IpAddr::from(SERVER), IpAddr::from(CONTAINER)), (SERVER_V6.into(), CONTAINER_V6.into())]
    {
        let remote = endpoint(server, 80);
        let tcp = Probe::new(Protocol::Tcp, remote);
        let udp = Probe::new(Protocol::Udp, remote);
        let other: IpAddr = if server.is_ipv4() { OTHER_SERVER.into() } else { OTHER_SERVER_V6.into() };
        let forward = Verdict::Forward(outside(VPC_A));
        let large = if server.is_ipv4() { forward } else { Verdict::Drop(Reason::PacketTooBig) };
        for (name, probe, verdict) in [
            ("first", tcp, forward),
            ("its own address", Probe { source: Some(own), ..tcp }, forward),
            ("another's address", Probe { source: Some(other), ..tcp }, Verdict::Drop(Reason::SourceSpoofed)),
            ("last hop", Probe { ttl: 1, ..udp }, Verdict::Drop(Reason::TtlExpired)),
            ("in the middle", Probe { tcp_flags: ACK, ..tcp }, Verdict::Drop(Reason::TcpNotSyn)),
            ("SCTP", Probe { number: Some(132), ..tcp }, Verdict::Drop(Reason::ProtocolUnsupported)),
            ("fits", Probe { payload_bytes: 1400, ..udp }, forward),
            ("too big", Probe { payload_bytes: 1500, ..udp }, Verdict::Drop(Reason::PacketTooBig)),
            ("too big, in pieces", Probe { payload_bytes: 1500, dont_fragment: false, ..udp }, large),
            (
                "as big as it gets",
                Probe { payload_bytes: u16::MAX, ..udp },
                Verdict::Drop(Reason::PacketTooBig),
            ),
            ("ping", Probe { payload_bytes: 56, ..Probe::new(Protocol::Icmp, remote) }, forward),
        ] {
            let explained =
                Rig::new().engine.explain(at(0), inside(C1), &probe).expect("the container exists");
            assert_eq!(explained.verdict, verdict, "{name} to {server}");
        }
    }
}

#[test]
fn a_probe_of_a_version_that_the_container_does_not_have_is_spoofed() {
    let rig = Rig::unresolved_without_ipv6();
    let probe = Probe::new(Protocol::Udp, endpoint(SERVER_V6, 53));
    let explained = rig.engine.explain(rig.now, inside(C1), &probe).expect("the container exists");
    assert_eq!(explained.reason(), Some(Reason::SourceSpoofed));
}

#[test]
fn an_open_port_is_one_that_nothing_of_the_container_has() {
    let mut rig = Rig::new();
    for port in 49_152..49_160 {
        rig.open(C1, Carries::Udp, port, endpoint(SERVER, 53));
    }
    let explained = rig.engine.explain(rig.now, inside(C1), &Probe::new(Protocol::Udp, endpoint(SERVER, 53)));
    let steps = explained.expect("the container exists").steps;
    assert!(matches!(steps[1], Step::MappingNew { .. }), "{steps:?}");
}

#[test]
fn a_call_from_a_vpc_is_explained_too() {
    use gateway_core::{ConnectorConfig, Publication};
    let mut rig = Rig::new();
    let external = endpoint(EXTERNAL, 80);
    let publication = Publication { protocol: Protocol::Tcp, external, internal_port: 8080 };
    let policy =
        ConnectorConfig { publications: vec![publication], ..crate::support::rig::connector(TO_A, VPC_A) };
    rig.attach_with(C1, policy);
    let mapped = rig.open(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    let query = rig.open(C1, Carries::EchoRequest, 4000, endpoint(SERVER, 0));
    let call = |protocol, from: SocketAddr, to| Probe {
        source: Some(from.ip()),
        source_port: Some(from.port()),
        ..Probe::new(protocol, to)
    };
    let lets_in = Step::LetIn { attachment: C1, connector: TO_A };
    let answer = Probe { source_port: None, ..call(Protocol::Icmp, endpoint(SERVER, 0), query) };
    let arrives = Verdict::Forward(inside(C1));
    for (name, probe, step, verdict) in [
        ("published", call(Protocol::Tcp, endpoint(SERVER, 5000), external), Some(lets_in), arrives),
        (
            "kept out",
            call(Protocol::Tcp, endpoint([203, 0, 113, 5], 5000), external),
            None,
            drop(Reason::Filtered),
        ),
        ("an answer", call(Protocol::Udp, endpoint(SERVER, 53), mapped), None, arrives),
        ("an echo reply", answer, None, arrives),
        ("ping", call(Protocol::Icmp, endpoint(SERVER, 1), external), None, drop(Reason::NoMapping)),
        (
            "nobody's port",
            call(Protocol::Tcp, endpoint(SERVER, 1), endpoint(EXTERNAL, 9)),
            None,
            drop(Reason::NoMapping),
        ),
        (
            "nobody's address",
            call(Protocol::Tcp, endpoint(SERVER, 1), endpoint(NOBODY, 80)),
            None,
            drop(Reason::NotExternalAddress),
        ),
        ("from nobody", Probe::new(Protocol::Tcp, external), None, drop(Reason::SourceInvalid)),
        (
            "from one of ours",
            call(Protocol::Tcp, endpoint(EXTERNAL, 80), external),
            None,
            drop(Reason::SourceInvalid),
        ),
    ] {
        let explained = rig.engine.explain(rig.now, outside(VPC_A), &probe).expect("the VPC exists");
        assert_eq!(explained.verdict, verdict, "{name}");
        if let Some(step) = step {
            assert_eq!(explained.steps, [step], "{name}");
        } else if verdict == arrives {
            assert!(matches!(explained.steps[..], [Step::Session(_)]), "{name}: {explained:?}");
        }
    }
    let nowhere = gateway_core::UplinkId(77);
    let unknown = rig.engine.explain(rig.now, outside(nowhere), &answer);
    assert_eq!(unknown, Err(CommandError::UnknownUplink(nowhere)));
}

const fn drop(reason: Reason) -> Verdict {
    Verdict::Drop(reason)
}

#[test]
fn the_bytes_of_a_packet_are_explained_as_its_frame_is() {
    let mut rig = Rig::new();
    let good = [
        (inside(C1), Packet::outbound(C1, Carries::Udp, 4000, endpoint(SERVER, 53)).frame()),
        (inside(C1), Packet::outbound(C1, Carries::Tcp(SYN), 4000, endpoint(SERVER_V6, 80)).frame()),
    ];
    for (from, frame) in good {
        let explained = rig.engine.explain_packet(rig.now, from, &frame[IP..]).expect("the link exists");
        assert_eq!(explained, rig.engine.explain_frame(rig.now, from, &frame));
        assert_eq!(explained.verdict, Verdict::Forward(outside(VPC_A)));
    }
    for bytes in [&[][..], &[0x45; 10], &[0x60; 100], &[0xff; 2000]] {
        let explained = rig.engine.explain_packet(rig.now, inside(C1), bytes).expect("the link exists");
        assert_eq!(explained.reason(), Some(Reason::IpHeaderInvalid), "{bytes:02x?}");
    }
    assert_eq!(rig.drain(), []);
}

#[test]
fn the_last_fragment_tells_what_becomes_of_the_datagram() {
    use crate::support::fragments::cut;
    let mut rig = Rig::new();
    let packet = Packet::outbound(C1, Carries::Udp, 4000, endpoint(SERVER, 53)).with_payload(vec![7; 3000]);
    let pieces = cut(&packet.without_dont_fragment().frame(), 1400, 7);
    let (last, first) = pieces.split_last().expect("there are some");
    for piece in first {
        let explained = rig.engine.explain_frame(rig.now, inside(C1), piece);
        assert_eq!((explained.verdict, explained.steps), (Verdict::Hold, vec![]));
        rig.deliver(inside(C1), piece.clone());
    }
    let explained = rig.engine.explain_frame(rig.now, inside(C1), last);
    assert_eq!(explained.verdict, Verdict::Forward(outside(VPC_A)));
    assert_eq!(explained.steps[0], Step::Reassembled { bytes: 3028 });
    rig.deliver(inside(C1), last.clone());
}
