//! IP headers: lengths, options, extension headers.

use std::net::IpAddr;

use crate::Reason;
use crate::checksum::checksum;
use crate::limits::EXTENSION_HEADERS;
use crate::wire::{Family, IPV4_LEN, IPV6_LEN, addresses, protocol, u16_at};

/// What the headers in front of the transport header say. Offsets are from the IP header on.
pub(super) struct Header {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ttl: u8,
    pub(super) dont_fragment: bool,
    pub(super) protocol: u8,
    /// Where the transport header starts.
    pub(super) transport: usize,
    /// Where the packet ends; not behind what came in, nor in front of the transport header.
    pub(super) end: usize,
}

impl Header {
    pub(super) fn parse(ip: &[u8], family: Family) -> Result<Self, Reason> {
        let (source, destination) = match ip.get(..family.header_len()) {
            Some(header) => addresses(header, family),
            None => return Err(Reason::IpHeaderInvalid),
        };
        match family {
            Family::V4 => {
                let end = ipv4_length(ip)?;
                let fragment = u16_at(ip, 6);
                if fragment & 0x3fff != 0 {
                    return Err(Reason::Fragment);
                }
                let dont_fragment = fragment & 0x4000 != 0;
                let (ttl, protocol, transport) = (ip[8], ip[9], IPV4_LEN);
                Ok(Self { source, destination, ttl, dont_fragment, protocol, transport, end })
            }
            Family::V6 => {
                let end = IPV6_LEN + usize::from(u16_at(ip, 4));
                if ip[0] >> 4 != 6 || end > ip.len() {
                    return Err(Reason::IpHeaderInvalid);
                }
                let (protocol, transport) = walk(&ip[..end])?;
                let ttl = ip[7];
                Ok(Self { source, destination, ttl, dont_fragment: true, protocol, transport, end })
            }
        }
    }
}

/// Checks version, lengths, options and checksum; returns the total length, at most what came in.
pub(crate) fn ipv4_length(ip: &[u8]) -> Result<usize, Reason> {
    let header_len = usize::from(ip[0] & 0x0f) * 4;
    let total_len = usize::from(u16_at(ip, 2));
    if ip[0] >> 4 != 4 || header_len < IPV4_LEN || total_len < header_len || total_len > ip.len() {
        return Err(Reason::IpHeaderInvalid);
    }
    if checksum(&ip[..header_len]) != 0 {
        return Err(Reason::Ipv4ChecksumWrong);
    }
    if header_len > IPV4_LEN { Err(Reason::Ipv4Options) } else { Ok(total_len) }
}

/// Walks over the extension headers of a whole IPv6 packet (RFC 8200 §4): hop-by-hop options only in front, destination options,
/// and routing headers that have arrived. Returns protocol and place of the transport header.
fn walk(ip: &[u8]) -> Result<(u8, usize), Reason> {
    let (mut number, mut at) = (ip[6], IPV6_LEN);
    for _ in 0..=EXTENSION_HEADERS {
        let header = &ip[at..];
        match number {
            protocol::HOP_BY_HOP if at != IPV6_LEN => return Err(Reason::ExtensionHeader),
            protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS | protocol::ROUTING => {}
            protocol::FRAGMENT => return Err(Reason::Fragment),
            _ => return Ok((number, at)),
        }
        let length = match header {
            [_, words, ..] => (usize::from(*words) + 1) * 8,
            _ => return Err(Reason::ExtensionHeader),
        };
        // RFC 8200 §4.4, RFC 5095: with segments left this is not the packet's destination, and the checksum covers another one.
        if length > header.len() || (number == protocol::ROUTING && header[3] != 0) {
            return Err(Reason::ExtensionHeader);
        }
        (number, at) = (header[0], at + length);
    }
    Err(Reason::ExtensionHeader)
}

/// Where in an IPv6 packet the number stands that names its upper layer.
pub(crate) fn next_header_at(ip: &[u8]) -> usize {
    let (_, upper) = upper_layer(ip, ip[6], IPV6_LEN);
    let (mut at, mut next) = (6, IPV6_LEN);
    while next < upper {
        let (number, words) = (ip[at], ip[next + 1]);
        (at, next) = (next, next + if number == protocol::FRAGMENT { 8 } else { (usize::from(words) + 1) * 8 });
    }
    at
}

/// The protocol and place of the upper-layer header of whatever bytes there are, a Fragment header passed over: where it starts
/// is behind the end if they are too few. `number` is the protocol at `at`.
pub(super) fn upper_layer(ip: &[u8], mut number: u8, mut at: usize) -> (u8, usize) {
    if ip[0] >> 4 == 6 {
        for _ in 0..EXTENSION_HEADERS {
            let Some(&[next, words]) = ip.get(at..).and_then(|header| header.first_chunk()) else { break };
            at += match number {
                protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS | protocol::ROUTING => {
                    (usize::from(words) + 1) * 8
                }
                protocol::FRAGMENT => 8,
                _ => break,
            };
            number = next;
        }
    }
    (number, at)
}
