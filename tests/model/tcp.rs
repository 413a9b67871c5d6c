//! TCP connections with consistent numbers, and what both ends say on them.

use gateway_core::Reason;

use crate::frame::Body;
use crate::frame::flag::{ACK, FIN, RST, SYN};
use crate::model::Segment;
use tests::Random;

/// What both ends have said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connection {
    /// The sequence number behind everything that the end has sent; `None` before its SYN.
    next: [Option<u32>; 2],
    /// The highest acknowledgment that the end has sent.
    acknowledged: [Option<u32>; 2],
    finished: [bool; 2],
}

/// One segment of one end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) flags: u8,
    sequence: u32,
    acknowledgment: u32,
    payload: u16,
    /// In the receiver's window.
    believed: bool,
}

impl Connection {
    /// The first SYN.
    pub(crate) fn open(random: &mut Random) -> Said {
        let sequence = random.next() as u32;
        Said { flags: SYN, sequence, acknowledgment: 0, payload: 0, believed: true }
    }

    /// Something of a connection that nobody knows.
    pub(crate) fn stray(random: &mut Random) -> Said {
        let flags = random.pick(&[ACK, FIN | ACK, RST, SYN | ACK, RST | ACK]);
        Said { flags, ..Self::open(random) }
    }

    /// What `end` says next.
    pub(crate) fn say(&self, random: &mut Random, end: usize) -> Said {
        let other = 1 - end;
        let acknowledgment = self.next[other].unwrap_or(0);
        let said =
            |flags, sequence, payload| Said { flags, sequence, acknowledgment, payload, believed: true };
        let Some(next) = self.next[end] else {
            let sequence = random.next() as u32;
            return match random.below(10) {
                0 => Said { acknowledgment: 0, ..said(SYN, sequence, 0) },
                1 => said(RST | ACK, 0, 0),
                _ => said(SYN | ACK, sequence, 0),
            };
        };
        if self.next[other].is_none() {
            // Nothing to acknowledge yet.
            return if random.percent(10) { said(RST, next, 0) } else { said(SYN, next.wrapping_sub(1), 0) };
        }
        let settled = self.acknowledged.iter().all(Option::is_some);
        let room = self.acknowledged[other].is_none_or(|a| next.wrapping_sub(a) < 60_000);
        match random.below(20) {
            0..=3 if settled && self.finished[end] => said(FIN | ACK, next.wrapping_sub(1), 0),
            0..=3 if settled => said(FIN | ACK, next, 0),
            4 => said(random.pick(&[RST, RST | ACK]), next, 0),
            5 if settled => {
                let flags = random.pick(&[ACK, FIN | ACK, RST, SYN, RST | ACK, SYN | ACK]);
                Said { believed: false, ..said(flags, next.wrapping_add(0x1000_0000), 0) }
            }
            6 => said(ACK, next.wrapping_sub(1), 1),
            _ if self.finished[end] || !room => said(ACK, next, 0),
            _ => said(ACK, next, random.below(40) as u16),
        }
    }

    /// Notes what `end` has said, as everybody on the way has seen it.
    pub(crate) fn note(&mut self, end: usize, said: &Said) {
        if !said.believed || said.flags & RST != 0 {
            return;
        }
        let controls = u32::from(said.flags & SYN != 0) + u32::from(said.flags & FIN != 0);
        let behind = said.sequence.wrapping_add(said.payload.into()).wrapping_add(controls);
        if self.next[end].is_none_or(|next| behind.wrapping_sub(next).cast_signed() > 0) {
            self.next[end] = Some(behind);
        }
        self.finished[end] |= said.flags & FIN != 0;
        if said.flags & ACK != 0 {
            self.acknowledged[end] = Some(said.acknowledgment);
        }
    }

    /// For the model.
    pub(crate) const fn segment(&self, end: usize, said: &Said) -> Segment {
        let acknowledges = said.flags & (ACK | RST) == ACK && self.next[1 - end].is_some();
        (said.flags, said.believed, acknowledges, acknowledges && self.finished[1 - end])
    }
}

impl Said {
    pub(crate) const fn body(&self) -> Body {
        let Self { flags, sequence, acknowledgment, payload, .. } = *self;
        Body::Tcp { flags, sequence, acknowledgment, payload }
    }
}

/// Whether a packet may open a session, and the reason if it may not.
pub(crate) const fn opens(body: Body) -> Result<(), Reason> {
    match body {
        Body::Tcp { flags, .. } if flags & (SYN | ACK | RST | FIN) != SYN => Err(Reason::TcpNotSyn),
        Body::EchoReply => Err(Reason::IcmpTypeUnsupported),
        _ => Ok(()),
    }
}
