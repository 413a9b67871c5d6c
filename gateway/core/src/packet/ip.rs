//! IP headers: lengths, options, extension headers.

use std::net::IpAddr;

use super::chain;
use crate::Reason;
use crate::checksum::checksum;
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
    /// `None`: the packet is a fragment.
    pub(super) fn parse(ip: &[u8], family: Family) -> Result<Option<Self>, Reason> {
        let (source, destination) = match ip.get(..family.header_len()) {
            Some(header) => addresses(header, family),
            None => return Err(Reason::IpHeaderInvalid),
        };
        match family {
            Family::V4 => {
                let end = ipv4_length(ip)?;
                let fragment = u16_at(ip, 6);
                if fragment & 0x3fff != 0 {
                    return Ok(None);
                }
                let dont_fragment = fragment & 0x4000 != 0;
                let (ttl, protocol, transport) = (ip[8], ip[9], IPV4_LEN);
                Ok(Some(Self { source, destination, ttl, dont_fragment, protocol, transport, end }))
            }
            Family::V6 => {
                let end = IPV6_LEN + usize::from(u16_at(ip, 4));
                if ip[0] >> 4 != 6 || end > ip.len() {
                    return Err(Reason::IpHeaderInvalid);
                }
                let upper = chain::Header::first(&ip[..end]).last(&ip[..end]);
                if upper.number == protocol::FRAGMENT {
                    return Ok(None);
                }
                if upper.is_extension() {
                    return Err(Reason::ExtensionHeader);
                }
                let (protocol, transport) = (upper.number, upper.start);
                let ttl = ip[7];
                Ok(Some(Self { source, destination, ttl, dont_fragment: true, protocol, transport, end }))
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
