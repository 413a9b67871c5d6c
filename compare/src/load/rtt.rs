//! Latency of a request and its response, one at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netlab::Namespace;

use super::LoadError;
use super::pattern::PacketPattern;
use super::socket;
use super::tcp::{Direction, Streams, TcpPlan};
use super::window::Control;
use crate::statistics::percentile;

/// What carries the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One packet each way.
    Udp,
    /// One segment each way, on one connection.
    Tcp,
}

/// How to ask.
#[derive(Clone, Debug)]
pub struct RttPlan {
    /// Where the client sends to.
    pub remote: SocketAddr,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// What carries the requests.
    pub protocol: Protocol,
    /// Time before the first request that counts.
    pub warm_up: Duration,
    /// How long to ask.
    pub duration: Duration,
}

/// A bulk transfer beside the requests.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// Where the client connects to.
    pub remote: SocketAddr,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Who sends.
    pub direction: Direction,
}

/// How long the responses took.
#[derive(Clone, Debug)]
pub struct Rtt {
    /// Half of the responses came within this time. Microseconds.
    pub p50_us: f64,
    /// 99 of 100 came within this time. Microseconds.
    pub p99_us: f64,
    /// Requests that count.
    pub samples: usize,
    /// Of these, those without a response; they count with the time that was waited for it.
    pub lost: usize,
}

/// Asks on an idle path.
pub fn run(client: &Namespace, server: &Namespace, plan: &RttPlan) -> Result<Rtt, LoadError> {
    let control = Control::default();
    let rtt = control.guard(|| ask(client, server, plan, &control));
    control.finish(rtt)
}

/// Asks while one TCP stream sends as much as it can. A stream that moves nothing meanwhile is an error.
pub fn loaded(client: &Namespace, server: &Namespace, plan: &RttPlan, bulk: &Bulk) -> Result<Rtt, LoadError> {
    let &Bulk { remote, listen, direction } = bulk;
    let RttPlan { warm_up, duration, .. } = *plan;
    let stream = TcpPlan { remote, listen, direction, streams: 1, warm_up, duration };
    let streams = Streams::connect(client, server, &stream)?;
    let beside = streams.during(|control, received| {
        control.guard(|| {
            let arrived = || received.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
            let before = arrived();
            let rtt = ask(client, server, plan, control)?;
            if arrived() == before {
                return Err(LoadError::Silent {
                    what: "the stream beside the requests",
                    silence: plan.duration,
                });
            }
            Ok(rtt)
        })
    });
    beside.map(|(rtt, _drained)| rtt)
}

/// Asks one request after the other, until the time is over or the run has failed elsewhere.
fn ask(client: &Namespace, server: &Namespace, plan: &RttPlan, control: &Control) -> Result<Rtt, LoadError> {
    let (near, far) = open(client, server, plan)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let echo = scope.spawn(|| far.echo(&done));
        let asked = Asker::new(near).ask(plan, control);
        done.store(true, Ordering::Relaxed);
        // If the server failed, that is why the client did.
        echo.join().expect("the echo does not panic").map_err(LoadError::broken(WHAT))?;
        asked
    })
}

fn open(client: &Namespace, server: &Namespace, plan: &RttPlan) -> Result<(Wire, Wire), LoadError> {
    match plan.protocol {
        Protocol::Udp => {
            let far = socket::udp_sink(server, plan.listen)?;
            Ok((Wire::Udp(socket::udp_source(client, plan.remote)?), Wire::Udp(far)))
        }
        Protocol::Tcp => {
            let listener = socket::listen(server, plan.listen)?;
            let connection = socket::connect(client, &listener, plan.remote)?;
            Ok((Wire::Tcp(connection.client), Wire::Tcp(connection.server)))
        }
    }
}

/// One side's socket. Calls on it return after a tenth of a second.
enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Wire {
    /// Gives back what comes until `done`, or until the other side closes.
    fn echo(&self, done: &AtomicBool) -> io::Result<()> {
        let mut buffer = [0; 2 * MESSAGE];
        while !done.load(Ordering::Relaxed) {
            let echoed = match self {
                Self::Udp(socket) => socket
                    .recv_from(&mut buffer)
                    .and_then(|(n, peer)| socket.send_to(&buffer[..n], peer).map(|_| n)),
                Self::Tcp(stream) => {
                    let mut stream: &TcpStream = stream;
                    stream.read(&mut buffer).and_then(|n| stream.write_all(&buffer[..n]).map(|()| n))
                }
            };
            match echoed {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) if socket::is_pause(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message).map(drop),
            Self::Tcp(stream) => (&mut &*stream).write_all(message),
        }
    }

    /// Reads until `message` is full, or what UDP has as one packet. Returns how much of it is.
    fn receive(&self, message: &mut [u8], filled: usize) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.recv(message),
            Self::Tcp(stream) => match (&mut &*stream).read(&mut message[filled..])? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                n => Ok(filled + n),
            },
        }
    }
}

/// The client.
struct Asker {
    wire: Wire,
    pattern: PacketPattern,
    ring: Vec<Vec<u8>>,
    number: u64,
}

impl Asker {
    fn new(wire: Wire) -> Self {
        let pattern = PacketPattern::new(MESSAGE);
        Self { wire, ring: pattern.payloads(), pattern, number: 0 }
    }

    fn ask(mut self, plan: &RttPlan, control: &Control) -> Result<Rtt, LoadError> {
        let (mut times, mut lost, mut in_a_row) = (Vec::new(), 0, 0);
        let begin = Instant::now();
        let mut counts_from = None;
        // Not before a last response, so that what breaks at the end is noticed as well.
        let is_over = |from: Option<Instant>| from.is_some_and(|from| from.elapsed() >= plan.duration);
        while (!is_over(counts_from) || in_a_row > 0) && !control.is_failed() {
            let time = self.round_trip()?;
            in_a_row = if time.is_none() { in_a_row + 1 } else { 0 };
            if in_a_row == MOST_LOST {
                return Err(LoadError::Silent { what: WHAT, silence: PATIENCE * MOST_LOST });
            }
            if counts_from.is_some() {
                lost += usize::from(time.is_none());
                times.push(time.unwrap_or(PATIENCE));
            } else if time.is_some() && begin.elapsed() >= plan.warm_up {
                counts_from = Some(Instant::now());
            }
        }
        Ok(summary(times, lost))
    }

    /// How long the response took; `None` if there was none.
    fn round_trip(&mut self) -> Result<Option<Duration>, LoadError> {
        self.number += 1;
        let slot = (self.number % self.ring.len() as u64) as usize;
        self.pattern.number(&mut self.ring[slot], self.number);
        let begin = Instant::now();
        self.wire.send(&self.ring[slot]).map_err(LoadError::broken(WHAT))?;
        let (mut response, mut filled) = ([0; MESSAGE], 0);
        while begin.elapsed() < PATIENCE {
            match self.wire.receive(&mut response, filled) {
                Ok(n) => filled = n,
                Err(e) if socket::is_pause(&e) => continue,
                Err(e) => return Err(LoadError::broken(WHAT)(e)),
            }
            let time = begin.elapsed();
            match self.pattern.read(&response[..filled]) {
                Some(number) if number == self.number => return Ok(Some(time)),
                // Late: it has been counted as lost.
                Some(number) if number < self.number => filled = 0,
                None if filled < MESSAGE && matches!(self.wire, Wire::Tcp(_)) => {}
                _ => return Err(LoadError::WrongBytes { what: WHAT, at: self.number }),
            }
        }
        Ok(None)
    }
}

fn summary(mut times: Vec<Duration>, lost: usize) -> Rtt {
    times.sort_unstable();
    let at =
        |percent| percentile(&times, percent).map_or(f64::NAN, |time: Duration| time.as_secs_f64() * 1e6);
    Rtt { p50_us: at(50), p99_us: at(99), samples: times.len(), lost }
}

/// For errors.
const WHAT: &str = "request and response";

/// Length of a request and of its response. Bytes.
const MESSAGE: usize = 64;

/// How long a response is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many requests in a row without a response mean that the path is lost. Where a queue is full, some in a row are not rare.
const MOST_LOST: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_counts_as_slow() {
        let mut times = vec![Duration::from_micros(20); 97];
        times.extend([PATIENCE; 3]);
        let rtt = summary(times, 3);
        assert!((rtt.p50_us - 20.0).abs() < 1e-6 && (rtt.p99_us - 1e6).abs() < 1e-3, "{rtt:?}");
    }
}
