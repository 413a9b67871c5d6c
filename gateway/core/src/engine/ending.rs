//! Live TCP sessions that end by policy: both ends are told by RST, so that no application waits for what does not come.

use std::collections::VecDeque;

use super::Engine;
use crate::limits::RESETS;
use crate::neighbor::Lookup;
use crate::respond::reset;
use crate::session::Session;
use crate::wire::tcp_flag::{ACK, RST};
use crate::{Instant, Link, OnDetach, Protocol, Transmit};

/// Sessions that have ended, and whose ends are still to be told. Frames are made one at a time, when they are sent.
#[derive(Debug, Default)]
pub(super) struct Endings {
    queue: VecDeque<(End, Session)>,
}

/// Who is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Container,
    Remote,
}

impl Engine {
    /// Notes that a session has ended by policy.
    pub(super) fn announce_end(&mut self, now: Instant, session: &Session, on_detach: OnDetach) {
        let live = session.inside.protocol == Protocol::Tcp && !session.is_finished();
        let told = live && on_detach == OnDetach::Reset;
        if !told || self.endings.queue.len() + 2 > RESETS {
            return;
        }
        self.endings.queue.push_back((End::Container, session.clone()));
        let remote = session.inside.destination.ip();
        let uplink = session.owner.uplink;
        if self.uplinks.get(&uplink).is_some_and(|u| u.turns_back(remote)) {
            // Another container: it is told as if the VPC had sent it.
            if let Some((_, mut frame)) = self.reset_of(End::Remote, session) {
                self.turn_back(now, uplink, &mut frame);
            }
        } else {
            self.endings.queue.push_back((End::Remote, session.clone()));
        }
    }

    /// The next RST to be sent. An end that cannot be reached any more is not told.
    pub(super) fn next_reset(&mut self) -> Option<Transmit> {
        while let Some((end, session)) = self.endings.queue.pop_front() {
            if let Some((to, frame)) = self.reset_of(end, &session) {
                self.count_sent(to, &frame);
                return Some(Transmit::Frame { to, frame });
            }
        }
        None
    }

    /// A RST as the other end would send it: behind everything that it has said (RFC 9293 §3.5.2), and if that was nothing yet,
    /// acknowledging the SYN.
    fn reset_of(&self, end: End, session: &Session) -> Option<(Link, Vec<u8>)> {
        let (to, macs, from, target, speaker, hearer) = match end {
            End::Container => {
                let id = session.owner.attachment;
                let config = &self.attachments.get(&id)?.config;
                let macs = (config.mac, config.gateway_mac);
                let (from, target) = (session.inside.destination, session.inside.source);
                (Link::Attachment(id), macs, from, target, session.track.inbound, session.track.outbound)
            }
            End::Remote => {
                let id = session.owner.uplink;
                let uplink = self.uplinks.get(&id)?;
                let remote = session.inside.destination.ip();
                let hop = uplink.hop_now(remote);
                let mac = match uplink.neighbors.peek(hop.next) {
                    Lookup::Resolved { mac, .. } => mac,
                    _ if hop.back => uplink.config.mac,
                    _ => return None,
                };
                let macs = (mac, uplink.config.mac);
                let (from, target) = (session.external, session.inside.destination);
                (Link::Uplink(id), macs, from, target, session.track.outbound, session.track.inbound)
            }
        };
        let (sequence, acknowledgment) = (speaker.end().unwrap_or(0), hearer.end().unwrap_or(0));
        let flags = if hearer.end().is_some() { RST | ACK } else { RST };
        Some((to, reset(macs, from, target, (sequence, acknowledgment), flags)))
    }
}
