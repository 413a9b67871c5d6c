//! A gateway with a dual-stack VPC, in every form that a test is to hold for.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::thread;

use gateway::{
    Addressing, AttachmentId, AttachmentSpec, CallError, ConnectorConfig, ConnectorId, Lifetime, Reason,
    UplinkDevice, UplinkId, UplinkSpec,
};
use ipnet::IpNet;
use netlab::traffic::{ping, ping6};
use netlab::{Lab, Namespace};
use tests::{EXTERNAL, PATIENCE, SERVER};

use crate::fixture::{Fixture, INTERNAL, attachment, uplink};

/// The prefix of the VPC's link.
const CIDR6: &str = "fd01::/64";

/// IP, once as it was and once as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V6,
}

impl Version {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Where servers of the VPC listen, on a port that is free.
    pub(crate) fn server(self) -> SocketAddr {
        match self {
            Self::V4 => SERVER.into(),
            Self::V6 => at("fd01::1", 0),
        }
    }

    /// What containers appear as.
    pub(crate) fn external(self) -> IpAddr {
        match self {
            Self::V4 => EXTERNAL.into(),
            Self::V6 => ip("fd01::10"),
        }
    }

    /// The address of every container.
    pub(crate) fn internal(self) -> IpAddr {
        match self {
            Self::V4 => INTERNAL.into(),
            Self::V6 => ip("fd00::2"),
        }
    }

    /// The gateway on a container's link.
    pub(crate) fn gateway(self) -> IpAddr {
        match self {
            Self::V4 => ip("169.254.1.1"),
            Self::V6 => ip("fe80::1"),
        }
    }

    /// All addresses of this host, on a port that is free.
    pub(crate) const fn any(self) -> SocketAddr {
        match self {
            Self::V4 => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            Self::V6 => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        }
    }
}

/// What an uplink is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A TAP device in the VPC.
    Tap,
    /// One end of a veth pair in a namespace between; the other end is in the VPC.
    Packet,
}

/// A form of the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) workers: u16,
    pub(crate) kind: Kind,
    /// Of the uplink. Bytes.
    pub(crate) mtu: u16,
}

/// Runs a test with one worker and with two, over TAP devices.
pub(crate) fn over_tap(test: impl Fn(Setup) + Sync) {
    in_setups(&[Kind::Tap], test);
}

/// Runs a test with one worker and with two, over TAP devices and by packet sockets.
pub(crate) fn over_both(test: impl Fn(Setup) + Sync) {
    in_setups(&[Kind::Tap, Kind::Packet], test);
}

/// All at the same time. Each failure is shown by a thread whose name is the setup.
fn in_setups(kinds: &[Kind], test: impl Fn(Setup) + Sync) {
    let failed = thread::scope(|scope| {
        let test = &test;
        let start = |(workers, kind)| {
            let setup = Setup { workers, kind, mtu: 1500 };
            let name = format!("{kind:?} uplink, {workers} workers");
            let thread = thread::Builder::new().name(name.clone()).spawn_scoped(scope, move || test(setup));
            (name, thread.unwrap())
        };
        let threads: Vec<_> = kinds.iter().flat_map(|&kind| [(1, kind), (2, kind)]).map(start).collect();
        let failed = threads.into_iter().filter_map(|(name, thread)| thread.join().is_err().then_some(name));
        failed.collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "failed with: {failed:?}");
}

/// A running gateway and a VPC of two addresses.
pub(crate) struct World {
    pub(crate) fixture: Fixture,
    pub(crate) vpc: Namespace,
    /// Where the device of a packet uplink is.
    pub(crate) edge: Option<Namespace>,
    pub(crate) uplink: UplinkId,
    pub(crate) setup: Setup,
    pub(crate) lab: Lab,
}

/// A VPC with the usual addresses.
pub(crate) struct Vpc {
    pub(crate) namespace: Namespace,
    pub(crate) edge: Option<Namespace>,
    pub(crate) uplink: UplinkId,
}

/// A container that may reach the VPC.
pub(crate) struct Container {
    pub(crate) namespace: Namespace,
    pub(crate) id: AttachmentId,
    pub(crate) connector: ConnectorId,
}

impl World {
    pub(crate) fn start(topic: &str, setup: Setup) -> Self {
        Self::with(topic, setup, |_| {})
    }

    /// The same with another uplink than the usual one.
    pub(crate) fn with(topic: &str, setup: Setup, change: impl FnOnce(&mut UplinkSpec)) -> Self {
        let (fixture, lab) = (Fixture::start(setup.workers), Lab::new(topic).unwrap());
        let Vpc { namespace: vpc, edge, uplink } = add_vpc(&fixture, &lab, "vpc", setup, change);
        Self { fixture, vpc, edge, uplink, setup, lab }
    }

    /// The VPC's device.
    pub(crate) const fn device(&self) -> &'static str {
        device(self.setup.kind)
    }

    pub(crate) fn container(&self, name: &str) -> Container {
        self.container_with(name, |_| {}, |_| {})
    }

    /// A container whose link or permission is not the usual one.
    pub(crate) fn container_with(
        &self,
        name: &str,
        link: impl FnOnce(&mut AttachmentSpec),
        policy: impl FnOnce(&mut ConnectorConfig),
    ) -> Container {
        let container = self.unattached(name, link);
        self.attach(&container, policy).unwrap();
        container
    }

    /// A container that has no permission yet.
    pub(crate) fn unattached(&self, name: &str, link: impl FnOnce(&mut AttachmentSpec)) -> Container {
        let namespace = self.lab.namespace(name).unwrap();
        let id = add_container(&self.fixture, &namespace, link);
        Container { namespace, id, connector: ConnectorId(self.uplink.0) }
    }

    /// Lets the container reach the VPC and what is behind it.
    pub(crate) fn attach(
        &self,
        container: &Container,
        policy: impl FnOnce(&mut ConnectorConfig),
    ) -> Result<(), CallError> {
        let destinations = ["10.0.0.0/8", "fd00::/8"].map(net).to_vec();
        let mut connector = ConnectorConfig::new(container.connector, self.uplink, destinations);
        policy(&mut connector);
        self.fixture.wait(self.fixture.handle.attach(container.id, connector)).map(drop)
    }

    /// How many frames of all links ended for this reason.
    pub(crate) fn drops(&self, reason: Reason) -> u64 {
        let stats = self.fixture.wait(self.fixture.handle.stats()).unwrap();
        stats.links.iter().map(|link| link.counters.drops.of(reason)).sum()
    }

    /// All drops of all links, to show when something went wrong.
    pub(crate) fn all_drops(&self) -> Vec<(Reason, u64)> {
        let stats = self.fixture.wait(self.fixture.handle.stats()).unwrap();
        stats.links.iter().flat_map(|link| link.counters.drops.iter().collect::<Vec<_>>()).collect()
    }
}

/// Makes a VPC and its uplink.
pub(crate) fn add_vpc(
    fixture: &Fixture,
    lab: &Lab,
    name: &str,
    setup: Setup,
    change: impl FnOnce(&mut UplinkSpec),
) -> Vpc {
    let vpc = lab.namespace(name).unwrap();
    let addresses = vec![net(&format!("{}/16", SERVER.ip())), net("fd01::1/64")];
    let name_of_device = device(setup.kind);
    let edge = (setup.kind == Kind::Packet).then(|| lab.namespace(&format!("{name}-edge")).unwrap());
    let device = match &edge {
        None => UplinkDevice::Tap {
            netns: Some(vpc.netns()),
            name: name_of_device.into(),
            addresses,
            bridge: None,
            gateway_mac: None,
            mtu: setup.mtu,
            lifetime: Lifetime::Process,
        },
        Some(edge) => {
            edge.veth("up0", &vpc, name_of_device).unwrap();
            edge.mtu("up0", setup.mtu).unwrap();
            vpc.mtu(name_of_device, setup.mtu).unwrap();
            for address in addresses {
                vpc.address(name_of_device, address).unwrap();
            }
            UplinkDevice::Packet { netns: Some(edge.netns()), name: "up0".into() }
        }
    };
    let mut spec = uplink(device);
    spec.on_link.push(net(CIDR6));
    spec.external.push(Version::V6.external());
    change(&mut spec);
    let uplink = fixture.wait(fixture.handle.add_uplink(spec)).unwrap().id;
    Vpc { namespace: vpc, edge, uplink }
}

/// Gives the namespace the usual link, changed as wanted.
pub(crate) fn add_container(
    fixture: &Fixture,
    namespace: &Namespace,
    change: impl FnOnce(&mut AttachmentSpec),
) -> AttachmentId {
    let mut spec = dual_stack(namespace);
    change(&mut spec);
    fixture.wait(fixture.handle.add_attachment(spec)).unwrap().id
}

/// A link with the addresses of all containers.
pub(crate) fn dual_stack(namespace: &Namespace) -> AttachmentSpec {
    let mut spec = attachment(namespace);
    let v6 = Version::V6;
    spec.addresses.push(Addressing { address: v6.internal(), gateway: v6.gateway() });
    spec
}

const fn device(kind: Kind) -> &'static str {
    match kind {
        Kind::Tap => "wharf0",
        Kind::Packet => "eth0",
    }
}

impl Container {
    pub(crate) fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(f)
    }
}

/// Runs a program in the namespace and returns what it wrote, to either stream.
pub(crate) fn output(namespace: &Namespace, program: &str, arguments: &str) -> String {
    let mut command: Command = namespace.command(program);
    let output = command.args(arguments.split_ascii_whitespace()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// One echo, of either version.
pub(crate) fn echo(to: IpAddr) -> io::Result<()> {
    match to {
        IpAddr::V4(to) => ping(to, 1, 1, PATIENCE),
        IpAddr::V6(to) => ping6(to, 1, 1, PATIENCE),
    }
    .map(drop)
}

/// So many bytes that a lost, moved or repeated piece shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8 ^ (i >> 12) as u8).collect()
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}
