//! The traffic's tools on a direct link: they measure what is there, and report what is wrong.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use std::{fs, thread};

use compare::load::crr::{self, CrrPlan};
use compare::load::rtt::{self, Bulk, Protocol, RttPlan};
use compare::load::sessions::{self, SessionPlan};
use compare::load::tcp::{self, Direction, TcpPlan};
use compare::load::udp::{self, At, PAYLOAD_64, PAYLOAD_1400, UdpPlan};
use compare::load::{LoadError, cpu, memory};
use netlab::{Lab, Namespace};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// An address of the link that nobody has.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);

const WARM_UP: Duration = Duration::from_millis(100);
const DURATION: Duration = Duration::from_millis(500);

/// Longest that any run may take, also when nothing arrives.
const BOUND: Duration = Duration::from_secs(10);

/// Two namespaces joined by `eth0` at both sides.
struct Link {
    client: Namespace,
    server: Namespace,
    _lab: Lab,
    _turn: Turn,
}

/// What measures takes the whole machine; what ends with an error does not mind others.
#[expect(dead_code, reason = "held for its drop")]
enum Turn {
    Alone(RwLockWriteGuard<'static, ()>),
    Beside(RwLockReadGuard<'static, ()>),
}

static TURN: RwLock<()> = RwLock::new(());

impl Link {
    fn alone(topic: &str) -> Self {
        Self::new(topic, Turn::Alone(TURN.write().unwrap_or_else(PoisonError::into_inner)))
    }

    fn beside(topic: &str) -> Self {
        Self::new(topic, Turn::Beside(TURN.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn new(topic: &str, turn: Turn) -> Self {
        let lab = Lab::new(topic).unwrap();
        let (client, server) = (lab.namespace("client").unwrap(), lab.namespace("server").unwrap());
        client.veth("eth0", &server, "eth0").unwrap();
        client.address("eth0", "10.0.0.1/24".parse().unwrap()).unwrap();
        server.address("eth0", "10.0.0.2/24".parse().unwrap()).unwrap();
        Self { client, server, _lab: lab, _turn: turn }
    }

    fn transfer(&self, plan: &TcpPlan) -> Result<tcp::Transfer, LoadError> {
        bounded(|| tcp::transfer(&self.client, &self.server, plan))
    }

    fn flood(&self, plan: &UdpPlan) -> Result<udp::Flood, LoadError> {
        bounded(|| udp::flood(&self.client, &self.server, plan))
    }

    fn crr(&self, plan: &CrrPlan) -> Result<crr::Crr, LoadError> {
        bounded(|| crr::run(&self.client, &self.server, plan))
    }

    fn rtt(&self, plan: &RttPlan) -> Result<rtt::Rtt, LoadError> {
        bounded(|| rtt::run(&self.client, &self.server, plan))
    }

    fn sessions(&self, plan: &SessionPlan) -> Result<sessions::Opened, LoadError> {
        bounded(|| sessions::open(&self.client, &self.server, plan))
    }

    /// Does `what` while the client loses its route in the middle.
    fn without_route<T>(&self, what: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(WARM_UP + DURATION / 2);
                let status = self.client.command("ip").args(["route", "flush", "table", "main"]).status();
                assert!(status.unwrap().success());
            });
            what()
        })
    }

    /// Does `what` while the link breaks in the middle, which neither side's routes tell.
    fn without_link<T>(&self, what: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(WARM_UP + DURATION / 2);
                self.server.command("nft").args(["add", "table", "inet", "broken"]).status().unwrap();
                let chain = "{ type filter hook prerouting priority -500; policy drop; }";
                let rule = ["add", "chain", "inet", "broken", "input", chain];
                assert!(self.server.command("nft").args(rule).status().unwrap().success());
            });
            what()
        })
    }
}

fn bounded<T>(run: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = run();
    assert!(begin.elapsed() < BOUND, "it took {:?}", begin.elapsed());
    result
}

fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    (address, port).into()
}

fn tcp_plan(direction: Direction, streams: usize) -> TcpPlan {
    let remote = at(SERVER, 5001);
    TcpPlan { remote, listen: remote, direction, streams, warm_up: WARM_UP, duration: DURATION }
}

fn udp_plan(payload: usize, at_socket: bool) -> UdpPlan {
    let remote = at(SERVER, 5002);
    let at = if at_socket { At::Socket } else { At::Device("eth0".into()) };
    UdpPlan { remote, listen: remote, payload, at, rate: None, warm_up: WARM_UP, duration: DURATION }
}

fn crr_plan() -> CrrPlan {
    let remote = at(SERVER, 5003);
    CrrPlan { remote, listen: remote, threads: 1, concurrent: 16, warm_up: WARM_UP, duration: DURATION }
}

fn rtt_plan(protocol: Protocol) -> RttPlan {
    let remote = at(SERVER, 5004);
    RttPlan { remote, listen: remote, protocol, warm_up: WARM_UP, duration: DURATION }
}

fn session_plan(mappings: u16, remotes: u16) -> SessionPlan {
    let listens: Vec<_> = (0..remotes).map(|remote| at(SERVER, 6000 + remote)).collect();
    SessionPlan { mappings, first_port: 1024, remotes: listens.clone(), listens }
}

#[test]
fn tcp_streams_carry_gigabits_either_way() {
    let link = Link::alone("tcp");
    for (direction, streams) in
        [(Direction::Up, 1), (Direction::Down, 1), (Direction::Up, 4), (Direction::Down, 4)]
    {
        let transfer = link.transfer(&tcp_plan(direction, streams)).unwrap();
        println!(
            "{direction:?} {streams}: {:.2} Gbit/s, {:.3} s/GB",
            transfer.gbps(),
            transfer.cpu_s_per_gb()
        );
        assert!((0.05..1000.0).contains(&transfer.gbps()), "{transfer:?}");
        assert!((DURATION..DURATION * 2).contains(&transfer.window), "{transfer:?}");
        assert!(transfer.cpu.busy > 0.1, "{transfer:?}");
        assert_eq!(transfer.peers.len(), streams);
        assert!(transfer.peers.iter().all(|peer| peer.ip() == CLIENT), "{transfer:?}");
    }
}

#[test]
fn udp_packets_are_counted_at_the_device_and_at_the_socket() {
    let link = Link::alone("udp");
    for (payload, at_socket) in
        [(PAYLOAD_64, false), (PAYLOAD_64, true), (PAYLOAD_1400, false), (PAYLOAD_1400, true)]
    {
        let flood = link.flood(&udp_plan(payload, at_socket)).unwrap();
        println!(
            "{payload} socket {at_socket}: {:.0} pps of {}, {:.3} s/Mpkt",
            flood.pps(),
            flood.sent,
            flood.cpu_s_per_mpkt()
        );
        assert!((2_000.0..50e6).contains(&flood.pps()), "{flood:?}");
        // The edges of the window are known to a batch, and to what is under way.
        assert!(flood.delivered <= flood.sent + flood.sent / 10 + 1000, "{flood:?}");
        assert_eq!(flood.peer.ip(), CLIENT);
    }
}

#[test]
fn packets_at_a_rate_are_as_many_as_that() {
    let link = Link::alone("rate");
    let flood = link.flood(&UdpPlan { rate: Some(20_000), ..udp_plan(PAYLOAD_64, false) }).unwrap();
    assert!((15_000.0..25_000.0).contains(&flood.pps()), "{flood:?}");
}

#[test]
fn connections_are_opened_and_closed_by_the_thousand() {
    let link = Link::alone("crr");
    for threads in [1, 2] {
        let crr = link.crr(&CrrPlan { threads, ..crr_plan() }).unwrap();
        println!("{threads}: {:.0}/s", crr.per_second());
        assert!((50.0..1e6).contains(&crr.per_second()), "{crr:?}");
        assert_eq!(crr.peer.ip(), CLIENT);
    }
}

#[test]
fn closed_connections_rest_at_the_server_and_their_ports_are_used_again() {
    let link = Link::alone("crr-ports");
    // A hundred ports are left.
    link.client.sysctl("net.ipv4.ip_local_reserved_ports", "1024-65435").unwrap();
    let crr = link.crr(&CrrPlan { duration: Duration::from_secs(1), ..crr_plan() }).unwrap();
    assert!(crr.completed > 200, "{crr:?}");
    assert_eq!(resting(&link.client), 0);
    assert!((1..=100).contains(&resting(&link.server)));
}

/// Connections in TIME-WAIT.
fn resting(namespace: &Namespace) -> u64 {
    let text = namespace.run(|| fs::read_to_string("/proc/thread-self/net/sockstat")).unwrap();
    let (_, rest) = text.lines().find_map(|line| line.strip_prefix("TCP:")?.split_once(" tw ")).unwrap();
    rest.split_once(' ').unwrap().0.parse().unwrap()
}

#[test]
fn latency_is_some_microseconds_and_higher_beside_a_stream() {
    let link = Link::alone("rtt");
    let bulk = Bulk { remote: at(SERVER, 5001), listen: at(SERVER, 5001), direction: Direction::Up };
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let idle = link.rtt(&rtt_plan(protocol)).unwrap();
        let loaded = bounded(|| rtt::loaded(&link.client, &link.server, &rtt_plan(protocol), &bulk)).unwrap();
        println!("{protocol:?}: idle {idle:?}, loaded {loaded:?}");
        for rtt in [&idle, &loaded] {
            assert!(rtt.samples > 50 && rtt.lost == 0, "{rtt:?}");
            assert!(rtt.p50_us > 1.0 && rtt.p50_us <= rtt.p99_us && rtt.p99_us < 900_000.0, "{rtt:?}");
        }
    }
}

#[test]
fn sessions_are_confirmed_and_their_memory_in_the_kernel_is_seen() {
    let link = Link::alone("sessions");
    // Any rule that asks for a connection's state makes the kernel track connections.
    let rules = "add table ip t; add chain ip t c { type filter hook prerouting priority 0; }; add rule ip t c ct state new accept";
    assert!(link.server.command("nft").arg(rules).status().unwrap().success());
    let limit = memory::ConntrackLimit::raise(300_000).unwrap();
    let before = memory::kernel().unwrap();
    let opened = link.sessions(&session_plan(10_000, 16)).unwrap();
    let after = memory::kernel().unwrap();
    drop(limit);
    println!("{opened:?} {before:?} {after:?}");
    assert_eq!((opened.sessions, opened.mappings, opened.external), (160_000, 10_000, 10_000));
    let per_session = |before: u64, after: u64| after.saturating_sub(before) / opened.sessions;
    // An entry has some 256 bytes, and may get extensions beside it.
    assert!(
        (200..400).contains(&per_session(before.conntrack_objects, after.conntrack_objects)),
        "{after:?}"
    );
    assert!((200..1000).contains(&per_session(before.slab, after.slab)), "{after:?}");
    assert!(after.conntrack_table > 0);
}

#[test]
fn the_meter_sees_a_busy_processor() {
    let _link = Link::alone("meter");
    let meter = cpu::Meter::start().unwrap();
    let begin = Instant::now();
    while begin.elapsed() < DURATION {
        std::hint::spin_loop();
    }
    let time = meter.stop().unwrap();
    assert!(time.busy >= 0.3 && time.span >= DURATION, "{time:?}");
}

#[test]
fn a_port_where_nobody_listens_is_an_error() {
    let link = Link::beside("refused");
    let remote = at(SERVER, 4999);
    let error = link.transfer(&TcpPlan { remote, ..tcp_plan(Direction::Up, 1) }).unwrap_err();
    assert!(matches!(error, LoadError::NoConnection { .. }), "{error}");
    // The kernel tells in the middle of a batch only, and says it rarely.
    let error = link.flood(&UdpPlan { remote, ..udp_plan(PAYLOAD_64, true) }).unwrap_err();
    assert!(matches!(error, LoadError::Broken { .. } | LoadError::Silent { .. }), "{error}");
    let error = link.crr(&CrrPlan { remote, ..crr_plan() }).unwrap_err();
    assert!(matches!(error, LoadError::Broken { .. }), "{error}");
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let error = link.rtt(&RttPlan { remote, ..rtt_plan(protocol) }).unwrap_err();
        assert!(matches!(error, LoadError::Broken { .. } | LoadError::NoConnection { .. }), "{error}");
    }
    let plan = session_plan(10, 2);
    let error = link.sessions(&SessionPlan { remotes: vec![remote; 2], ..plan }).unwrap_err();
    assert!(matches!(error, LoadError::Broken { .. } | LoadError::Incomplete { .. }), "{error}");
}

#[test]
fn an_address_that_nobody_has_is_an_error() {
    let link = Link::beside("nobody");
    let remote = at(NOBODY, 5001);
    link.transfer(&TcpPlan { remote, ..tcp_plan(Direction::Up, 1) }).unwrap_err();
    link.flood(&UdpPlan { remote, ..udp_plan(PAYLOAD_64, true) }).unwrap_err();
    link.flood(&UdpPlan { remote, ..udp_plan(PAYLOAD_64, false) }).unwrap_err();
    link.crr(&CrrPlan { remote, ..crr_plan() }).unwrap_err();
    link.rtt(&RttPlan { remote, ..rtt_plan(Protocol::Udp) }).unwrap_err();
    link.sessions(&SessionPlan { remotes: vec![remote; 2], ..session_plan(60_000, 2) }).unwrap_err();
}

#[test]
fn a_connection_to_somebody_else_is_an_error() {
    let link = Link::beside("else");
    let other = link.server.run(|| TcpListener::bind(at(SERVER, 4998))).unwrap();
    let plan = TcpPlan { remote: other.local_addr().unwrap(), ..tcp_plan(Direction::Up, 1) };
    let error = link.transfer(&plan).unwrap_err();
    assert!(matches!(error, LoadError::NoConnection { .. }), "{error}");
}

#[test]
fn a_route_that_is_lost_in_the_middle_is_an_error() {
    let link = Link::beside("route");
    let restore = || {
        let connected = ["route", "replace", "10.0.0.0/24", "dev", "eth0"];
        assert!(link.client.command("ip").args(connected).status().unwrap().success());
    };
    link.without_route(|| link.transfer(&tcp_plan(Direction::Up, 1))).unwrap_err();
    restore();
    link.without_route(|| link.transfer(&tcp_plan(Direction::Down, 2))).unwrap_err();
    restore();
    link.without_route(|| link.flood(&udp_plan(PAYLOAD_64, false))).unwrap_err();
    restore();
    link.without_route(|| link.crr(&crr_plan())).unwrap_err();
    restore();
    link.without_route(|| link.rtt(&rtt_plan(Protocol::Udp))).unwrap_err();
}

#[test]
fn a_link_that_breaks_in_the_middle_is_an_error() {
    let broken = |topic: &str, run: &dyn Fn(&Link) -> LoadError| {
        let link = Link::beside(topic);
        let error = link.without_link(|| run(&link));
        println!("{topic}: {error}");
    };
    broken("cut-up", &|link| link.transfer(&tcp_plan(Direction::Up, 1)).unwrap_err());
    broken("cut-down", &|link| link.transfer(&tcp_plan(Direction::Down, 1)).unwrap_err());
    broken("cut-socket", &|link| link.flood(&udp_plan(PAYLOAD_64, true)).unwrap_err());
    broken("cut-crr", &|link| link.crr(&crr_plan()).unwrap_err());
    broken("cut-rtt", &|link| link.rtt(&rtt_plan(Protocol::Udp)).unwrap_err());
    broken("cut-rtt-tcp", &|link| link.rtt(&rtt_plan(Protocol::Tcp)).unwrap_err());
}

#[test]
fn packets_that_arrive_in_pieces_are_an_error() {
    let link = Link::beside("pieces");
    link.client.mtu("eth0", 1000).unwrap();
    let error = link.flood(&udp_plan(PAYLOAD_1400, false)).unwrap_err();
    assert!(matches!(error, LoadError::WrongSize { .. }), "{error}");
}

/// What a dishonest gateway does to a stream from `offset` on.
#[derive(Clone, Copy, Debug)]
enum Harm {
    /// Turns one bit.
    Turn,
    /// Loses a segment.
    Lose,
    /// Sends a segment twice.
    Repeat,
    /// Ends it.
    End,
}

#[test]
fn a_stream_that_is_harmed_is_an_error() {
    let link = Link::beside("harm");
    for (harm, offset) in [
        (Harm::Turn, 1000),
        (Harm::Lose, 1000),
        (Harm::Repeat, 500_000),
        // Beyond what is checked as a whole.
        (Harm::Lose, 20_000_000),
        (Harm::Repeat, 20_000_001),
        (Harm::End, 20_000_000),
    ] {
        let front = link.server.run(|| TcpListener::bind(at(SERVER, 0))).unwrap();
        let plan = TcpPlan { remote: front.local_addr().unwrap(), ..tcp_plan(Direction::Up, 1) };
        let error = thread::scope(|scope| {
            scope.spawn(|| link.server.run(|| drop(harmful(&front, plan.listen, harm, offset))));
            link.transfer(&plan).unwrap_err()
        });
        println!("{harm:?} at {offset}: {error}");
        let wrong = matches!(error, LoadError::WrongBytes { .. });
        assert!(
            wrong || matches!((harm, &error), (Harm::End, LoadError::Broken { .. })),
            "{harm:?}: {error}"
        );
    }
}

/// Passes one stream on, but for the harm.
fn harmful(front: &TcpListener, to: SocketAddr, harm: Harm, offset: usize) -> io::Result<()> {
    let begin = Instant::now();
    front.set_nonblocking(true)?;
    let (mut from, _) = loop {
        match front.accept() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && begin.elapsed() < BOUND => thread::yield_now(),
            accepted => break accepted?,
        }
    };
    let mut to = TcpStream::connect(to)?;
    let mut buffer = vec![0; 1448];
    let mut passed = 0;
    let mut is_done = false;
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return to.shutdown(Shutdown::Write);
        }
        if !is_done && passed + n > offset {
            is_done = true;
            match harm {
                Harm::Turn => buffer[offset - passed] ^= 0x20,
                Harm::Lose => continue,
                Harm::Repeat => to.write_all(&buffer[..n])?,
                Harm::End => return Ok(()),
            }
        }
        to.write_all(&buffer[..n])?;
        passed += n;
    }
}

/// How a dishonest gateway passes a packet on.
type UdpHarm = fn(&UdpSocket, &mut [u8]);

#[test]
fn packets_that_are_harmed_are_an_error() {
    let link = Link::beside("harm-udp");
    let harms: [(&str, UdpHarm); 3] = [
        ("turned", |to, packet| {
            *packet.last_mut().unwrap() ^= 1;
            drop(to.send(packet));
        }),
        ("cut", |to, packet| drop(to.send(&packet[1..]))),
        ("twice", |to, packet| {
            drop(to.send(packet));
            drop(to.send(packet));
        }),
    ];
    for (name, harm) in harms {
        let front = link.server.run(|| UdpSocket::bind(at(SERVER, 0))).unwrap();
        let back = link.server.run(|| UdpSocket::bind(at(SERVER, 0))).unwrap();
        let plan = UdpPlan { remote: front.local_addr().unwrap(), ..udp_plan(PAYLOAD_64, true) };
        let error = passing_on((&front, &back), plan.listen, (100, harm), || link.flood(&plan).unwrap_err());
        println!("{name}: {error}");
        let expected = match error {
            LoadError::Duplicate { .. } => name == "twice",
            LoadError::WrongBytes { .. } => name != "twice",
            _ => false,
        };
        assert!(expected, "{name}: {error}");
    }
}

#[test]
fn a_sample_at_the_device_shows_wrong_bytes() {
    let link = Link::beside("harm-sample");
    let front = link.server.run(|| UdpSocket::bind(at(SERVER, 0))).unwrap();
    let back = link.server.run(|| UdpSocket::bind(at(SERVER, 0))).unwrap();
    let plan = UdpPlan { remote: front.local_addr().unwrap(), ..udp_plan(PAYLOAD_1400, false) };
    let turn: UdpHarm = |to, packet| {
        packet[700] ^= 0x80;
        drop(to.send(packet));
    };
    let error = passing_on((&front, &back), plan.listen, (1, turn), || link.flood(&plan).unwrap_err());
    assert!(matches!(error, LoadError::WrongBytes { .. }), "{error}");
}

/// Does `run` while packets to `front` are passed on through `back`, one of so many with harm.
fn passing_on<T>(
    (front, back): (&UdpSocket, &UdpSocket),
    to: SocketAddr,
    (every, harm): (u64, UdpHarm),
    run: impl FnOnce() -> T,
) -> T {
    /// Ends the thread also when `run` panics.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    back.connect(to).unwrap();
    front.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _done = Done(&done);
        scope.spawn(|| {
            let mut packet = [0; 2048];
            for number in 1_u64.. {
                match front.recv(&mut packet) {
                    Ok(n) if number.is_multiple_of(every) => harm(back, &mut packet[..n]),
                    Ok(n) => drop(back.send(&packet[..n])),
                    Err(_) => {}
                }
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        run()
    })
}
