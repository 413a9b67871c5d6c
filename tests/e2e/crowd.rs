//! A hundred containers with one address, all from one port, at the same time.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;

use netlab::Namespace;
use netlab::traffic::{TcpEcho, UdpEcho, ping, tcp_connect, udp_exchange};
use tests::{EXTERNAL, PATIENCE, SERVER, eventually};

use crate::fixture::{INTERNAL, Scene, port};

const COUNT: usize = 100;

const PORT: u16 = 40_000;

#[test]
fn a_hundred_equal_tcp_endpoints_have_a_connection_of_their_own_to_one_server() {
    let crowd = Crowd::start("crowd-tcp");
    let server = TcpEcho::start(&crowd.vpc, SERVER, "orders").unwrap();
    let streams = crowd.all_at_once(|_| tcp_connect(port(PORT), server.address(), PATIENCE));
    // All are open now.
    let external = crowd.external("tcp");
    eventually("the server to see all", || server.peers().len() == COUNT);
    assert_eq!(server.peers().into_iter().collect::<BTreeSet<_>>(), external);
    for (i, mut stream) in streams.into_iter().enumerate() {
        writeln!(stream, "container {i}").unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "orders");
        assert_eq!(lines.next().unwrap().unwrap(), format!("container {i}"), "its own bytes, nobody else's");
    }
}

#[test]
fn a_hundred_equal_udp_endpoints_get_their_own_answers_from_one_server() {
    let crowd = Crowd::start("crowd-udp");
    let server = UdpEcho::start(&crowd.vpc, SERVER, "orders").unwrap();
    crowd.all_at_once(|i| {
        udp_exchange(port(PORT), server.address(), format!("container {i}").as_bytes(), PATIENCE)
    });
    let peers = server.peers();
    assert_eq!(peers.len(), COUNT);
    assert_eq!(peers.into_iter().collect::<BTreeSet<_>>(), crowd.external("udp"));
}

#[test]
fn a_hundred_equal_query_ids_get_their_own_answers_from_one_host() {
    let crowd = Crowd::start("crowd-ping");
    let times = crowd.all_at_once(|_| ping(*SERVER.ip(), PORT, 3, PATIENCE));
    assert!(times.iter().all(|times| times.len() == 3));
    crowd.external("icmp");
}

struct Crowd {
    scene: Scene,
    vpc: Namespace,
    containers: Vec<Namespace>,
}

impl Crowd {
    fn start(topic: &str) -> Self {
        let scene = Scene::start(topic);
        let vpc = scene.vpc("orders");
        let containers: Vec<_> = (0..COUNT).map(|i| scene.container(&format!("c{i}"), "orders")).collect();
        Self { scene, vpc, containers }
    }

    /// Lets every container do `act` at the same time; all have to succeed.
    fn all_at_once<T: Send>(&self, act: impl Fn(usize) -> io::Result<T> + Sync) -> Vec<T> {
        let (barrier, act) = (Barrier::new(COUNT), &act);
        let outcomes: Vec<_> = thread::scope(|scope| {
            let start = |(i, container): (usize, &Namespace)| {
                let (container, barrier) = (container.clone(), &barrier);
                scope.spawn(move || {
                    container.run(|| {
                        barrier.wait();
                        act(i)
                    })
                })
            };
            let threads: Vec<_> = self.containers.iter().enumerate().map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let checked = outcomes.into_iter().enumerate();
        checked.map(|(i, outcome)| outcome.unwrap_or_else(|e| panic!("container {i}: {e}"))).collect()
    }

    /// The external endpoints of the sessions from [`PORT`]: one of its own for every container.
    fn external(&self, protocol: &str) -> BTreeSet<SocketAddr> {
        let sessions = self.scene.api.sessions(&format!("vpc=orders&protocol={protocol}&limit=7"));
        let internal = SocketAddr::new(INTERNAL.into(), PORT).to_string();
        let ours: Vec<_> = sessions.iter().filter(|session| session["internal"] == internal).collect();
        assert_eq!(ours.len(), COUNT, "{sessions:?}");
        let containers: BTreeSet<_> = ours.iter().map(|session| session["container"].as_str()).collect();
        assert_eq!(containers.len(), COUNT);
        let endpoint = |session: &&serde_json::Value| session["external"].as_str().unwrap().parse().unwrap();
        let external: BTreeSet<SocketAddr> = ours.iter().map(endpoint).collect();
        assert_eq!(external.len(), COUNT, "an external endpoint is nobody else's");
        assert!(external.iter().all(|endpoint| endpoint.ip() == EXTERNAL));
        external
    }
}
