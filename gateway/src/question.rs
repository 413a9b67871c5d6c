//! What the gateway can be asked about: a packet, described or as it is.

use std::sync::Arc;

use gateway_core::{CommandError, Engine, Explanation, Instant, Link, Probe, VNET_LEN};

/// A packet of a link, to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// One that is described.
    Probe(Probe),
    /// The bytes of an IP packet, from the station that the link expects.
    Packet(Arc<[u8]>),
    /// The bytes of an Ethernet frame, without a vnet header.
    Frame(Arc<[u8]>),
}

impl Question {
    /// What one worker says.
    pub(crate) fn ask(&self, engine: &Engine, now: Instant, from: Link) -> Result<Explanation, CommandError> {
        match self {
            Self::Probe(probe) => engine.explain(now, from, probe),
            Self::Packet(packet) => engine.explain_packet(now, from, packet),
            Self::Frame(frame) => {
                // Nothing is left to be done for it, as for what a raw socket sends.
                let frame = [&[0; VNET_LEN], &frame[..]].concat();
                Ok(engine.explain_frame(now, from, &frame))
            }
        }
    }
}
