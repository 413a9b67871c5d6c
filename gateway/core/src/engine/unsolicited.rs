//! SYNs that nobody asked for (RFC 5382 REQ-4): silence for 6 s, in which the container may open the same connection by
//! itself; then ICMP port unreachable, if the VPC's policy is to tell.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Engine;
use crate::limits::{ICMP_ERROR_BYTES, UNSOLICITED_SYN, UNSOLICITED_SYNS, UNSOLICITED_SYNS_IN_ALL};
use crate::packet::Tuple;
use crate::respond::IcmpError;
use crate::split::complete_checksum;
use crate::wire::IP;
use crate::{Instant, Link, Protocol, Unsolicited, UplinkId};

/// SYNs that wait for their 6 s to be over.
pub(super) struct Unasked {
    queue: VecDeque<Waiting>,
    known: HashSet<(UplinkId, Tuple), ahash::RandomState>,
    by_uplink: HashMap<UplinkId, usize, ahash::RandomState>,
}

struct Waiting {
    due: Instant,
    uplink: UplinkId,
    tuple: Tuple,
    /// As much of the frame as an error quotes.
    frame: Box<[u8]>,
}

impl Unasked {
    pub(super) fn new(hasher: &ahash::RandomState) -> Self {
        Self {
            queue: VecDeque::new(),
            known: HashSet::with_hasher(hasher.clone()),
            by_uplink: HashMap::with_hasher(hasher.clone()),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.queue.front().map(|waiting| waiting.due)
    }

    fn pop_due(&mut self, now: Instant) -> Option<Waiting> {
        let waiting = self.queue.pop_front_if(|waiting| waiting.due <= now)?;
        self.forget(&waiting);
        Some(waiting)
    }

    fn forget(&mut self, waiting: &Waiting) {
        self.known.remove(&(waiting.uplink, waiting.tuple));
        if let Some(count) = self.by_uplink.get_mut(&waiting.uplink) {
            *count -= 1;
            if *count == 0 {
                self.by_uplink.remove(&waiting.uplink);
            }
        }
    }

    /// An uplink is gone: nobody is left to be told.
    pub(super) fn remove_uplink(&mut self, uplink: UplinkId) {
        let (gone, kept) = std::mem::take(&mut self.queue).into_iter().partition(|w| w.uplink == uplink);
        self.queue = kept;
        let gone: VecDeque<Waiting> = gone;
        for waiting in gone {
            self.forget(&waiting);
        }
    }
}

impl Engine {
    /// Remembers a SYN that was dropped, if its sender is to be told and not too many wait already.
    pub(super) fn remember_unasked(&mut self, now: Instant, uplink: UplinkId, tuple: Tuple, frame: &[u8]) {
        let told = self.uplinks.get(&uplink).is_some_and(|u| u.config.unsolicited == Unsolicited::Icmp);
        if tuple.protocol != Protocol::Tcp || !told || self.unasked.known.contains(&(uplink, tuple)) {
            return;
        }
        let count = self.unasked.by_uplink.get(&uplink).copied().unwrap_or_default();
        if count >= UNSOLICITED_SYNS || self.unasked.queue.len() >= UNSOLICITED_SYNS_IN_ALL {
            return;
        }
        self.unasked.by_uplink.insert(uplink, count + 1);
        self.unasked.known.insert((uplink, tuple));
        let mut frame = frame[..frame.len().min(IP + ICMP_ERROR_BYTES)].to_vec();
        // An error quotes the packet as it is on the wire. What cannot be completed was cut above, and so was its checksum.
        let _ = complete_checksum(&mut frame);
        self.unasked.queue.push_back(Waiting {
            due: now + UNSOLICITED_SYN,
            uplink,
            tuple,
            frame: frame.into(),
        });
    }

    /// Tells the senders of those whose time is over, unless the connection has come about meanwhile.
    pub(super) fn answer_unasked(&mut self, now: Instant) {
        while let Some(Waiting { uplink, tuple, frame, .. }) = self.unasked.pop_due(now) {
            if self.find_outside(uplink, &tuple).is_none() {
                self.tell(now, Link::Uplink(uplink), &frame, None, IcmpError::PortUnreachable);
            }
        }
    }
}
