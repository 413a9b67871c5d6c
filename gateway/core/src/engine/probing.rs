//! Frames for those who want to know what would happen to a packet, and do not have one.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Engine;
use crate::checksum::{pseudo_header, sum};
use crate::respond::{alter_header, put_header};
use crate::translate::MacPair;
use crate::vnet::new_frame;
use crate::wire::{Family, IP, TCP_LEN, UDP_LEN, checksum_at, icmp_type, icmpv6_type, protocol, put_u16};
use crate::{CommandError, Explanation, Instant, Link, MacAddr, Probe, Protocol};

impl Engine {
    /// What would happen to a packet from a link, by the same decisions that real packets meet. See [`Self::explain_frame`].
    pub fn explain(&self, now: Instant, from: Link, probe: &Probe) -> Result<Explanation, CommandError> {
        let macs = self.macs_from(from)?;
        let frame = probe.frame(macs, self.source_of_probe(from, probe), from);
        Ok(self.explain_frame(now, from, &frame))
    }

    /// The same for the bytes of an IP packet.
    pub fn explain_packet(
        &self,
        now: Instant,
        from: Link,
        packet: &[u8],
    ) -> Result<Explanation, CommandError> {
        let (to, source) = self.macs_from(from)?;
        let family = if packet.first().is_some_and(|byte| byte >> 4 == 6) { Family::V6 } else { Family::V4 };
        let mut frame = new_frame(packet.len(), to, source, family.ether_type());
        frame[IP..].copy_from_slice(packet);
        Ok(self.explain_frame(now, from, &frame))
    }

    /// Destination and source of a frame that a link sends to the gateway.
    fn macs_from(&self, from: Link) -> Result<MacPair, CommandError> {
        /// Any host of a VPC.
        const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
        match from {
            Link::Attachment(id) => {
                let attachment = self.attachments.get(&id).ok_or(CommandError::UnknownAttachment(id))?;
                Ok((attachment.config.gateway_mac, attachment.config.mac))
            }
            Link::Uplink(id) => {
                let uplink = self.uplinks.get(&id).ok_or(CommandError::UnknownUplink(id))?;
                Ok((uplink.config.mac, HOST))
            }
        }
    }

    /// What a probe leaves open: the container's own address, and a port that nothing of it has.
    fn source_of_probe(&self, from: Link, probe: &Probe) -> SocketAddr {
        let destination = probe.destination.ip();
        let attachment = if let Link::Attachment(id) = from { self.attachments.get(&id) } else { None };
        let own = attachment.and_then(|a| a.config.addressing(destination)).map(|own| own.address);
        let given = probe.source.filter(|source| source.is_ipv4() == destination.is_ipv4());
        // Without an address of that version it can only be nobody's.
        let nobody = if destination.is_ipv4() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        let source = given.or(own).unwrap_or(nobody);
        let unused = || {
            let mappings = attachment.into_iter().flat_map(|a| self.mappings.of(a.mappings));
            let keys = mappings.map(|mapping| self.mappings[mapping].key);
            let used: BTreeSet<u16> =
                keys.filter(|key| key.protocol == probe.protocol).map(|key| key.internal.port()).collect();
            EPHEMERAL.chain(1..*EPHEMERAL.start()).find(|port| !used.contains(port)).unwrap_or(0)
        };
        SocketAddr::new(source, probe.source_port.unwrap_or_else(unused))
    }
}

/// Where hosts take the ports of what they begin from (RFC 6335 §6).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 49_152..=65_535;

impl Probe {
    /// The frame, between these MAC addresses.
    fn frame(&self, macs: MacPair, source: SocketAddr, from: Link) -> Vec<u8> {
        let family = Family::of(source.ip());
        let (number, header_len) = match (self.number, self.protocol) {
            (Some(number), _) => (number, 0),
            (None, Protocol::Tcp) => (protocol::TCP, TCP_LEN),
            (None, Protocol::Udp) => (protocol::UDP, UDP_LEN),
            (None, Protocol::Icmp) => (family.icmp(), 8),
        };
        let at = IP + family.header_len();
        let length = header_len + usize::from(self.payload_bytes);
        let length = length.min(usize::from(u16::MAX) - family.header_len());
        let mut frame = new_frame(family.header_len() + length, macs.0, macs.1, family.ether_type());
        let (source_ip, destination) = (source.ip(), self.destination.ip());
        put_header(&mut frame, number, source_ip, destination);
        alter_header(&mut frame, self.ttl, self.dont_fragment);
        let checksum_at = self.put_transport(&mut frame[at..], source, from);
        if let Some(place) = checksum_at.filter(|_| self.number.is_none()) {
            let covers_addresses = self.protocol != Protocol::Icmp || family == Family::V6;
            let pseudo =
                if covers_addresses { pseudo_header(source_ip, destination, number, length) } else { 0 };
            let checksum = !sum(&frame[at..], pseudo);
            // RFC 768: a checksum that comes out as zero is sent as all ones.
            let checksum = if checksum == 0 && self.protocol == Protocol::Udp { 0xffff } else { checksum };
            put_u16(&mut frame[at..], place, checksum);
        }
        frame
    }

    /// Writes the transport header but for its checksum; where that stands.
    fn put_transport(&self, transport: &mut [u8], source: SocketAddr, from: Link) -> Option<usize> {
        if self.number.is_some() {
            return None;
        }
        let length = transport.len() as u16;
        let destination = self.destination.port();
        match self.protocol {
            Protocol::Tcp => {
                put_u16(transport, 0, source.port());
                put_u16(transport, 2, destination);
                transport[12] = (TCP_LEN as u8 / 4) << 4;
                transport[13] = self.tcp_flags;
                Some(checksum_at::TCP)
            }
            Protocol::Udp => {
                put_u16(transport, 0, source.port());
                put_u16(transport, 2, destination);
                put_u16(transport, 4, length);
                Some(checksum_at::UDP)
            }
            Protocol::Icmp => {
                let is_v6 = source.is_ipv6();
                // A VPC answers: its queries reach nobody, unless the container's own address is seen there.
                let answers = matches!(from, Link::Uplink(_)) && self.source_port.is_none();
                transport[0] = match (answers, is_v6) {
                    (false, false) => icmp_type::ECHO_REQUEST,
                    (true, false) => icmp_type::ECHO_REPLY,
                    (false, true) => icmpv6_type::ECHO_REQUEST,
                    (true, true) => icmpv6_type::ECHO_REPLY,
                };
                put_u16(transport, 4, if answers { destination } else { source.port() });
                Some(checksum_at::ICMP)
            }
        }
    }
}
