//! Packets made by hand, sent by a raw socket: what no kernel would send by itself.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};

use etherparse::{IpFragOffset, IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header, UdpHeader};
use nix::errno::Errno;

use crate::world::Version;

/// A raw socket of this thread's namespace, for an IP protocol or, with `IPPROTO_RAW`, for whole packets. The standard
/// library has none; its datagram socket sends and receives on any kind.
pub(crate) fn socket(version: Version, protocol: libc::c_int) -> io::Result<UdpSocket> {
    let family = if version == Version::V4 { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: plain numbers.
    let fd = Errno::result(unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: `fd` was opened just now and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

/// Sends whole IP packets.
pub(crate) fn send<'a>(to: IpAddr, packets: impl IntoIterator<Item = &'a Vec<u8>>) -> io::Result<()> {
    let version = if to.is_ipv4() { Version::V4 } else { Version::V6 };
    let socket = socket(version, libc::IPPROTO_RAW)?;
    packets.into_iter().try_for_each(|packet| socket.send_to(packet, (to, 0)).map(drop))
}

/// A UDP datagram in IP fragments, each with so many bytes of the datagram.
pub(crate) fn fragments(
    from: SocketAddr,
    to: SocketAddr,
    payload: &[u8],
    id: u32,
    step: usize,
) -> Vec<Vec<u8>> {
    assert!(step.is_multiple_of(8), "offsets are counted in eights");
    let datagram = datagram(from, to, payload);
    let pieces: Vec<_> = datagram.chunks(step).collect();
    let last = pieces.len() - 1;
    let packet = |(i, piece): (usize, &&[u8])| {
        let offset = IpFragOffset::try_new((i * step / 8) as u16).unwrap();
        [header(from.ip(), to.ip(), piece.len(), offset, i < last, id), piece.to_vec()].concat()
    };
    pieces.iter().enumerate().map(packet).collect()
}

fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = (from.port(), to.port());
    let header = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            UdpHeader::with_ipv4_checksum(source, destination, &v4(from.octets(), to.octets(), 0), payload)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            UdpHeader::with_ipv6_checksum(source, destination, &v6(from.octets(), to.octets(), 0), payload)
        }
        _ => unreachable!("both addresses are of one version"),
    };
    [&header.unwrap().to_bytes(), payload].concat()
}

/// The headers of a fragment.
fn header(
    from: IpAddr,
    to: IpAddr,
    length: usize,
    fragment_offset: IpFragOffset,
    more_fragments: bool,
    id: u32,
) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = v4(from.octets(), to.octets(), length);
            header.fragment_offset = fragment_offset;
            header.more_fragments = more_fragments;
            header.identification = id as u16;
            header.dont_fragment = false;
            header.header_checksum = header.calc_header_checksum();
            header.to_bytes().to_vec()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let fragment = Ipv6FragmentHeader::new(IpNumber::UDP, fragment_offset, more_fragments, id);
            let mut header = v6(from.octets(), to.octets(), length + Ipv6FragmentHeader::LEN);
            header.next_header = IpNumber::IPV6_FRAGMENTATION_HEADER;
            [header.to_bytes().to_vec(), fragment.to_bytes().to_vec()].concat()
        }
        _ => unreachable!("both addresses are of one version"),
    }
}

fn v4(from: [u8; 4], to: [u8; 4], length: usize) -> Ipv4Header {
    Ipv4Header::new(length as u16, 64, IpNumber::UDP, from, to).unwrap()
}

fn v6(from: [u8; 16], to: [u8; 16], length: usize) -> Ipv6Header {
    Ipv6Header {
        payload_length: length as u16,
        next_header: IpNumber::UDP,
        hop_limit: 64,
        source: from,
        destination: to,
        ..Ipv6Header::default()
    }
}
