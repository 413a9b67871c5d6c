//! Where clients come in, and how many at a time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Peer, Tls};

/// Where clients come in.
#[derive(Debug)]
pub struct Listeners {
    /// Always; who may connect is decided by the file's mode.
    pub unix: UnixListener,
    /// For machines without unix sockets in their tools, and for other machines.
    pub tcp: Option<Tcp>,
}

/// TCP, with or without TLS. Whoever comes in by it bears a token.
#[derive(Debug)]
pub enum Tcp {
    /// Not encrypted: bind it to loopback. Requests have to name it as `localhost` or by a loopback address, so that no page in a
    /// browser gets through.
    Plain(TcpListener),
    /// For any address.
    Tls(TcpListener, Tls),
}

impl Tcp {
    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let (Self::Plain(listener) | Self::Tls(listener, _)) = self;
        listener.local_addr()
    }
}

/// The listeners, and the places behind each: whoever fills those of TCP does not keep the local administrator out.
pub(super) struct Doors<'a> {
    listeners: &'a Listeners,
    unix: Arc<Semaphore>,
    tcp: Arc<Semaphore>,
}

/// A client that has come in.
pub(super) struct Accepted {
    pub(super) connection: Connection,
    pub(super) peer: Peer,
    /// Held for as long as the connection lives.
    pub(super) place: OwnedSemaphorePermit,
}

/// A connection that nothing was read from yet.
pub(super) enum Connection {
    Unix(UnixStream),
    Plain(TcpStream),
    Tls(TcpStream, Tls),
}

/// A byte stream to a client.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl<'a> Doors<'a> {
    pub(super) fn new(listeners: &'a Listeners, places: usize) -> Self {
        let semaphore = || Arc::new(Semaphore::new(places));
        Self { listeners, unix: semaphore(), tcp: semaphore() }
    }

    /// Waits for the next client that there is a place for.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        tokio::select! {
            accepted = self.accept_unix() => accepted,
            accepted = self.accept_tcp() => accepted,
        }
    }

    async fn accept_unix(&self) -> io::Result<Accepted> {
        let place = take(&self.unix).await;
        let (stream, _) = self.listeners.unix.accept().await?;
        let peer = Peer::Unix { uid: stream.peer_cred()?.uid() };
        Ok(Accepted { connection: Connection::Unix(stream), peer, place })
    }

    async fn accept_tcp(&self) -> io::Result<Accepted> {
        let Some(tcp) = &self.listeners.tcp else { return std::future::pending().await };
        let place = take(&self.tcp).await;
        let (Tcp::Plain(listener) | Tcp::Tls(listener, _)) = tcp;
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (connection, peer) = match tcp {
            Tcp::Plain(_) => (Connection::Plain(stream), Peer::Loopback),
            Tcp::Tls(_, tls) => (Connection::Tls(stream, tls.clone()), Peer::Tls),
        };
        Ok(Accepted { connection, peer, place })
    }
}

async fn take(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    places.clone().acquire_owned().await.expect("nobody closes the semaphore")
}

impl Connection {
    /// Makes it ready for requests: shakes hands, where that is due.
    pub(super) async fn open(self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(stream) => Box::new(stream),
            Self::Plain(stream) => Box::new(stream),
            Self::Tls(stream, tls) => Box::new(tls.accept(stream).await?),
        })
    }
}
