//! The server: answers each request, and closes.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use netlab::Namespace;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use socket2::{Domain, Socket, Type};

use super::{EVENTS, LOOK, MESSAGE, response};
use crate::load::LoadError;

/// One thread of the server. Several share the port, the kernel spreads connections over them.
#[derive(Debug)]
pub(super) struct Server {
    listener: TcpListener,
    epoll: Epoll,
    /// Connections whose request has not come yet, by descriptor.
    waiting: HashMap<u64, TcpStream>,
}

impl Server {
    pub(super) fn open(namespace: &Namespace, at: SocketAddr) -> Result<Self, LoadError> {
        let listen = || {
            let socket = Socket::new(Domain::for_address(at), Type::STREAM.nonblocking(), None)?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.bind(&at.into())?;
            socket.listen(BACKLOG)?;
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
            Ok(Self { listener: socket.into(), epoll, waiting: HashMap::new() })
        };
        namespace.run(listen).map_err(|e: io::Error| LoadError::system(format!("listen at tcp {at}"))(e))
    }

    /// Serves until the run is over.
    pub(super) fn serve(
        mut self,
        is_over: &AtomicBool,
        first: &OnceLock<SocketAddr>,
    ) -> Result<(), LoadError> {
        let mut events = [EpollEvent::empty(); EVENTS];
        while !is_over.load(Ordering::Relaxed) {
            let n = match self.epoll.wait(&mut events, LOOK) {
                Err(Errno::EINTR) => 0,
                n => n.map_err(LoadError::system("wait for connections"))?,
            };
            for event in &events[..n] {
                match event.data() {
                    LISTENER => self.accept(first).map_err(LoadError::system("accept"))?,
                    descriptor => self.resume(descriptor),
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, first: &OnceLock<SocketAddr>) -> io::Result<()> {
        loop {
            let (stream, peer) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                // It was reset while it waited.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {
                    continue;
                }
                Err(e) => return Err(e),
            };
            first.get_or_init(|| peer);
            stream.set_nonblocking(true)?;
            if let Some(stream) = answer(stream) {
                let descriptor = stream.as_raw_fd().unsigned_abs().into();
                self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, descriptor))?;
                self.waiting.insert(descriptor, stream);
            }
        }
    }

    fn resume(&mut self, descriptor: u64) {
        if let Some(stream) = self.waiting.remove(&descriptor).and_then(answer) {
            self.waiting.insert(descriptor, stream);
        }
    }
}

/// Answers and closes; gives the connection back if its request is not there yet.
///
/// What fails is left to the client, which sees it. A request comes in one segment, so that a part of one is as
/// wrong as none.
fn answer(mut stream: TcpStream) -> Option<TcpStream> {
    let mut request = [0; MESSAGE];
    match stream.read(&mut request) {
        Ok(MESSAGE) => drop(stream.write_all(&response(request))),
        Err(e) if e.kind() == ErrorKind::WouldBlock => return Some(stream),
        _ => {}
    }
    None
}

/// Tells the listener's events from those of connections, whose data is their descriptor.
const LISTENER: u64 = u64::MAX;

/// Connections that may wait to be accepted; the kernel takes less if `net.core.somaxconn` says so.
const BACKLOG: i32 = 4096;
