//! What the ports of one external address are good for.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gateway_core::{
    AddressSpace, Addressing, AttachmentConfig, AttachmentId, Command, ConnectorConfig, ConnectorId,
    Filtering, Link, MappingMode, PortSet, Protocol, Reason, SessionQuery, SessionState, Unsolicited,
    UplinkConfig, UplinkId, limits,
};

use crate::frame::{self, Body, Read, flag};
use crate::modes::environment;
use crate::world::{Outcome, World, container_mac, gateway_mac, macs, uplink_mac};

pub(crate) const VPC: UplinkId = UplinkId(1);
pub(crate) const CONNECTOR: ConnectorId = ConnectorId(1);

/// Containers with one connector each to one VPC of one external address.
pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) space: AddressSpace,
    frame: Vec<u8>,
}

pub(crate) fn own(id: AttachmentId) -> IpAddr {
    [172, 16, (id.0 >> 8) as u8, id.0 as u8].into()
}

pub(crate) fn host(n: u32) -> IpAddr {
    [10, 1, (n >> 8) as u8, n as u8].into()
}

impl Site {
    /// Without containers.
    pub(crate) fn new(workers: u16, ports: PortSet) -> Self {
        let space = AddressSpace::new(vec![[10, 1, 255, 10].into()], ports, workers);
        let mut world = World::new(workers, 1);
        let command = Command::AddUplink(UplinkConfig {
            id: VPC,
            mac: uplink_mac(VPC),
            mtu: 1500,
            on_link: vec!["10.1.0.0/16".parse().expect("a prefix")],
            next_hops: Vec::new(),
            space: space.clone(),
            reserved: Vec::new(),
            port_blocks: false,
            unsolicited: Unsolicited::Icmp,
        });
        world.apply(&command).expect("applied");
        Self { world, space, frame: Vec::new() }
    }

    /// A container with a connector to everything in the VPC.
    pub(crate) fn add(&mut self, id: u32, policy: impl Fn(&mut ConnectorConfig)) -> AttachmentId {
        let id = AttachmentId(id);
        let addresses = vec![Addressing { address: own(id), gateway: [172, 16, 255, 1].into() }];
        let (mac, gateway_mac) = (container_mac(id), gateway_mac(id));
        let config = AttachmentConfig { id, addresses, mac, gateway_mac, mtu: 1500 };
        self.world.apply(&Command::AddAttachment(config)).expect("applied");
        let everything = vec!["10.1.0.0/16".parse().expect("a prefix")];
        let mut connector = ConnectorConfig::new(CONNECTOR, VPC, everything);
        policy(&mut connector);
        self.world.apply(&Command::Attach { attachment: id, connector }).expect("applied");
        id
    }

    /// A container's packet; the external endpoint, if it leaves.
    pub(crate) fn leaves(
        &mut self,
        id: AttachmentId,
        port: u16,
        to: SocketAddr,
        body: Body,
    ) -> Result<SocketAddr, Reason> {
        let from = (own(id), port).into();
        frame::write(&mut self.frame, macs(Link::Attachment(id)), from, to, body);
        match self.world.deliver(self.world.worker(id), Link::Attachment(id), &mut self.frame) {
            Outcome::Sent(Link::Uplink(VPC), Read::Packet { source, .. }) => Ok(source),
            Outcome::Dropped(reason) => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    /// A packet from the VPC, which comes to a random worker; whether a container gets it.
    pub(crate) fn comes(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        body: Body,
    ) -> Result<AttachmentId, Reason> {
        frame::write(&mut self.frame, macs(Link::Uplink(VPC)), from, to, body);
        let worker = usize::from(from.port()) % self.world.engines.len();
        match self.world.deliver(worker, Link::Uplink(VPC), &mut self.frame) {
            Outcome::Sent(Link::Attachment(id), _) => Ok(id),
            Outcome::Dropped(reason) => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.world.advance(self.world.now + time);
    }

    pub(crate) fn sessions(&self) -> usize {
        self.world.engines.iter().map(gateway_core::Engine::session_count).sum()
    }

    /// Ports that the workers have, and ports that nobody has.
    pub(crate) fn ports(&self, protocol: Protocol) -> (u32, u32) {
        let uses = self.world.engines.iter().flat_map(gateway_core::Engine::port_use);
        let uses: Vec<_> = uses.filter(|used| used.protocol == protocol).collect();
        (uses.iter().map(|used| used.used).sum(), uses[0].free)
    }
}

pub(crate) const UDP: Body = Body::Udp { payload: 4 };

/// A segment of a client that sends 10 bytes and then closes, or of its server.
pub(crate) const fn tcp(flags: u8, sequence: u32, acknowledgment: u32, payload: u16) -> Body {
    Body::Tcp { flags, sequence, acknowledgment, payload }
}

/// RFC 6888 REQ-13, RFC 5508 REQ-8.
#[test]
fn eim_maps_exactly_as_many_udp_endpoints_as_there_are_ports() {
    let ports = u32::from(limits::DEFAULT_PORTS.end() - limits::DEFAULT_PORTS.start()) + 1;
    assert_eq!(ports, 64_512);
    for workers in [1, 2] {
        let mut site = Site::new(workers, PortSet::default());
        // With two workers, they have all of one, which gets the ports of the other as well.
        let containers = [2, 4].map(|id| site.add(id, |_| ()));
        let server = SocketAddr::new(host(1), 53);
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..ports {
            let (id, port) = (containers[n as usize % 2], 1024 + (n / 2) as u16);
            let external = site.leaves(id, port, server, UDP).expect("a port is free");
            assert!(seen.insert(external), "{external} is nobody else's");
        }
        assert_eq!(site.ports(Protocol::Udp), (ports, 0));
        site.world.sent.clear();
        let refused = site.leaves(containers[0], 60_000, server, UDP);
        assert_eq!(refused, Err(Reason::PortsExhausted));
        let told = site.world.sent.iter().any(|(to, read)| {
            let about = (Protocol::Udp, (own(containers[0]), 60_000).into(), server);
            let expected = Read::Error { kind: 3, code: 13, to: own(containers[0]), about };
            (*to, *read) == (Link::Attachment(containers[0]), expected)
        });
        assert!(told, "code 13: {:?}", site.world.sent);
        let other = SocketAddr::new(host(2), 53);
        site.leaves(containers[1], 1024, other, UDP).expect("a mapping serves every remote");
        site.pass(limits::UDP_IDLE);
        assert_eq!((site.sessions(), site.ports(Protocol::Udp)), (0, (0, ports)));
    }
}

/// RFC 7857 §3.
#[test]
fn apdm_has_two_hundred_thousand_sessions_to_ten_remotes_through_one_address() {
    let mut site = Site::new(1, PortSet::default());
    let containers: Vec<_> =
        (1..=4).map(|id| site.add(id, |c| c.mapping = MappingMode::AddressAndPortDependent)).collect();
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..200_000_u32 {
        let remote = SocketAddr::new(host(1 + n % 10), 443);
        let (id, port) = (containers[n as usize / 50_000], 1024 + (n % 50_000) as u16);
        let external = site.leaves(id, port, remote, tcp(flag::SYN, n, 0, 0)).expect("there is room");
        assert!(seen.insert((external, remote)), "{external} to {remote} is nobody else's");
    }
    assert_eq!(site.sessions(), 200_000);
    // Each of them works.
    for &(external, remote) in seen.iter().step_by(97) {
        site.comes(remote, external, tcp(flag::SYN | flag::ACK, 0, 0, 0)).expect("it is answered");
    }
    site.pass(limits::TCP_ESTABLISHED);
    assert_eq!((site.sessions(), site.ports(Protocol::Tcp).0), (0, 0));
}

/// With `WHARF_MODEL_STEPS` all of it; otherwise 17 seconds, 100,000 connections more than there are ports.
#[test]
fn ten_thousand_short_connections_a_second_to_one_remote_for_ten_minutes_none_fails() {
    const EACH: Duration = Duration::from_micros(100);
    let (connections, ports) = match environment("WHARF_MODEL_STEPS") {
        Some(_) => (6_000_000, PortSet::default()),
        None => (170_000, PortSet::default()),
    };
    let mut site = Site::new(1, ports);
    let ids: Vec<_> = (1..=8).map(|id| site.add(id, |_| ())).collect();
    let server = SocketAddr::new(host(1), 443);
    // Long-lived ones, on ports that the short ones do not use.
    let lasting: Vec<_> = (0..2000_u16)
        .map(|n| {
            let (id, port) = (ids[usize::from(n) % 8], 1024 + n / 8);
            let external = site.leaves(id, port, server, tcp(flag::SYN, 0, 0, 0)).expect("a port is free");
            site.comes(server, external, tcp(flag::SYN | flag::ACK, 0, 1, 0)).expect("it is answered");
            site.leaves(id, port, server, tcp(flag::ACK, 1, 1, 0)).expect("it goes on");
            (id, port, external)
        })
        .collect();
    for n in 0..connections {
        let (id, port) = (ids[n % 8], 2000 + (n / 8 % 50_000) as u16);
        short_connection(&mut site, id, port, server);
        let (id, port, external) = lasting[n % 2000];
        if n % 10 == 0 {
            assert_eq!(site.leaves(id, port, server, tcp(flag::ACK, 1, 1, 0)), Ok(external));
            assert_eq!(site.comes(server, external, tcp(flag::ACK, 1, 1, 0)), Ok(id));
        }
        site.pass(EACH);
    }
    let given_up: u64 = site.world.engines[0].port_use().iter().map(|used| used.given_up).sum();
    assert!(given_up > connections as u64 / 2, "ports are given up early: {given_up}");
    for (id, port, external) in lasting {
        assert_eq!(site.leaves(id, port, server, tcp(flag::ACK, 1, 1, 0)), Ok(external));
    }
    let established = site.world.sessions(0, &SessionQuery::default());
    let established = established.iter().filter(|s| s.state == SessionState::Established);
    assert_eq!(established.count(), 2000);
    site.pass(limits::TCP_CLOSING);
    assert_eq!(site.sessions(), 2000);
}

/// Handshake, data, and an orderly end by the client.
fn short_connection(site: &mut Site, id: AttachmentId, port: u16, server: SocketAddr) {
    let both = flag::FIN | flag::ACK;
    let external = site.leaves(id, port, server, tcp(flag::SYN, 0, 0, 0)).expect("no connection fails");
    let answers = [tcp(flag::SYN | flag::ACK, 0, 1, 0), tcp(flag::ACK, 1, 11, 0), tcp(both, 1, 12, 0)];
    let says = [
        &[tcp(flag::ACK, 1, 1, 0), tcp(flag::ACK, 1, 1, 10)][..],
        &[tcp(both, 11, 1, 0)],
        &[tcp(flag::ACK, 12, 2, 0)],
    ];
    for (answer, says) in answers.into_iter().zip(says) {
        assert_eq!(site.comes(server, external, answer), Ok(id));
        for &body in says {
            assert_eq!(site.leaves(id, port, server, body), Ok(external));
        }
    }
}

#[test]
fn two_workers_use_each_others_ports_and_know_whose_they_are() {
    let mut site = Site::new(2, PortSet::new(&[2000..=9999], &[]));
    let ids = [1, 2].map(|id| site.add(id, |c| c.udp_filtering = Filtering::AddressDependent));
    let server = SocketAddr::new(host(1), 53);
    for port in 1024..5500 {
        for id in ids {
            match site.leaves(id, port, server, UDP) {
                Ok(external) => {
                    let owner = site.space.owner_of(external.ip(), Protocol::Udp, external.port());
                    assert_eq!(usize::from(owner), site.world.worker(id));
                    assert_eq!(site.comes(server, external, UDP), Ok(id));
                }
                Err(reason) => assert_eq!((reason, site.ports(Protocol::Udp).1), (Reason::PortsExhausted, 0)),
            }
        }
    }
    assert_eq!(site.sessions(), 8000);
}
