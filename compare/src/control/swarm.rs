//! Connections of which each sends its next request when the one before is answered, all driven by one thread.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::client::{Client, Request};
use crate::rest::RestError;

/// Several connections.
#[derive(Debug)]
pub struct Swarm {
    clients: Vec<Client>,
    ready: Epoll,
}

/// How fast requests were answered.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Requests, all of which went well.
    pub answers: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

/// How long nobody may be answered: links that are made wait for each other.
const PATIENCE_MS: u16 = 30_000;

impl Swarm {
    /// So many connections to the daemon that listens at `socket`.
    pub fn connect(socket: &Path, connections: usize) -> Result<Self, RestError> {
        let ready = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(std::io::Error::from)?;
        let mut clients = Vec::new();
        for nth in 0..connections {
            let client = Client::connect(socket)?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, nth as u64);
            ready.add(&client, event).map_err(std::io::Error::from)?;
            clients.push(client);
        }
        Ok(Self { clients, ready })
    }

    /// Sends all of them, each once.
    pub fn all(&mut self, requests: &[Request]) -> Result<Pace, RestError> {
        let mut left = requests.iter();
        self.run(|_| left.next())
    }

    /// Sends requests for so long: each connection those of its cycle again and again, `whole` of which belong together.
    pub fn cycle(
        &mut self,
        cycles: &[&[Request]],
        whole: usize,
        window: Duration,
    ) -> Result<Pace, RestError> {
        let mut sent = vec![0_usize; self.clients.len()];
        let start = Instant::now();
        self.run(|nth| {
            if sent[nth].is_multiple_of(whole) && start.elapsed() >= window {
                return None;
            }
            sent[nth] += 1;
            Some(&cycles[nth][(sent[nth] - 1) % cycles[nth].len()])
        })
    }

    /// Sends what `next` gives to each connection, until it gives nothing more.
    fn run<'r>(&mut self, mut next: impl FnMut(usize) -> Option<&'r Request>) -> Result<Pace, RestError> {
        let start = Instant::now();
        let mut asked: Vec<Option<&Request>> = Vec::new();
        for (nth, client) in self.clients.iter_mut().enumerate() {
            let request = next(nth);
            request.map_or(Ok(()), |request| client.begin(request))?;
            asked.push(request);
        }
        let mut waiting = asked.iter().flatten().count();
        let mut answers = 0;
        let mut events = vec![EpollEvent::empty(); self.clients.len()];
        while waiting > 0 {
            let timeout = EpollTimeout::from(PATIENCE_MS);
            let ready = self.ready.wait(&mut events, timeout).map_err(std::io::Error::from)?;
            if ready == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
            }
            for event in &events[..ready] {
                let nth = event.data() as usize;
                let client = &mut self.clients[nth];
                // A connection that waits for nothing is ready when the daemon has closed it: `advance` says so.
                if !client.advance()? {
                    continue;
                }
                if let Some(request) = asked[nth].take() {
                    client.body(request)?;
                    answers += 1;
                }
                asked[nth] = next(nth);
                match asked[nth] {
                    Some(request) => client.begin(request)?,
                    None => waiting -= 1,
                }
            }
        }
        Ok(Pace { answers, elapsed: start.elapsed() })
    }
}

impl Pace {
    /// Answers per second.
    #[expect(clippy::cast_precision_loss, reason = "a number of answers")]
    pub fn per_second(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }
}
