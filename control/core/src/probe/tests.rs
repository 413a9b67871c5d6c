use super::*;

fn probe(protocol: Protocol, port: Option<i64>) -> NewProbe {
    NewProbe {
        container: Some("c1".into()),
        protocol: Some(protocol),
        destination: Some("10.1.0.1".into()),
        port,
        ..NewProbe::default()
    }
}

fn of_vpc(protocol: Protocol, port: Option<i64>) -> NewProbe {
    let (vpc, source) = (Some("orders".into()), Some("10.1.0.1".into()));
    NewProbe { container: None, vpc, source, destination: Some("10.1.0.10".into()), ..probe(protocol, port) }
}

fn described(new: NewProbe) -> Description {
    match new.validate().unwrap().packet {
        ProbePacket::Described(description) => description,
        other => panic!("{other:?}"),
    }
}

/// Codes and fields of all that is wrong.
fn faults(new: NewProbe) -> Vec<(Code, String)> {
    let problem = new.validate().unwrap_err();
    problem.errors().map(|error| (error.code(), error.field().unwrap().to_owned())).collect()
}

#[test]
fn ports_are_asked_for_where_the_protocol_has_them() {
    let destination = |new| described(new).destination;
    assert_eq!(destination(probe(Protocol::Tcp, Some(80))), "10.1.0.1:80".parse().unwrap());
    assert_eq!(destination(probe(Protocol::Icmp, None)), "10.1.0.1:0".parse().unwrap());
    let v6 = NewProbe { destination: Some("fd00::1".into()), ..probe(Protocol::Udp, Some(53)) };
    assert_eq!(destination(v6), "[fd00::1]:53".parse().unwrap());
    let source = |protocol, p| NewProbe { source_port: Some(p), ..probe(protocol, Some(80)) };
    assert!(NewProbe { port: None, ..source(Protocol::Icmp, 0) }.validate().is_ok());
    for (probe, code, field) in [
        (probe(Protocol::Tcp, None), Code::MissingField, "port"),
        (probe(Protocol::Udp, None), Code::MissingField, "port"),
        (probe(Protocol::Udp, Some(0)), Code::InvalidPorts, "port"),
        (probe(Protocol::Tcp, Some(65_536)), Code::InvalidPorts, "port"),
        (probe(Protocol::Icmp, Some(80)), Code::InvalidPorts, "port"),
        (source(Protocol::Tcp, 0), Code::InvalidPorts, "source_port"),
        (
            NewProbe { destination: Some("x".into()), ..probe(Protocol::Tcp, Some(80)) },
            Code::InvalidAddress,
            "destination",
        ),
    ] {
        assert_eq!(faults(probe), [(code, field.to_owned())]);
    }
}

#[test]
fn a_packet_comes_from_a_container_or_a_vpc() {
    let sender = |new: NewProbe| new.validate().unwrap().sender;
    assert_eq!(sender(probe(Protocol::Tcp, Some(80))), Sender::Container("c1".into()));
    assert_eq!(sender(of_vpc(Protocol::Tcp, Some(80))), Sender::Vpc("orders".into()));
    for (new, code, field) in [
        (
            NewProbe { container: Some("c1".into()), ..of_vpc(Protocol::Tcp, Some(80)) },
            Code::InvalidPacket,
            "vpc",
        ),
        (NewProbe { container: None, ..probe(Protocol::Tcp, Some(80)) }, Code::MissingField, "container"),
        (NewProbe { source: None, ..of_vpc(Protocol::Tcp, Some(80)) }, Code::MissingField, "source"),
        (
            NewProbe { source: Some("fd00::1".into()), ..of_vpc(Protocol::Tcp, Some(80)) },
            Code::InvalidAddress,
            "source",
        ),
    ] {
        assert_eq!(faults(new), [(code, field.to_owned())]);
    }
}

#[test]
fn a_vpc_answers_queries_or_asks() {
    assert_eq!(described(of_vpc(Protocol::Icmp, Some(0))).destination.port(), 0);
    let reply = described(of_vpc(Protocol::Icmp, Some(7)));
    assert_eq!((reply.destination.port(), reply.source_port), (7, None));
    let request = described(NewProbe { source_port: Some(9), ..of_vpc(Protocol::Icmp, None) });
    assert_eq!((request.destination.port(), request.source_port), (0, Some(9)));
    let both = NewProbe { source_port: Some(9), ..of_vpc(Protocol::Icmp, Some(7)) };
    assert_eq!(faults(both), [(Code::InvalidPacket, "port".to_owned())]);
    assert_eq!(faults(of_vpc(Protocol::Icmp, None)), [(Code::MissingField, "port".to_owned())]);
}

#[test]
fn other_protocols_have_no_ports() {
    let other = |number| NewProbe { protocol: None, ip_protocol: Some(number), ..probe(Protocol::Tcp, None) };
    for number in [0_u8, 132, 255] {
        assert_eq!(described(other(number.into())).protocol, IpProtocol::Number(number));
    }
    for number in [-1, 256] {
        assert_eq!(faults(other(number)), [(Code::InvalidPacket, "ip_protocol".to_owned())]);
    }
    let ports = NewProbe { port: Some(1), source_port: Some(1), ..other(132) };
    let fields = ["port", "source_port"].map(|field| (Code::InvalidPorts, field.to_owned()));
    assert_eq!(faults(ports), fields);
    let twice = NewProbe { protocol: Some(Protocol::Udp), ..other(17) };
    assert_eq!(faults(twice), [(Code::InvalidPacket, "ip_protocol".to_owned())]);
    let none = NewProbe { ip_protocol: None, ..other(1) };
    assert_eq!(faults(none), [(Code::MissingField, "protocol".to_owned())]);
}

#[test]
fn numbers_are_checked_at_below_and_above_their_ends() {
    for (ttl, payload, wrong) in [
        (0, 0, &[][..]),
        (1, 1, &[]),
        (254, 65_460, &[]),
        (255, 65_461, &[]),
        (256, 65_462, &["ttl", "payload_bytes"]),
        (-1, -1, &["ttl", "payload_bytes"]),
    ] {
        let new = NewProbe { ttl: Some(ttl), payload_bytes: Some(payload), ..probe(Protocol::Udp, Some(53)) };
        if wrong.is_empty() {
            let it = described(new);
            assert_eq!((it.ttl.map(i64::from), i64::from(it.payload_bytes)), (Some(ttl), payload));
        } else {
            let expected: Vec<_> = wrong.iter().map(|f| (Code::InvalidPacket, (*f).to_owned())).collect();
            assert_eq!(faults(new), expected);
        }
    }
}

#[test]
fn flags_are_words_of_tcp() {
    let new: NewProbe = serde_json::from_str(
        r#"{"container": "c1", "protocol": "tcp", "destination": "10.1.0.1", "port": 80,
            "tcp_flags": ["fin", "syn", "rst", "psh", "ack", "urg", "urg"], "dont_fragment": false}"#,
    )
    .unwrap();
    let it = described(new.clone());
    assert_eq!((it.tcp_flags, it.dont_fragment), (Some(0x3f), Some(false)));
    let none = NewProbe { tcp_flags: Some(vec![]), ..new.clone() };
    assert_eq!(described(none).tcp_flags, Some(0));
    let udp = NewProbe { protocol: Some(Protocol::Udp), ..new };
    assert_eq!(faults(udp), [(Code::InvalidPacket, "tcp_flags".to_owned())]);
    assert!(serde_json::from_str::<NewProbe>(r#"{"tcp_flags": ["ece"]}"#).is_err());
}

#[test]
fn packets_and_frames_come_alone() {
    let bytes = |new: NewProbe| new.validate().unwrap().packet;
    let alone = || NewProbe { vpc: Some("orders".into()), ..NewProbe::default() };
    let packet = NewProbe { packet: Some("4500".into()), ..alone() };
    assert_eq!(bytes(packet.clone()), ProbePacket::Packet(vec![0x45, 0]));
    let frame = NewProbe { frame: Some("FF".into()), ..alone() };
    assert_eq!(bytes(frame.clone()), ProbePacket::Frame(vec![255]));
    for new in [packet, frame] {
        let all = NewProbe {
            ip_protocol: Some(1),
            source_port: Some(1),
            ttl: Some(1),
            dont_fragment: Some(true),
            tcp_flags: Some(vec![]),
            payload_bytes: Some(1),
            packet: Some("0".into()),
            frame: new.frame.clone(),
            ..of_vpc(Protocol::Tcp, Some(80))
        };
        let fields: Vec<_> = faults(all).into_iter().map(|(_, field)| field).collect();
        let expected = [
            "protocol",
            "ip_protocol",
            "source",
            "destination",
            "port",
            "source_port",
            "ttl",
            "dont_fragment",
            "tcp_flags",
            "payload_bytes",
        ];
        let rest: &[_] = if new.frame.is_some() { &["frame", "packet"] } else { &["packet"] };
        assert_eq!(fields, [&expected[..], rest].concat());
    }
}

#[test]
fn all_wrong_fields_are_named_at_once() {
    let new = NewProbe {
        source: Some("x".into()),
        destination: Some("y".into()),
        port: Some(0),
        source_port: Some(65_536),
        ttl: Some(256),
        ..NewProbe { container: None, ..probe(Protocol::Udp, None) }
    };
    let fields: Vec<_> = faults(new).into_iter().map(|(_, field)| field).collect();
    assert_eq!(fields, ["container", "destination", "source", "port", "source_port", "ttl"]);
}
