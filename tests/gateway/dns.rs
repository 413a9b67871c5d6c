//! Many containers that ask for both kinds of address at once, as every C library does.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use gateway::{AttachmentId, ConnectorConfig, ConnectorId, UplinkId};
use netlab::{Lab, Namespace};
use nix::sys::socket::{setsockopt, sockopt};
use tests::PATIENCE;
use tokio::task::JoinSet;

use crate::fixture::Fixture;
use crate::world::{Kind, Setup, Version, Vpc, add_vpc, dual_stack, net};

/// Containers that ask at the same time.
const CONTAINERS: usize = 200;

/// Room for all questions at once, the kernel's bookkeeping included. Bytes.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

#[test]
fn no_question_of_two_hundred_containers_at_once_is_lost() {
    let lab = Lab::new("dns").unwrap();
    let namespaces: Vec<_> = (0..CONTAINERS).map(|i| lab.namespace(&format!("c{i}")).unwrap()).collect();
    for workers in [1, 2] {
        let fixture = Fixture::start(workers);
        let setup = Setup { workers, kind: Kind::Tap, mtu: 1500 };
        let Vpc { namespace: vpc, uplink, .. } =
            add_vpc(&fixture, &lab, &format!("vpc{workers}"), setup, |_| {});
        let attachments = attach_all(&fixture, &namespaces, uplink);
        for version in Version::BOTH {
            let server = server(&vpc, version);
            let address = server.local_addr().unwrap();
            let stop = AtomicBool::new(false);
            let lost: Vec<_> = thread::scope(|scope| {
                scope.spawn(|| serve(&server, &stop));
                let lost = ask_all(&namespaces, version, address);
                stop.store(true, Relaxed);
                lost
            });
            let drops = || {
                let stats = fixture.wait(fixture.handle.stats()).unwrap();
                let drops = stats.links.iter().map(|l| l.counters.drops.iter().collect::<Vec<_>>());
                drops.filter(|d| !d.is_empty()).flatten().collect::<Vec<_>>()
            };
            assert!(lost.is_empty(), "{workers} workers, {version:?}: {lost:?} lost; {:?}", drops());
        }
        // The next gateway makes devices of the same names.
        let handle = fixture.handle.clone();
        all(&fixture, attachments, move |id| {
            let handle = handle.clone();
            async move { handle.remove_attachment(id).await.unwrap() }
        });
    }
}

/// Gives every namespace a link and the permission to reach the VPC, all at the same time.
fn attach_all(fixture: &Fixture, namespaces: &[Namespace], uplink: UplinkId) -> Vec<AttachmentId> {
    let specs = namespaces.iter().map(dual_stack).collect();
    let handle = fixture.handle.clone();
    all(fixture, specs, move |spec| {
        let handle = handle.clone();
        async move {
            let id = handle.add_attachment(spec).await.unwrap().id;
            let destinations = vec![net("10.1.0.0/16"), net("fd01::/64")];
            let connector = ConnectorConfig::new(ConnectorId(uplink.0), uplink, destinations);
            handle.attach(id, connector).await.unwrap();
            id
        }
    })
}

/// Does it for all at the same time.
fn all<A, T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    fixture: &Fixture,
    arguments: Vec<A>,
    act: impl Fn(A) -> F,
) -> Vec<T> {
    fixture.wait(async { arguments.into_iter().map(act).collect::<JoinSet<_>>().join_all().await })
}

/// Lets all ask at the same time, each from one socket for both kinds back to back. Returns those without both answers.
fn ask_all(namespaces: &[Namespace], version: Version, server: SocketAddr) -> Vec<usize> {
    let barrier = Barrier::new(namespaces.len());
    thread::scope(|scope| {
        let start = |(i, namespace): (usize, &Namespace)| {
            let (namespace, barrier) = (namespace.clone(), &barrier);
            let socket = namespace.run(|| UdpSocket::bind(version.any())).unwrap();
            scope.spawn(move || {
                socket.connect(server).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                barrier.wait();
                (!ask(&socket, i as u16)).then_some(i)
            })
        };
        let threads: Vec<_> = namespaces.iter().enumerate().map(start).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Whether both answers came, each to its own question.
fn ask(socket: &UdpSocket, i: u16) -> bool {
    for kind in [A, AAAA] {
        socket.send(&question(i, kind)).unwrap();
    }
    let mut buffer = [0; 512];
    let mut answers = BTreeSet::new();
    while answers.len() < 2 {
        let Ok(n) = socket.recv(&mut buffer) else { return false };
        let kind = [A, AAAA].into_iter().find(|&kind| buffer[..n] == answer(&question(i, kind)));
        answers.insert(kind.expect("an answer to one of the questions"));
    }
    true
}

fn server(vpc: &Namespace, version: Version) -> UdpSocket {
    let mut address = version.server();
    address.set_port(53);
    let socket = vpc.run(|| UdpSocket::bind(address)).unwrap();
    setsockopt(&socket, sockopt::RcvBufForce, &SOCKET_BUFFER).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    socket
}

fn serve(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 512];
    while !stop.load(Relaxed) {
        let Ok((n, client)) = socket.recv_from(&mut buffer) else { continue };
        // Nobody there any more: that is found out by the test.
        let _ = socket.send_to(&answer(&buffer[..n]), client);
    }
}

/// RFC 1035 §3.2.2, RFC 3596 §2.1.
const A: u16 = 1;
const AAAA: u16 = 28;

const HEADER_LEN: usize = 12;

/// Asks for `db.orders.internal` (RFC 1035 §4.1).
fn question(id: u16, kind: u16) -> Vec<u8> {
    let header = [id, 0x0100, 1, 0, 0, 0].map(u16::to_be_bytes);
    let name = b"\x02db\x06orders\x08internal\0";
    [header.as_flattened(), name, &kind.to_be_bytes(), &1_u16.to_be_bytes()].concat()
}

/// The answer with one record: an address that tells who asked.
fn answer(question: &[u8]) -> Vec<u8> {
    let [high, low, ..] = *question else { return Vec::new() };
    let kind = &question[question.len() - 4..question.len() - 2];
    let address: &[u8] = if *kind == A.to_be_bytes() {
        &[10, 1, high, low]
    } else {
        &[high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    };
    let mut message = question.to_vec();
    message[2..HEADER_LEN].copy_from_slice([0x8580_u16, 1, 1, 0, 0].map(u16::to_be_bytes).as_flattened());
    // The name is that of the question.
    let record = [&[0xc0, HEADER_LEN as u8][..], kind, &[0, 1, 0, 0, 0, 60, 0, address.len() as u8], address];
    message.extend(record.concat());
    message
}
