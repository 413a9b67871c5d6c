//! The engine's verbs. What they decide is in `outbound`, `inbound`, `configure` and `report`.

mod configure;
mod inbound;
mod links;
mod outbound;
mod report;

use std::collections::{BTreeSet, HashMap, VecDeque};

use self::links::{Attachment, Base, Uplink};
use crate::limits::{EXPIRY_BATCH, OUTBOX};
use crate::mapping::Mappings;
use crate::neighbor::{self, Held};
use crate::packet::Packet;
use crate::respond::{Arp, IcmpError};
use crate::session::{Due, Table};
use crate::vnet::is_super_packet;
use crate::wire::{Ethernet, IPV4, IPV4_LEN, TCP_LEN, TRANSPORT, VNET_LEN, address_at, tcp_flag};
use crate::{AttachmentId, Instant, Link, MacAddr, PacketSummary, Reason, UplinkId, Verdict, WorkerSlot};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Translates the packets of one worker's attachments. See the crate's documentation for how to drive it.
pub struct Engine {
    slot: WorkerSlot,
    random: ChaCha12Rng,
    hasher: ahash::RandomState,
    attachments: HashMap<AttachmentId, Attachment, ahash::RandomState>,
    uplinks: HashMap<UplinkId, Uplink, ahash::RandomState>,
    sessions: Table,
    mappings: Mappings,
    /// When the neighbors of which uplink want attention.
    neighbor_timers: BTreeSet<(Instant, UplinkId)>,
    outbox: VecDeque<Transmit>,
}

/// A frame that the gateway itself has made, or kept until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub to: Link,
    /// The frame, vnet header included.
    pub frame: Vec<u8>,
}

/// Why a packet ends, and the MTU that it did not fit, if it was that.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    reason: Reason,
    mtu: u16,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, mtu: 0 }
    }
}

impl Engine {
    /// An engine without links for worker `slot`. `seed` must be unpredictable: ports and hash keys come from it.
    pub fn new(slot: WorkerSlot, seed: [u8; 32]) -> Self {
        let mut random = ChaCha12Rng::from_seed(seed);
        let mut key = || random.next_u64();
        let hasher = ahash::RandomState::with_seeds(key(), key(), key(), key());
        Self {
            slot,
            random,
            attachments: HashMap::with_hasher(hasher.clone()),
            uplinks: HashMap::with_hasher(hasher.clone()),
            sessions: Table::new(&hasher),
            mappings: Mappings::new(&hasher),
            neighbor_timers: BTreeSet::new(),
            outbox: VecDeque::new(),
            hasher,
        }
    }

    /// Decides on a frame that came from a link, vnet header included, and rewrites it in place if it goes on.
    /// A frame that does not go on is left as it was. Frames never change their length.
    pub fn handle_packet(&mut self, now: Instant, from: Link, frame: &mut [u8]) -> Verdict {
        let received = (frame.len().saturating_sub(VNET_LEN), is_super_packet(frame));
        let outcome = match from {
            Link::Attachment(id) => self.outbound(now, id, frame),
            Link::Uplink(id) => self.inbound(now, id, frame),
        };
        let verdict = outcome.unwrap_or_else(|refusal| self.refuse(now, from, frame, refusal));
        // The worker that has it handed over counts it.
        let handed_over = matches!((verdict, from), (Verdict::HandOff { .. }, Link::Uplink(_)));
        if let Some(base) = self.base(from).filter(|_| !handed_over) {
            base.counters.received.count(received.0, received.1);
        }
        if let Verdict::Forward(to) = verdict {
            self.count_sent(to, frame);
        }
        verdict
    }

    /// Learns from an ARP frame of an uplink for which another worker's verdict was [`Verdict::Share`].
    pub fn handle_shared(&mut self, now: Instant, from: UplinkId, frame: &[u8]) {
        if let Some(arp) = frame.get(..IPV4).and_then(|_| Arp::parse(frame).ok()) {
            self.learn_neighbor(now, from, &arp);
        }
    }

    /// Counts a frame that the shell could not read from, write to, or hand over for this link.
    pub fn count_drop(&mut self, link: Link, reason: Reason) {
        if let Some(base) = self.base(link) {
            base.counters.drops.count(reason);
        }
    }

    /// Ends sessions and neighbors whose time is over at `now`; looks at [`EXPIRY_BATCH`] sessions at most.
    /// Returns how many sessions ended. Call again at [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) -> usize {
        let mut ended = 0;
        for _ in 0..EXPIRY_BATCH {
            match self.sessions.next_due(now) {
                Some(Due::Expired(key)) => {
                    self.end_session(key);
                    ended += 1;
                }
                Some(Due::LivesOn) => {}
                None => break,
            }
        }
        while let Some(&(at, uplink)) = self.neighbor_timers.first().filter(|&&(at, _)| at <= now) {
            self.neighbor_timers.remove(&(at, uplink));
            self.serve_neighbors(now, uplink);
        }
        ended
    }

    /// When [`Self::handle_timeout`] wants to be called; `None`: not before something else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let neighbors = self.neighbor_timers.first().map(|&(at, _)| at);
        self.sessions.poll_timeout().into_iter().chain(neighbors).min()
    }

    /// The next frame that the engine wants to send by itself. Ask until `None` after every other call.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }

    /// Ends a packet: tells its sender where that is due, and remembers it.
    fn refuse(&mut self, now: Instant, from: Link, frame: &[u8], refusal: Refusal) -> Verdict {
        self.complain(now, from, frame, refusal);
        if let Link::Attachment(id) = from
            && let Some(attachment) = self.attachments.get_mut(&id)
        {
            attachment.remember(now, refusal.reason, PacketSummary::read(frame));
        }
        if let Some(base) = self.base(from) {
            base.counters.drops.count(refusal.reason);
        }
        Verdict::Drop(refusal.reason)
    }

    /// Sends an ICMP error about a dropped packet, where the RFCs want one.
    fn complain(&mut self, now: Instant, from: Link, frame: &[u8], Refusal { reason, mtu }: Refusal) {
        if frame.len() < TRANSPORT {
            return;
        }
        let packet = Packet::parse(frame).ok();
        let transport = packet.map(|p| p.transport);
        let Some(error) = IcmpError::about(reason, transport.as_ref(), mtu) else { return };
        let (source, destination) = (address_at(frame, IPV4 + 12), address_at(frame, IPV4 + 16));
        let Ok((ethernet, _)) = Ethernet::parse(frame) else { return };
        // RFC 1122 §3.2.2: not about what was sent to many, nor to somebody who cannot be one host.
        if destination.is_multicast() || destination.is_broadcast() || !ethernet.source.is_unicast() {
            return;
        }
        let ours = match from {
            Link::Attachment(id) => self.attachments.get(&id).and_then(|a| {
                (a.config.address == source).then_some((a.config.gateway_mac, a.config.gateway))
            }),
            Link::Uplink(id) => self.uplinks.get(&id).and_then(|u| {
                let told = matches!(reason, Reason::TtlExpired | Reason::PacketTooBig);
                (told && u.config.external.contains(&destination)).then_some((u.config.mac, destination))
            }),
        };
        let Some(ours) = ours else { return };
        if self.base(from).is_some_and(|base| base.errors.take(now)) {
            let frame = error.frame(frame, packet.as_ref(), ours, (ethernet.source, source));
            self.transmit(from, frame);
        }
    }

    /// Queues a frame of the engine's own.
    fn transmit(&mut self, to: Link, frame: Vec<u8>) {
        if self.outbox.len() < OUTBOX {
            self.count_sent(to, &frame);
            self.outbox.push_back(Transmit { to, frame });
        } else {
            self.count_drop(to, Reason::OutboxFull);
        }
    }

    fn count_sent(&mut self, to: Link, frame: &[u8]) {
        if let Some(base) = self.base(to) {
            base.counters.sent.count(frame.len() - VNET_LEN, is_super_packet(frame));
        }
    }

    fn base(&mut self, link: Link) -> Option<&mut Base> {
        match link {
            Link::Attachment(id) => self.attachments.get_mut(&id).map(|a| &mut a.base),
            Link::Uplink(id) => self.uplinks.get_mut(&id).map(|u| &mut u.base),
        }
    }

    /// Ends a session, and its mapping with the last one.
    fn end_session(&mut self, key: usize) {
        let mapping_key = self.sessions.session(key).mapping;
        let mapping = &mut self.mappings[mapping_key];
        let session = self.sessions.remove(key, &mut mapping.sessions);
        if mapping.sessions.is_empty() {
            let mapping = self.mappings.remove(mapping_key);
            if let Some(attachment) = self.attachments.get_mut(&mapping.attachment) {
                attachment.mappings.remove(&mapping.key);
            }
        }
        for link in [Link::Attachment(session.attachment), Link::Uplink(session.uplink)] {
            if let Some(base) = self.base(link) {
                base.sessions -= 1;
            }
        }
    }

    /// Asks again for neighbors of `uplink`, and gives up on those that stay silent.
    fn serve_neighbors(&mut self, now: Instant, uplink: UplinkId) {
        while let Some(due) = self.uplinks.get_mut(&uplink).and_then(|u| u.neighbors.next_due(now)) {
            match due {
                neighbor::Due::Ask(address) => self.ask(uplink, address),
                neighbor::Due::GaveUp(held) => {
                    for Held { attachment, frame } in held {
                        let refusal = Reason::NextHopUnreachable.into();
                        self.refuse(now, Link::Attachment(attachment), &frame, refusal);
                    }
                }
                neighbor::Due::Nothing => {}
            }
        }
        self.arm(uplink);
    }

    /// Sends an ARP request.
    fn ask(&mut self, uplink: UplinkId, address: std::net::Ipv4Addr) {
        if let Some(u) = self.uplinks.get(&uplink) {
            let request = Arp::request(address, u.config.mac, u.config.external[0]);
            self.transmit(Link::Uplink(uplink), request);
        }
    }

    /// The largest MSS that fits both links; `None` for packets that announce none.
    fn mss_limit(&self, packet: &Packet, attachment: AttachmentId, uplink: UplinkId) -> Option<u16> {
        if packet.tcp_flags() & tcp_flag::SYN == 0 {
            return None;
        }
        let inside = self.attachments.get(&attachment)?.config.mtu;
        let outside = self.uplinks.get(&uplink)?.config.mtu;
        // RFC 6691 §2: the MTU less the fixed headers, whatever options a segment has.
        Some(inside.min(outside).saturating_sub((IPV4_LEN + TCP_LEN) as u16))
    }

    /// Brings the timer queue in line with the neighbors of `uplink`.
    fn arm(&mut self, uplink: UplinkId) {
        let Some(u) = self.uplinks.get_mut(&uplink) else { return };
        let next = u.neighbors.poll_timeout();
        if let Some(at) = std::mem::replace(&mut u.armed, next) {
            self.neighbor_timers.remove(&(at, uplink));
        }
        if let Some(at) = next {
            self.neighbor_timers.insert((at, uplink));
        }
    }
}

/// Whether a packet fits a link after segmentation.
fn check_fits(packet: &Packet, mtu: u16) -> Result<(), Refusal> {
    if packet.largest_on_wire() <= mtu.into() {
        return Ok(());
    }
    let reason = if packet.dont_fragment { Reason::PacketTooBig } else { Reason::FragmentationNeeded };
    Err(Refusal { reason, mtu })
}

/// Source and destination of a frame that the gateway sends.
type MacPair = (MacAddr, MacAddr);
