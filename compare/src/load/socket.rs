//! Sockets in the two namespaces, none of which waits for ever.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use netlab::Namespace;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

use super::LoadError;

/// A connection, seen from both sides.
#[derive(Debug)]
pub(super) struct Connection {
    pub client: TcpStream,
    pub server: TcpStream,
    /// Whom the server sees.
    pub peer: SocketAddr,
}

impl Connection {
    /// Ends both sides at once: what is in their buffers is lost, and nothing of them keeps a namespace alive.
    pub(super) fn abort(&self) {
        for side in [&self.client, &self.server] {
            // Linger of zero makes closing a reset. A socket that refuses is closed as others are.
            let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Listens in the server's namespace.
pub(super) fn listen(server: &Namespace, at: SocketAddr) -> Result<TcpListener, LoadError> {
    server.run(|| TcpListener::bind(at)).map_err(LoadError::system(format!("listen at tcp {at}")))
}

/// Connects from the client's namespace to `remote`, which must be where `listener` listens.
pub(super) fn connect(
    client: &Namespace,
    listener: &TcpListener,
    remote: SocketAddr,
) -> Result<Connection, LoadError> {
    let failed = |source| LoadError::NoConnection { remote, source };
    let near = client.run(|| TcpStream::connect_timeout(&remote, PATIENCE)).map_err(failed)?;
    // A gateway may have accepted in the name of a server that never hears of it.
    if !readable(listener, PATIENCE).map_err(failed)? {
        return Err(failed(io::Error::new(io::ErrorKind::TimedOut, "the server saw no connection")));
    }
    let (server, peer) = listener.accept().map_err(failed)?;
    for side in [&near, &server] {
        let timeouts = side.set_read_timeout(Some(POLL)).and_then(|()| side.set_write_timeout(Some(POLL)));
        timeouts.and_then(|()| side.set_nodelay(true)).map_err(failed)?;
    }
    Ok(Connection { client: near, server, peer })
}

/// A socket of the client that sends to `remote` and hears from there only.
pub(super) fn udp_source(client: &Namespace, remote: SocketAddr) -> Result<UdpSocket, LoadError> {
    let any: IpAddr =
        if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let open = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(remote)?;
        socket.set_read_timeout(Some(POLL))?;
        socket.set_write_timeout(Some(POLL))?;
        Ok::<_, io::Error>(socket)
    };
    client.run(open).map_err(LoadError::system(format!("send to udp {remote}")))
}

/// A socket of the server, with a buffer that outlasts a pause of its reader.
pub(super) fn udp_sink(server: &Namespace, at: SocketAddr) -> Result<UdpSocket, LoadError> {
    let open = || {
        let socket = UdpSocket::bind(at)?;
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
        socket.set_read_timeout(Some(POLL))?;
        Ok::<_, io::Error>(socket)
    };
    server.run(open).map_err(LoadError::system(format!("listen at udp {at}")))
}

/// Whether there is something to read within `patience`.
pub(super) fn readable(socket: &impl AsFd, patience: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(patience).map_err(io::Error::other)?;
    loop {
        match poll(&mut fds, patience) {
            Err(Errno::EINTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

/// Whether a socket's own timeout ended the call, so that the caller looks around and goes on.
pub(super) fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
        // A connection that the kernel gave up has the same kind as a timeout, but its own number.
        && error.raw_os_error() != Some(Errno::ETIMEDOUT as i32)
}

/// Longest wait for a connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// Longest that a call on a socket takes, so that its thread looks around.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// Bytes.
const RECEIVE_BUFFER: usize = 16 * 1024 * 1024;
