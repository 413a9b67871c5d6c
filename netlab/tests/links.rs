//! What the devices of a lab carry.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use netlab::traffic::{self, Bulk, Http, TcpEcho, UdpEcho};
use netlab::{Lab, LabError, Namespace, Switch};

const PATIENCE: Duration = Duration::from_secs(5);
const LEFT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// Two namespaces joined by `eth0` at both sides, with addresses.
fn pair(topic: &str) -> Result<(Lab, Namespace, Namespace), LabError> {
    let lab = Lab::new(topic)?;
    let (left, right) = (lab.namespace("left")?, lab.namespace("right")?);
    left.veth("eth0", &right, "eth0")?;
    left.address("eth0", "10.0.0.1/24".parse().unwrap())?;
    right.address("eth0", "10.0.0.2/24".parse().unwrap())?;
    Ok((lab, left, right))
}

fn ping(from: &Namespace, to: Ipv4Addr) {
    let answers = from.run(|| traffic::ping(to, 4711, 3, PATIENCE)).unwrap();
    assert_eq!(answers.len(), 3);
}

#[test]
fn a_veth_pair_carries_ping() -> Result<(), LabError> {
    let (_lab, left, right) = pair("veth")?;
    ping(&left, RIGHT);
    ping(&right, LEFT);
    Ok(())
}

#[test]
fn ping_gives_up_when_nobody_answers() -> Result<(), LabError> {
    let (_lab, left, right) = pair("silence")?;
    right.sysctl("net.ipv4.icmp_echo_ignore_all", "1")?;
    let error = left.run(|| traffic::ping(RIGHT, 1, 1, Duration::from_millis(50))).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    Ok(())
}

#[test]
fn a_bridge_joins_its_ports() -> Result<(), LabError> {
    let lab = Lab::new("bridge")?;
    let (switch, left, right) = (lab.namespace("switch")?, lab.namespace("left")?, lab.namespace("right")?);
    switch.veth("p1", &left, "eth0")?;
    switch.veth("p2", &right, "eth0")?;
    switch.bridge("br0", &["p1", "p2"])?;
    left.address("eth0", "10.0.0.1/24".parse().unwrap())?;
    right.address("eth0", "10.0.0.2/24".parse().unwrap())?;
    ping(&left, RIGHT);
    Ok(())
}

#[test]
fn a_router_forwards_between_two_links() -> Result<(), LabError> {
    let lab = Lab::new("route")?;
    let (router, left, right) = (lab.namespace("router")?, lab.namespace("left")?, lab.namespace("right")?);
    for (side, device, own, gateway) in
        [(&left, "left", "10.1.0.2/24", "10.1.0.1/24"), (&right, "right", "10.2.0.2/24", "10.2.0.1/24")]
    {
        let gateway: ipnet::Ipv4Net = gateway.parse().unwrap();
        router.veth(device, side, "eth0")?;
        router.address(device, gateway.into())?;
        side.address("eth0", own.parse().unwrap())?;
        side.route("0.0.0.0/0".parse().unwrap(), gateway.addr())?;
    }
    router.sysctl("net.ipv4.ip_forward", "1")?;
    ping(&left, Ipv4Addr::new(10, 2, 0, 2));
    Ok(())
}

#[test]
fn a_vxlan_segment_carries_ping() -> Result<(), LabError> {
    let (_lab, left, right) = pair("vxlan")?;
    left.vxlan("eth0", "vx0", 42, RIGHT)?;
    right.vxlan("eth0", "vx0", 42, LEFT)?;
    left.address("vx0", "192.168.7.1/24".parse().unwrap())?;
    right.address("vx0", "192.168.7.2/24".parse().unwrap())?;
    ping(&left, Ipv4Addr::new(192, 168, 7, 2));
    Ok(())
}

#[test]
fn settings_of_a_device_are_taken() -> Result<(), LabError> {
    let (_lab, left, _right) = pair("settings")?;
    left.mtu("eth0", 9000)?;
    left.mac("eth0", "02:00:5e:10:00:01".parse().unwrap())?;
    left.offload("eth0", "tx", Switch::Off)?;
    let shown = left.command("ip").args(["-o", "link", "show", "eth0"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("mtu 9000") && shown.contains("02:00:5e:10:00:01"), "{shown}");
    let features = left.command("ethtool").args(["-k", "eth0"]).output().unwrap();
    let features = String::from_utf8(features.stdout).unwrap();
    assert!(features.contains("tx-checksumming: off"), "{features}");
    left.remove_device("eth0")?;
    assert!(left.up("eth0").is_err(), "the device is gone");
    Ok(())
}

#[test]
fn servers_tell_who_they_are_and_whom_they_saw() -> Result<(), LabError> {
    let (_lab, left, right) = pair("servers")?;
    let any = |ip| SocketAddrV4::new(ip, 0);
    let tcp = TcpEcho::start(&right, any(RIGHT), "right-tcp").unwrap();
    let udp = UdpEcho::start(&right, any(RIGHT), "right-udp").unwrap();
    let http = Http::start(&right, any(RIGHT), "right-http").unwrap();
    let from = SocketAddrV4::new(LEFT, 40_000);
    let payload: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();

    let tag = left.run(|| traffic::tcp_exchange(from, tcp.address(), &payload, PATIENCE)).unwrap();
    assert_eq!((tag.as_str(), tcp.peers()), ("right-tcp", vec![from.into()]));
    let tag = left.run(|| traffic::udp_exchange(from, udp.address(), &payload[..1000], PATIENCE)).unwrap();
    assert_eq!((tag.as_str(), udp.peers()), ("right-udp", vec![from.into()]));
    let body = left.run(|| traffic::fetch(http.address(), PATIENCE)).unwrap();
    let client = http.clients()[0];
    assert_eq!(*client.ip(), LEFT);
    assert_eq!(body, format!(r#"{{"server":"right-http","client":"{client}"}}"#));
    Ok(())
}

#[test]
fn a_refused_or_unanswered_connection_is_an_error_in_time() -> Result<(), LabError> {
    let (_lab, left, right) = pair("refused")?;
    let here = SocketAddrV4::new(LEFT, 0);
    let refused = left.run(|| traffic::tcp_connect(here, SocketAddrV4::new(RIGHT, 9), PATIENCE)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    right.command("ip").args(["route", "add", "blackhole", "10.0.0.1"]).status().unwrap();
    let short = Duration::from_millis(100);
    let lost = left.run(|| traffic::tcp_connect(here, SocketAddrV4::new(RIGHT, 9), short)).unwrap_err();
    assert_eq!(lost.kind(), std::io::ErrorKind::TimedOut);
    Ok(())
}

#[test]
fn bulk_transfers_count_what_arrived() -> Result<(), LabError> {
    let (_lab, left, right) = pair("bulk")?;
    let server = Bulk::start(&right, SocketAddrV4::new(RIGHT, 0)).unwrap();
    let while_ = Duration::from_millis(200);
    for transfer in [traffic::upload, traffic::download] {
        let carried = left.run(|| transfer(server.address(), while_)).unwrap();
        assert!(carried.bytes > 0 && carried.elapsed >= while_, "{carried:?}");
    }
    Ok(())
}

#[test]
fn a_server_with_an_open_connection_stops_when_dropped() -> Result<(), LabError> {
    let (_lab, left, right) = pair("stop")?;
    let server = TcpEcho::start(&right, SocketAddrV4::new(RIGHT, 0), "x").unwrap();
    let idle =
        left.run(|| traffic::tcp_connect(SocketAddrV4::new(LEFT, 0), server.address(), PATIENCE)).unwrap();
    drop(server);
    drop(idle);
    Ok(())
}
