//! Frames that containers and hosts send, as an input says.

use std::net::{IpAddr, SocketAddr};

use gateway_core::{Explanation, Link, MacAddr, Probe, Protocol, Reason, SessionView, Verdict};

use super::hosts::{host_mac, neighbor_of, remotes};
use super::world::{INTERNAL_PORTS, ROUTER, ROUTER_V6, World, container_mac, gateway_mac, uplink_mac};
use crate::checksum::fix;
use crate::input::Input;
use crate::layout::{ETHERNET, IP, Layout};
use crate::net::addresses;
use crate::packet::{ACK, Carries, FIN, PSH, Packet, RST, SYN};
use crate::pieces::{fragmentable, part};
use crate::targets::pattern;

impl World {
    /// A packet that opens a session, if it may. What `explain` says of it is what becomes of it.
    pub(super) fn send_outbound(&mut self, input: &mut Input<'_>) {
        let Some((config, id)) = self.attachment(input) else { return };
        let (bits, ports) = (input.byte(), input.byte());
        let own = config.addresses[usize::from(bits & 1) % config.addresses.len()].address;
        let (remote, is_external) = self.remote(input, own.is_ipv4());
        let port = if is_external {
            self.external_port(ports >> 2)
        } else {
            REMOTE_PORTS[usize::from(ports >> 2 & 3)]
        };
        let remote = SocketAddr::new(remote, port);
        let (protocol, carries) = match bits >> 1 & 3 {
            0 => (Some(Protocol::Tcp), Carries::tcp(SYN, 999, 0)),
            1 => (Some(Protocol::Udp), Carries::Udp),
            2 => (Some(Protocol::Icmp), Carries::EchoRequest),
            // SCTP.
            _ => (None, Carries::Other(132)),
        };
        let port = INTERNAL_PORTS[usize::from(ports & 3)];
        let macs = (gateway_mac(id), container_mac(id));
        let packet = Packet::new(macs, SocketAddr::new(own, port), remote, carries);
        let explained = protocol.map(|protocol| {
            let probe = Probe { source_port: Some(port), ..Probe::new(protocol, remote) };
            self.net.explain(id, &probe).expect("the container is there")
        });
        let changed = bits & 0x40 != 0;
        let (verdict, plain) = self.send_packet(input, Link::Attachment(id), packet, changed);
        if let (true, false, Some(explained)) = (plain, is_external, explained) {
            compare(&explained, verdict);
        }
    }

    /// A packet of a host to any endpoint.
    pub(super) fn send_inbound(&mut self, input: &mut Input<'_>) {
        let Some((config, id)) = self.uplink(input) else { return };
        let (bits, ports) = (input.byte(), input.byte());
        let external = config.space.external();
        let to = external[usize::from(bits & 3) % external.len()];
        let (remote, _) = self.remote(input, to.is_ipv4());
        let carries = match bits >> 2 & 3 {
            0 => Carries::tcp(SYN, 4999, 0),
            1 => Carries::Udp,
            2 => Carries::EchoReply,
            _ => Carries::tcp(SYN | ACK, 4999, 1000),
        };
        // Or straight to a container, where the VPC sees it.
        let to = match self.remote(input, to.is_ipv4()) {
            (own, _) if bits & 0x30 == 0x30 => own,
            _ => to,
        };
        let from = SocketAddr::new(remote, REMOTE_PORTS[usize::from(ports & 3)]);
        let to = SocketAddr::new(to, self.external_port(ports >> 2));
        let packet = Packet::new((uplink_mac(id), host_mac(remote)), from, to, carries);
        self.send_packet(input, Link::Uplink(id), packet, bits & 0x40 != 0);
    }

    /// A packet of a session, of either end.
    pub(super) fn send_of_session(&mut self, input: &mut Input<'_>) {
        let Some((from, packet)) = self.packet_of_session(input) else { return };
        let changed = input.byte() & 0x0f == 0x0f;
        self.send_packet(input, from, packet, changed);
    }

    /// The same, or a ping of the gateway, in fragments, of which one may be missing.
    pub(super) fn send_fragments(&mut self, input: &mut Input<'_>) {
        let (to_gateway, session) = (input.byte(), self.packet_of_session(input));
        let packet = if to_gateway & 3 == 3 { self.ping(to_gateway >> 2) } else { session };
        let Some((from, mut packet)) = packet else { return };
        packet.payload = pattern(usize::from(input.word()) % 4_000);
        packet.dont_fragment = input.flag();
        let (frame, missing, reversed) = (packet.frame(), input.byte(), input.flag());
        let all = frame.len() - fragmentable(&frame).0;
        let size = (all / (1 + input.below(6))).next_multiple_of(8).max(24);
        let id = 0x100 + u32::from(missing >> 3);
        let starts = (0..all).step_by(size);
        let mut parts: Vec<_> = starts.map(|start| part(&frame, start..all.min(start + size), id)).collect();
        if reversed {
            parts.reverse();
        }
        for (_, frame) in parts.iter().enumerate().filter(|(index, _)| *index != usize::from(missing)) {
            let outcome = self.net.send_trusted(missing.into(), from, frame);
            self.saw(outcome.out);
        }
    }

    /// An ICMP error of a host or router about a packet that it got.
    pub(super) fn send_error(&mut self, input: &mut Input<'_>) {
        const V4: [(u8, u8); 8] = [(3, 3), (3, 4), (11, 0), (12, 0), (3, 13), (11, 1), (4, 0), (5, 0)];
        const V6: [(u8, u8); 8] = [(1, 4), (2, 0), (3, 0), (4, 1), (1, 1), (3, 1), (4, 0), (1, 0)];
        let (place, bits, quoted) = (input.below(SEEN), input.byte(), usize::from(input.byte()) * 8);
        let Some((from, about)) = self.seen.iter().rev().nth(place).cloned() else { return };
        let (Some(layout), true) = (Layout::of(&about), self.is_there(from)) else { return };
        let (source, destination) = addresses(&about, layout.is_v4);
        let router: IpAddr = if layout.is_v4 { ROUTER.into() } else { ROUTER_V6.into() };
        let by = if bits & 1 != 0 && matches!(from, Link::Uplink(_)) { router } else { destination };
        let (kind, code) = if layout.is_v4 { V4 } else { V6 }[usize::from(bits >> 1 & 7)];
        // The MTU, where one is said.
        let carries = Carries::Icmp { kind, code, rest: [0, 0, 5, 0] };
        let mac = |at: usize| MacAddr([0, 1, 2, 3, 4, 5].map(|i| about[ETHERNET + at + i]));
        let at = |address| SocketAddr::new(address, 0);
        let quoted = &about[IP..layout.end.min(IP + quoted)];
        let packet = Packet::new((mac(6), mac(0)), at(by), at(source), carries).with_payload(quoted);
        self.send_packet(input, from, packet, bits & 0x80 != 0);
    }

    /// Packets that differ in one number.
    pub(super) fn send_burst(&mut self, input: &mut Input<'_>) {
        let (kind, count, is_v4) = (input.byte(), u16::from(input.byte()), input.flag());
        let (uplink, attachment) = (self.uplink(input), self.attachment(input));
        let (Some((uplink, to)), Some((attachment, id)), true) = (uplink, attachment, self.bursts > 0) else {
            return;
        };
        let like = |address: &IpAddr| address.is_ipv4() == is_v4;
        let external = uplink.space.external().iter().copied().find(like);
        let own = attachment.addresses.iter().map(|a| a.address).find(like);
        let (Some(external), Some(own)) = (external, own) else { return };
        let server = remotes(is_v4)[0];
        let outwards = (gateway_mac(id), container_mac(id));
        let at = SocketAddr::new;
        let packet = |i: u16| match kind % 6 {
            // One port to many, many to one, all at the same time.
            0 => Packet::new(outwards, at(own, 4000), at(server, 1000 + i), Carries::Udp),
            1 => Packet::new(outwards, at(own, 5000 + i), at(server, 80), Carries::tcp(SYN, 0, 0)),
            // Hosts that nobody knows.
            2 => Packet::new(outwards, at(own, 4000), at(neighbor_of(server, i), 80), Carries::Udp),
            // A TTL that ends, so that each of them is answered.
            3 => Packet { ttl: 1, ..Packet::new(outwards, at(own, 4000), at(server, 80), Carries::Udp) },
            // What nobody asked for; each of another port, each to another port.
            4 => {
                let macs = (uplink_mac(to), host_mac(server));
                Packet::new(macs, at(server, 7000 + i), at(external, 9), Carries::tcp(SYN, 0, 0))
            }
            _ => {
                let macs = (uplink_mac(to), host_mac(server));
                Packet::new(macs, at(server, 80), at(external, 2048 + i), Carries::Udp)
            }
        };
        let from = if kind % 6 < 4 { Link::Attachment(id) } else { Link::Uplink(to) };
        self.bursts -= 1;
        for i in 0..count {
            let mut frame = packet(i).frame();
            if kind & 0x80 != 0 {
                // The first part of a datagram each, and no more.
                frame = part(&frame, 0..8, i.into());
            }
            let outcome = self.net.send(i.into(), from, &frame);
            self.saw(outcome.out);
        }
    }

    /// Any bytes.
    pub(super) fn send_raw(&mut self, input: &mut Input<'_>) {
        let bits = input.byte();
        let uplink = self.uplink(input).map(|(_, id)| Link::Uplink(id));
        let attachment = self.attachment(input).map(|(_, id)| Link::Attachment(id));
        let Some(from) = (if bits & 1 == 0 { uplink } else { attachment }) else { return };
        let length = usize::from(input.byte());
        let outcome = self.net.send(usize::from(bits >> 1), from, input.bytes(length));
        self.saw(outcome.out);
    }

    /// The packet with any payload, offloads and changes. Whether it was sent without any of these.
    pub(super) fn send_packet(
        &mut self,
        input: &mut Input<'_>,
        from: Link,
        mut packet: Packet,
        changed: bool,
    ) -> (Verdict, bool) {
        let (size, bits) = (usize::from(input.byte()), input.byte());
        if packet.payload == b"payload" {
            packet.payload = pattern(if size < 200 { size } else { (size - 200) * 160 });
        }
        packet.dont_fragment = bits & 1 == 0;
        packet.ttl = if bits & 0x18 == 0x18 { 1 } else { 64 };
        if !packet.is_v4() && bits & 0x20 != 0 {
            packet.extensions = vec![0, 60];
        }
        let offload = matches!(packet.carries, Carries::Tcp { .. } | Carries::Udp) && bits & 2 != 0;
        let mut frame = if offload {
            packet.offloaded([0, 500, 1000, 1400][usize::from(bits >> 2 & 3)])
        } else {
            packet.frame()
        };
        if changed {
            let right = input.flag();
            for _ in 0..1 + input.below(3) {
                let at = usize::from(input.word()) % frame.len();
                frame[at] = input.byte();
            }
            if right {
                fix(&mut frame);
            }
        }
        let outcome = self.net.send(usize::from(bits >> 7), from, &frame);
        self.saw(outcome.out);
        let plain = !changed && size < 200 && bits & 0x7f == 0;
        (outcome.verdict, plain)
    }

    /// A packet of one of the ends of a session, from its link.
    fn packet_of_session(&self, input: &mut Input<'_>) -> Option<(Link, Packet)> {
        const FLAGS: [u8; 8] = [ACK, FIN | ACK, RST, SYN, SYN | ACK, RST | ACK, PSH | ACK, 0];
        let (place, bits, numbers) = (usize::from(input.byte()), input.byte(), input.byte());
        let sessions = self.net.sessions();
        let session: &SessionView = sessions.get(place % sessions.len().max(1))?;
        let outbound = bits & 1 != 0;
        let ahead = [0, 1, 2, 100, 100_000, u32::MAX, 7, 8];
        let (one, other) = if outbound { (1000, 5000) } else { (5000, 1000) };
        let sequence = u32::wrapping_add(one, ahead[usize::from(numbers & 7)]);
        let acknowledgment = u32::wrapping_add(other, ahead[usize::from(numbers >> 3 & 7)]);
        let carries = match session.protocol {
            Protocol::Tcp => Carries::tcp(FLAGS[usize::from(bits >> 1 & 7)], sequence, acknowledgment),
            Protocol::Udp => Carries::Udp,
            Protocol::Icmp if outbound => Carries::EchoRequest,
            Protocol::Icmp => Carries::EchoReply,
        };
        Some(if outbound {
            let macs = (gateway_mac(session.attachment), container_mac(session.attachment));
            let packet = Packet::new(macs, session.internal, session.remote, carries);
            (Link::Attachment(session.attachment), packet)
        } else {
            let macs = (uplink_mac(session.uplink), host_mac(session.remote.ip()));
            let packet = Packet::new(macs, session.remote, session.external, carries);
            (Link::Uplink(session.uplink), packet)
        })
    }

    /// An echo request of a container for the gateway.
    fn ping(&self, choice: u8) -> Option<(Link, Packet)> {
        let place = usize::from(choice) % self.attachments.len().max(1);
        let (&id, config) = self.attachments.iter().nth(place)?;
        let own = config.addresses[usize::from(choice >> 3) % config.addresses.len()];
        let at = |address, port| SocketAddr::new(address, port);
        let macs = (gateway_mac(id), container_mac(id));
        let packet = Packet::new(macs, at(own.address, 7), at(own.gateway, 0), Carries::EchoRequest);
        Some((Link::Attachment(id), packet))
    }

    /// An address to talk to, and whether it can be the gateway's own in a VPC.
    fn remote(&self, input: &mut Input<'_>, is_v4: bool) -> (IpAddr, bool) {
        let choice = input.byte();
        let same = |address: &IpAddr| address.is_ipv4() == is_v4;
        let externals = self.uplinks.values().flat_map(|u| u.space.external().iter().copied()).filter(same);
        let own = self.attachments.values().flat_map(|a| a.addresses.iter().map(|a| a.address)).filter(same);
        let gateways: Vec<IpAddr> = externals.chain(own).collect();
        if choice & 3 == 3 && !gateways.is_empty() {
            return (gateways[usize::from(choice >> 2) % gateways.len()], true);
        }
        let remotes = remotes(is_v4);
        (remotes[usize::from(choice >> 2) % remotes.len()], false)
    }

    /// A port that somebody may have outside.
    fn external_port(&self, choice: u8) -> u16 {
        let sessions = self.net.sessions();
        match choice & 3 {
            0 if !sessions.is_empty() => sessions[usize::from(choice >> 2) % sessions.len()].external.port(),
            0 | 1 => 2048,
            2 => 3000,
            _ => 2049,
        }
    }

    fn is_there(&self, link: Link) -> bool {
        match link {
            Link::Attachment(id) => self.attachments.contains_key(&id),
            Link::Uplink(id) => self.uplinks.contains_key(&id),
        }
    }
}

/// Compares what was explained with what became of the packet.
fn compare(explained: &Explanation, verdict: Verdict) {
    match (explained.reason(), verdict) {
        (Some(reason), _) => assert_eq!(verdict, Verdict::Drop(reason), "as in {explained:?}"),
        // What waits for the next hop is full by bytes, too.
        (None, Verdict::Drop(Reason::NextHopQueueFull)) => {}
        // How much passes is a matter of its length.
        (None, Verdict::Drop(Reason::RateLimited | Reason::SessionRate)) => {}
        (None, _) => assert!(!matches!(verdict, Verdict::Drop(_)), "{verdict:?}, and {explained:?}"),
    }
}

const REMOTE_PORTS: [u16; 4] = [80, 53, 81, 0];

/// Frames that are remembered.
pub(super) const SEEN: usize = 32;
