//! The client: so many connections under way, each followed by another one.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use socket2::{Domain, Socket, Type};

use super::{CrrPlan, EVENTS, LOOK, MESSAGE, WHAT, response};
use crate::load::LoadError;
use crate::load::pattern::nonce;
use crate::load::window::Control;

/// One thread of the client.
#[derive(Debug)]
pub(super) struct Client<'a> {
    remote: SocketAddr,
    epoll: Epoll,
    slots: Vec<Option<Exchange>>,
    request: [u8; MESSAGE],
    number: u64,
    completed: &'a AtomicU64,
}

/// A connection under way.
#[derive(Debug)]
struct Exchange {
    stream: TcpStream,
    since: Instant,
    request: [u8; MESSAGE],
    is_asked: bool,
    answer: [u8; MESSAGE],
    answered: usize,
}

/// How far a connection got.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Waiting,
    Done,
}

impl<'a> Client<'a> {
    pub(super) fn new(plan: &CrrPlan, completed: &'a AtomicU64) -> Result<Self, LoadError> {
        let epoll =
            Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(LoadError::system("make an epoll"))?;
        let mut request = [0; MESSAGE];
        request[..8].copy_from_slice(&nonce().to_le_bytes());
        let slots = (0..plan.concurrent).map(|_| None).collect();
        Ok(Self { remote: plan.remote, epoll, slots, request, number: 0, completed })
    }

    /// Goes on until the run stops; connections that are under way then are reset.
    pub(super) fn run(mut self, control: &Control) -> Result<(), LoadError> {
        (0..self.slots.len()).try_for_each(|slot| self.open(slot))?;
        let mut events = [EpollEvent::empty(); EVENTS];
        let mut looked = Instant::now();
        while !control.is_stopped() {
            let n = match self.epoll.wait(&mut events, LOOK) {
                Err(Errno::EINTR) => 0,
                n => n.map_err(LoadError::system("wait for connections"))?,
            };
            events[..n].iter().try_for_each(|event| self.advance(event.data() as usize))?;
            if looked.elapsed() > PATIENCE / 4 {
                looked = Instant::now();
                self.check_patience()?;
            }
        }
        Ok(())
    }

    fn open(&mut self, slot: usize) -> Result<(), LoadError> {
        let open = || {
            let socket = Socket::new(Domain::for_address(self.remote), Type::STREAM.nonblocking(), None)?;
            socket.set_tcp_nodelay(true)?;
            match socket.connect(&self.remote.into()) {
                Err(e) if e.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(e),
                _ => {}
            }
            let either_way = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
            self.epoll.add(&socket, EpollEvent::new(either_way, slot as u64))?;
            Ok(TcpStream::from(socket))
        };
        let stream = open().map_err(|source| LoadError::NoConnection { remote: self.remote, source })?;
        self.number += 1;
        self.request[8..16].copy_from_slice(&self.number.to_le_bytes());
        self.slots[slot] = Some(Exchange {
            stream,
            since: Instant::now(),
            request: self.request,
            is_asked: false,
            answer: [0; MESSAGE],
            answered: 0,
        });
        Ok(())
    }

    fn advance(&mut self, slot: usize) -> Result<(), LoadError> {
        let Some(exchange) = &mut self.slots[slot] else { return Ok(()) };
        if exchange.advance(self.number)? == Progress::Done {
            self.completed.fetch_add(1, Ordering::Relaxed);
            // Closed before its port may be chosen again.
            self.slots[slot] = None;
            self.open(slot)?;
        }
        Ok(())
    }

    fn check_patience(&self) -> Result<(), LoadError> {
        let stuck = self.slots.iter().flatten().find(|exchange| exchange.since.elapsed() > PATIENCE);
        stuck.map_or(Ok(()), |exchange| {
            Err(LoadError::Silent { what: "one connection", silence: exchange.since.elapsed() })
        })
    }
}

impl Exchange {
    /// Does what can be done without waiting.
    fn advance(&mut self, number: u64) -> Result<Progress, LoadError> {
        match self.ask().and_then(|()| self.listen()) {
            Ok(true) if self.answered == MESSAGE && self.answer == response(self.request) => {
                Ok(Progress::Done)
            }
            Ok(true) => Err(LoadError::WrongBytes { what: "a response", at: number }),
            Ok(false) => Ok(Progress::Waiting),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                Ok(Progress::Waiting)
            }
            Err(e) => Err(LoadError::broken(WHAT)(e)),
        }
    }

    fn ask(&mut self) -> io::Result<()> {
        if !self.is_asked {
            // So little fits into an empty buffer as a whole.
            let n = self.stream.write(&self.request)?;
            self.is_asked = n == MESSAGE;
        }
        Ok(())
    }

    /// Whether the server has closed.
    fn listen(&mut self) -> io::Result<bool> {
        loop {
            let mut more = [0; MESSAGE + 1];
            match self.stream.read(&mut more)? {
                0 => return Ok(true),
                n if self.answered + n > MESSAGE => return Err(io::ErrorKind::InvalidData.into()),
                n => {
                    self.answer[self.answered..][..n].copy_from_slice(&more[..n]);
                    self.answered += n;
                }
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.answered < MESSAGE {
            // Given up: nothing of it keeps the namespace alive.
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Longest that one connection may take; more than the kernel's first two retransmissions of a SYN (1 + 2 s).
const PATIENCE: Duration = Duration::from_secs(4);
