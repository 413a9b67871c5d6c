//! As much as TCP carries, for a while, in either direction.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::service::{Service, Shared};
use super::{any_like, tcp_connect};
use crate::Namespace;

/// Bytes a system call. Large enough that the kernel builds full super-packets.
const BLOCK: usize = 256 * 1024;

/// How long a transfer may make no progress at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first byte of a connection says who sends.
const UPLOAD: u8 = b'u';
const DOWNLOAD: u8 = b'd';

/// A server for [`upload`] and [`download`].
#[derive(Debug)]
pub struct Bulk(Service);

impl Bulk {
    /// Listens in the namespace. Port 0 takes a free one.
    pub fn start(namespace: &Namespace, address: impl Into<SocketAddr>) -> io::Result<Self> {
        let serve = |shared: &Shared, mut stream: TcpStream, _peer| {
            let mut direction = [0];
            if !shared.readable(&stream) {
                return Ok(());
            }
            stream.read_exact(&mut direction)?;
            if direction[0] == DOWNLOAD { send(shared, &mut stream) } else { receive(shared, &mut stream) }
        };
        Service::tcp(namespace, address.into(), serve).map(Self)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

/// What was carried, and in what time.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    /// Payload that the receiver has read.
    pub bytes: u64,
    /// From the first byte's sending to the last one's reading.
    pub elapsed: Duration,
}

impl Throughput {
    /// Payload bits a second.
    #[allow(clippy::cast_precision_loss, reason = "nobody reads the 53rd bit of a throughput")]
    pub fn bits_per_second(self) -> f64 {
        self.bytes as f64 * 8.0 / self.elapsed.as_secs_f64()
    }
}

/// Sends to a [`Bulk`] server for `duration`.
pub fn upload(server: SocketAddr, duration: Duration) -> io::Result<Throughput> {
    let mut stream = tcp_connect(any_like(server), server, PATIENCE)?;
    let block = vec![0x5a; BLOCK];
    let start = Instant::now();
    stream.write_all(&[UPLOAD])?;
    while start.elapsed() < duration {
        stream.write_all(&block)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut count = [0; 8];
    stream.read_exact(&mut count)?;
    Ok(Throughput { bytes: u64::from_be_bytes(count), elapsed: start.elapsed() })
}

/// Receives from a [`Bulk`] server for `duration`.
pub fn download(server: SocketAddr, duration: Duration) -> io::Result<Throughput> {
    let mut stream = tcp_connect(any_like(server), server, PATIENCE)?;
    let mut block = vec![0; BLOCK];
    let start = Instant::now();
    stream.write_all(&[DOWNLOAD])?;
    let mut bytes = 0;
    while start.elapsed() < duration {
        match stream.read(&mut block)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => bytes += n as u64,
        }
    }
    Ok(Throughput { bytes, elapsed: start.elapsed() })
}

fn send(shared: &Shared, stream: &mut TcpStream) -> io::Result<()> {
    let block = vec![0xa5; BLOCK];
    while !shared.stopped() {
        stream.write_all(&block)?;
    }
    Ok(())
}

fn receive(shared: &Shared, stream: &mut TcpStream) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut bytes: u64 = 0;
    while shared.readable(&*stream) {
        match stream.read(&mut block)? {
            0 => return stream.write_all(&bytes.to_be_bytes()),
            n => bytes += n as u64,
        }
    }
    Ok(())
}
