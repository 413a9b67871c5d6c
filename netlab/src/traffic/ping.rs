//! ICMP echo with a chosen query id.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

/// What differs between RFC 792 and RFC 4443.
#[derive(Clone, Copy)]
struct Version {
    family: AddressFamily,
    protocol: SockProtocol,
    request: u8,
    reply: u8,
}

const V4: Version =
    Version { family: AddressFamily::Inet, protocol: SockProtocol::Icmp, request: 8, reply: 0 };
const V6: Version =
    Version { family: AddressFamily::Inet6, protocol: SockProtocol::IcmpV6, request: 128, reply: 129 };

/// Payload of a request, which the answer has to bring back.
const PAYLOAD: &[u8; 24] = b"netlab echo request 0123";

/// Sends `count` echo requests with query id `id`, one after the other, and returns the round-trip time of each.
///
/// An answer that does not come within `patience` is an error of kind `TimedOut`. A raw socket, because those for
/// unprivileged users choose the query id themselves.
pub fn ping(destination: Ipv4Addr, id: u16, count: u16, patience: Duration) -> io::Result<Vec<Duration>> {
    requests(V4, destination.into(), id, count, patience)
}

/// The same for IPv6.
pub fn ping6(destination: Ipv6Addr, id: u16, count: u16, patience: Duration) -> io::Result<Vec<Duration>> {
    requests(V6, destination.into(), id, count, patience)
}

fn requests(
    version: Version,
    destination: IpAddr,
    id: u16,
    count: u16,
    patience: Duration,
) -> io::Result<Vec<Duration>> {
    let raw = socket(version.family, SockType::Raw, SockFlag::SOCK_CLOEXEC, version.protocol)?;
    // The standard library has no raw sockets; its datagram socket sends and receives on any kind.
    let raw = UdpSocket::from(raw);
    raw.connect(SocketAddr::new(destination, 0))?;
    (0..count).map(|sequence| round_trip(&raw, version, id, sequence, patience)).collect()
}

fn round_trip(
    raw: &UdpSocket,
    version: Version,
    id: u16,
    sequence: u16,
    patience: Duration,
) -> io::Result<Duration> {
    let start = Instant::now();
    // The kernel fills in the checksum of ICMPv6, which covers addresses (RFC 3542 §3.1).
    raw.send(&message(version.request, id, sequence))?;
    let mut packet = [0; 2048];
    loop {
        let left = patience.saturating_sub(start.elapsed());
        // A timeout of zero would mean to wait for ever.
        raw.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let n = raw.recv(&mut packet).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => e,
        })?;
        if is_answer(version, &packet[..n], id, sequence) {
            return Ok(start.elapsed());
        }
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// A raw socket hears all ICMP of its peer: of IPv4 with the IP header, of IPv6 without, and the checksum verified.
fn is_answer(version: Version, packet: &[u8], id: u16, sequence: u16) -> bool {
    let mut answer = message(version.reply, id, sequence);
    if version.family == AddressFamily::Inet {
        let header = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
        return packet.get(header..).is_some_and(|icmp| icmp == answer);
    }
    let Some(checksum) = packet.get(2..4) else { return false };
    answer[2..4].copy_from_slice(checksum);
    packet == answer
}

/// Echo request or reply.
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
            assert_eq!(checksum(&message(V4.request, id, 7)), 0, "id {id}");
        }
    }
}
