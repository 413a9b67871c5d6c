//! The simulator: whole TCP/IP stacks on both sides of an engine, with seeded loss, reorder and duplication. Virtual
//! time only, so minutes of it take milliseconds, and a seed always gives the same run.

mod host;
mod network;
mod ports;
mod stream;

use std::collections::HashSet;
use std::net::SocketAddrV4;
use std::time::Duration;

use gateway_core::{Protocol, UplinkId};
use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{icmp, udp};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpAddress, IpEndpoint};

use crate::host::Host;
use crate::network::{EXTERNAL, Faults, GATEWAY, Network, SERVER};
use crate::stream::Stream;

const VPC_A: UplinkId = UplinkId(1);
const VPC_B: UplinkId = UplinkId(2);

const ROUGH: Faults = Faults { lost: 10, duplicated: 10, overtaken: 20 };
const SMOOTH: Faults = Faults { lost: 0, duplicated: 0, overtaken: 0 };

const HOUR: Duration = Duration::from_secs(3600);

/// Bytes that tell their place, so that a missing or doubled piece shows.
fn pattern(tag: u8, length: usize) -> Vec<u8> {
    (0..length as u32).flat_map(|i| (i ^ u32::from(tag) << 24).to_be_bytes()).take(length).collect()
}

fn web(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(SERVER, port)
}

fn all_done<'a>(streams: impl IntoIterator<Item = &'a mut Stream>, hosts: &mut [Host]) -> bool {
    // Each has to work, so no short circuit.
    streams.into_iter().map(|stream| stream.work(hosts)).fold(true, |all, done| all & done)
}

#[test]
fn tcp_gets_through_both_ways_in_spite_of_loss_reorder_and_duplication() {
    for seed in 0..12 {
        let mut network = Network::new(seed, ROUGH);
        network.add_vpc(VPC_A);
        let (server, container) = (network.add_server(VPC_A, SERVER), network.add_container(VPC_A));
        let (up, down) = (pattern(1, 100_000), pattern(2, 120_000));
        let mut streams = [
            Stream::listen(&mut network.hosts, server, 80, down.clone(), up.len()),
            Stream::connect(&mut network.hosts, container, 4000, web(80), up.clone(), down.len()),
        ];
        let finished = network.run(HOUR, |hosts| all_done(&mut streams, hosts));
        assert!(finished, "not finished within an hour, seed {seed}");
        let [at_server, at_container] = &streams;
        assert!(at_server.received == up, "what the server received differs, seed {seed}");
        assert!(at_container.received == down, "what the container received differs, seed {seed}");
        assert_eq!(at_server.peer.map(|p| *p.ip()), Some(EXTERNAL), "seed {seed}");
        assert_eq!(network.engine.session_count(), 1, "seed {seed}");
        let met = network.met;
        assert!(met.lost > 10 && met.duplicated > 10 && met.overtaken > 10, "{met:?}, seed {seed}");
    }
}

#[test]
fn twenty_containers_with_one_address_and_port_reach_one_server_at_the_same_time() {
    for seed in [1, 2] {
        let mut network = Network::new(seed, Faults { lost: 2, ..ROUGH });
        network.add_vpc(VPC_A);
        let server = network.add_server(VPC_A, SERVER);
        let containers: Vec<_> = (0..20).map(|_| network.add_container(VPC_A)).collect();
        let page = pattern(99, 3000);
        let mut at_server: Vec<_> =
            (0..20).map(|_| Stream::listen(&mut network.hosts, server, 80, page.clone(), 2000)).collect();
        let connect = |(tag, &container): (u8, &usize)| {
            Stream::connect(&mut network.hosts, container, 4000, web(80), pattern(tag, 2000), page.len())
        };
        let mut at_containers: Vec<_> = (0..).zip(&containers).map(connect).collect();
        let finished = network.run(HOUR, |hosts| {
            let ends = [all_done(&mut at_server, hosts), all_done(&mut at_containers, hosts)];
            ends == [true, true]
        });
        assert!(finished, "seed {seed}");
        assert!(at_containers.iter().all(|stream| stream.received == page), "seed {seed}");
        let received: HashSet<_> = at_server.iter().map(|stream| stream.received.clone()).collect();
        assert_eq!(received, (0..20).map(|tag| pattern(tag, 2000)).collect(), "seed {seed}");
        let peers: HashSet<_> = at_server.iter().filter_map(|stream| stream.peer).collect();
        assert_eq!(peers.len(), 20, "each has an external port of its own, seed {seed}");
        assert!(peers.iter().all(|peer| *peer.ip() == EXTERNAL), "seed {seed}");
    }
}

#[test]
fn vpcs_with_equal_addresses_never_see_each_others_content() {
    for seed in [1, 2, 3] {
        let mut network = Network::new(seed, ROUGH);
        let mut streams = Vec::new();
        for (vpc, tag) in [(VPC_A, 10), (VPC_B, 20)] {
            network.add_vpc(vpc);
            let server = network.add_server(vpc, SERVER);
            for container in [network.add_container(vpc), network.add_container(vpc)] {
                let (hosts, content) = (&mut network.hosts, pattern(tag, 20_000));
                streams.push((tag, Stream::listen(hosts, server, 80, content.clone(), 20_000)));
                streams.push((tag, Stream::connect(hosts, container, 4000, web(80), content, 20_000)));
            }
        }
        let finished =
            network.run(HOUR, |hosts| all_done(streams.iter_mut().map(|(_, stream)| stream), hosts));
        assert!(finished, "seed {seed}");
        for (tag, stream) in &streams {
            assert!(stream.received == pattern(*tag, 20_000), "content of VPC {tag} only, seed {seed}");
        }
    }
}

fn udp_socket(host: &mut Host, port: u16) -> SocketHandle {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 16 * 1024]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(port).expect("the port is free");
    host.sockets.add(socket)
}

/// Sends `datagrams` from a container to the server, which sends each back; returns what came back, sorted.
fn udp_round_trips(
    network: &mut Network,
    server: usize,
    container: usize,
    datagrams: &[Vec<u8>],
) -> Vec<Vec<u8>> {
    let [answering, asking] =
        [(server, 53), (container, 4000)].map(|(host, port)| udp_socket(&mut network.hosts[host], port));
    let remote = IpEndpoint::new(IpAddress::Ipv4(SERVER), 53);
    let mut unsent = datagrams.iter();
    let mut back = Vec::new();
    network.run(Duration::from_secs(30), |hosts| {
        let socket = hosts[server].sockets.get_mut::<udp::Socket>(answering);
        while let Ok((bytes, from)) = socket.recv() {
            let bytes = bytes.to_vec();
            socket.send_slice(&bytes, from.endpoint).expect("has room");
        }
        let socket = hosts[container].sockets.get_mut::<udp::Socket>(asking);
        while socket.can_send()
            && let Some(datagram) = unsent.next()
        {
            socket.send_slice(datagram, remote).expect("has room");
        }
        while let Ok((bytes, from)) = socket.recv() {
            assert_eq!(from.endpoint, remote);
            back.push(bytes.to_vec());
        }
        back.len() >= datagrams.len()
    });
    back.sort();
    back
}

/// Sends one echo request with query id `id`; whether its reply came.
fn ping(network: &mut Network, container: usize, id: u16, address: std::net::Ipv4Addr) -> bool {
    let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 1024]);
    let mut socket = icmp::Socket::new(buffer(), buffer());
    socket.bind(icmp::Endpoint::Ident(id)).expect("the id is free");
    let request = Icmpv4Repr::EchoRequest { ident: id, seq_no: 1, data: b"how far?" };
    let bytes = socket.send(request.buffer_len(), address.into()).expect("has room");
    request.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
    let socket = network.hosts[container].sockets.add(socket);
    network.run(Duration::from_secs(30), |hosts| {
        let socket = hosts[container].sockets.get_mut::<icmp::Socket>(socket);
        let Ok((bytes, from)) = socket.recv() else { return false };
        let reply = Icmpv4Packet::new_checked(bytes).expect("is whole");
        let reply = Icmpv4Repr::parse(&reply, &ChecksumCapabilities::default()).expect("is right");
        let expected = Icmpv4Repr::EchoReply { ident: id, seq_no: 1, data: b"how far?" };
        from == IpAddress::from(address) && reply == expected
    })
}

#[test]
fn udp_and_ping_get_through() {
    let mut network = Network::new(1, SMOOTH);
    network.add_vpc(VPC_A);
    let (server, container) = (network.add_server(VPC_A, SERVER), network.add_container(VPC_A));
    let other = network.add_container(VPC_A);
    let datagrams: Vec<_> = (0..10).map(|i| pattern(i, 100 + 100 * usize::from(i))).collect();
    for host in [container, other] {
        let mut expected = datagrams.clone();
        expected.sort();
        assert_eq!(udp_round_trips(&mut network, server, host, &datagrams), expected);
        // The next container needs the server's port.
        network.hosts[server].sockets = smoltcp::iface::SocketSet::new(Vec::new());
    }
    for host in [container, other] {
        assert!(ping(&mut network, host, 7, SERVER), "the server answers");
        assert!(ping(&mut network, host, 8, GATEWAY), "the gateway answers");
    }
    let nobody = [10, 1, 0, 99].into();
    assert!(!ping(&mut network, container, 9, nobody));
}

#[test]
fn a_run_that_goes_quiet_ends_with_an_empty_table_and_all_ports_free() {
    for seed in [1, 2, 3] {
        let mut network = Network::new(seed, SMOOTH);
        network.add_vpc(VPC_A);
        let (server, container) = (network.add_server(VPC_A, SERVER), network.add_container(VPC_A));
        let mut streams = [
            Stream::listen(&mut network.hosts, server, 80, pattern(1, 5000), 5000),
            Stream::connect(&mut network.hosts, container, 4000, web(80), pattern(2, 5000), 5000),
        ];
        assert!(network.run(HOUR, |hosts| all_done(&mut streams, hosts)), "seed {seed}");
        for stream in &streams {
            stream.close(&mut network.hosts);
        }
        assert!(
            network.run(HOUR, |hosts| streams.iter().all(|stream| stream.is_closed(hosts))),
            "seed {seed}"
        );
        assert_eq!(udp_round_trips(&mut network, server, container, &[pattern(3, 10)]).len(), 1);
        assert!(ping(&mut network, container, 7, SERVER), "seed {seed}");
        assert_eq!(network.engine.session_count(), 3, "seed {seed}");

        let went_on = network.run(24 * HOUR, |_| false);
        assert!(!went_on && network.engine.poll_timeout().is_none(), "seed {seed}");
        assert_eq!(network.engine.session_count(), 0, "seed {seed}");
        let ports = network.engine.port_use();
        assert_eq!(ports.len(), Protocol::ALL.len());
        assert!(ports.iter().all(|port| port.used == 0), "seed {seed}");
    }
}
