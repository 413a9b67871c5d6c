//! A web server that says who it is and whom it saw, and the client for it. Just enough of HTTP/1.1 for `curl` as well.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use super::service::{Service, Shared};
use super::{any_like, tcp_connect};
use crate::Namespace;

/// Longest request that is read. Bytes.
const REQUEST: u64 = 8 * 1024;

/// Answers `GET /` by `{"server":"…","client":"address:port"}`, over IPv4.
#[derive(Debug)]
pub struct Http(Service);

impl Http {
    /// Listens in the namespace. Port 0 takes a free one.
    ///
    /// # Panics
    /// If `name` would need escaping inside JSON.
    pub fn start(namespace: &Namespace, address: SocketAddrV4, name: &str) -> io::Result<Self> {
        assert!(!name.contains(['"', '\\']) && !name.contains(char::is_control), "{name:?} needs escaping");
        let name = name.to_owned();
        let serve = move |shared: &Shared, stream: TcpStream, peer| {
            // A client that never asks must not keep the server from stopping.
            if shared.readable(&stream) { answer(&stream, &name, peer) } else { Ok(()) }
        };
        Service::tcp(namespace, address.into(), serve).map(Self)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddrV4 {
        v4(self.0.address())
    }

    /// The clients so far, in order.
    pub fn clients(&self) -> Vec<SocketAddrV4> {
        self.0.peers().into_iter().map(v4).collect()
    }

    /// The clients so far, each with the time at which its connection was there.
    pub fn visits(&self) -> Vec<(SocketAddrV4, Instant)> {
        self.0.visits().into_iter().map(|(client, at)| (v4(client), at)).collect()
    }
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => unreachable!("the socket was bound to an IPv4 address"),
    }
}

fn answer(mut stream: &TcpStream, name: &str, peer: SocketAddr) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut lines = BufReader::new(stream.take(REQUEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    lines.take_while(|line| line.as_ref().is_ok_and(|l| !l.is_empty())).for_each(drop);
    let (status, body) = if request.starts_with("GET / ") {
        ("200 OK", format!(r#"{{"server":"{name}","client":"{peer}"}}"#))
    } else {
        ("404 Not Found", r#"{"error":"only GET / is here"}"#.to_owned())
    };
    let length = body.len() + 1;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}\n"
    )
}

/// Fetches `/` and returns the body; any answer but 200 is an error.
pub fn fetch(server: impl Into<SocketAddr>, patience: Duration) -> io::Result<String> {
    let server = server.into();
    let mut stream = tcp_connect(any_like(server), server, patience)?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let body = response.strip_prefix("HTTP/1.1 200 ").and_then(|r| r.split_once("\r\n\r\n"));
    let refused = || {
        io::Error::new(io::ErrorKind::InvalidData, response.lines().next().unwrap_or("no answer").to_owned())
    };
    body.map(|(_head, body)| body.trim_end().to_owned()).ok_or_else(refused)
}
