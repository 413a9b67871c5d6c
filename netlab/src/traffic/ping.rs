//! ICMP echo with a chosen query id.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
/// Payload of a request, which the answer has to bring back.
const PAYLOAD: &[u8; 24] = b"netlab echo request 0123";

/// Sends `count` echo requests with query id `id`, one after the other, and returns the round-trip time of each.
///
/// An answer that does not come within `patience` is an error of kind `TimedOut`. A raw socket, because those for
/// unprivileged users choose the query id themselves.
pub fn ping(destination: Ipv4Addr, id: u16, count: u16, patience: Duration) -> io::Result<Vec<Duration>> {
    let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp)?;
    // The standard library has no raw sockets; its datagram socket sends and receives on any kind.
    let raw = UdpSocket::from(raw);
    raw.connect(SocketAddrV4::new(destination, 0))?;
    (0..count).map(|sequence| round_trip(&raw, id, sequence, patience)).collect()
}

fn round_trip(raw: &UdpSocket, id: u16, sequence: u16, patience: Duration) -> io::Result<Duration> {
    let start = Instant::now();
    raw.send(&message(ECHO_REQUEST, id, sequence))?;
    let mut packet = [0; 2048];
    loop {
        let left = patience.saturating_sub(start.elapsed());
        // A timeout of zero would mean to wait for ever.
        raw.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let n = raw.recv(&mut packet).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => e,
        })?;
        if is_answer(&packet[..n], id, sequence) {
            return Ok(start.elapsed());
        }
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// A raw socket hears all ICMP of its peer, IP header included.
fn is_answer(packet: &[u8], id: u16, sequence: u16) -> bool {
    let header = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    packet.get(header..).is_some_and(|icmp| icmp == message(ECHO_REPLY, id, sequence))
}

/// RFC 792, echo or echo reply.
fn message(kind: u8, id: u16, sequence: u16) -> Vec<u8> {
    let fields = [[kind, 0], [0, 0], id.to_be_bytes(), sequence.to_be_bytes()];
    let mut message = [fields.as_flattened(), PAYLOAD].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// RFC 1071, for an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !(sum + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_its_checksum_sums_to_zero() {
        for id in [0, 1, 0x1234, u16::MAX] {
            assert_eq!(checksum(&message(ECHO_REQUEST, id, 7)), 0, "id {id}");
        }
    }
}
