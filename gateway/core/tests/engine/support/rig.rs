//! An engine with two VPCs of equal addresses and four containers of equal address, in virtual time.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::time::Duration;

use gateway_core::{
    AttachmentConfig, AttachmentId, Command, ConnectorConfig, ConnectorId, Engine, Filtering, Instant, Link,
    LinkCounters, Protocol, Reason, SessionQuery, SessionView, Traffic, Transmit, UplinkConfig, UplinkId,
    VNET_LEN, Verdict, WorkerSlot, limits,
};

use super::arp::Arp;
use super::packet::{Carries, Packet};
use super::{
    C1, C2, C3, C4, CONTAINER, EXTERNAL, FAR, GATEWAY, OTHER_SERVER, ROUTER, SERVER, TO_A, TO_B, VPC_A,
    VPC_B, container_mac, endpoint, gateway_mac, inside, outside, uplink_mac,
};

pub(crate) const MTU: u16 = 1500;

/// The engine, and what time it is.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
}

/// What one frame led to.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) verdict: Verdict,
    /// The frame after the engine had it.
    pub(crate) frame: Vec<u8>,
    /// What the engine sent by itself.
    pub(crate) sent: Vec<Transmit>,
    /// Drops that were counted.
    pub(crate) drops: Vec<(Link, Reason, u64)>,
}

impl Rig {
    /// All ports, the only worker, and the servers' and the router's MAC addresses known.
    pub(crate) fn new() -> Self {
        let mut rig = Self::unresolved(WorkerSlot::ONLY, limits::DEFAULT_PORTS);
        rig.resolve_all();
        rig
    }

    /// As [`Self::new`], with few external ports.
    pub(crate) fn with_ports(ports: RangeInclusive<u16>) -> Self {
        let mut rig = Self::unresolved(WorkerSlot::ONLY, ports);
        rig.resolve_all();
        rig
    }

    /// No neighbor is known.
    pub(crate) fn unresolved(slot: WorkerSlot, ports: RangeInclusive<u16>) -> Self {
        let mut rig = Self { engine: Engine::new(slot, [7; 32]), now: Instant::ZERO };
        for (id, next_hop) in [(VPC_A, Some(ROUTER)), (VPC_B, None)] {
            rig.add_uplink(id, next_hop, vec![EXTERNAL], ports.clone());
        }
        for id in [C1, C2, C3, C4] {
            rig.add_attachment(id);
        }
        rig.attach(C1, TO_A, VPC_A);
        rig.attach(C2, TO_A, VPC_A);
        rig.attach(C3, TO_B, VPC_B);
        rig
    }

    pub(crate) fn add_uplink(
        &mut self,
        id: UplinkId,
        next_hop: Option<Ipv4Addr>,
        external: Vec<Ipv4Addr>,
        ports: RangeInclusive<u16>,
    ) {
        let (mac, on_link) = (uplink_mac(id), "10.1.0.0/16".parse().expect("a prefix"));
        let config = UplinkConfig { id, mac, mtu: MTU, on_link, next_hop, external, ports };
        self.apply(Command::AddUplink(config));
        // It announces its external addresses, which a test of `arp` looks at.
        self.drain();
    }

    pub(crate) fn add_attachment(&mut self, id: AttachmentId) {
        self.apply(Command::AddAttachment(AttachmentConfig {
            id,
            address: CONTAINER,
            gateway: GATEWAY,
            mac: container_mac(id),
            gateway_mac: gateway_mac(id),
            mtu: MTU,
        }));
    }

    /// Attaches by a connector to the VPC's prefix and one far network.
    pub(crate) fn attach(&mut self, attachment: AttachmentId, id: ConnectorId, uplink: UplinkId) {
        self.attach_filtering(attachment, id, uplink, Filtering::default());
    }

    /// The same with another filtering than the default one.
    pub(crate) fn attach_filtering(
        &mut self,
        attachment: AttachmentId,
        id: ConnectorId,
        uplink: UplinkId,
        filtering: Filtering,
    ) {
        let destinations = ["10.1.0.0/16", "192.0.2.0/24"].map(|p| p.parse().expect("a prefix")).to_vec();
        self.apply(Command::Attach {
            attachment,
            connector: ConnectorConfig { id, uplink, destinations, filtering },
        });
    }

    /// Applies a command that ends no session, or says how many it ended.
    pub(crate) fn apply(&mut self, command: Command) -> usize {
        self.engine.apply(self.now, command).expect("the command is applied").sessions_ended
    }

    /// Makes the servers' and the router's MAC addresses known and leaves no other trace: a container asks for them
    /// and is gone before they answer.
    pub(crate) fn resolve_all(&mut self) {
        const SCOUT: AttachmentId = AttachmentId(99);
        for (connector, uplink, hosts) in
            [(TO_A, VPC_A, &[SERVER, OTHER_SERVER, ROUTER][..]), (TO_B, VPC_B, &[SERVER, OTHER_SERVER])]
        {
            let scout = AttachmentId(SCOUT.0 + uplink.0);
            self.add_attachment(scout);
            self.attach(scout, connector, uplink);
            for &host in hosts {
                let packet = Packet::outbound(scout, Carries::Udp, 9, endpoint(host, 9));
                assert_eq!(self.deliver(inside(scout), packet.frame()).verdict, Verdict::Hold);
            }
            self.apply(Command::RemoveAttachment(scout));
            for &host in hosts {
                let answer = Arp::host_answers(uplink, host).frame();
                self.deliver_uncounted(outside(uplink), answer);
            }
        }
        assert_eq!((self.engine.session_count(), self.ports_used()), (0, 0));
    }

    /// Gives a frame to the engine, takes what it sends, and checks every counter of every link: nothing but what
    /// the verdict says has changed.
    pub(crate) fn deliver(&mut self, from: Link, frame: Vec<u8>) -> Step {
        let original = frame.clone();
        let before = self.counters();
        let step = self.deliver_uncounted(from, frame);
        let mut expected = before.clone();
        if !(matches!(step.verdict, Verdict::HandOff { .. }) && matches!(from, Link::Uplink(_)))
            && let Some(counters) = expected.get_mut(&from)
        {
            count(&mut counters.received, &original);
        }
        if let Verdict::Forward(to) = step.verdict {
            count(&mut expected.get_mut(&to).expect("a link it knows").sent, &step.frame);
        } else if !matches!((step.verdict, from), (Verdict::HandOff { .. }, Link::Attachment(_))) {
            assert_eq!(step.frame, original, "{:?} leaves the frame as it was", step.verdict);
        }
        for Transmit { to, frame } in &step.sent {
            count(&mut expected.get_mut(to).expect("a link it knows").sent, frame);
        }
        for (link, counters) in self.counters() {
            let traffic = (counters.received, counters.sent);
            assert_eq!(
                traffic,
                (expected[&link].received, expected[&link].sent),
                "{link}, {:?}",
                step.verdict
            );
        }
        match step.verdict {
            Verdict::Drop(reason) if before.contains_key(&from) => {
                assert_eq!(step.drops, [(from, reason, 1)]);
            }
            // ARP can release packets, and these can end.
            Verdict::Respond | Verdict::Share => {}
            _ => assert_eq!(step.drops, []),
        }
        step
    }

    fn deliver_uncounted(&mut self, from: Link, mut frame: Vec<u8>) -> Step {
        let (before, length) = (self.counters(), frame.len());
        let verdict = self.engine.handle_packet(self.now, from, &mut frame);
        assert_eq!(frame.len(), length);
        let drops = drops_since(&before, &self.counters());
        Step { verdict, frame, sent: self.drain(), drops }
    }

    /// Gives a packet to the engine, which must send it on, and returns what arrives where.
    pub(crate) fn forward(&mut self, from: Link, packet: &Packet) -> (Link, Packet) {
        let step = self.deliver(from, packet.frame());
        let Verdict::Forward(to) = step.verdict else { panic!("{:?} for {packet:?}", step.verdict) };
        assert_eq!(step.sent, []);
        (to, Packet::read(&step.frame))
    }

    /// Gives a packet to the engine, which must drop it, and returns what its sender is told.
    pub(crate) fn refused(&mut self, from: Link, frame: Vec<u8>, reason: Reason) -> Option<Packet> {
        let step = self.deliver(from, frame);
        assert_eq!(step.verdict, Verdict::Drop(reason));
        assert!(step.sent.len() <= 1 && step.sent.iter().all(|t| t.to == from), "{:?}", step.sent);
        step.sent.first().map(|t| Packet::read(&t.frame))
    }

    /// Sends one outbound packet that opens a session, and returns its external endpoint.
    pub(crate) fn open(
        &mut self,
        id: AttachmentId,
        carries: Carries,
        port: u16,
        remote: SocketAddrV4,
    ) -> SocketAddrV4 {
        self.forward(inside(id), &Packet::outbound(id, carries, port, remote)).1.source
    }

    /// Time passes, in one go; returns how many sessions ended and what the engine sent.
    pub(crate) fn wait(&mut self, time: Duration) -> (usize, Vec<Transmit>) {
        self.wait_until(self.now + time)
    }

    /// As [`Self::wait`].
    pub(crate) fn wait_until(&mut self, now: Instant) -> (usize, Vec<Transmit>) {
        self.now = now;
        let ended = self.engine.handle_timeout(now);
        (ended, self.drain())
    }

    /// Time passes up to `time`, each timer served when it is due, and hosts answer ARP. Returns how many sessions ended.
    pub(crate) fn run_until(&mut self, time: Instant) -> usize {
        let mut ended = 0;
        while let Some(due) = self.engine.poll_timeout().filter(|&due| due <= time) {
            let (n, sent) = self.wait_until(due);
            ended += n;
            self.answer_arp(&sent);
        }
        self.now = time;
        ended
    }

    /// As [`Self::forward`], but the next hop may have to answer ARP first.
    pub(crate) fn forward_resolving(&mut self, from: Link, packet: &Packet) -> Packet {
        let step = self.deliver(from, packet.frame());
        if step.verdict != Verdict::Hold {
            assert!(matches!(step.verdict, Verdict::Forward(_)), "{:?} for {packet:?}", step.verdict);
            return Packet::read(&step.frame);
        }
        let [released] = &self.answer_arp(&step.sent)[..] else { panic!("one packet was held") };
        Packet::read(&released.frame)
    }

    /// Hosts answer the gateway's ARP requests. Returns what the engine sends then.
    fn answer_arp(&mut self, sent: &[Transmit]) -> Vec<Transmit> {
        let mut released = Vec::new();
        for Transmit { to, frame } in sent {
            if let Link::Uplink(uplink) = *to {
                let host = Arp::read(frame).target.1;
                released.extend(self.deliver(*to, Arp::host_answers(uplink, host).frame()).sent);
            }
        }
        released
    }

    pub(crate) fn drain(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.engine.poll_transmit()).collect()
    }

    pub(crate) fn counters(&self) -> BTreeMap<Link, LinkCounters> {
        self.engine.counters().into_iter().map(|report| (report.link, report.counters)).collect()
    }

    /// Live sessions of one link, by its counter.
    pub(crate) fn sessions_of(&self, link: Link) -> u64 {
        self.engine.counters().iter().find(|report| report.link == link).map_or(0, |report| report.sessions)
    }

    /// Every live session.
    pub(crate) fn sessions(&self) -> Vec<SessionView> {
        let page = self.engine.sessions(self.now, &SessionQuery { limit: 10_000, ..SessionQuery::default() });
        assert_eq!(page.next, None);
        page.sessions
    }

    /// Ports leased on all uplinks.
    pub(crate) fn ports_used(&self) -> u32 {
        self.engine.port_use().iter().map(|used| used.used).sum()
    }

    /// Leased and free ports of one uplink.
    pub(crate) fn port_use(&self, uplink: UplinkId, protocol: Protocol) -> (u32, u32) {
        let all = self.engine.port_use();
        let found = all.iter().find(|used| used.uplink == uplink && used.protocol == protocol);
        found.map(|used| (used.used, used.free)).expect("the uplink exists")
    }
}

/// A far destination, behind the router.
pub(crate) const fn far(port: u16) -> SocketAddrV4 {
    endpoint(FAR, port)
}

fn count(traffic: &mut Traffic, frame: &[u8]) {
    traffic.frames += 1;
    traffic.bytes += (frame.len().saturating_sub(VNET_LEN)) as u64;
    traffic.super_packets += u64::from(frame.get(1).is_some_and(|&gso_type| gso_type != 0));
}

fn drops_since(
    before: &BTreeMap<Link, LinkCounters>,
    after: &BTreeMap<Link, LinkCounters>,
) -> Vec<(Link, Reason, u64)> {
    let of = |counters: Option<&LinkCounters>, reason| counters.map_or(0, |c| c.drops.of(reason));
    after
        .iter()
        .flat_map(|(&link, now)| now.drops.iter().map(move |(reason, n)| (link, reason, n)))
        .map(|(link, reason, n)| (link, reason, n - of(before.get(&link), reason)))
        .filter(|&(_, _, n)| n > 0)
        .collect()
}
