//! Datagrams that no link carries whole: in order, out of order, twice, both ways.

use std::net::{SocketAddr, UdpSocket};

use netlab::traffic::{UdpEcho, udp_exchange};
use tests::PATIENCE;

use crate::raw;
use crate::world::{Container, Version, World, over_both, pattern};

/// Nearly as much as UDP carries.
const LARGE: usize = 60_000;

/// Bytes of datagram in a fragment of a full packet, of either version.
const FULL: usize = 1448;

#[test]
fn datagrams_of_60_kilobytes_come_and_go() {
    over_both(|setup| {
        let world = World::start("frag-udp", setup);
        let container = world.container("c");
        for version in Version::BOTH {
            let server = UdpEcho::start(&world.vpc, version.server(), "orders").unwrap();
            for length in [1473, 4000, LARGE] {
                let exchange = || udp_exchange(version.any(), server.address(), &pattern(length), PATIENCE);
                let outcome = container.run(exchange);
                assert!(outcome.is_ok(), "{version:?}, {length}: {outcome:?}, {:?}", world.all_drops());
            }
            assert!(server.peers().iter().all(|peer| peer.ip() == version.external()));
        }
    });
}

#[test]
fn fragments_from_the_vpc_arrive_in_whatever_order_they_came() {
    over_both(|setup| {
        let world = World::start("frag-in", setup);
        let container = world.container("c");
        for version in Version::BOTH {
            let flow = Flow::open(&world, &container, version);
            for (id, (name, order)) in ORDERS.iter().enumerate() {
                let payload = pattern(LARGE - id);
                let pieces =
                    raw::fragments(flow.server_address(), flow.external, &payload, 7000 + id as u32, FULL);
                let ordered = order(pieces.len());
                world.vpc.run(|| raw::send(flow.external.ip(), ordered.iter().map(|&i| &pieces[i]))).unwrap();
                let heard = heard(&flow.client);
                assert!(heard.as_ref() == Ok(&payload), "{version:?}, {name}: {:?}", world.all_drops());
            }
            assert!(heard_nothing_more(&flow.client), "{version:?}: each came once");
        }
    });
}

#[test]
fn fragments_from_a_container_arrive_in_whatever_order_they_came() {
    over_both(|setup| {
        let world = World::start("frag-out", setup);
        let container = world.container("c");
        for version in Version::BOTH {
            let flow = Flow::open(&world, &container, version);
            let from = SocketAddr::new(version.internal(), flow.client.local_addr().unwrap().port());
            for (id, (name, order)) in ORDERS.iter().enumerate() {
                let payload = pattern(LARGE - id);
                let pieces = raw::fragments(from, flow.server_address(), &payload, 7000 + id as u32, FULL);
                let ordered = order(pieces.len());
                let to = version.server().ip();
                container.run(|| raw::send(to, ordered.iter().map(|&i| &pieces[i]))).unwrap();
                let heard = heard(&flow.server);
                assert!(heard.as_ref() == Ok(&payload), "{version:?}, {name}: {:?}", world.all_drops());
            }
            assert!(heard_nothing_more(&flow.server), "{version:?}: each came once");
        }
    });
}

#[test]
fn small_fragments_pass_and_a_missing_one_keeps_its_datagram_back() {
    over_both(|setup| {
        let world = World::start("frag-small", setup);
        let container = world.container("c");
        for version in Version::BOTH {
            let flow = Flow::open(&world, &container, version);
            let payload = pattern(3000);
            let pieces = |id| raw::fragments(flow.server_address(), flow.external, &payload, id, 64);
            let incomplete: Vec<_> = pieces(1).into_iter().skip(1).collect();
            let to = flow.external.ip();
            world.vpc.run(|| raw::send(to, &incomplete)).unwrap();
            // The one behind it is not kept back.
            world.vpc.run(|| raw::send(to, &pieces(2))).unwrap();
            assert!(heard(&flow.client).as_ref() == Ok(&payload), "{version:?}: {:?}", world.all_drops());
            assert!(heard_nothing_more(&flow.client), "{version:?}");
        }
    });
}

/// From how many fragments there are to the places of those that are sent.
type Order = fn(usize) -> Vec<usize>;

/// The orders in which fragments come, by the place of each in the datagram.
const ORDERS: [(&str, Order); 4] = [
    ("reversed", |n| (0..n).rev().collect()),
    ("every one twice", |n| (0..n).flat_map(|i| [i, i]).collect()),
    ("odd ones first", |n| (1..n).step_by(2).chain((0..n).step_by(2)).collect()),
    ("reversed and the last ones twice", |n| {
        (0..n).rev().flat_map(|i| vec![i; 1 + usize::from(i > n / 2)]).collect()
    }),
];

/// A UDP session through the gateway, both ends in our hands.
struct Flow {
    client: UdpSocket,
    server: UdpSocket,
    /// The client as the server sees it.
    external: SocketAddr,
}

impl Flow {
    fn open(world: &World, container: &Container, version: Version) -> Self {
        let server = world.vpc.run(|| UdpSocket::bind(version.server())).unwrap();
        let client = container.run(|| UdpSocket::bind(version.any())).unwrap();
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        client.send_to(b"x", server.local_addr().unwrap()).unwrap();
        let (_, external) = server.recv_from(&mut [0; 1]).unwrap();
        Self { client, server, external }
    }

    fn server_address(&self) -> SocketAddr {
        self.server.local_addr().unwrap()
    }
}

fn heard(socket: &UdpSocket) -> Result<Vec<u8>, std::io::ErrorKind> {
    let mut buffer = vec![0; 65_536];
    let (n, _) = socket.recv_from(&mut buffer).map_err(|e| e.kind())?;
    buffer.truncate(n);
    Ok(buffer)
}

fn heard_nothing_more(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(crate::fixture::SHORT)).unwrap();
    heard(socket).is_err()
}
