//! The TCP states of a session, as RFC 7857 §2 and RFC 6146 §3.5.2 have them for a NAT.
//!
//! ```text
//!                SYN in              FIN out            FIN in
//! Opening        ───────► Established ───────► FinOutbound ─────► Closing
//! OpeningInbound ───────►      │      FIN in             FIN out     ▲
//!                SYN out       └─────────────► FinInbound ───────────┘
//!
//! any ── RST ──► Reset ── other traffic ──► Established
//! Fin*, Closing, Reset ── SYN out, in ──► Opening, OpeningInbound
//! ```

use std::time::Duration;

use crate::limits::{TCP_ESTABLISHED, TCP_TRANSITORY};
use crate::wire::tcp_flag::{ACK, FIN, RST, SYN};
use crate::{SessionState, SessionState as S};

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Outbound,
    Inbound,
}

/// Whether a segment with these flags may open a session.
pub(crate) const fn opens(flags: u8) -> bool {
    flags & (SYN | ACK | RST | FIN) == SYN
}

/// The state after a segment with `flags` has passed.
pub(crate) const fn advance(state: SessionState, direction: Direction, flags: u8) -> SessionState {
    use Direction::{Inbound, Outbound};
    if flags & RST != 0 {
        return S::Reset;
    }
    let (syn, fin) = (flags & SYN != 0, flags & FIN != 0);
    match (state, direction) {
        // Half-closed or closed, and the port is used again (RFC 9293 §3.10.7.4 lets a TIME-WAIT be reused).
        (S::FinOutbound | S::FinInbound | S::Closing | S::Reset, _) if opens(flags) => opening(direction),
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

/// How long a session may be silent in `state`.
pub(crate) const fn idle_limit(state: SessionState) -> Duration {
    match state {
        S::Established | S::FinOutbound | S::FinInbound => TCP_ESTABLISHED,
        _ => TCP_TRANSITORY,
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{Inbound as In, Outbound as Out};
    use super::*;

    fn run(segments: &[(Direction, u8)]) -> SessionState {
        segments.iter().fold(S::Opening, |state, &(direction, flags)| advance(state, direction, flags))
    }

    #[test]
    fn handshakes_close_and_reset_as_the_table_says() {
        let open = [(In, SYN | ACK), (Out, ACK)];
        let cases: &[(&[(Direction, u8)], SessionState)] = &[
            (&[(Out, SYN)], S::Opening),
            (&[(Out, ACK)], S::Opening),
            (&[(In, SYN | ACK)], S::Established),
            (&[(In, SYN)], S::Established), // simultaneous open
            (&[(In, RST | ACK)], S::Reset),
            (&[(In, RST | ACK), (Out, SYN)], S::Opening),
        ];
        for (segments, expected) in cases {
            assert_eq!(run(segments), *expected, "{segments:?}");
        }
        let then: &[(&[(Direction, u8)], SessionState)] = &[
            (&[(Out, FIN | ACK)], S::FinOutbound),
            (&[(In, FIN | ACK)], S::FinInbound),
            (&[(Out, FIN | ACK), (In, FIN | ACK)], S::Closing),
            (&[(In, FIN | ACK), (Out, FIN | ACK)], S::Closing),
            (&[(Out, FIN), (In, FIN), (Out, ACK)], S::Closing),
            (&[(Out, FIN), (In, FIN), (Out, SYN)], S::Opening),
            (&[(In, FIN | ACK), (Out, SYN)], S::Opening),
            (&[(In, RST)], S::Reset),
            (&[(In, RST), (Out, ACK)], S::Established),
            (&[(In, RST), (In, RST)], S::Reset),
        ];
        for (segments, expected) in then {
            assert_eq!(run(&[&open, *segments].concat()), *expected, "{segments:?}");
        }
    }

    #[test]
    fn a_session_that_the_remote_opens_goes_the_same_way() {
        let run = |segments: &[(Direction, u8)]| {
            segments.iter().fold(opening(In), |state, &(direction, flags)| advance(state, direction, flags))
        };
        assert_eq!(run(&[(In, SYN)]), S::OpeningInbound);
        assert_eq!(run(&[(Out, SYN | ACK)]), S::Established);
        assert_eq!(run(&[(Out, RST | ACK)]), S::Reset);
        assert_eq!(run(&[(Out, SYN | ACK), (In, FIN), (Out, FIN), (In, SYN)]), S::OpeningInbound);
    }

    #[test]
    fn only_a_bare_syn_opens() {
        for flags in 0..=0x3f {
            assert_eq!(opens(flags), flags & 0x17 == SYN, "{flags:#x}");
        }
    }
}
