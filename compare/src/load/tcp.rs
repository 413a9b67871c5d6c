//! Bulk transfer over TCP.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use netlab::Namespace;

use super::LoadError;
use super::cpu::CpuTime;
use super::pattern::{LONGEST, Look, StreamPattern};
use super::socket::{self, Connection};
use super::window::{Control, Counted, Timing};

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The client.
    Up,
    /// The server.
    Down,
}

/// What to transfer.
#[derive(Clone, Debug)]
pub struct TcpPlan {
    /// Where the client connects to.
    pub remote: SocketAddr,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Who sends.
    pub direction: Direction,
    /// How many connections at once.
    pub streams: usize,
    /// Time before the window, for buffers and congestion windows to grow.
    pub warm_up: Duration,
    /// Length of the window.
    pub duration: Duration,
}

/// What was transferred.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// What the receiver read within the window, of all streams.
    pub bytes: u64,
    /// The window as it was.
    pub window: Duration,
    /// What the machine worked within the window.
    pub cpu: CpuTime,
    /// Whom the server saw, of each stream.
    pub peers: Vec<SocketAddr>,
    /// Whether all that was sent has arrived, soon after the last of it was sent. If not, the streams were reset: something
    /// on the way held it back, or lost it.
    pub drained: bool,
}

impl Transfer {
    /// Gigabits of payload per second.
    pub fn gbps(&self) -> f64 {
        self.bytes as f64 * 8.0 / 1e9 / self.window.as_secs_f64()
    }

    /// Seconds of processor time per 10⁹ bytes.
    pub fn cpu_s_per_gb(&self) -> f64 {
        self.cpu.busy / (self.bytes as f64 / 1e9)
    }
}

/// Transfers, and returns what arrived within the window.
///
/// The content is checked by whoever receives: whole for the first mebibyte, for every sixteenth read and for all after the
/// window, else by samples of every kibibyte. At the end, as many bytes must have arrived as were sent, unless the
/// streams came to a standstill and another connection shows that the path is there: then what arrived counts. The
/// window's edges are known to one read of each stream, at most 256 KiB.
pub fn transfer(client: &Namespace, server: &Namespace, plan: &TcpPlan) -> Result<Transfer, LoadError> {
    let streams = Streams::connect(client, server, plan)?;
    let peers = streams.connections.iter().map(|connection| connection.peer).collect();
    let timing = Timing { warm_up: plan.warm_up, duration: plan.duration };
    let (window, drained) = streams.during(|control, received| {
        let read = || Ok([received.iter().map(|count| count.load(Ordering::Relaxed)).sum()]);
        control.measure(timing, &Counted { what: WHAT, read, noise: 0, may_stall: true })
    })?;
    if !drained {
        // A path that carries no new connection either is not slow but broken.
        drop(streams);
        Streams::connect(client, server, &TcpPlan { streams: 1, ..plan.clone() })?;
    }
    Ok(Transfer { bytes: window.grown[0], window: window.span, cpu: window.cpu, peers, drained })
}

/// Connections that are ready to send.
pub(super) struct Streams {
    connections: Vec<Connection>,
    direction: Direction,
    pattern: StreamPattern,
}

impl Streams {
    pub(super) fn connect(client: &Namespace, server: &Namespace, plan: &TcpPlan) -> Result<Self, LoadError> {
        let listener = socket::listen(server, plan.listen)?;
        // One after the other, so that each one's sides are known.
        let connections = (0..plan.streams).map(|_| socket::connect(client, &listener, plan.remote));
        let connections = connections.collect::<Result<_, _>>()?;
        Ok(Self { connections, direction: plan.direction, pattern: StreamPattern::new() })
    }

    /// Sends as much as possible while `body` runs, which sees how many bytes of each stream arrived. Returns whether all
    /// of it has arrived as well.
    pub(super) fn during<T>(
        &self,
        body: impl FnOnce(&Control, &[AtomicU64]) -> Option<T>,
    ) -> Result<(T, bool), LoadError> {
        let control = Control::default();
        let sent: Vec<_> = self.connections.iter().map(|_| OnceLock::new()).collect();
        let received: Vec<_> = self.connections.iter().map(|_| AtomicU64::new(0)).collect();
        let drained = AtomicBool::new(true);
        let result = thread::scope(|scope| {
            for (index, connection) in self.connections.iter().enumerate() {
                let (from, to) = match self.direction {
                    Direction::Up => (&connection.client, &connection.server),
                    Direction::Down => (&connection.server, &connection.client),
                };
                let (control, sent, received, drained) = (&control, &sent[index], &received[index], &drained);
                // Every stream has another part of the pattern, so that two that are mixed up are noticed.
                let first = index as u64 * APART;
                scope.spawn(move || control.guard(|| send(from, &self.pattern, first, control, sent)));
                scope.spawn(move || {
                    let all = control.guard(|| receive(to, &self.pattern, first, control, sent, received));
                    drained.fetch_and(all == Some(true), Ordering::Relaxed);
                });
            }
            let result = body(&control, &received);
            control.stop();
            result
        });
        let drained = drained.into_inner();
        if control.is_failed() || !drained {
            self.connections.iter().for_each(Connection::abort);
        }
        control.finish(result).map(|result| (result, drained))
    }
}

/// Writes until the run stops.
fn send(
    mut to: &TcpStream,
    pattern: &StreamPattern,
    first: u64,
    control: &Control,
    total: &OnceLock<u64>,
) -> Result<(), LoadError> {
    let mut sent = 0;
    while !control.is_stopped() {
        match to.write(&pattern.at(first + sent)[..WRITE]) {
            Ok(n) => sent += n as u64,
            Err(e) if socket::is_pause(&e) => {}
            Err(e) => return Err(LoadError::broken(WHAT)(e)),
        }
    }
    let _ = total.set(sent);
    to.shutdown(Shutdown::Write).map_err(LoadError::broken(WHAT))
}

/// Reads and checks until the sender's end; `false` if that does not come in time.
fn receive(
    mut from: &TcpStream,
    pattern: &StreamPattern,
    first: u64,
    control: &Control,
    total: &OnceLock<u64>,
    received: &AtomicU64,
) -> Result<bool, LoadError> {
    let mut buffer = vec![0; LONGEST];
    let mut arrived = 0;
    for read in 0_u64.. {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                let whole = arrived < BEGINNING || read % 16 == 0 || control.is_stopped();
                let look = if whole { Look::Whole } else { Look::Samples };
                if !pattern.has(first + arrived, &buffer[..n], look) {
                    return Err(LoadError::WrongBytes { what: WHAT, at: arrived });
                }
                arrived += n as u64;
                received.store(arrived, Ordering::Relaxed);
            }
            Err(e) if socket::is_pause(&e) => {}
            Err(e) => return Err(LoadError::broken(WHAT)(e)),
        }
        if control.is_overdue() {
            return Ok(false);
        }
    }
    match total.get() {
        Some(&sent) if sent == arrived => Ok(true),
        Some(&sent) => Err(LoadError::Incomplete { what: WHAT, arrived, sent }),
        // The end came before the sender's.
        None => Err(LoadError::broken(WHAT)(io::Error::from(io::ErrorKind::UnexpectedEof))),
    }
}

/// For errors.
const WHAT: &str = "the TCP stream";

/// Longest write. Bytes.
const WRITE: usize = 128 * 1024;

/// The part of a stream that is checked as a whole. Bytes.
const BEGINNING: u64 = 1024 * 1024;

/// From where one stream's content begins to where the next one's does. Bytes.
const APART: u64 = 10_007;
