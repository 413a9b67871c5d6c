//! TCP connections whose ends send consistent sequence numbers.

use super::packet::{Carries, Packet};
use super::{ACK, FIN, RST, SYN};

/// Initial sequence numbers of the container, which soon wraps, and of the remote.
const INITIAL: [u32; 2] = [0xffff_ff00, 5_000];

/// Which end sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Container,
    Remote,
}

/// Sequence and acknowledgment number of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
}

/// What both ends of one connection have said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    ends: [End; 2],
}

#[derive(Clone, Copy, Debug)]
struct End {
    /// What it sends next.
    next: u32,
    has_spoken: bool,
    /// Where its FIN was, to be sent again.
    fin: Option<u32>,
}

impl By {
    const fn other(self) -> Self {
        match self {
            Self::Container => Self::Remote,
            Self::Remote => Self::Container,
        }
    }
}

impl Numbers {
    /// Those of a segment with these flags, if nobody has sent any data yet.
    pub(crate) const fn first(by: By, flags: u8) -> Self {
        let (own, other) = (INITIAL[by as usize], INITIAL[by.other() as usize]);
        let sequence = if flags & SYN != 0 { own } else { own.wrapping_add(1) };
        let acknowledgment = if flags & ACK != 0 { other.wrapping_add(1) } else { 0 };
        Self { sequence, acknowledgment }
    }
}

impl Connection {
    /// Nobody has said anything.
    pub(crate) fn new() -> Self {
        Self { ends: INITIAL.map(|next| End { next, has_spoken: false, fin: None }) }
    }

    /// The packet, if it is TCP, with the numbers of this connection's next segment. A SYN that was not answered, and a
    /// FIN, are sent again if they come again.
    pub(crate) fn next(&mut self, by: By, mut packet: Packet) -> Packet {
        let Carries::Tcp(flags) = packet.carries else { return packet };
        let has = |flag| flags & flag != 0;
        let other = self.ends[by.other() as usize];
        let own = &mut self.ends[by as usize];
        if has(SYN) {
            own.fin = None;
            if own.has_spoken && !other.has_spoken {
                own.next = INITIAL[by as usize];
            }
        }
        let sequence = if has(FIN) { own.fin.unwrap_or(own.next) } else { own.next };
        let acknowledgment = if has(ACK) { other.next } else { 0 };
        packet.numbers = Numbers { sequence, acknowledgment };
        if has(FIN) {
            own.fin = Some(sequence);
        }
        if !has(RST) {
            let controls = u32::from(has(SYN)) + u32::from(has(FIN));
            own.next = sequence.wrapping_add(packet.payload.len() as u32 + controls);
            own.has_spoken = true;
        }
        packet
    }
}
