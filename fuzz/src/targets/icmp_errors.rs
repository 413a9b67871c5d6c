//! ICMP errors of any type about packets of live sessions, whole, cut short or changed, with extensions (RFC 4884).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use gateway_core::{Link, Protocol, SessionView, Verdict};

use super::{mutate, pattern};
use crate::checksum::fix;
use crate::input::Input;
use crate::lane::{
    CONTAINER_MAC, GATEWAY_MAC, INSIDE, Lane, OUTSIDE, Policy, SERVER_MAC, UPLINK_MAC, session,
};
use crate::layout::{ICMP, ICMPV6, IP, Layout, TCP, UDP};
use crate::packet::{ACK, Carries, Packet};

/// What an input decides, in the order of its bytes; what follows them changes the error.
struct Case {
    session: SessionView,
    /// Sent by the container, about what it received.
    outbound: bool,
    kind: u8,
    code: u8,
    rest: [u8; 4],
    /// Bytes that are quoted.
    quoted: usize,
    /// Words of extensions behind them.
    extensions: Option<usize>,
    router: bool,
    ttl: u8,
    payload: usize,
    padding: usize,
}

/// Sends one ICMP error, which ends no session and refreshes none.
pub fn icmp_errors(data: &[u8]) {
    let mut input = Input::new(data);
    let lane = Lane::of(input.one_of(&Policy::ALL));
    let mut net = lane.primed();
    let sessions = net.sessions();
    let case = Case::decode(&mut input, |protocol, is_v4| session(&net, protocol, is_v4));
    let mut frame = case.frame(case.outbound);
    let (honest, keep_checksums) = (input.is_empty(), input.flag());
    mutate(&mut input, &mut frame[IP..]);
    if !keep_checksums {
        fix(&mut frame);
        fix_quoted(&mut frame);
    }
    let (from, to) = if case.outbound { (INSIDE, OUTSIDE) } else { (OUTSIDE, INSIDE) };
    let outcome = net.send(0, from, &frame);
    if honest && case.is_translated() {
        case.check(to, &frame, outcome.verdict, &outcome.out);
    }
    if is_error(&frame) {
        assert_eq!(net.sessions(), sessions, "an ICMP error leaves sessions as they are: {frame:02x?}");
        if let Verdict::Forward(link) = outcome.verdict {
            assert_eq!(link, to);
            check_quoted(&outcome.out[0].1, &frame);
        }
    }
    net.tear_down(false);
}

impl Case {
    fn decode(input: &mut Input<'_>, session: impl Fn(Protocol, bool) -> SessionView) -> Self {
        let bits = input.byte();
        let protocol = Protocol::ALL[usize::from(bits >> 4) % 3];
        Self {
            session: session(protocol, bits & 1 != 0),
            outbound: bits & 2 != 0,
            router: bits & 4 != 0,
            kind: input.byte(),
            code: input.byte(),
            rest: [input.byte(), input.byte(), input.byte(), input.byte()],
            extensions: (bits & 8 != 0).then(|| input.below(20)),
            quoted: usize::from(input.word()) % 1020,
            payload: usize::from(input.word()) % 1300,
            padding: input.below(32),
            ttl: input.byte().max(2),
        }
    }

    const fn is_v4(&self) -> bool {
        self.session.internal.is_ipv4()
    }

    /// The error as it is seen from inside, or from outside.
    fn frame(&self, inside: bool) -> Vec<u8> {
        let own = if inside { self.session.internal } else { self.session.external };
        let (remote, is_v4) = (self.session.remote, self.is_v4());
        let about = self.about(own);
        let mut payload = about[IP..].to_vec();
        // RFC 4884 §5.1: with extensions, at least 128 bytes are quoted, as far as there are as many.
        payload.truncate(self.quoted.max(if self.extensions.is_some() { 128 } else { 0 }));
        let mut rest = self.rest;
        // Padded to that, to words of 4 bytes or of 8.
        let unit = if is_v4 { 4 } else { 8 };
        let at = if is_v4 { 1 } else { 0 };
        rest[at] = 0;
        if let Some(words) = self.extensions {
            payload.resize(payload.len().max(128).next_multiple_of(unit), 0);
            rest[at] = (payload.len() / unit) as u8;
            payload.extend([0x20, 0, 0, 0]);
            payload.extend(pattern(words * 4));
        }
        let by = match (self.router && !self.outbound, is_v4) {
            (true, true) => IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
            (true, false) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7)),
            (false, _) => remote.ip(),
        };
        let (source, destination) = if self.outbound { (own.ip(), remote.ip()) } else { (by, own.ip()) };
        let macs = match (inside, self.outbound) {
            (true, true) => (GATEWAY_MAC, CONTAINER_MAC),
            (true, false) => (CONTAINER_MAC, GATEWAY_MAC),
            (false, true) => (SERVER_MAC, UPLINK_MAC),
            (false, false) => (UPLINK_MAC, SERVER_MAC),
        };
        let carries = Carries::Icmp { kind: self.kind, code: self.code, rest };
        let at = |address| SocketAddr::new(address, 0);
        let mut packet = Packet::new(macs, at(source), at(destination), carries).with_payload(payload);
        packet.ttl = self.ttl;
        let mut frame = packet.frame();
        frame.resize(frame.len() + self.padding, 0xa5);
        frame
    }

    /// The packet that the error is about, as its receiver got it: `own` is the container's end.
    fn about(&self, own: SocketAddr) -> Vec<u8> {
        let (mut source, mut destination) = (own, self.session.remote);
        if self.outbound {
            (source, destination) = (destination, source);
        }
        let carries = match self.session.protocol {
            Protocol::Tcp => Carries::tcp(ACK, 1000, 5000),
            Protocol::Udp => Carries::Udp,
            Protocol::Icmp if self.outbound => Carries::EchoReply,
            Protocol::Icmp => Carries::EchoRequest,
        };
        let packet = Packet::new((UPLINK_MAC, SERVER_MAC), source, destination, carries);
        packet.with_payload(pattern(self.payload)).frame()
    }

    /// Whether the error is of a type that is translated, and says enough of what it is about.
    fn is_translated(&self) -> bool {
        let (types, headers): (&[u8], _) =
            if self.is_v4() { (&[3, 11, 12], 28) } else { (&[1, 2, 3, 4], 48) };
        // Of the others, extensions are a part of what is quoted.
        let extensible = self.is_v4() || matches!(self.kind, 1 | 3);
        let quoted = self.quoted.min(self.about(self.session.internal).len() - IP);
        let fits = self.frame(true).len() - IP <= 1500;
        types.contains(&self.kind) && quoted >= headers && fits && (extensible || self.extensions.is_none())
    }

    /// The receiver gets the same error about the packet that it has sent.
    fn check(&self, to: Link, frame: &[u8], verdict: Verdict, out: &[(Link, Vec<u8>)]) {
        assert_eq!(verdict, Verdict::Forward(to), "{frame:02x?}");
        let mut expected = self.frame(!self.outbound);
        let hops = IP + if self.is_v4() { 8 } else { 7 };
        expected[hops] -= 1;
        fix(&mut expected);
        let got = &out[0].1;
        assert_eq!(normal(got), normal(&expected), "about {frame:02x?}");
    }
}

/// With what may be either of two numbers (one's complement zeros, and what depends on them) as one of them, and
/// without what a gateway is free to choose.
fn normal(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let Some(layout) = Layout::of(&frame) else { return frame };
    if layout.is_v4 && frame[IP + 6] & 0x40 == 0 {
        frame[IP + 4..IP + 6].fill(0);
    }
    // The quoted transport checksum, if it is among what is quoted.
    let quoted = layout.start + 8;
    let (number, at) = if layout.is_v4 { (frame[quoted + 9], 20) } else { (frame[quoted + 6], 40) };
    let field = quoted
        + at
        + match number {
            TCP => 16,
            UDP => 6,
            _ => 2,
        };
    // Half of one is nobody's to check.
    let value = &mut frame[field.min(layout.end)..(field + 2).min(layout.end)];
    if value.len() == 1 || *value == [0xff, 0xff] {
        value.fill(0);
    }
    fix(&mut frame);
    frame
}

/// Whether it is still an ICMP error after what was changed.
fn is_error(frame: &[u8]) -> bool {
    Layout::of(frame).is_some_and(|layout| {
        let kind = frame.get(layout.start).copied();
        let is_error = match layout.protocol {
            ICMP => layout.is_v4 && matches!(kind, Some(3 | 4 | 5 | 11 | 12)),
            ICMPV6 => !layout.is_v4 && kind.is_some_and(|kind| kind < 128),
            _ => false,
        };
        is_error && layout.part.is_none()
    })
}

/// Makes the checksum of the quoted IPv4 header right, so that the error is believed.
fn fix_quoted(frame: &mut [u8]) {
    let Some(layout) = Layout::of(frame).filter(|layout| layout.is_v4) else { return };
    let Some(quoted) = frame.get_mut(layout.start + 8..layout.end) else { return };
    let header_len = usize::from(quoted.first().copied().unwrap_or(0) & 0x0f) * 4;
    if let Some(header) = quoted.get_mut(..header_len).filter(|header| header.len() >= 20) {
        crate::checksum::fix_ipv4(header);
        fix(frame);
    }
}

/// The quoted IPv4 header's checksum is right, and nothing has changed its length.
fn check_quoted(out: &[u8], frame: &[u8]) {
    assert_eq!(out.len(), frame.len());
    let layout = Layout::of(out).expect("an ICMP error");
    if layout.is_v4 {
        let quoted = &out[layout.start + 8..layout.end];
        let header_len = usize::from(quoted[0] & 0x0f) * 4;
        assert_eq!(crate::checksum::sum(&quoted[..header_len]), 0xffff, "{out:02x?}");
    }
}
