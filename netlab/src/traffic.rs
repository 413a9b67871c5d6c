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
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

pub use bulk::{Bulk, Throughput, download, upload};
pub use echo::{TcpEcho, UdpEcho, tcp_exchange, udp_exchange};
pub use http::{Http, fetch};
pub use ping::ping;

/// Opens a TCP connection from a chosen address and port. Port 0 leaves the choice to the kernel.
///
/// Reads and writes on it time out after `patience`, as connecting does.
pub fn tcp_connect(from: SocketAddrV4, to: SocketAddrV4, patience: Duration) -> io::Result<TcpStream> {
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    // The send timeout bounds connect as well (socket(7)).
    let timeout = TimeVal::microseconds(i64::try_from(patience.as_micros()).unwrap_or(i64::MAX));
    setsockopt(&fd, sockopt::SendTimeout, &timeout)?;
    setsockopt(&fd, sockopt::ReceiveTimeout, &timeout)?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &SockaddrIn::from(from))?;
    connect(std::os::fd::AsRawFd::as_raw_fd(&fd), &SockaddrIn::from(to)).map_err(|e| match e {
        nix::errno::Errno::EINPROGRESS => io::ErrorKind::TimedOut.into(),
        other => io::Error::from(other),
    })?;
    Ok(fd.into())
}

/// Any address, and any port that is free.
const ANY: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0);
