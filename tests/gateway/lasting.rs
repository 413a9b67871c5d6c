//! Devices that outlive the gateway that has made them, and are taken again by the next one.

use std::fs;
use std::net::{SocketAddrV6, UdpSocket};

use gateway::{
    AttachmentInfo, AttachmentSpec, Event, Lifetime, LinkError, MacAddr, Netns, NetnsIdentity, Origin,
    UplinkDevice, UplinkInfo,
};
use netlab::traffic::{TcpEcho, tcp_exchange};
use netlab::{Lab, Namespace};
use nix::mount::{MntFlags, umount2};
use tests::{PATIENCE, SERVER, eventually};

use crate::fixture::{Fixture, any_port, attachment, tap, uplink};
use crate::world::{dual_stack, echo, output, pattern};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const GATEWAY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

#[test]
fn a_container_keeps_its_device_its_addresses_its_routes_and_its_neighbors() {
    let lab = Lab::new("lasting").unwrap();
    let (vpc, container) = (lab.namespace("vpc").unwrap(), lab.namespace("c").unwrap());
    let spec = || AttachmentSpec {
        gateway_mac: Some(GATEWAY_MAC),
        lifetime: Lifetime::Lasting,
        ..dual_stack(&container)
    };
    let run = |fixture: &Fixture| {
        let made = add(fixture, spec()).unwrap();
        let uplink = add_uplink(fixture, tap(&vpc, Lifetime::Lasting)).unwrap();
        fixture.attach(made.id, uplink.id);
        let tcp = TcpEcho::start(&vpc, SERVER, "orders").unwrap();
        container.run(|| {
            assert_eq!(
                tcp_exchange(any_port(), tcp.address(), &pattern(100_000), PATIENCE).unwrap(),
                "orders"
            );
        });
        reach_gateways(&container, GATEWAY_MAC);
        (made, uplink)
    };
    let fixture = Fixture::start(2);
    let (made, vpc_made) = run(&fixture);
    assert_eq!((made.origin, vpc_made.origin), (Origin::Made, Origin::Made));
    output(&container, "ip", "route add 192.0.2.0/24 via 169.254.1.1 dev eth0");
    let before = settings(&container);
    let lladdr = format!("lladdr {GATEWAY_MAC}");
    assert_eq!(before.matches(&lladdr).count(), 2, "{before}");
    drop(fixture);
    eventually("the carrier to go", || link(&container).contains("state DOWN"));
    let neighbors = output(&container, "ip", "neigh show dev eth0");
    assert_eq!(neighbors.matches(&lladdr).count(), 2, "{neighbors}");
    // Ids are given anew: the container's worker and the uplink's reader may be others.
    let fixture = Fixture::start(2);
    fixture.container(&lab.namespace("other").unwrap());
    let (again, vpc_again) = run(&fixture);
    assert_eq!((again.origin, vpc_again.origin), (Origin::TakenAgain, Origin::TakenAgain));
    assert_eq!((again.mac, again.gateway_mac), (made.mac, GATEWAY_MAC));
    assert_eq!(again.offloads, made.offloads);
    assert_eq!(settings(&container), before);
}

#[test]
fn what_is_missing_or_other_than_asked_for_is_put_right() {
    let lab = Lab::new("lasting-spec").unwrap();
    let container = lab.namespace("c").unwrap();
    let spec = || AttachmentSpec {
        gateway_mac: Some(GATEWAY_MAC),
        lifetime: Lifetime::Lasting,
        ..dual_stack(&container)
    };
    let fixture = Fixture::start(1);
    let made = add(&fixture, spec()).unwrap();
    let ip_dev = |command: &str| output(&container, "ip", &format!("{command} dev eth0"));
    let before = addresses_and_routes(&container);
    drop(fixture);
    let spec = || AttachmentSpec { mac: Some(MAC), mtu: 1400, ..spec() };
    for damage in [
        "addr del 169.254.1.2/32",
        "-6 addr flush scope global",
        "route del default",
        "-6 route del default",
        "route del 169.254.1.1",
        "link set down",
    ] {
        ip_dev(damage);
        let fixture = Fixture::start(1);
        let again = add(&fixture, spec()).unwrap();
        assert_eq!((again.origin, again.mac), (Origin::TakenAgain, MAC), "{damage}");
        assert_ne!(again.mac, made.mac);
        let link = link(&container);
        assert!(
            link.contains(&MAC.to_string()) && link.contains("mtu 1400") && link.contains(",UP"),
            "{link}"
        );
        assert_eq!(addresses_and_routes(&container), before, "{damage}");
        reach_gateways(&container, GATEWAY_MAC);
    }
    // A default route of somebody else's is not ours to replace.
    ip_dev("route replace default via 192.0.2.9 onlink");
    let fixture = Fixture::start(1);
    add(&fixture, spec()).unwrap();
    assert!(output(&container, "ip", "route").contains("default via 192.0.2.9"));
}

#[test]
fn a_device_that_is_not_ours_is_taken() {
    let lab = Lab::new("lasting-foreign").unwrap();
    let (container, other) = (lab.namespace("c").unwrap(), lab.namespace("other").unwrap());
    let fixture = Fixture::start(1);
    let refused = || {
        for lifetime in [Lifetime::Process, Lifetime::Lasting] {
            let spec = AttachmentSpec { lifetime, ..attachment(&container) };
            assert!(matches!(add(&fixture, spec), Err(LinkError::DeviceTaken(name)) if name == "eth0"));
            let device = UplinkDevice::Tap {
                netns: Some(container.netns()),
                name: "eth0".into(),
                addresses: Vec::new(),
                bridge: None,
                gateway_mac: None,
                mtu: 1500,
                lifetime,
            };
            assert!(
                matches!(add_uplink(&fixture, device), Err(LinkError::DeviceTaken(name)) if name == "eth0")
            );
        }
        assert!(!link(&container).is_empty(), "it stays");
        container.remove_device("eth0").unwrap();
    };
    // Persistent, and nobody has it open: but somebody else's.
    output(&container, "ip", "tuntap add eth0 mode tap vnet_hdr");
    refused();
    // Somebody else's who calls it ours.
    output(&container, "ip", "tuntap add eth0 mode tun");
    output(&container, "ip", "link set eth0 alias wharf");
    refused();
    container.veth("eth0", &other, "eth0").unwrap();
    output(&container, "ip", "link set eth0 alias wharf");
    refused();
}

#[test]
fn a_device_of_a_gateway_that_lives_is_taken() {
    for workers in [1, 2] {
        let lab = Lab::new("lasting-owned").unwrap();
        let (vpc, container) = (lab.namespace("vpc").unwrap(), lab.namespace("c").unwrap());
        let (owner, other) = (Fixture::start(workers), Fixture::start(workers));
        let spec = |lifetime| AttachmentSpec { lifetime, ..attachment(&container) };
        let link = add(&owner, spec(Lifetime::Lasting)).unwrap();
        let uplink = add_uplink(&owner, tap(&vpc, Lifetime::Lasting)).unwrap();
        for lifetime in [Lifetime::Lasting, Lifetime::Process] {
            assert!(matches!(add(&other, spec(lifetime)), Err(LinkError::DeviceTaken(_))));
            assert!(matches!(add_uplink(&other, tap(&vpc, lifetime)), Err(LinkError::DeviceTaken(_))));
        }
        owner.attach(link.id, uplink.id);
        let tcp = TcpEcho::start(&vpc, SERVER, "orders").unwrap();
        container.run(|| tcp_exchange(any_port(), tcp.address(), b"x", PATIENCE)).unwrap();
    }
}

#[test]
fn a_namespace_that_is_deleted_after_its_device_was_taken_again_is_noticed_and_freed() {
    /// How the namespace is named, and how that ends.
    #[derive(Clone, Copy, Debug)]
    enum Name {
        DeletedFile,
        Process,
        FileOfProcess,
        /// Nothing but a look tells that it is gone.
        UnmountedFile,
    }
    for name in [Name::DeletedFile, Name::Process, Name::FileOfProcess, Name::UnmountedFile] {
        let lab = Lab::new("lasting-gone").unwrap();
        let (container, witness) = (lab.namespace("c").unwrap(), lab.namespace("w").unwrap());
        container.veth("peer", &witness, "peer").unwrap();
        let mut sleep = std::process::Command::new("sleep");
        sleep.arg("1000");
        let process = container.spawn(sleep).unwrap();
        let netns = match name {
            Name::DeletedFile | Name::UnmountedFile => container.netns(),
            Name::Process => Netns::Pid(process.id()),
            Name::FileOfProcess => Netns::Path(format!("/proc/{}/ns/net", process.id()).into()),
        };
        let spec =
            || AttachmentSpec { netns: netns.clone(), lifetime: Lifetime::Lasting, ..attachment(&container) };
        let fixture = Fixture::start(2);
        add(&fixture, spec()).unwrap();
        drop(fixture);
        let mut fixture = Fixture::start(2);
        let again = add(&fixture, spec()).unwrap();
        assert_eq!(again.origin, Origin::TakenAgain);
        process.kill();
        match name {
            Name::DeletedFile => container.remove(),
            Name::UnmountedFile => umount2(&container.netns().path(), MntFlags::MNT_DETACH).unwrap(),
            Name::Process | Name::FileOfProcess => {}
        }
        assert_eq!(fixture.event(), Event::AttachmentGone(again.id), "{name:?}");
        if let Name::Process | Name::FileOfProcess = name {
            assert_eq!(link(&container), "", "the namespace has another name, and goes on without us");
            container.remove();
        }
        eventually("the namespace to go with all that is in it", || {
            !witness.run(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap()).contains("peer")
        });
    }
}

#[test]
fn the_namespace_of_an_uplink_that_was_taken_again_is_watched_too() {
    for workers in [1, 2] {
        let lab = Lab::new("lasting-vpc-gone").unwrap();
        let vpc = lab.namespace("vpc").unwrap();
        let fixture = Fixture::start(workers);
        add_uplink(&fixture, tap(&vpc, Lifetime::Lasting)).unwrap();
        drop(fixture);
        let mut fixture = Fixture::start(workers);
        let again = add_uplink(&fixture, tap(&vpc, Lifetime::Lasting)).unwrap();
        vpc.remove();
        assert_eq!(fixture.event(), Event::UplinkGone(again.id));
    }
}

#[test]
fn a_device_that_is_deleted_after_it_was_taken_again_ends_its_link() {
    let lab = Lab::new("lasting-device").unwrap();
    let container = lab.namespace("c").unwrap();
    let spec = || AttachmentSpec { lifetime: Lifetime::Lasting, ..attachment(&container) };
    for origin in [Origin::Made, Origin::TakenAgain, Origin::TakenAgain] {
        let fixture = Fixture::start(1);
        assert_eq!(add(&fixture, spec()).unwrap().origin, origin);
    }
    let mut fixture = Fixture::start(1);
    let again = add(&fixture, spec()).unwrap();
    container.remove_device("eth0").unwrap();
    assert_eq!(fixture.event(), Event::AttachmentGone(again.id));
    assert_eq!(add(&fixture, spec()).unwrap().origin, Origin::Made);
}

#[test]
fn removing_a_link_deletes_its_lasting_device() {
    let lab = Lab::new("lasting-removed").unwrap();
    let (vpc, container) = (lab.namespace("vpc").unwrap(), lab.namespace("c").unwrap());
    for workers in [1, 2] {
        for times in [0, 1] {
            let add_both = |fixture: &Fixture| {
                let spec = AttachmentSpec { lifetime: Lifetime::Lasting, ..attachment(&container) };
                let uplink = add_uplink(fixture, tap(&vpc, Lifetime::Lasting)).unwrap();
                (add(fixture, spec).unwrap(), uplink)
            };
            for _ in 0..times {
                add_both(&Fixture::start(workers));
            }
            let fixture = Fixture::start(workers);
            let (container_link, uplink) = add_both(&fixture);
            let origin = if times == 0 { Origin::Made } else { Origin::TakenAgain };
            assert_eq!((container_link.origin, uplink.origin), (origin, origin));
            fixture.wait(fixture.handle.remove_attachment(container_link.id)).unwrap();
            fixture.wait(fixture.handle.remove_uplink(uplink.id)).unwrap();
            assert_eq!((link(&container), devices(&vpc)), (String::new(), 1), "{workers} workers");
        }
    }
}

#[test]
fn an_uplink_is_taken_again_as_far_as_its_queues_fit() {
    let lab = Lab::new("lasting-queues").unwrap();
    let (vpc, container) = (lab.namespace("vpc").unwrap(), lab.namespace("c").unwrap());
    for (workers, origin) in [
        (1, Origin::Made),
        (1, Origin::TakenAgain),
        (2, Origin::Made),
        (3, Origin::TakenAgain),
        (2, Origin::TakenAgain),
        (1, Origin::Made),
    ] {
        let fixture = Fixture::start(workers);
        let uplink = add_uplink(&fixture, tap(&vpc, Lifetime::Lasting)).unwrap();
        assert_eq!(uplink.origin, origin, "{workers} workers");
        fixture.attach(fixture.container(&container), uplink.id);
        let tcp = TcpEcho::start(&vpc, SERVER, "orders").unwrap();
        container.run(|| tcp_exchange(any_port(), tcp.address(), &pattern(100_000), PATIENCE)).unwrap();
    }
}

#[test]
fn a_lasting_device_is_replaced_when_it_shall_not_last_any_more() {
    let lab = Lab::new("lasting-no-more").unwrap();
    let container = lab.namespace("c").unwrap();
    for lifetime in [Lifetime::Lasting, Lifetime::Process] {
        let fixture = Fixture::start(1);
        let made = add(&fixture, AttachmentSpec { lifetime, ..attachment(&container) }).unwrap();
        assert_eq!(made.origin, Origin::Made);
    }
    eventually("the device to go", || link(&container).is_empty());
}

#[test]
fn a_link_that_could_not_be_made_or_taken_again_leaves_no_lasting_device() {
    let lab = Lab::new("lasting-failed").unwrap();
    let (vpc, container) = (lab.namespace("vpc").unwrap(), lab.namespace("c").unwrap());
    let spec = || AttachmentSpec { lifetime: Lifetime::Lasting, ..attachment(&container) };
    let fixture = Fixture::start(2);
    let made = add(&fixture, spec()).unwrap();
    let refused = add(&fixture, AttachmentSpec { device: "eth1".into(), ..spec() });
    assert!(matches!(refused, Err(LinkError::DefaultRouteTaken)), "{refused:?}");
    assert_eq!(devices(&container), 2, "eth0 only");
    assert_eq!(made.origin, Origin::Made);
    drop(fixture);
    let fixture = Fixture::start(2);
    // No device is for packets that short.
    let refused = add(&fixture, AttachmentSpec { mtu: 9, ..spec() });
    assert!(matches!(refused, Err(LinkError::System { .. })), "{refused:?}");
    assert_eq!(devices(&container), 1);
    let short = |mut device| {
        if let UplinkDevice::Tap { mtu, .. } = &mut device {
            *mtu = 9;
        }
        device
    };
    for _ in [Origin::Made, Origin::TakenAgain] {
        let refused = add_uplink(&fixture, short(tap(&vpc, Lifetime::Lasting)));
        assert!(matches!(refused, Err(LinkError::System { .. })), "{refused:?}");
        assert_eq!(devices(&vpc), 1);
        add_uplink(&Fixture::start(2), tap(&vpc, Lifetime::Lasting)).unwrap();
        assert_eq!(devices(&vpc), 2);
    }
}

#[test]
fn a_name_that_is_given_again_has_another_identity() {
    let lab = Lab::new("identity").unwrap();
    let container = lab.namespace("c").unwrap();
    let identity = |netns: &Netns| netns.identity().unwrap();
    let (netns, path) = (container.netns(), Netns::Path(container.netns().path()));
    let before = identity(&netns);
    assert_eq!(identity(&path), before);
    assert_eq!(before.to_string().parse::<NetnsIdentity>(), Ok(before));
    container.remove();
    assert_eq!(netns.identity(), None);
    // The kernel likes to give it the inode of the old one.
    let names = Lab::new("identity-again").unwrap();
    let again = names.namespace("c").unwrap();
    assert_ne!(identity(&again.netns()), before);
    let mut sleep = std::process::Command::new("sleep");
    sleep.arg("1000");
    let (one, other) = (again.spawn(sleep), again.spawn(std::process::Command::new("cat")));
    let (one, other) = (Netns::Pid(one.as_ref().unwrap().id()), Netns::Pid(other.as_ref().unwrap().id()));
    assert_eq!(identity(&one), identity(&one));
    assert_ne!(identity(&one), identity(&again.netns()), "it ends with the process");
    drop(other);
}

fn add(fixture: &Fixture, spec: AttachmentSpec) -> Result<AttachmentInfo, LinkError> {
    fixture.wait(fixture.handle.add_attachment(spec))
}

fn add_uplink(fixture: &Fixture, device: UplinkDevice) -> Result<UplinkInfo, LinkError> {
    fixture.wait(fixture.handle.add_uplink(uplink(device)))
}

/// Lets the container find its gateways, which it then knows by their MAC address.
fn reach_gateways(container: &Namespace, mac: MacAddr) {
    container.run(|| {
        echo("169.254.1.1".parse().unwrap()).unwrap();
        let index = nix::net::if_::if_nametoindex("eth0").unwrap();
        let socket = UdpSocket::bind("[::]:0").unwrap();
        socket.send_to(b"x", SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0, index)).unwrap();
    });
    let known = || output(container, "ip", "neigh show dev eth0").matches(&format!("lladdr {mac}")).count();
    eventually("both gateways to be known", || known() == 2);
}

/// The container's device as `ip` shows it; nothing if there is none.
fn link(container: &Namespace) -> String {
    let shown = output(container, "ip", "-o link show");
    shown.lines().filter(|line| line.contains(" eth0")).map(str::to_owned).collect()
}

/// All but what counts or ages: link, addresses, routes, neighbors.
fn settings(container: &Namespace) -> String {
    let neighbors = output(container, "ip", "neigh show dev eth0");
    let mut neighbors: Vec<_> =
        neighbors.lines().map(|line| line.rsplit_once(' ').unwrap_or_default().0).collect();
    neighbors.sort_unstable();
    // Before it has lost its carrier once, the kernel does not say that it has one.
    let link = link(container).replace("state UNKNOWN", "state UP");
    format!("{link}\n{}\n{}", addresses_and_routes(container), neighbors.join("\n"))
}

fn addresses_and_routes(container: &Namespace) -> String {
    let shown = [
        "-4 -o addr show dev eth0 scope global",
        "-6 -o addr show dev eth0 scope global",
        "-4 route",
        "-6 route",
    ]
    .map(|command| output(container, "ip", command));
    let lines = shown.iter().flat_map(|text| text.lines()).map(str::trim);
    // Those of router advertisements come when they come, and age.
    let mut lines: Vec<_> = lines.filter(|line| !line.contains("proto ra")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// How many devices there are, with the one that all have.
fn devices(namespace: &Namespace) -> usize {
    output(namespace, "ip", "-o link show").lines().count()
}
