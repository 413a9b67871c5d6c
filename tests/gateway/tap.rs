//! Uplinks by TAP device.

use gateway::{Event, LinkError, Reason};
use netlab::Lab;
use netlab::traffic::{TcpEcho, UdpEcho, ping, tcp_exchange, udp_exchange};
use tests::{EXTERNAL, PATIENCE, SERVER, eventually};

use crate::fixture::{Fixture, SHORT, any_port, attachment, uplink};

#[test]
fn tcp_udp_and_ping_reach_the_vpc_with_one_worker_and_with_several() {
    for workers in [1, 2, 3] {
        let fixture = Fixture::start(workers);
        let lab = Lab::new("reach").unwrap();
        let vpc = lab.namespace("vpc").unwrap();
        let uplink = fixture.tap_uplink(&vpc);
        let tcp = TcpEcho::start(&vpc, SERVER, "orders").unwrap();
        let udp = UdpEcho::start(&vpc, SERVER, "orders").unwrap();
        for name in ["c1", "c2", "c3"] {
            let container = lab.namespace(name).unwrap();
            fixture.attach(fixture.container(&container), uplink);
            container.run(|| {
                let payload: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
                let tag = tcp_exchange(any_port(), tcp.address(), &payload, PATIENCE).unwrap();
                assert_eq!(tag, "orders", "{workers} workers");
                let tag = udp_exchange(any_port(), udp.address(), b"hello", PATIENCE).unwrap();
                assert_eq!(tag, "orders", "{workers} workers");
                assert_eq!(ping(*SERVER.ip(), 7, 3, PATIENCE).unwrap().len(), 3, "{workers} workers");
            });
        }
        let seen: Vec<_> = tcp.peers().into_iter().chain(udp.peers()).collect();
        assert_eq!(seen.len(), 6);
        assert!(seen.iter().all(|peer| peer.ip() == EXTERNAL), "{seen:?}");
    }
}

#[test]
fn an_unattached_container_reaches_nothing_but_the_gateway_and_is_told_so() {
    let fixture = Fixture::start(2);
    let lab = Lab::new("deny").unwrap();
    let (vpc, container) = (lab.namespace("vpc").unwrap(), lab.namespace("c").unwrap());
    fixture.tap_uplink(&vpc);
    let tcp = TcpEcho::start(&vpc, SERVER, "orders").unwrap();
    let id = fixture.container(&container);
    container.run(|| {
        let refused = tcp_exchange(any_port(), tcp.address(), b"", PATIENCE).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EHOSTUNREACH), "ICMP code 13 ends the attempt at once");
        ping("169.254.1.1".parse().unwrap(), 1, 1, PATIENCE).unwrap();
    });
    let drops = fixture.wait(fixture.handle.recent_drops(id)).unwrap();
    assert_eq!(drops.iter().filter(|d| d.reason == Reason::NoConnector).count(), 1, "{drops:?}");
}

#[test]
fn detach_ends_the_sessions_before_it_answers() {
    let fixture = Fixture::start(2);
    let lab = Lab::new("detach").unwrap();
    let (vpc, container) = (lab.namespace("vpc").unwrap(), lab.namespace("c").unwrap());
    let uplink = fixture.tap_uplink(&vpc);
    let udp = UdpEcho::start(&vpc, SERVER, "orders").unwrap();
    let id = fixture.container(&container);
    let connector = fixture.attach(id, uplink);
    let send = || container.run(|| udp_exchange(any_port(), udp.address(), b"x", SHORT));
    send().unwrap();
    let applied = fixture.wait(fixture.handle.detach(id, connector)).unwrap();
    assert_eq!(applied.sessions_ended, 1);
    let stats = fixture.wait(fixture.handle.stats()).unwrap();
    assert_eq!(stats.ports.iter().map(|p| p.used).sum::<u32>(), 0);
    send().unwrap_err();
    assert_eq!(udp.peers().len(), 1);
}

#[test]
fn a_deleted_namespace_or_device_ends_its_link_and_the_rest_goes_on() {
    let mut fixture = Fixture::start(2);
    let lab = Lab::new("gone").unwrap();
    let vpc = lab.namespace("vpc").unwrap();
    let (here, gone) = (lab.namespace("here").unwrap(), lab.namespace("gone").unwrap());
    let uplink = fixture.tap_uplink(&vpc);
    let udp = UdpEcho::start(&vpc, SERVER, "orders").unwrap();
    let (here_id, gone_id) = (fixture.container(&here), fixture.container(&gone));
    for id in [here_id, gone_id] {
        fixture.attach(id, uplink);
    }
    let send =
        |from: &netlab::Namespace| from.run(|| udp_exchange(any_port(), udp.address(), b"x", PATIENCE));
    send(&gone).unwrap();
    gone.remove();
    assert_eq!(fixture.event(), Event::AttachmentGone(gone_id));
    send(&here).unwrap();
    assert!(fixture.wait(fixture.handle.recent_drops(gone_id)).is_err());
    vpc.remove_device("wharf0").unwrap();
    assert_eq!(fixture.event(), Event::UplinkGone(uplink));
    let stats = fixture.wait(fixture.handle.stats()).unwrap();
    assert_eq!((stats.links.len(), stats.ports.len()), (1, 0), "only the container that stays: {stats:?}");
    assert_eq!(stats.workers.iter().map(|w| w.sessions).sum::<u64>(), 0);
}

#[test]
fn links_that_cannot_be_made_are_refused_and_leave_nothing() {
    let fixture = Fixture::start(1);
    let lab = Lab::new("refused").unwrap();
    let container = lab.namespace("c").unwrap();
    let devices =
        || container.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap().lines().count());
    let before = devices();
    let add = |spec| fixture.wait(fixture.handle.add_attachment(spec));
    let missing = gateway::Netns::Name("no-such-namespace".into());
    let gone = gateway::Netns::Pid(u32::MAX);
    let file = gateway::Netns::Path("/etc/hostname".into());
    assert!(matches!(
        add(gateway::AttachmentSpec { netns: missing, ..attachment(&container) }),
        Err(LinkError::NetnsMissing(_))
    ));
    assert!(matches!(
        add(gateway::AttachmentSpec { netns: gone, ..attachment(&container) }),
        Err(LinkError::NetnsMissing(_))
    ));
    assert!(matches!(
        add(gateway::AttachmentSpec { netns: file, ..attachment(&container) }),
        Err(LinkError::NetnsInvalid(_))
    ));
    let taken = gateway::AttachmentSpec { device: "lo".into(), ..attachment(&container) };
    assert!(matches!(add(taken), Err(LinkError::DeviceTaken(_))));
    assert_eq!(devices(), before);
    let id = add(attachment(&container)).unwrap().id;
    let again = gateway::AttachmentSpec { device: "eth1".into(), ..attachment(&container) };
    assert!(matches!(add(again), Err(LinkError::DefaultRouteTaken)));
    assert_eq!(devices(), before + 1);
    fixture.wait(fixture.handle.remove_attachment(id)).unwrap();
    eventually("the device to go", || devices() == before);
}

#[test]
fn an_external_address_of_the_kernel_itself_is_refused_wherever_it_is() {
    let fixture = Fixture::start(1);
    let lab = Lab::new("local").unwrap();
    let vpc = lab.namespace("vpc").unwrap();
    vpc.address("lo", format!("{EXTERNAL}/32").parse().unwrap()).unwrap();
    let device = gateway::UplinkDevice::Tap {
        netns: Some(vpc.netns()),
        name: "wharf0".into(),
        addresses: Vec::new(),
        bridge: None,
        gateway_mac: None,
        mtu: 1500,
        lifetime: gateway::Lifetime::Process,
    };
    let refused = fixture.wait(fixture.handle.add_uplink(uplink(device)));
    assert!(matches!(refused, Err(LinkError::AddressInUse(address)) if address == EXTERNAL), "{refused:?}");
    assert!(vpc.up("wharf0").is_err(), "nothing was made");
}
