//! Hosts, links and one engine in virtual time: an event queue decides what happens next.
//!
//! ```text
//!  container ── link ──┐                  ┌── link ── server
//!  container ── link ──┤ Engine, no shell ├── link ── server      a VPC is a switch: frames go to
//!  container ── link ──┘                  └── …                   the host with that MAC address
//! ```
//!
//! Every frame takes its time on a link; faults lose it, send it twice, or let later ones overtake it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::time::Duration;

use gateway_core::{
    AddressSpace, Addressing, AttachmentConfig, AttachmentId, Command, ConnectorConfig, ConnectorId, Engine,
    Instant, Link, MacAddr, PortSet, Transmit, Unsolicited, UplinkConfig, UplinkId, VNET_LEN, Verdict,
    WorkerSlot,
};
use smoltcp::time::Instant as HostInstant;

use crate::host::Host;

pub(crate) const CONTAINER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
pub(crate) const EXTERNAL: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 10);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 20);

const DELAY: Duration = Duration::from_millis(1);
/// How much later than the next a frame can be that is overtaken.
const JITTER_MICROS: u64 = 5_000;

/// What links do to frames: chances in percent, or numbers of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) overtaken: u64,
}

/// The simulated world.
pub(crate) struct Network {
    pub(crate) engine: Engine,
    pub(crate) hosts: Vec<Host>,
    now: Instant,
    links: Vec<(Link, MacAddr)>,
    queue: BinaryHeap<Reverse<Event>>,
    sent: u64,
    faults: Faults,
    /// How many frames met which fault.
    pub(crate) met: Faults,
    random: Random,
}

/// A frame arrives. The order of fields is the order of events.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: Instant,
    sequence: u64,
    to: End,
    /// Without a vnet header.
    frame: Vec<u8>,
}

/// An end of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Gateway(Link),
    Host(usize),
}

/// SplitMix64: faults come from the seed alone.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }
}

impl Network {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_ne_bytes());
        Self {
            engine: Engine::new(WorkerSlot::ONLY, key),
            hosts: Vec::new(),
            now: Instant::ZERO,
            links: Vec::new(),
            queue: BinaryHeap::new(),
            sent: 0,
            faults,
            met: Faults::default(),
            random: Random(seed),
        }
    }

    /// Adds a VPC with the one prefix and external address that they all have.
    pub(crate) fn add_vpc(&mut self, id: UplinkId) {
        let config = UplinkConfig {
            id,
            mac: uplink_mac(id),
            mtu: 1500,
            on_link: vec!["10.1.0.0/16".parse().expect("a prefix")],
            next_hops: Vec::new(),
            space: AddressSpace::new(vec![EXTERNAL.into()], PortSet::default(), 1),
            reserved: Vec::new(),
            port_blocks: false,
            unsolicited: Unsolicited::default(),
        };
        self.engine.apply(self.now, Command::AddUplink(config)).expect("the VPC is new");
    }

    /// Adds a server to a VPC, and returns its index among the hosts.
    pub(crate) fn add_server(&mut self, vpc: UplinkId, address: Ipv4Addr) -> usize {
        self.add_host(Link::Uplink(vpc), address, 16, None)
    }

    /// Adds a container that may speak to `vpc`, and returns its index among the hosts.
    pub(crate) fn add_container(&mut self, vpc: UplinkId) -> usize {
        let index = self.hosts.len();
        let id = AttachmentId(index as u32);
        self.add_host(Link::Attachment(id), CONTAINER, 30, Some(GATEWAY));
        let config = AttachmentConfig {
            id,
            addresses: vec![Addressing { address: CONTAINER.into(), gateway: GATEWAY.into() }],
            mac: self.links[index].1,
            gateway_mac: MacAddr::local(0xaa_0000),
            mtu: 1500,
        };
        let destinations = vec!["10.1.0.0/16".parse().expect("a prefix")];
        let connector = ConnectorConfig::new(ConnectorId(vpc.0), vpc, destinations);
        self.engine.apply(self.now, Command::AddAttachment(config)).expect("the container is new");
        let attach = Command::Attach { attachment: id, connector };
        self.engine.apply(self.now, attach).expect("the VPC exists");
        index
    }

    fn add_host(&mut self, link: Link, address: Ipv4Addr, prefix_len: u8, router: Option<Ipv4Addr>) -> usize {
        let mac = MacAddr::local(0xbb_0000 + self.hosts.len() as u64);
        let seed = self.random.next();
        self.hosts.push(Host::new(mac, address, prefix_len, router, seed));
        self.links.push((link, mac));
        self.hosts.len() - 1
    }

    /// Lets things happen until `done`, which may work with the hosts' sockets, says so. `false`: nothing is left to
    /// happen, or `limit` has passed.
    pub(crate) fn run(&mut self, limit: Duration, mut done: impl FnMut(&mut [Host]) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.poll_hosts();
            if done(&mut self.hosts) {
                return true;
            }
            // Once more, for what `done` gave to the sockets.
            self.poll_hosts();
            let Some(next) = self.next_time().filter(|&next| next <= end) else { return false };
            self.now = next.max(self.now);
            self.serve_gateway();
            while self.queue.peek().is_some_and(|Reverse(event)| event.at <= self.now) {
                let Reverse(event) = self.queue.pop().expect("was peeked at");
                self.arrive(event);
            }
        }
    }

    fn next_time(&mut self) -> Option<Instant> {
        let now = self.host_now();
        let hosts = self.hosts.iter_mut().filter_map(|host| host.poll_at(now)).map(from_host_time).min();
        let frames = self.queue.peek().map(|Reverse(event)| event.at);
        [hosts, frames, self.engine.poll_timeout()].into_iter().flatten().min()
    }

    fn poll_hosts(&mut self) {
        let now = self.host_now();
        for index in 0..self.hosts.len() {
            let link = self.links[index].0;
            for frame in self.hosts[index].poll(now) {
                self.switch(link, Some(index), &frame);
            }
        }
    }

    /// Sends a frame to the ends of a link that it is addressed to.
    fn switch(&mut self, link: Link, from: Option<usize>, frame: &[u8]) {
        let destination = &frame[..6];
        let group = destination[0] & 1 != 0;
        let hosts = (0..self.hosts.len()).filter(|&host| {
            self.links[host].0 == link && Some(host) != from && (group || self.links[host].1.0 == destination)
        });
        let mut ends: Vec<End> = hosts.map(End::Host).collect();
        if from.is_some() && (group || ends.is_empty()) {
            ends.push(End::Gateway(link));
        }
        for end in ends {
            self.send(end, frame);
        }
    }

    /// Puts a frame on a link, with the link's faults.
    fn send(&mut self, to: End, frame: &[u8]) {
        if self.random.percent(self.faults.lost) {
            self.met.lost += 1;
            return;
        }
        let twice = u64::from(self.random.percent(self.faults.duplicated));
        self.met.duplicated += twice;
        for _ in 0..=twice {
            let late = u64::from(self.random.percent(self.faults.overtaken));
            self.met.overtaken += late;
            let jitter = late * (self.random.next() % JITTER_MICROS);
            self.sent += 1;
            let at = self.now + DELAY + Duration::from_micros(jitter);
            self.queue.push(Reverse(Event { at, sequence: self.sent, to, frame: frame.to_vec() }));
        }
    }

    fn arrive(&mut self, Event { to, frame, .. }: Event) {
        let from = match to {
            End::Host(index) => return self.hosts[index].receive(frame),
            End::Gateway(link) => link,
        };
        let mut frame = [&[0; VNET_LEN][..], &frame].concat();
        if let Verdict::Forward(link) = self.engine.handle_packet(self.now, from, &mut frame) {
            self.switch(link, None, &frame[VNET_LEN..]);
        }
        self.drain_gateway();
    }

    /// What the shell does between packets.
    fn serve_gateway(&mut self) {
        self.engine.handle_timeout(self.now);
        self.drain_gateway();
    }

    fn drain_gateway(&mut self) {
        while let Some(transmit) = self.engine.poll_transmit() {
            let Transmit::Frame { to, frame } = transmit else { unreachable!("there is one worker") };
            self.switch(to, None, &frame[VNET_LEN..]);
        }
    }

    fn host_now(&self) -> HostInstant {
        HostInstant::from_micros((self.now.as_nanos() / 1000).cast_signed())
    }
}

fn from_host_time(time: HostInstant) -> Instant {
    Instant::from_nanos(time.total_micros().unsigned_abs() * 1000)
}

const fn uplink_mac(id: UplinkId) -> MacAddr {
    MacAddr::local(0xcc_0000 + id.0 as u64)
}
