//! Many sessions at once.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netlab::Namespace;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};

use super::LoadError;
use super::pattern::nonce;
use super::socket;
use super::window::{Control, FIRST};

/// Which sessions to open: every one of the client's ports with every remote.
#[derive(Clone, Debug)]
pub struct SessionPlan {
    /// How many of the client's ports. Each is one mapping of a gateway with endpoint-independent mapping.
    pub mappings: u16,
    /// The first of them.
    pub first_port: u16,
    /// Where the client sends to; their number is the number of sessions per mapping.
    pub remotes: Vec<SocketAddr>,
    /// Where the server listens.
    pub listens: Vec<SocketAddr>,
}

/// What is open now.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Sessions; each was confirmed by a packet that the server got.
    pub sessions: u64,
    /// Ports of the client that they have.
    pub mappings: u64,
    /// Addresses with port from which the server saw them come.
    pub external: u64,
    /// How long that took.
    pub took: Duration,
}

/// Opens UDP sessions, and confirms each at the server.
///
/// One packet goes out for each. What does not arrive is sent again, a few times; a session that is then still missing
/// is an error. The client waits for the server, so that no socket's buffer decides which sessions there are. Its own
/// sockets are closed again, as no session of a gateway depends on them.
pub fn open(client: &Namespace, server: &Namespace, plan: &SessionPlan) -> Result<Opened, LoadError> {
    check(plan)?;
    let sinks = plan.listens.iter().map(|&at| {
        let sink = socket::udp_sink(server, at)?;
        sink.set_nonblocking(true).map_err(LoadError::system(format!("listen at udp {at}")))?;
        Ok(sink)
    });
    let sinks = sinks.collect::<Result<Vec<_>, LoadError>>()?;
    let set = Arrivals::new(plan);
    let control = Control::default();
    let begin = Instant::now();
    let external = thread::scope(|scope| {
        let sink = scope.spawn(|| control.guard(|| take(&sinks, &set, &control)));
        control.guard(|| client.run(|| send(plan, &set, &control)));
        control.stop();
        sink.join().expect("the sink does not panic")
    });
    let external = control.finish(external)?;
    let sessions = set.count();
    if sessions < set.wanted() {
        return Err(LoadError::Incomplete { what: WHAT, arrived: sessions, sent: set.wanted() });
    }
    Ok(Opened { sessions, mappings: plan.mappings.into(), external, took: begin.elapsed() })
}

fn check(plan: &SessionPlan) -> Result<(), LoadError> {
    if plan.remotes.is_empty() || plan.remotes.len() != plan.listens.len() {
        return Err(LoadError::Plan("every remote needs the place where the server listens for it"));
    }
    let last = u32::from(plan.first_port) + u32::from(plan.mappings);
    if plan.first_port == 0 || plan.mappings == 0 || last > 1 << 16 {
        return Err(LoadError::Plan("there are 65,535 ports"));
    }
    Ok(())
}

/// Which sessions were confirmed. Their numbers: the client's port, counted from the first, times remotes, plus the remote.
struct Arrivals {
    nonce: u64,
    remotes: u64,
    sessions: Vec<AtomicU64>,
    arrived: AtomicU64,
    mappings: u64,
}

impl Arrivals {
    fn new(plan: &SessionPlan) -> Self {
        let (mappings, remotes) = (u64::from(plan.mappings), plan.remotes.len() as u64);
        let sessions = (0..(mappings * remotes).div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { nonce: nonce(), remotes, sessions, arrived: AtomicU64::new(0), mappings }
    }

    fn wanted(&self) -> u64 {
        self.mappings * self.remotes
    }

    fn count(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    fn has(&self, session: u64) -> bool {
        self.sessions[(session / 64) as usize].load(Ordering::Relaxed) & (1 << (session % 64)) != 0
    }

    fn confirm(&self, session: u64) {
        let bit = 1 << (session % 64);
        if self.sessions[(session / 64) as usize].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            self.arrived.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn payload(&self, session: u64) -> [u8; PAYLOAD] {
        let mut payload = [0; PAYLOAD];
        payload[..8].copy_from_slice(&self.nonce.to_le_bytes());
        payload[8..].copy_from_slice(&session.to_le_bytes());
        payload
    }

    /// The session of a packet that came to the socket for `remote`.
    fn read(&self, payload: &[u8], remote: u64) -> Option<u64> {
        let session = u64::from_le_bytes(*payload.last_chunk()?);
        let is_ours = session < self.wanted() && session % self.remotes == remote;
        (is_ours && payload == self.payload(session)).then_some(session)
    }
}

/// The client: every missing session, once a round.
fn send(plan: &SessionPlan, set: &Arrivals, control: &Control) -> Result<(), LoadError> {
    let mut pace = Pace::new();
    for _ in 0..ROUNDS {
        for port in 0..plan.mappings {
            let first = u64::from(port) * set.remotes;
            let missing = (first..first + set.remotes).filter(|&session| !set.has(session));
            let missing: Vec<_> = missing.collect();
            if control.is_failed() {
                return Ok(());
            }
            if !missing.is_empty() {
                send_from(plan, plan.first_port + port, &missing, set)?;
                pace.keep(missing.len() as u64, set)?;
            }
        }
        pace.settle(set)?;
        if set.count() == set.wanted() {
            break;
        }
    }
    Ok(())
}

fn send_from(plan: &SessionPlan, port: u16, sessions: &[u64], set: &Arrivals) -> Result<(), LoadError> {
    let any: IpAddr = match plan.remotes[0] {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket =
        UdpSocket::bind((any, port)).map_err(LoadError::system(format!("send from udp port {port}")))?;
    for &session in sessions {
        let remote = plan.remotes[(session % set.remotes) as usize];
        match socket.send_to(&set.payload(session), remote) {
            // A full queue; the next round sends it again.
            Err(e) if e.raw_os_error() == Some(Errno::ENOBUFS as i32) => {}
            result => drop(result.map_err(LoadError::broken(WHAT))?),
        }
    }
    Ok(())
}

/// Keeps few enough packets under way that all fit into the buffers of the server and on the path.
struct Pace {
    sent: u64,
    /// Of these, what is waited for no longer.
    written_off: u64,
    arrived: u64,
    /// When the last one arrived.
    since: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { sent: 0, written_off: 0, arrived: 0, since: Instant::now() }
    }

    /// Waits after so many more were sent.
    fn keep(&mut self, more: u64, set: &Arrivals) -> Result<(), LoadError> {
        self.sent += more;
        self.wait(UNDER_WAY, PATIENCE, set)
    }

    /// Waits until nothing is under way.
    fn settle(&mut self, set: &Arrivals) -> Result<(), LoadError> {
        self.wait(0, 5 * PATIENCE, set)
    }

    fn wait(&mut self, under_way: u64, patience: Duration, set: &Arrivals) -> Result<(), LoadError> {
        let begin = Instant::now();
        loop {
            if set.count() != self.arrived {
                (self.arrived, self.since) = (set.count(), Instant::now());
            }
            if self.sent <= self.arrived + self.written_off + under_way {
                return Ok(());
            }
            let silence = self.since.elapsed();
            if silence > FIRST {
                return Err(LoadError::Silent { what: WHAT, silence });
            }
            if silence.min(begin.elapsed()) > patience {
                self.written_off = self.sent - self.arrived;
            }
            thread::sleep(SHORT);
        }
    }
}

/// The server: confirms what comes until the run stops, and counts whom it comes from.
fn take(sinks: &[UdpSocket], set: &Arrivals, control: &Control) -> Result<u64, LoadError> {
    let mut external = HashSet::new();
    let mut fds: Vec<_> = sinks.iter().map(|sink| PollFd::new(sink.as_fd(), PollFlags::POLLIN)).collect();
    while !control.is_stopped() {
        match poll(&mut fds, LOOK) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(LoadError::system("wait for packets")(e)),
        }
        for (remote, sink) in sinks.iter().enumerate() {
            if fds[remote].any() == Some(true) {
                drain(sink, remote as u64, set, &mut external)?;
            }
        }
    }
    Ok(external.len() as u64)
}

fn drain(
    sink: &UdpSocket,
    remote: u64,
    set: &Arrivals,
    external: &mut HashSet<SocketAddr>,
) -> Result<(), LoadError> {
    let mut buffer = [0; 2 * PAYLOAD];
    loop {
        match sink.recv_from(&mut buffer) {
            Ok((n, peer)) => {
                let session = set.read(&buffer[..n], remote);
                let at = set.count();
                set.confirm(session.ok_or(LoadError::WrongBytes { what: WHAT, at })?);
                external.insert(peer);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(LoadError::broken(WHAT)(e)),
        }
    }
}

/// For errors.
const WHAT: &str = "sessions";

/// Length of a packet's payload. Bytes.
const PAYLOAD: usize = 16;

/// How often a session is tried.
const ROUNDS: u32 = 4;

/// Packets that may be under way.
const UNDER_WAY: u64 = 512;

/// How long nothing arrives before what is under way counts as lost.
const PATIENCE: Duration = Duration::from_millis(100);

/// Between two looks at what has arrived.
const SHORT: Duration = Duration::from_micros(20);

/// Longest wait of the server for a packet, so that it looks around. Milliseconds.
const LOOK: u8 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> SessionPlan {
        let to: Vec<SocketAddr> = (7000..7003).map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect();
        SessionPlan { mappings: 5, first_port: 1024, remotes: to.clone(), listens: to }
    }

    #[test]
    fn a_packet_confirms_its_session_at_its_remote_only() {
        let set = Arrivals::new(&plan());
        assert_eq!(set.wanted(), 15);
        assert_eq!(set.read(&set.payload(7), 1), Some(7));
        assert_eq!(set.read(&set.payload(7), 2), None);
        assert_eq!(set.read(&set.payload(15), 0), None);
        assert_eq!(set.read(&Arrivals::new(&plan()).payload(7), 1), None);
        set.confirm(7);
        set.confirm(7);
        assert_eq!((set.count(), set.has(7), set.has(8)), (1, true, false));
    }

    #[test]
    fn a_plan_with_ports_that_do_not_exist_is_refused() {
        for (mappings, first_port) in [(0, 1024), (10, 0), (64_513, 1024)] {
            assert!(
                check(&SessionPlan { mappings, first_port, ..plan() }).is_err(),
                "{mappings} from {first_port}"
            );
        }
        assert!(check(&SessionPlan { mappings: 64_512, ..plan() }).is_ok());
        assert!(check(&SessionPlan { listens: Vec::new(), ..plan() }).is_err());
    }
}
