//! Small servers and clients on real kernel sockets, to send something through what is under test.
//!
//! Servers are made inside a [`crate::Namespace`] and stop when they are dropped; drop them before
//! the lab, or they keep its namespaces alive. Clients are functions that act in the namespace of the calling thread:
//! call them by [`crate::Namespace::run`].

mod bulk;
mod echo;
mod http;
mod ping;
mod service;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

pub use bulk::{Bulk, Throughput, download, upload};
pub use echo::{TcpEcho, UdpEcho, tcp_exchange, udp_exchange};
pub use http::{Http, fetch};
pub use ping::{ping, ping6};

/// Opens a TCP connection from a chosen address and port. Port 0 leaves the choice to the kernel.
///
/// Reads and writes on it time out after `patience`, as connecting does.
pub fn tcp_connect(
    from: impl Into<SocketAddr>,
    to: impl Into<SocketAddr>,
    patience: Duration,
) -> io::Result<TcpStream> {
    let (from, to) = (from.into(), to.into());
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    // The send timeout bounds connect as well (socket(7)).
    let timeout = TimeVal::microseconds(i64::try_from(patience.as_micros()).unwrap_or(i64::MAX));
    setsockopt(&fd, sockopt::SendTimeout, &timeout)?;
    setsockopt(&fd, sockopt::ReceiveTimeout, &timeout)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(from))?;
    connect(fd.as_raw_fd(), &SockaddrStorage::from(to)).map_err(|e| match e {
        nix::errno::Errno::EINPROGRESS => io::ErrorKind::TimedOut.into(),
        other => io::Error::from(other),
    })?;
    Ok(fd.into())
}

/// Any address of the same IP version, and any port that is free.
const fn any_like(to: SocketAddr) -> SocketAddr {
    match to {
        SocketAddr::V4(_) => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        SocketAddr::V6(_) => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
    }
}
