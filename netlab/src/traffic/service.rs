//! What the servers have in common: a listener in a namespace, threads that stop, and the peers that came.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::Namespace;

/// How long a server waits for a peer that does not read, before it gives the connection up.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);

/// A server's thread. Dropping it stops and joins the thread.
#[derive(Debug)]
pub(super) struct Service {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

/// What a server's threads share with its handle.
#[derive(Debug)]
pub(super) struct Shared {
    stop: EventFd,
    peers: Mutex<Vec<(SocketAddr, Instant)>>,
}

impl Service {
    /// Runs `serve` on a thread of its own until it is dropped.
    pub(super) fn start(
        address: SocketAddr,
        serve: impl FnOnce(&Shared) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?;
        let shared = Arc::new(Shared { stop, peers: Mutex::default() });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("netlab-server".into()).spawn(move || serve(&theirs))?;
        Ok(Self { shared, address, thread: Some(thread) })
    }

    /// Accepts TCP connections at `address` in the namespace, each served on a thread of its own.
    pub(super) fn tcp(
        namespace: &Namespace,
        address: SocketAddr,
        serve: impl Fn(&Shared, TcpStream, SocketAddr) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = namespace.run(|| TcpListener::bind(address))?;
        Self::start(listener.local_addr()?, move |shared| {
            thread::scope(|scope| {
                while shared.readable(&listener) {
                    let Ok((stream, peer)) = listener.accept() else { continue };
                    shared.note(peer);
                    let serve = &serve;
                    // An error of one connection is its peer's business; the peer sees it end.
                    scope.spawn(move || {
                        stream
                            .set_write_timeout(Some(WRITE_PATIENCE))
                            .and_then(|()| serve(shared, stream, peer))
                    });
                }
            });
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn peers(&self) -> Vec<SocketAddr> {
        self.visits().into_iter().map(|(peer, _)| peer).collect()
    }

    /// The peers with the times at which they were first heard of: of a connection, when it was there.
    pub(super) fn visits(&self) -> Vec<(SocketAddr, Instant)> {
        self.shared.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Never read again, so that every thread sees it.
        self.shared.stop.write(1).expect("an empty counter takes 1");
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Waits until there is something to read; `false` when it is time to stop.
    pub(super) fn readable(&self, socket: impl AsFd) -> bool {
        let wanted = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [wanted(self.stop.as_fd()), wanted(socket.as_fd())];
        while poll(&mut fds, PollTimeout::NONE) == Err(nix::errno::Errno::EINTR) {}
        fds[0].any() == Some(false)
    }

    /// Whether it is time to stop.
    pub(super) fn stopped(&self) -> bool {
        let mut fds = [PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO) == Ok(1)
    }

    /// Remembers a peer.
    pub(super) fn note(&self, peer: SocketAddr) {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).push((peer, Instant::now()));
    }
}
