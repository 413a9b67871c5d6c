//! Echo over TCP and UDP, with a tag that proves which server answered.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::service::{Service, Shared};
use super::tcp_connect;
use crate::Namespace;

/// Largest UDP payload.
const DATAGRAM: usize = 65_507;

/// A TCP server that says its tag on a line of its own, and then sends back whatever comes.
#[derive(Debug)]
pub struct TcpEcho(Service);

impl TcpEcho {
    /// Listens in the namespace. Port 0 takes a free one.
    pub fn start(namespace: &Namespace, address: impl Into<SocketAddr>, tag: &str) -> io::Result<Self> {
        let greeting = format!("{tag}\n");
        let serve = move |shared: &Shared, mut stream: std::net::TcpStream, _peer| {
            stream.write_all(greeting.as_bytes())?;
            let mut buffer = vec![0; 64 * 1024];
            while shared.readable(&stream) {
                match stream.read(&mut buffer)? {
                    0 => break,
                    n => stream.write_all(&buffer[..n])?,
                }
            }
            Ok(())
        };
        Service::tcp(namespace, address.into(), serve).map(Self)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// The remote side of every connection so far, in order.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.0.peers()
    }
}

/// A UDP server that answers each datagram with its tag, a blank, and the datagram.
#[derive(Debug)]
pub struct UdpEcho(Service);

impl UdpEcho {
    /// Listens in the namespace. Port 0 takes a free one.
    pub fn start(namespace: &Namespace, address: impl Into<SocketAddr>, tag: &str) -> io::Result<Self> {
        let address = address.into();
        let socket = namespace.run(|| UdpSocket::bind(address))?;
        let bound = socket.local_addr()?;
        let tag = format!("{tag} ");
        let serve = move |shared: &Shared| {
            let mut buffer = vec![0; DATAGRAM];
            while shared.readable(&socket) {
                let Ok((n, peer)) = socket.recv_from(&mut buffer) else { continue };
                shared.note(peer);
                // A refused answer is the peer's loss, as everywhere with UDP.
                let _ = socket.send_to(&[tag.as_bytes(), &buffer[..n]].concat(), peer);
            }
        };
        Service::start(bound, serve).map(Self)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// The sender of every datagram so far, in order.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.0.peers()
    }
}

/// Sends `payload` to a [`TcpEcho`], checks that it comes back unchanged, and returns the server's tag.
pub fn tcp_exchange(
    from: impl Into<SocketAddr>,
    to: impl Into<SocketAddr>,
    payload: &[u8],
    patience: Duration,
) -> io::Result<String> {
    let stream = tcp_connect(from, to, patience)?;
    let mut reader = BufReader::new(&stream);
    let mut tag = String::new();
    reader.read_line(&mut tag)?;
    // Written beside the reading: both directions may hold more than the sockets' buffers.
    let echoed = std::thread::scope(|scope| {
        let writer = scope.spawn(|| (&stream).write_all(payload));
        let mut echoed = vec![0; payload.len()];
        let read = reader.read_exact(&mut echoed);
        writer.join().expect("writing does not panic").and(read).map(|()| echoed)
    })?;
    same(&echoed, payload)?;
    Ok(tag.trim_end().into())
}

/// Sends `payload` to a [`UdpEcho`] once, checks that it comes back unchanged, and returns the server's tag.
pub fn udp_exchange(
    from: impl Into<SocketAddr>,
    to: impl Into<SocketAddr>,
    payload: &[u8],
    patience: Duration,
) -> io::Result<String> {
    let socket = UdpSocket::bind(from.into())?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect(to.into())?;
    socket.send(payload)?;
    let mut buffer = vec![0; DATAGRAM];
    let n = socket.recv(&mut buffer)?;
    let (tag, echoed) = buffer[..n].split_at(n.saturating_sub(payload.len()));
    same(echoed, payload)?;
    Ok(String::from_utf8_lossy(tag).trim_end().into())
}

fn same(echoed: &[u8], sent: &[u8]) -> io::Result<()> {
    if echoed == sent { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "the echo differs")) }
}
