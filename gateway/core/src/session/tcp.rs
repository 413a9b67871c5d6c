//! The TCP states of a session, as RFC 7857 §2 and RFC 6146 §3.5.2 have them for a NAT.
//!
//! ```text
//!                SYN in              FIN out            FIN in              both FINs acknowledged
//! Opening        ───────► Established ───────► FinOutbound ─────► Closing ────────────────────────► Finished
//! OpeningInbound ───────►      │      FIN in             FIN out     ▲
//!                SYN out       └─────────────► FinInbound ───────────┘
//!
//! any ── RST ──► Reset ── other traffic ──► Established
//! Closing, Finished, Reset ── SYN out, in ──► Opening, OpeningInbound
//! ```
//!
//! A segment outside of its receiver's window does not move the state: the receiver will not believe it either (RFC 9293 §3.10.7.4,
//! RFC 5961 §3). It is translated all the same, since the gateway cannot know the window better than the receiver.

use std::time::Duration;

use crate::limits::{TCP_CLOSING, TCP_ESTABLISHED, TCP_OPENING};
use crate::packet::Packet;
use crate::packet::glance::{Glance, Version};
use crate::translate::{TCP_OPTION_SCALE, tcp_option};
use crate::wire::tcp_flag::{ACK, FIN, RST, SYN};
use crate::wire::{TCP_LEN, u16_at, u32_at};
use crate::{SessionState, SessionState as S};

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Outbound,
    Inbound,
}

/// What a TCP segment says about its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) window: u16,
    /// Bytes of payload.
    pub(crate) length: u32,
    /// Window scale of a SYN, if it has one.
    pub(crate) scale: Option<u8>,
}

/// What both ends have said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Track {
    pub(crate) outbound: Flow,
    pub(crate) inbound: Flow,
}

/// What one end has said. Numbers that it has not said yet are told by `known`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    /// The sequence number behind everything that it has sent.
    end: u32,
    /// The sequence number behind its FIN.
    fin: u32,
    /// The highest acknowledgment that it has sent.
    acknowledged: u32,
    /// Bytes behind that which it takes.
    window: u32,
    /// Window scale, if it has offered one.
    scale: u8,
    known: u8,
}

/// Bits of [`Flow::known`].
mod known {
    pub(super) const END: u8 = 1;
    pub(super) const FIN: u8 = 2;
    pub(super) const ACKNOWLEDGED: u8 = 4;
    pub(super) const SCALE: u8 = 8;
}

impl Segment {
    /// That of a frame; `None` if it carries no TCP.
    pub(crate) fn of(frame: &[u8], packet: &Packet) -> Option<Self> {
        let tcp = packet.tcp()?;
        let header = &frame[packet.at..packet.at + usize::from(tcp.header_len)];
        let scale = (tcp.flags & SYN != 0).then(|| tcp_option(header, TCP_OPTION_SCALE, 3)).flatten();
        Some(Self {
            flags: tcp.flags,
            sequence: tcp.sequence,
            acknowledgment: tcp.acknowledgment,
            window: tcp.window,
            length: packet.payload_len() as u32,
            // RFC 7323 §2.3: larger values count as 14.
            scale: scale.map(|at| header[at].min(14)),
        })
    }

    /// The same at a glance, of a segment that is no SYN.
    #[inline]
    pub(crate) fn seen<V: Version>(frame: &[u8], glance: &Glance) -> Option<Self> {
        if !glance.is_tcp {
            return None;
        }
        let header = frame.get(V::AT..)?.first_chunk::<TCP_LEN>()?;
        Some(Self {
            flags: header[13],
            sequence: u32_at(header, 4),
            acknowledgment: u32_at(header, 8),
            window: u16_at(header, 14),
            length: glance.payload::<V>(frame) as u32,
            scale: None,
        })
    }

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The sequence number behind it.
    const fn end(&self) -> u32 {
        let controls = self.has(SYN) as u32 + self.has(FIN) as u32;
        self.sequence.wrapping_add(self.length).wrapping_add(controls)
    }
}

impl Track {
    /// Whether both ends have acknowledged something of the other: the handshake is complete.
    pub(crate) const fn is_open(&self) -> bool {
        self.outbound.acknowledged().is_some() && self.inbound.acknowledged().is_some()
    }

    /// Notes a segment; returns the state after it has passed.
    pub(crate) fn advance(
        &mut self,
        state: SessionState,
        direction: Direction,
        segment: &Segment,
    ) -> SessionState {
        if opens(segment.flags) && is_over(state) {
            // Closed, and the port is used again (RFC 9293 §3.10.7.4 lets a TIME-WAIT be reused).
            *self = Self::default();
        }
        let (sender, receiver) = match direction {
            Direction::Outbound => (&mut self.outbound, &self.inbound),
            Direction::Inbound => (&mut self.inbound, &self.outbound),
        };
        if !sender.note(segment, receiver) {
            return state;
        }
        let state = advance(state, direction, segment.flags);
        let acknowledged =
            self.outbound.knows_end_of(&self.inbound) && self.inbound.knows_end_of(&self.outbound);
        if state == S::Closing && acknowledged { S::Finished } else { state }
    }
}

impl Flow {
    /// The sequence number behind everything that it has sent, if that was anything.
    pub(crate) const fn end(&self) -> Option<u32> {
        self.if_known(known::END, self.end)
    }

    const fn fin(&self) -> Option<u32> {
        self.if_known(known::FIN, self.fin)
    }

    const fn acknowledged(&self) -> Option<u32> {
        self.if_known(known::ACKNOWLEDGED, self.acknowledged)
    }

    const fn if_known(&self, what: u8, number: u32) -> Option<u32> {
        if self.known & what != 0 { Some(number) } else { None }
    }

    const fn know(&mut self, what: u8, known: bool) {
        self.known = if known { self.known | what } else { self.known & !what };
    }

    /// Notes what this end says to `peer`; returns whether the peer can believe it.
    fn note(&mut self, segment: &Segment, peer: &Self) -> bool {
        if segment.has(RST) {
            return self.may_reset(segment, peer);
        }
        let end = segment.end();
        let too_far = peer
            .acknowledged()
            .is_some_and(|next| is_after(end, next.wrapping_add(peer.window.max(MIN_WINDOW))));
        if too_far {
            return false;
        }
        if segment.has(ACK) && peer.end().is_some_and(|end| !is_after(segment.acknowledgment, end)) {
            let known = self.acknowledged().is_some_and(|known| is_after(known, segment.acknowledgment));
            if !known {
                self.acknowledged = segment.acknowledgment;
                self.known |= known::ACKNOWLEDGED;
                let scales = self.known & peer.known & known::SCALE != 0 && !segment.has(SYN);
                self.window = u32::from(segment.window) << if scales { self.scale } else { 0 };
            }
        }
        // Until the peer has answered, another SYN begins anew.
        let anew = segment.has(SYN) && peer.acknowledged().is_none();
        if segment.has(SYN) && (anew || self.end().is_none()) {
            self.scale = segment.scale.unwrap_or(0);
            self.know(known::SCALE, segment.scale.is_some());
        }
        if anew || self.end().is_none_or(|known| is_after(end, known)) {
            self.end = end;
            self.know(known::END, true);
        }
        if segment.has(FIN) {
            // One that the peer has left behind long ago is nobody's.
            if peer.acknowledged().is_some_and(|next| is_after(next, end)) {
                return false;
            }
            self.fin = end;
            self.know(known::FIN, true);
        }
        true
    }

    /// RFC 5961 §3.2, RFC 9293 §3.10.7.3: a RST is in the peer's window, or answers the peer's SYN.
    fn may_reset(&self, segment: &Segment, peer: &Self) -> bool {
        let sequence = segment.sequence;
        let in_window = match peer.acknowledged() {
            Some(next) => {
                let behind = next.wrapping_add(peer.window.max(1));
                !is_after(next, sequence) && is_after(behind, sequence)
            }
            None => segment.has(ACK) && peer.end() == Some(segment.acknowledgment),
        };
        in_window || self.end() == Some(sequence)
    }

    /// Whether this end has acknowledged the other one's FIN.
    fn knows_end_of(&self, other: &Self) -> bool {
        match (self.acknowledged(), other.fin()) {
            (Some(acknowledged), Some(fin)) => !is_after(fin, acknowledged),
            _ => false,
        }
    }
}

/// A window that has just been closed is still used for what is on its way, and for probes. Bytes.
const MIN_WINDOW: u32 = 65_535;

/// Whether a sequence number is behind another one (RFC 9293 §3.4).
const fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// Whether a segment with these flags may open a session.
pub(crate) const fn opens(flags: u8) -> bool {
    flags & (SYN | ACK | RST | FIN) == SYN
}

/// Whether the connection is over for both ends, so that a SYN is a new one's.
const fn is_over(state: SessionState) -> bool {
    matches!(state, S::Closing | S::Finished | S::Reset)
}

/// The state after a believable segment with `flags` has passed.
const fn advance(state: SessionState, direction: Direction, flags: u8) -> SessionState {
    use Direction::{Inbound, Outbound};
    if flags & RST != 0 {
        return S::Reset;
    }
    let (syn, fin) = (flags & SYN != 0, flags & FIN != 0);
    match (state, direction) {
        _ if is_over(state) && opens(flags) => opening(direction),
        (S::Opening, Inbound) | (S::OpeningInbound, Outbound) if syn => S::Established,
        (S::Established, Outbound) if fin => S::FinOutbound,
        (S::Established, Inbound) if fin => S::FinInbound,
        (S::FinOutbound, Inbound) | (S::FinInbound, Outbound) if fin => S::Closing,
        (S::Reset, _) => S::Established,
        _ => state,
    }
}

/// The state that a first SYN makes.
pub(crate) const fn opening(direction: Direction) -> SessionState {
    match direction {
        Direction::Outbound => S::Opening,
        Direction::Inbound => S::OpeningInbound,
    }
}

/// How long a session may be silent in `state`. Until its handshake is complete, it is only partially open (RFC 7857 §2.1),
/// whatever its figure says: a SYN that a listener answers must not cost more than one that nobody does.
pub(crate) const fn idle_limit(state: SessionState, is_open: bool) -> Duration {
    match state {
        S::Established | S::FinOutbound | S::FinInbound if is_open => TCP_ESTABLISHED,
        S::Opening | S::OpeningInbound | S::Established | S::FinOutbound | S::FinInbound => TCP_OPENING,
        _ => TCP_CLOSING,
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{Inbound as In, Outbound as Out};
    use super::*;

    /// A connection between two ends that send consistent numbers.
    struct Connection {
        track: Track,
        state: SessionState,
        /// What each end sends next: the container's, the remote's.
        next: [u32; 2],
    }

    const ISN: [u32; 2] = [0xffff_fff0, 5000];

    impl Connection {
        fn opened_by(direction: Direction) -> Self {
            let mut connection = Self { track: Track::default(), state: opening(direction), next: ISN };
            connection.sends(direction, SYN, 0);
            connection
        }

        fn established() -> Self {
            let mut connection = Self::opened_by(Out);
            connection.sends(In, SYN | ACK, 0);
            connection.sends(Out, ACK, 0);
            assert_eq!(connection.state, S::Established);
            connection
        }

        fn sends(&mut self, direction: Direction, flags: u8, length: u32) -> SessionState {
            let (own, other) = if direction == Out { (0, 1) } else { (1, 0) };
            let acknowledgment = if flags & ACK != 0 { self.next[other] } else { 0 };
            let sequence = self.next[own];
            let segment = Segment { flags, sequence, acknowledgment, window: 1000, length, scale: None };
            if flags & RST == 0 {
                self.next[own] = segment.end();
            }
            self.passes(direction, &segment)
        }

        fn passes(&mut self, direction: Direction, segment: &Segment) -> SessionState {
            self.state = self.track.advance(self.state, direction, segment);
            self.state
        }
    }

    fn run(segments: &[(Direction, u8)]) -> SessionState {
        let mut connection = Connection::established();
        for &(direction, flags) in segments {
            connection.sends(direction, flags, 0);
        }
        connection.state
    }

    #[test]
    fn handshakes_close_and_reset_as_the_table_says() {
        assert_eq!(Connection::opened_by(Out).state, S::Opening);
        assert_eq!(Connection::opened_by(Out).sends(Out, SYN, 0), S::Opening);
        assert_eq!(Connection::opened_by(Out).sends(In, SYN | ACK, 0), S::Established);
        // Simultaneous open.
        assert_eq!(Connection::opened_by(Out).sends(In, SYN, 0), S::Established);
        assert_eq!(Connection::opened_by(Out).sends(In, RST | ACK, 0), S::Reset);
        let cases: &[(&[(Direction, u8)], SessionState)] = &[
            (&[(Out, FIN | ACK)], S::FinOutbound),
            (&[(In, FIN | ACK)], S::FinInbound),
            (&[(Out, FIN | ACK), (In, FIN | ACK)], S::Closing),
            (&[(Out, FIN | ACK), (In, FIN | ACK), (Out, ACK)], S::Finished),
            (&[(In, FIN | ACK), (Out, FIN | ACK), (In, ACK)], S::Finished),
            (&[(In, FIN | ACK), (Out, FIN | ACK), (Out, ACK)], S::Closing),
            (&[(Out, FIN | ACK), (In, FIN | ACK), (Out, SYN)], S::Opening),
            // Half-closed, it can go on for long; whoever gets the SYN challenges it (RFC 5961 §4).
            (&[(In, FIN | ACK), (Out, SYN)], S::FinInbound),
            (&[(In, RST)], S::Reset),
            (&[(In, RST), (Out, ACK)], S::Established),
            (&[(In, RST), (In, RST)], S::Reset),
            (&[(In, RST), (Out, SYN)], S::Opening),
        ];
        for (segments, expected) in cases {
            assert_eq!(run(segments), *expected, "{segments:?}");
        }
    }

    #[test]
    fn a_session_that_the_remote_opens_goes_the_same_way() {
        assert_eq!(Connection::opened_by(In).state, S::OpeningInbound);
        assert_eq!(Connection::opened_by(In).sends(Out, SYN | ACK, 0), S::Established);
        assert_eq!(Connection::opened_by(In).sends(Out, RST | ACK, 0), S::Reset);
        assert_eq!(run(&[(In, FIN | ACK), (Out, FIN | ACK), (In, ACK), (In, SYN)]), S::OpeningInbound);
    }

    #[test]
    fn a_reset_outside_of_the_window_moves_nothing() {
        for (sequence, expected) in [
            (ISN[1] + 1, S::Reset),
            (ISN[1] + 1000, S::Reset),
            (ISN[1] + 1001, S::Established),
            (ISN[1], S::Established),
            (0, S::Established),
        ] {
            let mut connection = Connection::established();
            let reset = Segment { flags: RST, sequence, ..Segment::default() };
            assert_eq!(connection.passes(In, &reset), expected, "{sequence}");
        }
    }

    #[test]
    fn a_fin_outside_of_the_window_moves_nothing() {
        let mut connection = Connection::established();
        let far = ISN[1].wrapping_add(1_000_000);
        let fin =
            Segment { flags: FIN | ACK, sequence: far, acknowledgment: ISN[0] + 1, ..Segment::default() };
        assert_eq!(connection.passes(In, &fin), S::Established);
        assert_eq!(connection.sends(In, ACK, 900), S::Established);
        assert_eq!(connection.track.inbound.end(), Some(ISN[1] + 901), "the track goes on");
    }

    #[test]
    fn windows_are_scaled_if_both_ends_scale() {
        for (scale, expected) in [(Some(7), S::Reset), (None, S::Established)] {
            let mut connection = Connection { track: Track::default(), state: S::Opening, next: ISN };
            let syn =
                Segment { flags: SYN, sequence: ISN[0], window: 1000, scale: Some(7), ..Segment::default() };
            connection.passes(Out, &syn);
            let (sequence, acknowledgment) = (ISN[1], ISN[0] + 1);
            connection.passes(In, &Segment { flags: SYN | ACK, sequence, acknowledgment, scale, ..syn });
            let ack =
                Segment { flags: ACK, sequence: ISN[0] + 1, acknowledgment: ISN[1] + 1, scale: None, ..syn };
            connection.passes(Out, &ack);
            let reset = Segment { flags: RST, sequence: ISN[1] + 100_000, ..Segment::default() };
            assert_eq!(connection.passes(In, &reset), expected);
        }
    }

    #[test]
    fn only_a_bare_syn_opens() {
        for flags in 0..=0x3f {
            assert_eq!(opens(flags), flags & 0x17 == SYN, "{flags:#x}");
        }
    }
}
