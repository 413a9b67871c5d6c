//! `explain` against what then happens to the very same packet: for every reason that a user can cause.

mod frames;
mod world;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::process::Output;

use etherparse::icmpv4::{DestUnreachableHeader, TimestampMessage};
use etherparse::{Icmpv4Type, Ipv4Options};
use gateway::Reason;
use serde_json::{Value, json};
use tests::{EXTERNAL, PATIENCE, SERVER, eventually};

use crate::fixture::{INTERNAL, port, udp_socket};
use frames::{
    ARP, UDP, arp_request, fragment, frame, icmp, ipv4, ipv4_with, ipv6, ping, solicitation, tcp, udp, udp6,
};
use world::{GATEWAY, Port, World, hex, server, udp_to};

/// Reasons that nobody meets on purpose, or that `explain` cannot be asked about, and why.
const NOT_CAUSED: &[(Reason, &str)] = &[
    (Reason::UnknownLink, "between the removal of a link and that of its device; its name is gone by then"),
    (
        Reason::VnetHeaderInvalid,
        "the API's frames have no vnet header: the kernel makes it, and makes a right one",
    ),
    (Reason::FrameTruncated, "no kernel sends a frame without a whole Ethernet header"),
    (Reason::FragmentTimeout, "takes 30 s, for which engines have virtual time: gateway/core/tests"),
    (Reason::SessionsExhausted, "takes millions of sessions: gateway/core's tests have a smaller table"),
    (Reason::EgressFull, "what a device says when it is written to, when all is decided"),
    (Reason::EgressDown, "what a device says when it is written to, when all is decided"),
    (Reason::EgressRefused, "what a device says when it is written to, when all is decided"),
    (Reason::IngressRefused, "the kernel drops the frame, so that there is none to ask about"),
    (Reason::HandOffFull, "a worker that is far behind, which is over when `explain` has its answer"),
    (Reason::OutboxFull, "the shell takes what the engine makes after every batch"),
];

#[test]
fn every_reason_that_a_user_can_cause_is_foretold() {
    let mut world = World::start("explain");
    all_connectors(&world);
    let c1 = world.container("c1", &["all", "small"]);
    malformed(&mut world, &c1);
    unwanted(&mut world, &c1);
    fragmented(&mut world, &c1);
    unattached(&mut world);
    from_the_vpc(&mut world, &c1);
    next_hops(&mut world, &c1);
    limits(&mut world, &c1);
    let met = std::mem::take(&mut world.met);
    let not: BTreeSet<_> = NOT_CAUSED.iter().map(|&(reason, _)| reason).collect();
    assert_eq!(met.intersection(&not).next(), None, "it was met: take it out of the list");
    let all: BTreeSet<_> = Reason::ALL.iter().copied().collect();
    let neither: Vec<_> = all.difference(&met).filter(|reason| !not.contains(reason)).collect();
    assert!(neither.is_empty(), "neither met nor listed: {neither:?}");
}

/// What the containers of the one world use.
fn all_connectors(world: &World) {
    let _small = world.small_vpc();
    let rules =
        json!([{"action": "deny", "protocol": "udp", "ports": {"first": 9, "last": 9}}, {"action": "allow"}]);
    let connector = |name: &str, more: Value| {
        let mut body = json!({"name": name, "vpc": "orders"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.connector(&body);
    };
    connector("all", json!({"destinations": ["0.0.0.0/0", "fd00::/64"], "rules": rules}));
    connector("narrow", json!({"destinations": ["10.1.0.0/24"]}));
    connector("quota", json!({"port_quota_per_container": 1}));
    connector("sessions", json!({"rate_limits": {"sessions_per_second": 1}}));
    connector("packets", json!({"rate_limits": {"packets_per_second": 1}}));
    connector("plain", json!({}));
    world.connector(&json!({"name": "small", "vpc": "small"}));
}

/// What is wrong in itself.
fn malformed(world: &mut World, c1: &Port) {
    let remote = *SERVER.ip();
    let good = udp_to(SocketAddrV4::new(remote, 53), 4000);
    let changed = |change: fn(&mut [u8])| {
        let mut packet = good.clone();
        change(&mut packet);
        packet
    };
    world.drops(c1, Reason::VlanTagged, &frame(c1.gateway, c1.mac, frames::VLAN, &[0; 46]));
    world.drops(c1, Reason::EtherTypeUnsupported, &frame(c1.gateway, c1.mac, 0x88b5, &[0; 46]));
    world.drops(c1, Reason::NotForGateway, &frame([2, 0, 0, 0, 0, 7], c1.mac, frames::IPV4, &good));
    world.drops(c1, Reason::SourceMacSpoofed, &frame(c1.gateway, [2, 0, 0, 0, 0, 7], frames::IPV4, &good));

    let arp = |sender, target| frame([255; 6], c1.mac, ARP, &arp_request(sender, c1.mac, target));
    world.drops(c1, Reason::ArpInvalid, &arp(remote, GATEWAY));
    world.drops(c1, Reason::ArpNotForGateway, &arp(INTERNAL, Ipv4Addr::new(169, 254, 1, 77)));
    world.drops_packet(c1, Reason::NdInvalid, &solicitation(INTERNAL6, STRANGER6, 64));
    world.drops_packet(c1, Reason::NdNotForGateway, &solicitation(INTERNAL6, STRANGER6, 255));

    world.drops_packet(c1, Reason::IpHeaderInvalid, &changed(|packet| packet[3] += 1));
    world.drops_packet(c1, Reason::Ipv4ChecksumWrong, &changed(|packet| packet[10] ^= 1));
    let options = |header: &mut etherparse::Ipv4Header| header.options = Ipv4Options::from([1, 1, 1, 1]);
    world.drops_packet(
        c1,
        Reason::Ipv4Options,
        &ipv4_with(INTERNAL, remote, UDP, &good[20..], |header| {
            options(header);
            header.set_payload_len(good.len() - 20).unwrap();
        }),
    );
    // A routing header with a segment left (RFC 5095).
    let routing = [UDP, 0, 0, 1, 0, 0, 0, 0];
    world.drops_packet(c1, Reason::ExtensionHeader, &ipv6(INTERNAL6, REMOTE6, 43, 64, &routing));
    world.drops_packet(c1, Reason::TransportInvalid, &changed(|packet| packet[25] = 4));
    world.drops_packet(c1, Reason::ProtocolUnsupported, &ipv4(INTERNAL, remote, 132, &[0; 16]));

    let timestamp = Icmpv4Type::TimestampRequest(TimestampMessage {
        id: 1,
        seq: 1,
        originate_timestamp: 0,
        receive_timestamp: 0,
        transmit_timestamp: 0,
    });
    world.drops_packet(c1, Reason::IcmpTypeUnsupported, &icmp(INTERNAL, remote, timestamp, b""));
    let about = udp(SocketAddrV4::new(remote, 53), SocketAddrV4::new(INTERNAL, 4999), b"");
    let mut error =
        icmp(INTERNAL, remote, Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port), &about);
    world.drops_packet(c1, Reason::IcmpErrorUnrelated, &error);
    error[22] ^= 1;
    world.drops_packet(c1, Reason::IcmpChecksumWrong, &error);
}

/// What is right, and not allowed.
fn unwanted(world: &mut World, c1: &Port) {
    let remote = *SERVER.ip();
    let to = |address: [u8; 4]| udp_to(SocketAddrV4::new(address.into(), 53), 4000);
    let spoofed = udp(SocketAddrV4::new([169, 254, 1, 9].into(), 4000), SocketAddrV4::new(remote, 53), b"x");
    world.drops_packet(c1, Reason::SourceSpoofed, &spoofed);
    world.drops_packet(c1, Reason::DestinationForbidden, &to([224, 0, 0, 5]));
    world.drops_packet(c1, Reason::Broadcast, &to([10, 1, 255, 255]));
    world.drops_packet(c1, Reason::NoNextHop, &to([10, 99, 0, 1]));
    world.drops_packet(c1, Reason::GatewayAddress, &to(GATEWAY.octets()));
    let old = ipv4_with(INTERNAL, remote, UDP, &to(remote.octets())[20..], |header| header.time_to_live = 1);
    world.drops_packet(c1, Reason::TtlExpired, &old);
    let syn_missing =
        tcp(SocketAddrV4::new(INTERNAL, 4000), SocketAddrV4::new(remote, 80), |tcp| tcp.ack = true);
    world.drops_packet(c1, Reason::TcpNotSyn, &syn_missing);
    world.drops_packet(c1, Reason::PolicyDenied, &udp_to(SocketAddrV4::new(remote, 9), 4000));
    world.drops_packet(c1, Reason::NoExternalAddress, &udp6(INTERNAL6, REMOTE6, 53));
}

fn fragmented(world: &mut World, c1: &Port) {
    let remote = *SERVER.ip();
    let datagram = &udp_to(SocketAddrV4::new(remote, 53), 4000)[20..28];
    let piece = |id, place, payload: &[u8]| fragment(INTERNAL, remote, id, place, payload);
    let odd = [datagram, b"odd"].concat();
    world.drops_packet(c1, Reason::FragmentInvalid, &piece(1, (0, true), &odd));

    let first = c1.frame(&piece(2, (0, true), &[datagram, &[0; 8]].concat()));
    assert_eq!(world.explain(c1, &first)["verdict"], "hold");
    c1.send(&first);
    world.settle(c1);
    world.drops_packet(c1, Reason::FragmentOverlap, &piece(2, (1, true), &[0; 8]));

    c1.send(&c1.frame(&piece(3, (0, true), datagram)));
    for offset in 1..gateway::limits::FRAGMENTS_PER_DATAGRAM as u16 {
        c1.send(&c1.frame(&piece(3, (offset, true), &[0; 8])));
    }
    world.settle(c1);
    let most = gateway::limits::FRAGMENTS_PER_DATAGRAM as u16;
    world.drops_packet(c1, Reason::FragmentsFull, &piece(3, (most, true), &[0; 8]));
}

fn unattached(world: &mut World) {
    let none = world.container("none", &[]);
    world.drops_packet(&none, Reason::NoConnector, &udp_to(SocketAddrV4::new(*SERVER.ip(), 53), 4000));
    let narrow = world.container("narrow", &["narrow"]);
    world.drops_packet(&narrow, Reason::NoRoute, &udp_to(SocketAddrV4::new([10, 1, 9, 9].into(), 53), 4000));
}

/// What a host of the VPC sends; its containers' external ports belong to both workers.
fn from_the_vpc(world: &mut World, c1: &Port) {
    let vpc = world.vpc();
    let (remote, stranger) = (*SERVER.ip(), Ipv4Addr::new(10, 1, 0, 77));
    let (socket, at) = server(world);
    world.passes(c1, &udp_to(at, 4000), "hold", &socket);
    let inside = udp_socket(&c1.namespace, port(4000));
    let external = world.scene.api.sessions("container=c1&protocol=udp")[0]["external"].clone();
    let external: SocketAddrV4 = external.as_str().unwrap().parse().unwrap();

    let call = |from: Ipv4Addr, to: SocketAddrV4| udp(SocketAddrV4::new(from, at.port()), to, b"x");
    world.drops_packet(
        &vpc,
        Reason::NotExternalAddress,
        &call(remote, SocketAddrV4::new([10, 1, 0, 200].into(), 53)),
    );
    world.drops_packet(&vpc, Reason::SourceInvalid, &call(Ipv4Addr::LOCALHOST, external));
    world.drops_packet(&vpc, Reason::Filtered, &call(stranger, external));
    for port in [external.port() ^ 1, external.port() ^ 64, external.port() ^ 128] {
        world.drops_packet(&vpc, Reason::NoMapping, &call(remote, SocketAddrV4::new(EXTERNAL, port)));
    }
    // And what is let in arrives.
    world.passes(&vpc, &call(remote, external), "forward", &inside);
}

fn next_hops(world: &mut World, c1: &Port) {
    // Nobody has this address; the gateway gives up after some seconds.
    let nobody = udp_to(SocketAddrV4::new([10, 1, 0, 99].into(), 53), 4000);
    let said = world.explain(c1, &c1.frame(&nobody));
    assert_eq!(said["verdict"], "hold", "it has not been asked for: {said}");
    c1.send(&c1.frame(&nobody));

    let queue = world.container("queue", &["plain"]);
    let unknown = |last: usize| udp_to(SocketAddrV4::new([10, 1, 3, last as u8].into(), 53), 4000);
    let most = gateway::limits::UNRESOLVED_PER_ATTACHMENT;
    (1..=most).for_each(|last| queue.send(&queue.frame(&unknown(last))));
    world.settle(&queue);
    world.drops_packet(&queue, Reason::NextHopQueueFull, &unknown(most + 1));

    eventually("the gateway to give up", || world.dropped(c1, Reason::NextHopUnreachable) == 1);
    assert_eq!(world.scene.drops("c1")[0], "next_hop_unreachable", "what was held has ended");
    world.drops_packet(c1, Reason::NextHopUnreachable, &nobody);
}

fn limits(world: &mut World, c1: &Port) {
    let (socket, at) = server(world);
    let quota = world.container("quota", &["quota"]);
    world.arrives(&quota, &udp_to(at, 4000), &socket);
    world.drops_packet(&quota, Reason::QuotaReached, &udp_to(at, 4001));

    let sessions = world.container("sessions", &["sessions"]);
    world.arrives(&sessions, &udp_to(at, 4000), &socket);
    world.drops_packet(&sessions, Reason::SessionRate, &udp_to(at, 4001));

    let packets = world.container("packets", &["packets"]);
    (0..100).for_each(|_| packets.send(&packets.frame(&udp_to(at, 4000))));
    world.settle(&packets);
    world.drops_packet(&packets, Reason::RateLimited, &udp_to(at, 4000));

    // A VPC with one port, which this takes.
    let small = SocketAddrV4::new([10, 2, 0, 1].into(), 53);
    c1.send(&c1.frame(&udp_to(small, 4000)));
    eventually("its only port", || world.scene.ports_used("small") == 1);
    world.drops_packet(c1, Reason::PortsExhausted, &udp_to(small, 4001));
    let large = udp(SocketAddrV4::new(INTERNAL, 4000), small, &[0; 1_300]);
    world.drops_packet(c1, Reason::PacketTooBig, &large);
}

#[test]
fn what_is_said_to_pass_arrives() {
    let world = World::start("explain-pass");
    world.connector(&json!({"name": "plain", "vpc": "orders"}));
    let (c1, c2) = (world.container("c1", &["plain"]), world.container("c2", &["plain"]));
    let (socket, at) = server(&world);
    // At first nobody knows where the server is, and nobody of the other worker either.
    world.passes(&c1, &udp_to(at, 4000), "hold", &socket);
    world.passes(&c1, &udp_to(at, 4000), "forward", &socket);
    world.passes(&c2, &udp_to(at, 4000), "hold", &socket);
    world.passes(&c2, &udp_to(at, 4001), "forward", &socket);
    let said = world.explain(&c1, &c1.frame(&ping(INTERNAL, GATEWAY, 7)));
    assert_eq!(said["verdict"], "respond", "{said}");

    // Both containers are answered, whichever worker reads that and whichever has the port.
    let vpc = world.vpc();
    for (container, name) in [(&c1, "c1"), (&c2, "c2")] {
        let inside = udp_socket(&container.namespace, port(4000));
        let sessions = world.scene.api.sessions(&format!("container={name}"));
        let internal = format!("{INTERNAL}:4000");
        let session = sessions.iter().find(|session| session["internal"] == internal).unwrap();
        let external: SocketAddrV4 = session["external"].as_str().unwrap().parse().unwrap();
        let answer = udp(at, external, b"y");
        world.passes(&vpc, &answer, "forward", &inside);
        let probe = json!({
            "vpc": "orders", "protocol": "udp", "source": at.ip().to_string(), "source_port": at.port(),
            "destination": external.ip().to_string(), "port": external.port(),
        });
        for question in [probe, json!({"vpc": "orders", "packet": hex(&answer)})] {
            let said = world.ask(&question);
            assert_eq!((&said["verdict"], &said["steps"][0]["step"]), (&json!("forward"), &json!("session")));
            assert_eq!(said["steps"][0]["session"]["container"], name);
        }
        // Its filtering lets another port of that remote in.
        let other = udp(SocketAddrV4::new(*at.ip(), at.port() ^ 1), external, b"z");
        let said = world.explain(&vpc, &vpc.frame(&other));
        assert_eq!(
            said["steps"][0],
            json!({
                "step": "let_in", "connector": "plain", "detail": "connector plain lets the remote open a session",
            })
        );
        // The socket is connected to nobody, and takes it.
        world.passes(&vpc, &other, "forward", &inside);
    }
}

#[test]
fn another_tenants_packets_are_not_explained() {
    let world = World::start("explain-tenant");
    let (status, body) = world.scene.api.post("/v1/tenants", &json!({"name": "acme"}));
    assert_eq!(status, 201, "{body}");
    let acme = world.scene.api.for_tenant("acme");
    let namespace = world.scene.namespace("guest");
    acme.container("guest", &namespace);
    let (status, body) = acme.post("/v1/connectors", &json!({"name": "k", "vpc": "default/orders"}));
    assert_eq!(status, 201, "{body}");
    assert_eq!(world.scene.api.put("/v1/vpcs/orders/connectors/acme%2Fk").0, 200);
    acme.attach("guest", "k");
    let packet = hex(&udp_to(SocketAddrV4::new(*SERVER.ip(), 53), 4000));
    for (api, sender) in [
        (&acme, json!({"vpc": "orders", "packet": packet})),
        (&acme, json!({"vpc": "default/orders", "packet": packet})),
        (&world.scene.api, json!({"container": "guest", "packet": packet})),
        (&world.scene.api, json!({"container": "acme/guest", "packet": packet})),
    ] {
        let (status, body) = api.post("/v1/explain", &sender);
        assert!(matches!(status, 404 | 422), "{sender}: {status} {body}");
    }
    // The VPC's owner hears that a guest's session carries a packet, and nothing of what is inside.
    let (socket, at) = server(&world);
    let inside = udp_socket(&namespace, port(4000));
    inside.send_to(b"x", at).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (_, seen) = socket.recv_from(&mut [0; 16]).unwrap();
    let said = world.ask(&json!({
        "vpc": "orders", "protocol": "udp", "source": at.ip().to_string(), "source_port": at.port(),
        "destination": seen.ip().to_string(), "port": seen.port(),
    }));
    assert_eq!(said["verdict"], "forward", "{said}");
    assert_eq!(said["steps"][0]["step"], "session");
    assert_eq!(said["steps"][0]["session"], Value::Null, "{said}");
    assert!(!said.to_string().contains("169.254"), "{said}");
}

#[test]
fn the_command_line_explains_the_same() {
    let world = World::start("explain-cli");
    world.connector(&json!({"name": "plain", "vpc": "orders"}));
    let _c1 = world.container("c1", &["plain"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("packet");
    std::fs::write(&file, udp_to(SocketAddrV4::new([10, 99, 0, 1].into(), 53), 4000)).unwrap();
    let file = format!("@{}", file.display());
    for (line, reason) in [
        ("c1 10.1.0.1:80 --ttl 1", "ttl_expired"),
        ("c1 10.1.0.1:80 --tcp-flags ack,psh", "tcp_not_syn"),
        ("c1 10.1.0.1:53 --protocol udp --source 169.254.1.9", "source_spoofed"),
        ("c1 10.1.0.1 --payload 1600", "packet_too_big"),
        ("c1 10.1.0.1 --ip-protocol 132", "protocol_unsupported"),
        ("c1 --frame 0102", "frame_truncated"),
        ("vpc:orders 10.1.0.10:80 --source 10.1.0.1", "no_mapping"),
        ("vpc:orders 10.1.0.10:7 --source 10.1.0.1 --protocol icmp", "no_mapping"),
        ("vpc:orders 10.1.0.11:80 --source 10.1.0.1", "not_external_address"),
    ] {
        assert_eq!(wharf(&world, line)["explain"]["reason"], reason, "{line}");
    }
    assert_eq!(wharf(&world, &format!("c1 --packet {file}"))["explain"]["reason"], "no_route");
    assert_eq!(wharf(&world, "c1 10.1.0.1 --payload 1600 --no-df")["explain"]["verdict"], "hold");
}

fn wharf(world: &World, line: &str) -> Value {
    let arguments: Vec<_> = ["explain", "-o", "json"].into_iter().chain(line.split(' ')).collect();
    let Output { status, stdout, stderr } = world.scene.daemon.wharf(&arguments).output().unwrap();
    assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

const INTERNAL6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 2);
const STRANGER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 99);
const REMOTE6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
