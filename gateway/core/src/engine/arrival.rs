//! What a frame is for. To find that out changes nothing, so that packets and `explain` are told the same.

use std::net::IpAddr;

use super::Engine;
use crate::packet::{Embedded, Packet, Tuple};
use crate::{Instant, Link, MacAddr, Verdict};

/// A frame that its link has let pass.
pub(super) enum Arrival {
    /// For the gateway itself.
    ForUs {
        /// The frame that it answers with, if it does.
        answer: Option<Vec<u8>>,
        /// Who says where they are, on an uplink.
        told: Option<(IpAddr, MacAddr)>,
    },
    /// A piece of a datagram.
    Fragment,
    /// An ICMP error about a packet of a session.
    Error(Packet, Embedded),
    /// A packet of a session, or of one that would begin.
    Flow(Packet, Tuple),
}

impl Arrival {
    /// For the gateway, which answers with this.
    pub(super) const fn answered(answer: Option<Vec<u8>>) -> Self {
        Self::ForUs { answer, told: None }
    }
}

impl Engine {
    /// Answers what is for the gateway, and learns from it.
    pub(super) fn attend(
        &mut self,
        now: Instant,
        from: Link,
        answer: Option<Vec<u8>>,
        told: Option<(IpAddr, MacAddr)>,
    ) -> Verdict {
        if let Some(answer) = answer {
            // A ping that came in fragments is answered in fragments.
            self.send_fitting(from, answer);
        }
        if let (Some((address, mac)), Link::Uplink(id)) = (told, from) {
            self.learn_neighbor(now, id, address, mac);
        }
        self.verdict_for_us(told)
    }

    /// What every worker needs to hear is shared; what teaches nothing is nobody else's business.
    pub(super) const fn verdict_for_us(&self, told: Option<(IpAddr, MacAddr)>) -> Verdict {
        if told.is_some() && self.slot.count() > 1 { Verdict::Share } else { Verdict::Respond }
    }
}
