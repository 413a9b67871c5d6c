//! The engine's verbs. What they decide is in the modules below.

mod admission;
mod arrival;
#[cfg(feature = "bench")]
pub mod bench;
mod configure;
mod discovery;
mod ending;
mod foretelling;
mod fragments;
mod inbound;
mod known;
mod links;
mod opening;
mod outbound;
mod places;
mod probing;
mod publishing;
mod report;
mod revision;
mod sessions;
mod unsolicited;

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use self::ending::Endings;
pub use self::known::Prepared;
use self::links::{Attachment, Base, Uplink};
use self::places::Places;
use self::unsolicited::Unasked;
use crate::fragment::Reassembly;
use crate::limits::{EXPIRY_BATCH, IP_ID_COUNTERS, OUTBOX};
use crate::mapping::Mappings;
use crate::packet::Packet;
use crate::respond::{IcmpError, is_icmp_error};
use crate::session::{Due, Table};
use crate::translate::MacPair;
use crate::vnet::is_super_packet;
use crate::wire::{
    Carried, Ethernet, Family, IP, IPV4_LEN, IPV6_LEN, TCP_LEN, VNET_LEN, addresses, tcp_flag,
};
use crate::{
    AttachmentId, Event, Instant, Link, PacketSummary, Protocol, Reason, UplinkId, Verdict, WorkerSlot,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Translates the packets of one worker's attachments. See the crate's documentation for how to drive it.
pub struct Engine {
    slot: WorkerSlot,
    random: ChaCha12Rng,
    hasher: ahash::RandomState,
    attachments: Places<AttachmentId, Attachment>,
    uplinks: Places<UplinkId, Uplink>,
    sessions: Table,
    mappings: Mappings,
    reassembly: Reassembly,
    /// While a reassembled datagram is decided on: bytes of the largest fragment that it came in.
    whole: Option<u16>,
    /// The next IPv4 identifications, by destination.
    ip_ids: Box<[u16]>,
    unasked: Unasked,
    endings: Endings,
    /// When the neighbors of which uplink want attention.
    neighbor_timers: BTreeSet<(Instant, UplinkId)>,
    /// When the first of which pool's ports has rested.
    rests: BTreeSet<(Instant, PoolId)>,
    /// When which container is to hear of its router.
    advertisements: BTreeSet<(Instant, AttachmentId)>,
    outbox: VecDeque<Transmit>,
    /// At most one for each block that comes or goes in one call.
    events: VecDeque<Event>,
}

/// What the gateway itself has made, or kept until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A frame to be sent.
    Frame {
        /// Where it goes.
        to: Link,
        /// The frame, vnet header included.
        frame: Vec<u8>,
    },
    /// A packet that another worker owns, for its [`Engine::handle_whole`].
    Whole {
        /// The worker's index.
        worker: u16,
        /// Whose packet it is for that worker.
        from: UplinkId,
        /// If it came in fragments: bytes of the largest one.
        largest: Option<u16>,
        /// The frame, vnet header included.
        frame: Vec<u8>,
    },
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

/// The ports of one uplink's address and protocol.
type PoolId = (UplinkId, IpAddr, Protocol);

impl Engine {
    /// An engine without links for worker `slot`. `seed` must be unpredictable: ports and hash keys come from it.
    pub fn new(slot: WorkerSlot, seed: [u8; 32]) -> Self {
        let mut random = ChaCha12Rng::from_seed(seed);
        let mut key = || random.next_u64();
        let hasher = ahash::RandomState::with_seeds(key(), key(), key(), key());
        Self {
            slot,
            attachments: Places::new(&hasher),
            uplinks: Places::new(&hasher),
            sessions: Table::new(&hasher),
            mappings: Mappings::new(&hasher),
            reassembly: Reassembly::new(&hasher),
            whole: None,
            ip_ids: (0..IP_ID_COUNTERS).map(|_| random.next_u32() as u16).collect(),
            unasked: Unasked::new(&hasher),
            endings: Endings::default(),
            neighbor_timers: BTreeSet::new(),
            rests: BTreeSet::new(),
            advertisements: BTreeSet::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            random,
            hasher,
        }
    }

    /// Decides on any frame: the long way.
    fn handle_any(&mut self, now: Instant, from: Link, frame: &mut [u8]) -> Verdict {
        let received = (frame.len().saturating_sub(VNET_LEN), is_super_packet(frame));
        let verdict = match from {
            Link::Uplink(id) if self.is_disguised(id, frame) => {
                self.refuse(now, from, frame, Reason::SourceInvalid.into())
            }
            _ => self.decide(now, from, frame),
        };
        // The worker that has it handed over counts it.
        let handed_over = matches!((verdict, from), (Verdict::HandOff { .. }, Link::Uplink(_)));
        if let Some(base) = self.base(from).filter(|_| !handed_over) {
            base.counters.received.count(received.0, received.1);
        }
        match verdict {
            Verdict::Forward(to) if !self.depart(to, frame) => return Verdict::Respond,
            Verdict::Forward(to) => self.count_sent(to, frame),
            _ => {}
        }
        verdict
    }

    /// Decides on a packet that another worker has counted as received: a datagram that it has put together from an uplink's
    /// fragments, say. `largest` is as in [`Transmit::Whole`].
    pub fn handle_whole(&mut self, now: Instant, from: UplinkId, largest: Option<u16>, mut frame: Vec<u8>) {
        self.whole = largest;
        self.settle(now, Link::Uplink(from), &mut frame);
        self.whole = None;
    }

    /// Learns from an ARP or Neighbor Discovery frame of an uplink for which another worker's verdict was [`Verdict::Share`].
    pub fn handle_shared(&mut self, now: Instant, from: UplinkId, frame: &[u8]) {
        self.overhear(now, from, frame);
    }

    /// Counts a frame that the shell could not read from, write to, or hand over for this link.
    pub fn count_drop(&mut self, link: Link, reason: Reason) {
        if let Some(base) = self.base(link) {
            base.counters.drops.count(reason);
        }
    }

    /// Does what is due at `now`; looks at [`EXPIRY_BATCH`] sessions at most.
    /// Returns how many sessions ended. Call again at [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) -> usize {
        let mut ended = 0;
        for _ in 0..EXPIRY_BATCH {
            match self.sessions.next_due(now) {
                Some(Due::Expired(key)) => {
                    self.end_session(now, key as usize);
                    ended += 1;
                }
                Some(Due::LivesOn) => {}
                None => break,
            }
        }
        while let Some((_, uplink)) = pop_due(&mut self.neighbor_timers, now) {
            self.serve_neighbors(now, uplink);
        }
        while let Some((_, pool)) = pop_due(&mut self.rests, now) {
            self.end_rests(now, pool);
        }
        while let Some((_, attachment)) = pop_due(&mut self.advertisements, now) {
            self.advertise(now, attachment);
        }
        self.expire_fragments(now);
        self.answer_unasked(now);
        ended
    }

    /// When [`Self::handle_timeout`] wants to be called; `None`: not before something else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let neighbors = self.neighbor_timers.first().map(|&(at, _)| at);
        let rests = self.rests.first().map(|&(at, _)| at);
        let advertisements = self.advertisements.first().map(|&(at, _)| at);
        let due = [
            self.sessions.poll_timeout(),
            neighbors,
            rests,
            advertisements,
            self.reassembly.poll_timeout(),
            self.unasked.poll_timeout(),
        ];
        due.into_iter().flatten().min()
    }

    /// The next thing that the engine wants to send by itself. Ask until `None` after every other call.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front().or_else(|| self.next_reset())
    }

    /// The next thing that the engine has to tell. Ask until `None` after every other call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether a frame of the VPC says that it is from one of our own addresses: what containers say to each other never gets there.
    fn is_disguised(&self, id: UplinkId, frame: &[u8]) -> bool {
        let Ok((_, Carried::Ip(family))) = Ethernet::parse(frame) else { return false };
        let Some(ip) = frame.get(IP..).filter(|ip| ip.len() >= family.header_len()) else { return false };
        let source = addresses(ip, family).0;
        self.uplinks.get(&id).is_some_and(|uplink| uplink.turns_back(source))
    }

    /// Decides on a frame, without counting it.
    fn decide(&mut self, now: Instant, from: Link, frame: &mut [u8]) -> Verdict {
        let outcome = match from {
            Link::Attachment(id) => self.outbound(now, id, frame),
            Link::Uplink(id) => self.inbound(now, id, frame),
        };
        outcome.unwrap_or_else(|refusal| self.refuse(now, from, frame, refusal))
    }

    /// Decides on a packet that is the engine's own by now, and does what follows.
    fn settle(&mut self, now: Instant, from: Link, frame: &mut Vec<u8>) -> Verdict {
        let verdict = self.decide(now, from, frame);
        self.follow(verdict, frame)
    }

    /// Does what a verdict says with a packet of the engine's own.
    fn follow(&mut self, verdict: Verdict, frame: &mut Vec<u8>) -> Verdict {
        match verdict {
            Verdict::Forward(to) => self.send_fitting(to, std::mem::take(frame)),
            Verdict::HandOff { to, from } => self.hand_over(to, from, std::mem::take(frame)),
            other => return other,
        }
        Verdict::Respond
    }

    /// Queues a frame of the engine's own, in pieces if it does not fit its link.
    fn send_fitting(&mut self, to: Link, frame: Vec<u8>) {
        if self.depart(to, &frame) {
            self.transmit(to, frame);
        }
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
        let Ok((_, Carried::Ip(family))) = Ethernet::parse(frame) else { return };
        if frame.len() < IP + family.header_len() {
            return;
        }
        let packet = Packet::parse(frame, family).ok().flatten();
        if packet.is_none() && is_icmp_error(&frame[IP..], family) {
            return;
        }
        let transport = packet.map(|p| p.transport);
        if let Some(error) = IcmpError::about(reason, transport.as_ref(), mtu) {
            self.tell(now, from, frame, packet.as_ref(), error);
        }
    }

    /// Sends an ICMP error to the sender of a frame with a whole IP header, if that is somebody who may hear it.
    fn tell(&mut self, now: Instant, to: Link, frame: &[u8], packet: Option<&Packet>, error: IcmpError) {
        let Ok((ethernet, Carried::Ip(family))) = Ethernet::parse(frame) else { return };
        let (source, destination) = addresses(&frame[IP..], family);
        // RFC 1122 §3.2.2, RFC 4443 §2.4: not about what was sent to many, nor to somebody who cannot be one host.
        let broadcast = destination == IpAddr::V4(Ipv4Addr::BROADCAST);
        if destination.is_multicast() || broadcast || !ethernet.source.is_unicast() {
            return;
        }
        let ours = match to {
            Link::Attachment(id) => self.attachments.get(&id).and_then(|a| {
                let addressing = a.config.addressing(source).filter(|own| own.address == source)?;
                Some((a.config.gateway_mac, addressing.gateway))
            }),
            Link::Uplink(id) => self.uplinks.get(&id).and_then(|u| {
                let told = matches!(
                    error,
                    IcmpError::TtlExpired
                        | IcmpError::TooBig(_)
                        | IcmpError::ReassemblyExpired
                        | IcmpError::PortUnreachable
                );
                let external = u.is_external(destination);
                // A router's own address, where there is one (RFC 1812 §4.3.2.4).
                let own = u.own(destination).filter(|_| !external);
                let own = (u.config.mac, own.unwrap_or(destination));
                (told && u.turns_back(destination)).then_some(own)
            }),
        };
        let Some(ours) = ours else { return };
        if !self.base(to).is_some_and(|base| base.errors.take(now)) {
            return;
        }
        let mut error = error.frame(frame, packet, ours, (ethernet.source, source));
        match to {
            // A container's packet that turned back: its sender is inside.
            Link::Uplink(id) if self.uplinks.get(&id).is_some_and(|u| u.turns_back(source)) => {
                self.turn_back(now, id, &mut error);
            }
            _ => self.transmit(to, error),
        }
    }

    /// Queues a frame of the engine's own.
    fn transmit(&mut self, to: Link, frame: Vec<u8>) {
        if self.outbox.len() < OUTBOX {
            self.count_sent(to, &frame);
            self.outbox.push_back(Transmit::Frame { to, frame });
        } else {
            self.count_drop(to, Reason::OutboxFull);
        }
    }

    /// Sends a frame of the engine's own inside, as if the VPC had sent it. It may end there in silence.
    fn turn_back(&mut self, now: Instant, uplink: UplinkId, frame: &mut Vec<u8>) {
        if let Ok(verdict) = self.inbound(now, uplink, frame) {
            self.follow(verdict, frame);
        }
    }

    /// Queues a packet for another worker.
    fn hand_over(&mut self, worker: u16, from: UplinkId, frame: Vec<u8>) {
        if self.outbox.len() < OUTBOX {
            self.outbox.push_back(Transmit::Whole { worker, from, largest: self.whole, frame });
        } else {
            self.count_drop(Link::Uplink(from), Reason::OutboxFull);
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

    /// The largest MSS that fits both links; `None` for packets that announce none.
    fn mss_limit(&self, packet: &Packet, attachment: AttachmentId, uplink: UplinkId) -> Option<u16> {
        if packet.tcp().is_none_or(|tcp| tcp.flags & tcp_flag::SYN == 0) {
            return None;
        }
        let inside = self.attachments.get(&attachment)?.config.mtu;
        let outside = self.uplinks.get(&uplink)?.config.mtu;
        // RFC 6691 §2: the MTU less the fixed headers, whatever options a segment has.
        let ip = match packet.family {
            Family::V4 => IPV4_LEN,
            Family::V6 => IPV6_LEN,
        };
        Some(inside.min(outside).saturating_sub((ip + TCP_LEN) as u16))
    }

    /// The ports of a pool that have rested are free again.
    fn end_rests(&mut self, now: Instant, pool: PoolId) {
        let (uplink, external, protocol) = pool;
        let Some(u) = self.uplinks.get_mut(&uplink) else { return };
        let Some(ports) = u.pool_mut(external, protocol).map(|pool| &mut pool.ports) else { return };
        ports.end_rests(now);
        let next = ports.next_rest();
        self.rests.extend(next.map(|at| (at, pool)));
        self.tell_of_blocks(uplink, external, protocol);
    }
}

/// The first entry of a timer queue, if it is due.
fn pop_due<T: Ord + Copy>(timers: &mut BTreeSet<(Instant, T)>, now: Instant) -> Option<(Instant, T)> {
    let first = timers.first().copied().filter(|&(at, _)| at <= now)?;
    timers.pop_first();
    Some(first)
}
