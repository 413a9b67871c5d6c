//! An engine with two VPCs of equal addresses and four containers of equal address, in virtual time.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use gateway_core::{
    AddressSpace, Addressing, AttachmentConfig, AttachmentId, Command, ConnectorConfig, ConnectorId, Engine,
    Explanation, Filtering, Instant, Link, LinkCounters, PortSet, PortUse, Protocol, Reason, SessionQuery,
    SessionView, Traffic, Transmit, Unsolicited, UplinkConfig, UplinkId, VNET_LEN, Verdict, WorkerSlot,
    limits,
};

use super::arp::Arp;
use super::checksum::word;
use super::nd::{self, Nd};
use super::packet::{Carries, Packet};
use super::{
    C1, C2, C3, C4, CONTAINER, CONTAINER_V6, EXTERNAL, EXTERNAL_V6, FAR, GATEWAY, GATEWAY_V6, IP,
    OTHER_SERVER, OTHER_SERVER_V6, ROUTER, ROUTER_V6, SERVER, SERVER_V6, TO_A, TO_B, TRANSPORT_V6, VPC_A,
    VPC_B, container_mac, endpoint, gateway_mac, inside, outside, uplink_mac,
};

pub(crate) const MTU: u16 = 1500;

/// The engine, and what time it is.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    /// Whether containers have IPv6 addresses, and so are told of their router from time to time.
    ipv6: bool,
    handed: Vec<Handed>,
}

/// A frame that the engine sent by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) to: Link,
    pub(crate) frame: Vec<u8>,
}

/// A packet that the engine gave to another worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) worker: u16,
    pub(crate) from: UplinkId,
    pub(crate) largest: Option<u16>,
    pub(crate) frame: Vec<u8>,
}

/// What one frame led to.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) verdict: Verdict,
    /// The frame after the engine had it.
    pub(crate) frame: Vec<u8>,
    /// What the engine sent by itself.
    pub(crate) sent: Vec<Sent>,
    /// What it gave to another worker, other than by its verdict.
    pub(crate) handed: Vec<Handed>,
    /// Drops that were counted.
    pub(crate) drops: Vec<(Link, Reason, u64)>,
}

impl Step {
    /// Whether it is what was explained beforehand. What leaves in pieces, or as the whole of pieces, is forwarded for `explain`.
    fn is_as(&self, explained: &Explanation) -> bool {
        match (explained.verdict, self.verdict) {
            (Verdict::Forward(to), Verdict::Respond) => self.sent.iter().any(|sent| sent.to == to),
            (Verdict::HandOff { to, .. }, Verdict::Respond) => {
                self.handed.iter().any(|handed| handed.worker == to)
            }
            (explained, verdict) => explained == verdict,
        }
    }
}

impl Rig {
    /// All ports, the only worker, and the servers' and the router's MAC addresses known.
    pub(crate) fn new() -> Self {
        Self::with_ports(limits::DEFAULT_PORTS)
    }

    /// As [`Self::new`], with few external ports.
    pub(crate) fn with_ports(ports: RangeInclusive<u16>) -> Self {
        Self::unresolved(ports).resolved()
    }

    /// No neighbor is known.
    pub(crate) fn unresolved(ports: RangeInclusive<u16>) -> Self {
        Self::build(WorkerSlot::ONLY, &spaces(&ports, 1), true)
    }

    /// No neighbor is known, and no container has IPv6, so that no timer runs.
    pub(crate) fn unresolved_without_ipv6() -> Self {
        Self::build(WorkerSlot::ONLY, &spaces(&limits::DEFAULT_PORTS, 1), false)
    }

    /// Two workers that share the uplinks' ports. Both have all containers. No neighbor is known.
    pub(crate) fn workers(ports: RangeInclusive<u16>) -> [Self; 2] {
        let spaces = spaces(&ports, 2);
        [0, 1].map(|index| Self::build(WorkerSlot::new(index, 2), &spaces, true))
    }

    fn build(slot: WorkerSlot, spaces: &[AddressSpace; 2], ipv6: bool) -> Self {
        let engine = Engine::new(slot, [7 + slot.index() as u8; 32]);
        let mut rig = Self { engine, now: Instant::ZERO, ipv6, handed: Vec::new() };
        let routers = [vec![ROUTER.into(), ROUTER_V6.into()], vec![]];
        for ((id, next_hops), space) in [VPC_A, VPC_B].into_iter().zip(routers).zip(spaces) {
            rig.add_uplink(uplink_config(id, next_hops, space.clone()));
        }
        for id in [C1, C2, C3, C4] {
            rig.add_attachment(id);
        }
        rig.attach(C1, TO_A, VPC_A);
        rig.attach(C2, TO_A, VPC_A);
        rig.attach(C3, TO_B, VPC_B);
        rig
    }

    pub(crate) fn add_uplink(&mut self, config: UplinkConfig) {
        self.apply(Command::AddUplink(config));
        // It announces its external addresses, which tests of `arp` and `nd` look at.
        self.drain();
    }

    pub(crate) fn add_attachment(&mut self, id: AttachmentId) {
        let mut config = attachment_config(id);
        config.addresses.retain(|addressing| self.ipv6 || addressing.address.is_ipv4());
        self.add_attachment_with(config);
    }

    /// Adds a container, which is told of its router if it has IPv6.
    pub(crate) fn add_attachment_with(&mut self, config: AttachmentConfig) {
        let (id, ipv6) = (config.id, config.addresses.iter().any(|a| a.address.is_ipv6()));
        self.apply(Command::AddAttachment(config));
        let told = self.drain();
        assert_eq!(told.len(), usize::from(ipv6));
        assert!(
            told.iter().all(|sent| sent.to == inside(id) && is_nd(&sent.frame, nd::ROUTER_ADVERTISEMENT))
        );
    }

    /// Attaches by a connector to the VPC's prefix and one far network.
    pub(crate) fn attach(&mut self, attachment: AttachmentId, id: ConnectorId, uplink: UplinkId) {
        self.attach_filtering(attachment, id, uplink, Filtering::default());
    }

    /// The same with another filtering than the default one, for all protocols.
    pub(crate) fn attach_filtering(
        &mut self,
        attachment: AttachmentId,
        id: ConnectorId,
        uplink: UplinkId,
        filtering: Filtering,
    ) {
        let policy = ConnectorConfig { filtering, udp_filtering: filtering, ..connector(id, uplink) };
        self.attach_with(attachment, policy);
    }

    /// The same with any policy.
    pub(crate) fn attach_with(&mut self, attachment: AttachmentId, connector: ConnectorConfig) {
        self.apply(Command::Attach { attachment, connector });
    }

    /// Applies a command that ends no session, or says how many it ended.
    pub(crate) fn apply(&mut self, command: Command) -> usize {
        self.engine.apply(self.now, command).expect("the command is applied").sessions_ended
    }

    /// Makes the servers' and the router's MAC addresses known and leaves no other trace: a container asks for them
    /// and is gone before they answer.
    pub(crate) fn resolved(mut self) -> Self {
        const SCOUT: AttachmentId = AttachmentId(99);
        let servers: [IpAddr; 4] =
            [SERVER.into(), OTHER_SERVER.into(), SERVER_V6.into(), OTHER_SERVER_V6.into()];
        let with_routers = [&servers[..], &[ROUTER.into(), ROUTER_V6.into()]].concat();
        for (connector, uplink, hosts) in [(TO_A, VPC_A, &with_routers[..]), (TO_B, VPC_B, &servers)] {
            let scout = AttachmentId(SCOUT.0 + uplink.0);
            let hosts = hosts.iter().filter(|host| self.ipv6 || host.is_ipv4()).copied();
            let hosts: Vec<IpAddr> = hosts.collect();
            self.add_attachment(scout);
            self.attach(scout, connector, uplink);
            for &host in &hosts {
                let packet = Packet::outbound(scout, Carries::Udp, 9, endpoint(host, 9));
                assert_eq!(self.deliver(inside(scout), packet.frame()).verdict, Verdict::Hold);
            }
            self.apply(Command::RemoveAttachment(scout));
            for &host in &hosts {
                self.deliver_uncounted(outside(uplink), host_answers(uplink, host));
            }
        }
        assert_eq!((self.engine.session_count(), self.ports_used()), (0, 0));
        self
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
        } else if !(matches!((step.verdict, from), (Verdict::HandOff { .. }, Link::Attachment(_)))
            || left_in_pieces(&step))
        {
            assert_eq!(step.frame, original, "{:?} leaves the frame as it was", step.verdict);
        }
        for Sent { to, frame } in &step.sent {
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
            // ARP can release packets, and these can end; so can a packet whose last fragment came in.
            Verdict::Respond | Verdict::Share => {}
            // Older fragments give way to new ones.
            Verdict::Hold => {
                assert!(
                    step.drops
                        .iter()
                        .all(|&(link, reason, _)| (link, reason) == (from, Reason::FragmentsFull))
                );
            }
            _ => assert_eq!(step.drops, []),
        }
        step
    }

    fn deliver_uncounted(&mut self, from: Link, mut frame: Vec<u8>) -> Step {
        let (before, length) = (self.counters(), frame.len());
        let explained = self.engine.explain_frame(self.now, from, &frame);
        let verdict = self.engine.handle_packet(self.now, from, &mut frame);
        assert_eq!(frame.len(), length);
        let (sent, handed) = (self.drain(), std::mem::take(&mut self.handed));
        let drops = drops_since(&before, &self.counters());
        let step = Step { verdict, frame, sent, handed, drops };
        assert!(step.is_as(&explained), "{explained:?}, and {step:?}");
        step
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
        remote: SocketAddr,
    ) -> SocketAddr {
        self.forward(inside(id), &Packet::outbound(id, carries, port, remote)).1.source
    }

    /// Time passes, in one go; returns how many sessions ended and what the engine sent.
    pub(crate) fn wait(&mut self, time: Duration) -> (usize, Vec<Sent>) {
        self.wait_until(self.now + time)
    }

    /// As [`Self::wait`].
    pub(crate) fn wait_until(&mut self, now: Instant) -> (usize, Vec<Sent>) {
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

    /// Hosts answer the gateway's ARP requests and neighbor solicitations. Returns what the engine sends then.
    fn answer_arp(&mut self, sent: &[Sent]) -> Vec<Sent> {
        let mut released = Vec::new();
        for Sent { to, frame } in sent {
            if let Link::Uplink(uplink) = *to
                && let Some(host) = asked_for(frame)
            {
                released.extend(self.deliver(*to, host_answers(uplink, host)).sent);
            }
        }
        released
    }

    /// Takes a packet that another worker has put together.
    pub(crate) fn take_whole(&mut self, handed: &Handed) {
        self.engine.handle_whole(self.now, handed.from, handed.largest, handed.frame.clone());
    }

    /// What the engine sends by itself.
    pub(crate) fn drain(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some(transmit) = self.engine.poll_transmit() {
            match transmit {
                Transmit::Frame { to, frame } => sent.push(Sent { to, frame }),
                Transmit::Whole { worker, from, largest, frame } => {
                    self.handed.push(Handed { worker, from, largest, frame });
                }
            }
        }
        sent
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

    /// Leased and free ports of one uplink's IPv4 address.
    pub(crate) fn port_use(&self, uplink: UplinkId, protocol: Protocol) -> (u32, u32) {
        let all = self.engine.port_use();
        let is_it = |u: &&PortUse| u.uplink == uplink && u.protocol == protocol && u.external == EXTERNAL;
        let found = all.iter().find(is_it);
        found.map(|used| (used.used, used.free)).expect("the uplink exists")
    }
}

/// A far destination, behind the router.
pub(crate) fn far(port: u16) -> SocketAddr {
    endpoint(FAR, port)
}

/// A container's link, with both versions of IP.
pub(crate) fn attachment_config(id: AttachmentId) -> AttachmentConfig {
    AttachmentConfig {
        id,
        addresses: vec![
            Addressing { address: CONTAINER.into(), gateway: GATEWAY.into() },
            Addressing { address: CONTAINER_V6.into(), gateway: GATEWAY_V6.into() },
        ],
        mac: container_mac(id),
        gateway_mac: gateway_mac(id),
        mtu: MTU,
    }
}

/// A VPC's link.
pub(crate) fn uplink_config(id: UplinkId, next_hops: Vec<IpAddr>, space: AddressSpace) -> UplinkConfig {
    UplinkConfig {
        id,
        mac: uplink_mac(id),
        mtu: MTU,
        on_link: ["10.1.0.0/16", "fd00:1::/64"].map(|p| p.parse().expect("a prefix")).to_vec(),
        next_hops,
        space,
        reserved: Vec::new(),
        port_blocks: false,
        unsolicited: Unsolicited::default(),
    }
}

/// A connector to the VPC's prefixes and two far networks.
pub(crate) fn connector(id: ConnectorId, uplink: UplinkId) -> ConnectorConfig {
    let destinations = ["10.1.0.0/16", "192.0.2.0/24", "fd00:1::/64", "2001:db8::/32"];
    ConnectorConfig::new(id, uplink, destinations.map(|p| p.parse().expect("a prefix")).to_vec())
}

/// The same ports of these addresses.
pub(crate) fn space(external: Vec<IpAddr>, ports: &RangeInclusive<u16>, workers: u16) -> AddressSpace {
    AddressSpace::new(external, PortSet::new(std::slice::from_ref(ports), &[]), workers)
}

fn spaces(ports: &RangeInclusive<u16>, workers: u16) -> [AddressSpace; 2] {
    [(); 2].map(|()| space(vec![EXTERNAL.into(), EXTERNAL_V6.into()], ports, workers))
}

/// What a host answers when the gateway asks for it.
pub(crate) fn host_answers(uplink: UplinkId, host: IpAddr) -> Vec<u8> {
    match host {
        IpAddr::V4(host) => Arp::host_answers(uplink, host).frame(),
        IpAddr::V6(host) => Nd::host_answers(uplink, host).frame(),
    }
}

/// Whom the gateway asks for, if it does.
fn asked_for(frame: &[u8]) -> Option<IpAddr> {
    match word(frame, IP - 2) {
        0x0806 => Some(Arp::read(frame).target.1.into()),
        0x86dd if is_nd(frame, nd::SOLICITATION) => Some(Nd::read(frame).target.into()),
        _ => None,
    }
}

/// Whether a frame carries this message of Neighbor Discovery.
pub(crate) fn is_nd(frame: &[u8], kind: u8) -> bool {
    word(frame, IP - 2) == 0x86dd && frame[IP + 6] == 58 && frame[TRANSPORT_V6] == kind
}

/// Whether the engine sent the frame on in more pieces than one: then the frame itself is of no more use.
fn left_in_pieces(step: &Step) -> bool {
    step.verdict == Verdict::Respond
        && step.sent.len() > 1
        && step.sent.iter().all(|s| s.to == step.sent[0].to)
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
