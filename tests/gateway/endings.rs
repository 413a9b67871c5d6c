//! Live connections whose permission ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use gateway::OnDetach;
use netlab::traffic::tcp_connect;
use tests::PATIENCE;

use crate::fixture::SHORT;
use crate::world::{Container, Version, World, over_both};

#[test]
fn both_ends_of_a_connection_are_reset_at_once_when_its_connector_is_detached() {
    over_both(|setup| {
        let world = World::start("reset", setup);
        let container = world.container("c");
        for version in Version::BOTH {
            for words in [0, 3] {
                let ends = connection(&world, &container, version, words);
                let start = Instant::now();
                detach(&world, &container);
                for (mut end, whose) in ends.into_iter().zip(["container", "server"]) {
                    let outcome = end.read(&mut [0; 1]).map_err(|e| e.kind());
                    let context = format!("{version:?}, after {words} words: the {whose}'s");
                    assert_eq!(outcome, Err(ErrorKind::ConnectionReset), "{context}");
                    assert!(start.elapsed() < AT_ONCE, "{context}: after {:?}", start.elapsed());
                }
                world.attach(&container, |_| {}).unwrap();
            }
        }
    });
}

#[test]
fn a_read_that_is_under_way_ends_too() {
    over_both(|setup| {
        let world = World::start("reset-read", setup);
        let container = world.container("c");
        let [mut client, mut server] = connection(&world, &container, Version::V4, 1);
        let outcomes = std::thread::scope(|scope| {
            let reads = [&mut client, &mut server]
                .map(|end| scope.spawn(|| end.read(&mut [0; 1]).map_err(|e| e.kind())));
            detach(&world, &container);
            reads.map(|read| read.join().unwrap())
        });
        assert_eq!(outcomes, [Err(ErrorKind::ConnectionReset); 2]);
    });
}

#[test]
fn nobody_is_told_where_the_policy_is_silence() {
    over_both(|setup| {
        let world = World::start("silent", setup);
        let container = world.container_with("c", |_| {}, |connector| connector.on_detach = OnDetach::Silent);
        for version in Version::BOTH {
            let ends = connection(&world, &container, version, 3);
            detach(&world, &container);
            for mut end in ends {
                end.set_read_timeout(Some(SHORT)).unwrap();
                let outcome = end.read(&mut [0; 1]).map_err(|e| e.kind());
                assert_eq!(outcome, Err(ErrorKind::WouldBlock), "{version:?}");
            }
            world.attach(&container, |connector| connector.on_detach = OnDetach::Silent).unwrap();
        }
    });
}

/// Long for a RST, short for any timeout.
const AT_ONCE: Duration = Duration::from_secs(1);

fn detach(world: &World, container: &Container) {
    let ended = world.fixture.wait(world.fixture.handle.detach(container.id, container.connector)).unwrap();
    assert_eq!(ended.sessions_ended, 1);
}

/// Both ends of a connection in which each side has said so many words.
fn connection(world: &World, container: &Container, version: Version, words: usize) -> [TcpStream; 2] {
    let listener = world.vpc.run(|| TcpListener::bind(version.server())).unwrap();
    let to = listener.local_addr().unwrap();
    let mut client = container.run(|| tcp_connect(version.any(), to, PATIENCE)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..words {
        let mut heard = [0; 4];
        client.write_all(b"ping").unwrap();
        server.read_exact(&mut heard).unwrap();
        server.write_all(b"pong").unwrap();
        client.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"pong");
    }
    [client, server]
}
