//! How packets end: one verdict each, with one reason out of one closed list, and the counters derived from them.

use crate::{Link, UplinkId};

/// What the shell does with a frame that it gave to [`crate::Engine::handle_packet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The frame was rewritten in place; send it out of this link.
    Forward(Link),
    /// The gateway took the frame in; answers, if any, come from [`crate::Engine::poll_transmit`], and so does the packet itself
    /// if it leaves in more pieces than it came in, or fewer.
    Respond,
    /// As [`Verdict::Respond`], and every other worker's engine needs to see the frame too (ARP and Neighbor Discovery of an uplink).
    Share,
    /// The engine keeps a copy of the frame until its next hop is known, or its other fragments have come.
    Hold,
    /// The frame belongs to another worker. It is untouched, and for that worker's [`crate::Engine::handle_packet`]; or, if it came
    /// from a container (hairpinning), translated so far that it is as if the VPC had sent it back, and for that worker's
    /// [`crate::Engine::handle_whole`].
    HandOff {
        /// The worker's index.
        to: u16,
        /// Whose frame it is for that worker.
        from: UplinkId,
    },
    /// The frame ends here.
    Drop(Reason),
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal,)+) => {
        /// Why a packet ended. Closed list: counters, `explain` and logs all speak it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason { $($(#[doc = $doc])+ $variant,)+ }

        impl Reason {
            /// Every reason, in order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable name, for counters and scripts.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// What it means and what can be done, for people.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    /// The link is not (or no longer) configured in this engine.
    UnknownLink = "unknown_link",
    /// The vnet header contradicts the frame or asks for something that no sender needs.
    VnetHeaderInvalid = "vnet_header_invalid",
    /// The frame is shorter than an Ethernet header.
    FrameTruncated = "frame_truncated",
    /// The frame carries a VLAN tag; put the uplink on a VLAN device instead.
    VlanTagged = "vlan_tagged",
    /// The EtherType is neither IPv4, IPv6 nor ARP.
    EtherTypeUnsupported = "ether_type_unsupported",
    /// The frame's destination is not the gateway's MAC address.
    NotForGateway = "not_for_gateway",
    /// The container sent from a MAC address that is not its own.
    SourceMacSpoofed = "source_mac_spoofed",
    /// The ARP message is malformed or speaks for an address that is not the sender's.
    ArpInvalid = "arp_invalid",
    /// The ARP message asks for an address that is not the gateway's.
    ArpNotForGateway = "arp_not_for_gateway",
    /// The Neighbor Discovery message fails a check of RFC 4861, or speaks for an address that is not the sender's.
    NdInvalid = "nd_invalid",
    /// The Neighbor Discovery message asks for an address that is not the gateway's.
    NdNotForGateway = "nd_not_for_gateway",
    /// The IP header is truncated or its lengths contradict the frame.
    IpHeaderInvalid = "ip_header_invalid",
    /// The IPv4 header checksum is wrong.
    Ipv4ChecksumWrong = "ipv4_checksum_wrong",
    /// The IPv4 header carries options (RFC 7126 advises to drop them).
    Ipv4Options = "ipv4_options",
    /// The IPv6 extension headers are malformed, too many, or a route that has not ended.
    ExtensionHeader = "extension_header",
    /// The fragment is malformed, or too small to hold the headers that it has to.
    FragmentInvalid = "fragment_invalid",
    /// Fragments of one datagram overlap, so that none of them can be trusted (RFC 5722).
    FragmentOverlap = "fragment_overlap",
    /// Too much waits for missing fragments: the oldest gave way, or a datagram is too large for what one may have.
    FragmentsFull = "fragments_full",
    /// Fragments are missing after 30 s; the sender was told by ICMP if the first one came.
    FragmentTimeout = "fragment_timeout",
    /// The container sent from an address that is not its own.
    SourceSpoofed = "source_spoofed",
    /// The sender's address cannot be a host's.
    SourceInvalid = "source_invalid",
    /// Loopback, link-local, multicast and reserved destinations are not routed into a VPC.
    DestinationForbidden = "destination_forbidden",
    /// The network or broadcast address of the uplink's prefix; packets for everybody are not routed into a VPC.
    Broadcast = "broadcast",
    /// The gateway's own address answers ARP, Neighbor Discovery and ping, nothing else.
    GatewayAddress = "gateway_address",
    /// The TTL ran out here; the sender was told by ICMP.
    TtlExpired = "ttl_expired",
    /// The TCP, UDP or ICMP header is truncated, or its lengths contradict the packet, or it lacks a checksum that it has to have.
    TransportInvalid = "transport_invalid",
    /// Only TCP, UDP and ICMP are translated.
    ProtocolUnsupported = "protocol_unsupported",
    /// This ICMP type is not translated.
    IcmpTypeUnsupported = "icmp_type_unsupported",
    /// The ICMP checksum is wrong.
    IcmpChecksumWrong = "icmp_checksum_wrong",
    /// The packet embedded in the ICMP error is malformed, or belongs to no session of this link.
    IcmpErrorUnrelated = "icmp_error_unrelated",
    /// The container has no connector; attach one.
    NoConnector = "no_connector",
    /// No attached connector lists this destination.
    NoRoute = "no_route",
    /// The connector's rules do not allow this remote, protocol or port; a rule that allows it has to come first in its list.
    PolicyDenied = "policy_denied",
    /// A TCP segment without a session that does not open one.
    TcpNotSyn = "tcp_not_syn",
    /// The VPC has no external address of this IP version.
    NoExternalAddress = "no_external_address",
    /// Every external port is in use or, with port blocks, no block is free; a live mapping has to end first.
    PortsExhausted = "ports_exhausted",
    /// The container or its connector has as many sessions or external ports as it may have; one of them has to end first.
    QuotaReached = "quota_reached",
    /// The connector's containers send or receive more packets or bits than its rate limit lets through.
    RateLimited = "rate_limited",
    /// The connector's containers open sessions faster than its limit allows; the sender may try again.
    SessionRate = "session_rate",
    /// The session table is full; a live session has to end first.
    SessionsExhausted = "sessions_exhausted",
    /// The destination is off the uplink's prefix and the VPC has no next hop.
    NoNextHop = "no_next_hop",
    /// Nobody answered for the next hop; the sender was told by ICMP.
    NextHopUnreachable = "next_hop_unreachable",
    /// Too many packets already wait for the next hop's MAC address.
    NextHopQueueFull = "next_hop_queue_full",
    /// The packet, or one segment of a super-packet, does not fit the outgoing link; the sender was told by ICMP.
    PacketTooBig = "packet_too_big",
    /// The packet from the VPC is for an address that is not an external address of this uplink.
    NotExternalAddress = "not_external_address",
    /// Nothing of a container is reachable at this external endpoint.
    NoMapping = "no_mapping",
    /// The external endpoint is in use, and its connector's filtering keeps this remote endpoint out.
    Filtered = "filtered",
    /// The outgoing device's queue is full.
    EgressFull = "egress_full",
    /// The outgoing device is down or gone.
    EgressDown = "egress_down",
    /// The outgoing device did not take the frame, though it is up and has room.
    EgressRefused = "egress_refused",
    /// The kernel had a frame for us that a vnet header cannot describe.
    IngressRefused = "ingress_refused",
    /// The worker that owns the packet is too far behind.
    HandOffFull = "hand_off_full",
    /// The engine had made more frames of its own than the shell took.
    OutboxFull = "outbox_full",
}

/// Drops by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropCounts([u64; Reason::ALL.len()]);

impl DropCounts {
    /// Drops for `reason`.
    pub const fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// Reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.iter().map(|&r| (r, self.of(r))).filter(|&(_, n)| n > 0)
    }

    /// Drops for all reasons.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) const fn count(&mut self, reason: Reason) {
        self.count_many(reason, 1);
    }

    pub(crate) const fn count_many(&mut self, reason: Reason, times: u64) {
        self.0[reason as usize] += times;
    }
}

impl Default for DropCounts {
    fn default() -> Self {
        Self([0; Reason::ALL.len()])
    }
}

/// Frames that crossed a link one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames; a super-packet is one, as it is one read or write.
    pub frames: u64,
    /// Bytes, Ethernet headers included, vnet headers not.
    pub bytes: u64,
    /// Of the frames, those that carried more than one segment.
    pub super_packets: u64,
}

/// What one engine saw of one link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Frames read from the link.
    pub received: Traffic,
    /// Frames to be written to the link.
    pub sent: Traffic,
    /// Frames from the link that ended; for `egress_*` and `outbox_full`, frames to the link.
    pub drops: DropCounts,
}

impl Traffic {
    pub(crate) const fn count(&mut self, bytes: usize, super_packet: bool) {
        self.frames += 1;
        self.bytes += bytes as u64;
        self.super_packets += super_packet as u64;
    }
}

impl std::ops::AddAssign<&Self> for LinkCounters {
    fn add_assign(&mut self, rhs: &Self) {
        for (mine, theirs) in [(&mut self.received, &rhs.received), (&mut self.sent, &rhs.sent)] {
            mine.frames += theirs.frames;
            mine.bytes += theirs.bytes;
            mine.super_packets += theirs.super_packets;
        }
        for (mine, theirs) in self.drops.0.iter_mut().zip(&rhs.drops.0) {
            *mine += theirs;
        }
    }
}

/// A link's counters and what it is, see [`crate::Engine::counters`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// Which link.
    pub link: Link,
    /// Its counters.
    pub counters: LinkCounters,
    /// Sessions that live on it now.
    pub sessions: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_codes_are_unique_and_in_order() {
        for (i, &reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, i);
            assert_eq!(Reason::ALL.iter().filter(|r| r.code() == reason.code()).count(), 1);
            assert!(!reason.explanation().is_empty());
        }
    }
}
