//! Uplinks by packet socket on an existing device.

use std::net::{SocketAddrV6, UdpSocket};

use gateway::{Event, Link, LinkError, Probe, Protocol, Question, Reason, UplinkDevice, Verdict};
use netlab::Lab;
use netlab::traffic::{TcpEcho, UdpEcho, ping, tcp_exchange, udp_exchange};
use tests::{EXTERNAL, PATIENCE, SERVER};

use crate::fixture::{Fixture, any_port, uplink};

#[test]
fn a_veth_in_another_namespace_carries_tcp_udp_and_ping_until_it_goes() {
    let mut fixture = Fixture::start(2);
    let lab = Lab::new("packet").unwrap();
    let (vpc, edge, container) =
        (lab.namespace("vpc").unwrap(), lab.namespace("edge").unwrap(), lab.namespace("c").unwrap());
    edge.veth("up0", &vpc, "eth0").unwrap();
    vpc.address("eth0", format!("{}/16", SERVER.ip()).parse().unwrap()).unwrap();
    let device = UplinkDevice::Packet { netns: Some(edge.netns()), name: "up0".into() };
    let uplink = fixture.uplink(device);
    let id = fixture.container(&container);
    fixture.attach(id, uplink);
    let tcp = TcpEcho::start(&vpc, SERVER, "orders").unwrap();
    let udp = UdpEcho::start(&vpc, SERVER, "orders").unwrap();
    container.run(|| {
        let payload: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        assert_eq!(tcp_exchange(any_port(), tcp.address(), &payload, PATIENCE).unwrap(), "orders");
        assert_eq!(udp_exchange(any_port(), udp.address(), b"x", PATIENCE).unwrap(), "orders");
        ping(*SERVER.ip(), 1, 2, PATIENCE).unwrap();
    });
    assert!(tcp.peers().iter().all(|peer| peer.ip() == EXTERNAL));
    let stats = fixture.wait(fixture.handle.stats()).unwrap();
    let super_packets: Vec<u64> = stats.links.iter().map(|l| l.counters.received.super_packets).collect();
    assert!(super_packets.iter().all(|&n| n > 0), "segmentation offload works both ways: {super_packets:?}");
    edge.remove_device("up0").unwrap();
    assert_eq!(fixture.event(), Event::UplinkGone(uplink));
}

#[test]
fn a_device_that_is_down_is_not_gone() {
    let fixture = Fixture::start(2);
    let lab = Lab::new("down").unwrap();
    let (vpc, edge, container) =
        (lab.namespace("vpc").unwrap(), lab.namespace("edge").unwrap(), lab.namespace("c").unwrap());
    edge.veth("up0", &vpc, "eth0").unwrap();
    vpc.address("eth0", format!("{}/16", SERVER.ip()).parse().unwrap()).unwrap();
    let uplink = fixture.uplink(UplinkDevice::Packet { netns: Some(edge.netns()), name: "up0".into() });
    let id = fixture.container(&container);
    fixture.attach(id, uplink);
    let udp = UdpEcho::start(&vpc, SERVER, "orders").unwrap();
    let send = |patience| container.run(|| udp_exchange(any_port(), udp.address(), b"x", patience));
    let explained = || {
        let question = Question::Probe(Probe::new(Protocol::Udp, udp.address()));
        fixture.wait(fixture.handle.explain(Link::Attachment(id), question)).unwrap().verdict
    };
    send(PATIENCE).unwrap();
    assert_eq!(explained(), Verdict::Forward(Link::Uplink(uplink)));
    edge.down("up0").unwrap();
    assert_eq!(explained(), Verdict::Drop(Reason::EgressDown));
    send(crate::fixture::SHORT).unwrap_err();
    edge.up("up0").unwrap();
    send(PATIENCE).unwrap();
    assert_eq!(explained(), Verdict::Forward(Link::Uplink(uplink)));
}

#[test]
fn deleting_the_namespace_of_a_packet_device_ends_the_uplink() {
    let mut fixture = Fixture::start(2);
    let lab = Lab::new("edge-gone").unwrap();
    let (vpc, edge) = (lab.namespace("vpc").unwrap(), lab.namespace("edge").unwrap());
    edge.veth("up0", &vpc, "eth0").unwrap();
    let uplink = fixture.uplink(UplinkDevice::Packet { netns: Some(edge.netns()), name: "up0".into() });
    edge.remove();
    assert_eq!(fixture.event(), Event::UplinkGone(uplink));
    let device =
        || vpc.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap().contains("eth0"));
    tests::eventually("the other end of the veth to go with its namespace", || !device());
}

#[test]
fn a_device_that_goes_under_a_flood_is_noticed_every_time() {
    // The socket is told that the device is down, and not that it is gone; frames that are queued hide even that.
    let mut fixture = Fixture::start(2);
    for _ in 0..5 {
        let lab = Lab::new("flood").unwrap();
        let (vpc, edge) = (lab.namespace("vpc").unwrap(), lab.namespace("edge").unwrap());
        edge.veth("up0", &vpc, "eth0").unwrap();
        vpc.address("eth0", format!("{}/16", SERVER.ip()).parse().unwrap()).unwrap();
        let uplink = fixture.uplink(UplinkDevice::Packet { netns: Some(edge.netns()), name: "up0".into() });
        let stop = std::sync::atomic::AtomicBool::new(false);
        let gone = std::thread::scope(|scope| {
            scope.spawn(|| {
                vpc.run(|| {
                    let socket = std::net::UdpSocket::bind(any_port()).unwrap();
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        // Refused once the route is gone.
                        let _ = socket.send_to(&[0; 64], (EXTERNAL, 9));
                    }
                });
            });
            edge.remove_device("up0").unwrap();
            let gone = fixture.event();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            gone
        });
        assert_eq!(gone, Event::UplinkGone(uplink));
    }
}

#[test]
fn of_multicast_frames_only_neighbor_discovery_is_received() {
    let fixture = Fixture::start(2);
    let lab = Lab::new("multicast").unwrap();
    let (vpc, edge) = (lab.namespace("vpc").unwrap(), lab.namespace("edge").unwrap());
    // No link-local addresses, which the kernel would look for routers from.
    for namespace in [&vpc, &edge] {
        namespace.sysctl("net.ipv6.conf.default.addr_gen_mode", "1").unwrap();
    }
    edge.veth("up0", &vpc, "eth0").unwrap();
    vpc.address("eth0", format!("{}/16", SERVER.ip()).parse().unwrap()).unwrap();
    let address = vpc.command("ip").args(["addr", "add", "fd00::1/64", "dev", "eth0", "nodad"]).status();
    assert!(address.unwrap().success());
    let uplink = fixture.uplink(UplinkDevice::Packet { netns: Some(edge.netns()), name: "up0".into() });
    let received = || {
        let stats = fixture.wait(fixture.handle.stats()).unwrap();
        let report = stats.links.into_iter().find(|report| report.link == Link::Uplink(uplink));
        report.unwrap().counters.received.frames
    };
    let before = received();
    let others = 100;
    vpc.run(|| {
        let v4 = UdpSocket::bind((*SERVER.ip(), 0)).unwrap();
        let v6 = UdpSocket::bind("[fd00::1]:0").unwrap();
        let index = nix::net::if_::if_nametoindex("eth0").unwrap();
        let all_nodes = SocketAddrV6::new("ff02::1".parse().unwrap(), 9, 0, index);
        for _ in 0..others {
            v4.send_to(b"x", "224.0.0.251:9").unwrap();
            v6.send_to(b"x", all_nodes).unwrap();
        }
        // The kernel looks for this neighbor.
        v6.send_to(b"x", "[fd00::2]:9").unwrap();
    });
    tests::eventually("the question for the neighbor", || received() > before);
    assert!(received() - before < others);
}

#[test]
fn devices_that_cannot_be_uplinks_are_refused() {
    let fixture = Fixture::start(1);
    let lab = Lab::new("unfit").unwrap();
    let edge = lab.namespace("edge").unwrap();
    let other = lab.namespace("other").unwrap();
    edge.veth("up0", &other, "eth0").unwrap();
    let add = |name: &str| {
        let device = UplinkDevice::Packet { netns: Some(edge.netns()), name: name.into() };
        fixture.wait(fixture.handle.add_uplink(uplink(device)))
    };
    assert!(matches!(add("up1"), Err(LinkError::DeviceMissing(_))));
    let lo = add("lo");
    assert!(matches!(lo, Err(LinkError::NotEthernet(_))), "{lo:?}");
    edge.veth("up2", &other, "eth2").unwrap();
    add("up2").unwrap();
    assert!(matches!(add("up2"), Err(LinkError::DeviceTaken(_))), "both would see every frame");
    edge.address("up0", format!("{EXTERNAL}/16").parse().unwrap()).unwrap();
    assert!(matches!(add("up0"), Err(LinkError::AddressInUse(address)) if address == EXTERNAL));
}
