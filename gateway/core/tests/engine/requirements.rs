//! One test a requirement, named for its row of `docs/rfc-compliance.md`; and what these tests share.

mod cgn6888;
mod icmp5508;
mod others;
mod paths;
mod tcp5382;
mod udp4787;
mod updates7857;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use gateway_core::{
    AttachmentId, Command, ConnectorConfig, Instant, Link, SessionState, UplinkId, Verdict, limits,
};

use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, Sent, connector};
use crate::support::tcp::{By, Connection};
use crate::support::*;

/// What differs between the versions of IP.
#[derive(Clone, Copy, Debug)]
struct Net {
    container: IpAddr,
    gateway: IpAddr,
    external: IpAddr,
    server: IpAddr,
    other: IpAddr,
    /// Behind the router.
    far: IpAddr,
    /// A router on the way, which nobody has sent anything to.
    hop: IpAddr,
    /// Bytes of IP header.
    header: usize,
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Error {
    Host,
    Port,
    TooBig(u16),
    Prohibited,
    TtlExpired,
    ReassemblyExpired,
}

/// A session's first packet, and the answer to it.
const KINDS: [(Carries, Carries); 3] = [
    (Carries::Tcp(SYN), Carries::Tcp(SYN | ACK)),
    (Carries::Udp, Carries::Udp),
    (Carries::EchoRequest, Carries::EchoReply),
];

/// Both versions of IP.
fn nets() -> [Net; 2] {
    let v4 = Net {
        container: CONTAINER.into(),
        gateway: GATEWAY.into(),
        external: EXTERNAL.into(),
        server: SERVER.into(),
        other: OTHER_SERVER.into(),
        far: FAR.into(),
        hop: Ipv4Addr::new(10, 1, 0, 254).into(),
        header: 20,
    };
    let v6 = Net {
        container: CONTAINER_V6.into(),
        gateway: GATEWAY_V6.into(),
        external: EXTERNAL_V6.into(),
        server: SERVER_V6.into(),
        other: OTHER_SERVER_V6.into(),
        far: FAR_V6.into(),
        hop: Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x254).into(),
        header: 40,
    };
    [v4, v6]
}

impl Net {
    fn is_v4(self) -> bool {
        self.server.is_ipv4()
    }

    /// Where the transport header starts in a frame without extension headers.
    fn transport(self) -> usize {
        IP + self.header
    }

    /// Type, code and what stands behind the checksum: RFC 792, RFC 4443.
    fn icmp(self, error: Error) -> Carries {
        let (v4, v6, rest) = match error {
            Error::Host => ((3, 1), (1, 3), 0),
            Error::Port => ((3, 3), (1, 4), 0),
            Error::TooBig(mtu) => ((3, 4), (2, 0), mtu.into()),
            Error::Prohibited => ((3, 13), (1, 1), 0),
            Error::TtlExpired => ((11, 0), (3, 0), 0),
            Error::ReassemblyExpired => ((11, 1), (3, 1), 0),
        };
        let (kind, code) = if self.is_v4() { v4 } else { v6 };
        Carries::Icmp { kind, code, rest }
    }

    /// The error of a host or router at `by` about a packet that it received.
    fn error(self, packet: &Packet, by: IpAddr, error: Error) -> Packet {
        Packet { carries: self.icmp(error), ..packet.error_by(by, 0, 0, 548) }
    }

    /// The gateway's own error about a frame: from `from` to `to`, MAC and IP address.
    fn own_error(self, frame: &[u8], error: Error, ours: (Link, IpAddr), theirs: IpAddr) -> Packet {
        let (source_mac, destination_mac) = match ours.0 {
            Link::Attachment(id) => (gateway_mac(id), container_mac(id)),
            Link::Uplink(id) => (uplink_mac(id), host_mac(id, theirs)),
        };
        let limit =
            if self.is_v4() { limits::ICMP_ERROR_BYTES - 28 } else { limits::ICMPV6_ERROR_BYTES - 48 };
        Packet {
            source_mac,
            destination_mac,
            source: endpoint(ours.1, 0),
            destination: endpoint(theirs, 0),
            ttl: 64,
            dont_fragment: !self.is_v4(),
            carries: self.icmp(error),
            numbers: crate::support::tcp::Numbers::default(),
            payload: frame[IP..frame.len().min(IP + limit)].to_vec(),
        }
    }

    /// What a container is told about its frame.
    fn told(self, id: AttachmentId, frame: &[u8], error: Error) -> Packet {
        self.own_error(frame, error, (inside(id), self.gateway), self.container)
    }

    /// What a host in a VPC is told about a frame that it sent to the external address.
    fn told_outside(self, id: UplinkId, host: IpAddr, frame: &[u8], error: Error) -> Packet {
        self.own_error(frame, error, (outside(id), self.external), host)
    }

    /// A datagram of a container that may be fragmented on the way, where IP allows that.
    fn large(self, id: AttachmentId, port: u16, bytes: usize) -> Packet {
        Packet {
            dont_fragment: !self.is_v4(),
            ..Packet::outbound(id, Carries::Udp, port, endpoint(self.server, 53))
        }
        .with_payload(pattern(bytes))
    }

    /// The same from the server.
    fn large_back(self, external: SocketAddr, bytes: usize) -> Packet {
        let packet = Packet::inbound(VPC_A, Carries::Udp, endpoint(self.server, 53), external);
        Packet { dont_fragment: !self.is_v4(), ..packet }.with_payload(pattern(bytes))
    }
}

/// Bytes that differ from their neighbors.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n % 251) as u8).collect()
}

/// A container's packet as a host of VPC A that is on the link sees it.
fn seen(sent: &Packet, external: SocketAddr) -> Packet {
    Packet {
        source_mac: uplink_mac(VPC_A),
        destination_mac: host_mac(VPC_A, sent.destination.ip()),
        source: external,
        ttl: sent.ttl - 1,
        ..sent.clone()
    }
}

/// A VPC's packet as the container sees it.
fn received(sent: &Packet, id: AttachmentId, internal: SocketAddr) -> Packet {
    Packet {
        source_mac: gateway_mac(id),
        destination_mac: container_mac(id),
        destination: internal,
        ttl: sent.ttl - 1,
        ..sent.clone()
    }
}

/// C1 and C2 have a connector to VPC A with a policy other than the default.
fn rig_with(ports: RangeInclusive<u16>, change: impl FnOnce(&mut ConnectorConfig)) -> Rig {
    let mut rig = Rig::with_ports(ports);
    let mut policy = connector(TO_A, VPC_A);
    change(&mut policy);
    for id in [C1, C2] {
        rig.apply(Command::Detach { attachment: id, connector: TO_A });
        rig.attach_with(id, policy.clone());
    }
    rig
}

/// The rig's only session ends at `time`, not a nanosecond before, and its port is free then.
fn ends_at(rig: &mut Rig, time: Instant) {
    assert_eq!(rig.run_until(just_before(time)), 0);
    assert_eq!((rig.engine.session_count(), rig.ports_used()), (1, 1));
    assert_eq!(rig.run_until(time), 1);
    assert_eq!((rig.engine.session_count(), rig.ports_used()), (0, 0));
}

/// Fragments go in, of which the last makes the datagram whole; what the engine sends then.
fn feed(rig: &mut Rig, from: Link, fragments: Vec<Vec<u8>>) -> Vec<Sent> {
    let last = fragments.len() - 1;
    for (index, mut fragment) in fragments.into_iter().enumerate() {
        // Older datagrams may have to make room, and be counted as drops, which `deliver` does not expect.
        let verdict = rig.engine.handle_packet(rig.now, from, &mut fragment);
        assert_eq!(verdict, if index == last { Verdict::Respond } else { Verdict::Hold });
    }
    rig.drain()
}

/// The packet that these frames are the fragments of, all sent out of `link`.
fn whole(sent: &[Sent], link: Link) -> Packet {
    assert!(sent.iter().all(|sent| sent.to == link), "{sent:?}");
    Packet::read(&fragments::join(sent.iter().map(|sent| &sent.frame[..])))
}

/// One packet each way through a session of C1 from port 4000.
struct Flow {
    rig: Rig,
    sent: Packet,
    seen: Packet,
    answered: Packet,
    received: Packet,
}

fn flow(net: Net, carries: Carries, answer: Carries) -> Flow {
    let mut rig = Rig::new();
    let port = if carries == Carries::EchoRequest { 0 } else { 80 };
    let sent = Packet::outbound(C1, carries, 4000, endpoint(net.server, port)).with_payload(pattern(700));
    let (_, seen) = rig.forward(inside(C1), &sent);
    let answered = Packet::inbound(VPC_A, answer, seen.destination, seen.source).with_payload(pattern(700));
    let (_, received) = rig.forward(outside(VPC_A), &answered);
    Flow { rig, sent, seen, answered, received }
}

/// A flow of each kind over each version of IP.
fn flows() -> Vec<(Net, Flow)> {
    let of = |net| KINDS.map(|(carries, answer)| (net, flow(net, carries, answer)));
    nets().into_iter().flat_map(of).collect()
}

/// A TCP connection between C1 and the server.
struct Talk {
    rig: Rig,
    net: Net,
    connection: Connection,
    external: SocketAddr,
}

impl Talk {
    fn new(net: Net) -> Self {
        Self { rig: Rig::new(), net, connection: Connection::new(), external: endpoint(net.external, 0) }
    }

    /// Established at second 0.
    fn established(net: Net) -> Self {
        let mut talk = Self::new(net);
        for (by, flags) in [(By::Container, SYN), (By::Remote, SYN | ACK), (By::Container, ACK)] {
            talk.say(by, flags);
        }
        talk
    }

    /// The next segment, which is not sent yet.
    fn segment(&mut self, by: By, flags: u8) -> Packet {
        let remote = endpoint(self.net.server, 80);
        let packet = match by {
            By::Container => Packet::outbound(C1, Carries::Tcp(flags), 4000, remote),
            By::Remote => Packet::inbound(VPC_A, Carries::Tcp(flags), remote, self.external),
        };
        self.connection.next(by, packet)
    }

    /// A segment goes through, and nothing of it changes that should not. Returns the session's state.
    fn say(&mut self, by: By, flags: u8) -> SessionState {
        let packet = self.segment(by, flags);
        self.pass(by, &packet)
    }

    fn pass(&mut self, by: By, packet: &Packet) -> SessionState {
        match by {
            By::Container => {
                let arrived = self.rig.forward_resolving(inside(C1), packet);
                self.external = arrived.source;
                assert_eq!(arrived, seen(packet, self.external));
            }
            By::Remote => {
                let (to, arrived) = self.rig.forward(outside(VPC_A), packet);
                let internal = endpoint(self.net.container, 4000);
                assert_eq!((to, arrived), (inside(C1), received(packet, C1, internal)));
            }
        }
        self.state()
    }

    fn state(&self) -> SessionState {
        let [session] = &self.rig.sessions()[..] else { panic!("one session") };
        session.state
    }
}
