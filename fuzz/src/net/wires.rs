//! The links, and what may be seen on each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use etherparse::SlicedPacket;
use gateway_core::{AttachmentConfig, Command, Link, MacAddr, UplinkConfig};

use crate::checksum::Errors;
use crate::layout::{ETHERNET, ICMP, ICMPV6, IP, Layout, TCP, UDP, u16_at};

/// Every link that there is.
#[derive(Default)]
pub(super) struct Wires(BTreeMap<Link, Wire>);

/// One link.
struct Wire {
    mtu: u16,
    /// The gateway's MAC address.
    ours: MacAddr,
    /// Who else is there, if that is one only.
    theirs: Option<MacAddr>,
    /// Of an uplink: what packets may come from. Of a container: what they may be for.
    addresses: BTreeSet<IpAddr>,
}

impl Wires {
    /// A command has been carried out.
    pub(super) fn note(&mut self, command: &Command) {
        match command {
            Command::AddUplink(UplinkConfig { id, mac, mtu, space, .. }) => {
                let addresses = space.external().iter().copied().collect();
                self.0.insert(Link::Uplink(*id), Wire { mtu: *mtu, ours: *mac, theirs: None, addresses });
            }
            Command::AddAttachment(AttachmentConfig { id, addresses, mac, gateway_mac, mtu }) => {
                let addresses = addresses.iter().map(|a| a.address).collect();
                let wire = Wire { mtu: *mtu, ours: *gateway_mac, theirs: Some(*mac), addresses };
                self.0.insert(Link::Attachment(*id), wire);
            }
            Command::Attach { attachment, connector } if !connector.translation => {
                // For good: sessions end later than permissions change.
                let own = self.0[&Link::Attachment(*attachment)].addresses.clone();
                if let Some(uplink) = self.0.get_mut(&Link::Uplink(connector.uplink)) {
                    uplink.addresses.extend(own);
                }
            }
            Command::Attach { .. } | Command::Detach { .. } => {}
            Command::RemoveUplink(id) => drop(self.0.remove(&Link::Uplink(*id))),
            Command::RemoveAttachment(id) => drop(self.0.remove(&Link::Attachment(*id))),
        }
    }

    /// Containers first.
    pub(super) fn links(&self) -> Vec<Link> {
        self.0.keys().copied().collect()
    }

    pub(super) fn mtu(&self, link: Link) -> usize {
        self.0[&link].mtu.into()
    }

    /// Checks a frame that the gateway sends out of `to`. Where all that came in was right (`trusted`), all that leaves is.
    pub(super) fn check(&self, to: Link, frame: &[u8], trusted: bool) {
        let wire = self.0.get(&to).unwrap_or_else(|| panic!("{to} is gone"));
        let shown = || format!("out of {to}: {frame:02x?}");
        assert!(frame.len() >= IP, "{}", shown());
        check_vnet(frame);
        wire.check_ethernet(frame, &shown);
        // Of a later fragment, etherparse would take payload for a header.
        if Layout::of(frame).is_none_or(|layout| layout.part.is_none_or(|part| part.offset == 0)) {
            let parsed = SlicedPacket::from_ethernet(&frame[ETHERNET..]);
            assert!(parsed.is_ok(), "{parsed:?} {}", shown());
        }
        assert!(largest(frame) <= wire.mtu.into(), "more than {} bytes {}", wire.mtu, shown());
        if frame[IP - 2..IP] == [0x08, 0x06] {
            return;
        }
        let layout = Layout::of(frame).unwrap_or_else(|| panic!("no IP packet {}", shown()));
        let errors = Errors::of(frame);
        assert_eq!(errors.ip, 0, "the header's checksum is right {}", shown());
        assert!(!trusted || errors.transport == 0, "the checksum is right {}", shown());
        wire.check_addresses(to, frame, &layout, &shown);
        check_error(frame, &layout, &shown);
    }
}

impl Wire {
    fn check_ethernet(&self, frame: &[u8], shown: &dyn Fn() -> String) {
        let mac = |at: usize| MacAddr([0, 1, 2, 3, 4, 5].map(|i| frame[ETHERNET + at + i]));
        let (destination, source) = (mac(0), mac(6));
        assert_eq!(source, self.ours, "from the gateway {}", shown());
        assert_ne!(destination, self.ours, "not to itself {}", shown());
        let theirs = !destination.is_unicast() || self.theirs.is_none_or(|theirs| theirs == destination);
        assert!(theirs, "to whom it concerns {}", shown());
    }

    /// Nothing that is not for a VPC is seen there; nothing that is not for a container is seen by it.
    fn check_addresses(&self, to: Link, frame: &[u8], layout: &Layout, shown: &dyn Fn() -> String) {
        let (source, destination) = addresses(frame, layout.is_v4);
        let is_link_local = |address: IpAddr| match address {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        let own = |address: &IpAddr| self.addresses.contains(address);
        let is_discovery = layout.protocol == ICMPV6 && matches!(frame[layout.start], 133..=137);
        match to {
            Link::Uplink(_) => {
                let fine = own(&source) || is_discovery && is_link_local(source);
                assert!(fine, "from an address of the gateway {}", shown());
            }
            Link::Attachment(_) => {
                let fine = own(&destination) || destination.is_multicast() || is_link_local(destination);
                assert!(fine, "to the container's address {}", shown());
            }
        }
        assert_ne!(frame[IP + if layout.is_v4 { 8 } else { 7 }], 0, "a TTL is left {}", shown());
    }
}

/// Bytes of the largest packet that a frame becomes on the wire.
pub(super) fn largest(frame: &[u8]) -> usize {
    let carried = frame.len() - IP;
    match Layout::of(frame) {
        Some(layout) if frame[1] != 0 => {
            let gso_size = usize::from(u16::from_ne_bytes([frame[4], frame[5]]));
            carried.min(layout.payload(frame) - IP + gso_size)
        }
        _ => carried,
    }
}

/// The vnet header is one that a kernel takes (`virtio_net_hdr_to_skb`, include/linux/virtio_net.h).
fn check_vnet(frame: &[u8]) {
    let [flags, gso_type, ..] = *frame else { panic!("no vnet header: {frame:02x?}") };
    let word = |at: usize| usize::from(u16::from_ne_bytes([frame[at], frame[at + 1]]));
    let (hdr_len, gso_size, start, offset) = (word(2), word(4), word(6), word(8));
    assert!(matches!(flags, 0 | 1), "flags of {frame:02x?}");
    if flags == 0 {
        assert_eq!(frame[..ETHERNET], [0; ETHERNET], "nothing is asked for");
        return;
    }
    let layout = Layout::of(frame).expect("a partial checksum is an IP packet's");
    let field = match layout.protocol {
        TCP => 16,
        UDP => 6,
        other => panic!("protocol {other} has no partial checksum: {frame:02x?}"),
    };
    assert_eq!((start, offset), (layout.start - ETHERNET, field), "where the checksum is: {frame:02x?}");
    let gso = match (gso_type & 0x7f, layout.protocol) {
        (0, _) => gso_type == 0 && gso_size == 0,
        (1, TCP) => layout.is_v4,
        (4, TCP) => !layout.is_v4,
        (5, UDP) => gso_type == 5,
        _ => false,
    };
    assert!(gso && layout.part.is_none(), "GSO of {frame:02x?}");
    if gso_type != 0 {
        assert_eq!(hdr_len, layout.payload(frame) - ETHERNET, "hdr_len of {frame:02x?}");
        assert!(gso_size > 0, "gso_size of {frame:02x?}");
    }
}

/// No ICMP error is about an ICMP error (RFC 1122 §3.2.2, RFC 4443 §2.4).
fn check_error(frame: &[u8], layout: &Layout, shown: &dyn Fn() -> String) {
    let bytes = &frame[layout.start..layout.end];
    if layout.part.is_some() || !is_error(layout.is_v4, layout.protocol, bytes) {
        return;
    }
    let quoted = &bytes[8..];
    // Its transport header can be read only if it says where that starts.
    let (number, at) = match quoted {
        [version, ..] if version >> 4 == 4 && quoted.len() >= 20 && u16_at(quoted, 6) & 0x1fff == 0 => {
            (quoted[9], usize::from(version & 0x0f) * 4)
        }
        [version, ..] if version >> 4 == 6 && quoted.len() >= 40 => (quoted[6], 40),
        _ => return,
    };
    let about = quoted.get(at..).filter(|about| about.len() >= 8);
    assert!(
        !about.is_some_and(|about| is_error(layout.is_v4, number, about)),
        "an error about an error {}",
        shown()
    );
}

fn is_error(is_v4: bool, protocol: u8, bytes: &[u8]) -> bool {
    match (is_v4, protocol, bytes.first()) {
        (true, ICMP, Some(kind)) => matches!(kind, 3 | 4 | 5 | 11 | 12) && bytes.len() >= 8,
        (false, ICMPV6, Some(kind)) => *kind < 128 && bytes.len() >= 8,
        _ => false,
    }
}

/// Source and destination of an IP packet.
pub(crate) fn addresses(frame: &[u8], is_v4: bool) -> (IpAddr, IpAddr) {
    let ip = &frame[IP..];
    if is_v4 {
        let at = |at: usize| IpAddr::from([ip[at], ip[at + 1], ip[at + 2], ip[at + 3]]);
        return (at(12), at(16));
    }
    let at = |at: usize| IpAddr::from(*ip[at..].first_chunk::<16>().expect("a whole header"));
    (at(8), at(24))
}
