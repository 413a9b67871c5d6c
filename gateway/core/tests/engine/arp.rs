//! ARP on both sides, and packets that wait for it.

use std::net::{IpAddr, Ipv4Addr};

use gateway_core::{Command, Engine, Instant, MacAddr, Reason, Transmit, Verdict, WorkerSlot, limits};

use crate::support::arp::{Arp, NO_MAC};
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, Sent, space, uplink_config};
use crate::support::*;

fn unresolved() -> Rig {
    Rig::unresolved_without_ipv6()
}

fn udp(port: u16, destination: Ipv4Addr) -> Packet {
    Packet::outbound(C1, Carries::Udp, port, endpoint(destination, 53))
}

fn asks(sent: &[Sent]) -> Vec<Arp> {
    sent.iter().map(|t| Arp::read(&t.frame)).collect()
}

#[test]
fn a_container_learns_the_gateways_mac_address() {
    let mut rig = unresolved();
    for (id, sender) in [(C1, CONTAINER), (C4, CONTAINER), (C1, Ipv4Addr::UNSPECIFIED)] {
        let asker = (container_mac(id), sender);
        let step = rig.deliver(inside(id), Arp::request(asker, GATEWAY).frame());
        assert_eq!(step.verdict, Verdict::Respond);
        assert_eq!(step.sent.len(), 1);
        assert_eq!(step.sent[0].to, inside(id));
        assert_eq!(asks(&step.sent), [Arp::reply((gateway_mac(id), GATEWAY), asker)]);
    }
}

#[test]
fn a_vpc_learns_the_mac_address_of_the_external_address_and_of_nothing_else() {
    let mut rig = unresolved();
    let asker = (host_mac(VPC_A, SERVER), SERVER);
    let step = rig.deliver(outside(VPC_A), Arp::request(asker, EXTERNAL).frame());
    assert_eq!(step.verdict, Verdict::Respond);
    assert_eq!(asks(&step.sent), [Arp::reply((uplink_mac(VPC_A), EXTERNAL), asker)]);
    for target in [SERVER, OTHER_SERVER, CONTAINER, GATEWAY] {
        let sender = (host_mac(VPC_A, ROUTER), ROUTER);
        let frame = Arp::request(sender, target).frame();
        assert_eq!(rig.deliver(outside(VPC_A), frame).verdict, Verdict::Drop(Reason::ArpNotForGateway));
    }
    let group = (MacAddr::BROADCAST, SERVER);
    let frame = Arp::request(group, EXTERNAL).frame();
    assert_eq!(rig.deliver(outside(VPC_A), frame).verdict, Verdict::Drop(Reason::ArpInvalid));
}

#[test]
fn packets_wait_for_their_next_hop_and_leave_in_order() {
    let mut rig = unresolved();
    for port in 0..5 {
        let step = rig.deliver(inside(C1), udp(4000 + port, SERVER).frame());
        assert_eq!(step.verdict, Verdict::Hold);
        let expected = if port == 0 { vec![Arp::gateway_asks(VPC_A, SERVER)] } else { vec![] };
        assert_eq!(asks(&step.sent), expected);
    }
    assert_eq!(
        (rig.engine.session_count(), rig.ports_used()),
        (0, 0),
        "a session begins when it can be used"
    );
    let step = rig.deliver(outside(VPC_A), Arp::host_answers(VPC_A, SERVER).frame());
    assert_eq!((step.verdict, step.drops), (Verdict::Respond, vec![]));
    let arrived: Vec<_> = step.sent.iter().map(|t| (t.to, Packet::read(&t.frame))).collect();
    assert_eq!(arrived.len(), 5);
    let sessions = rig.sessions();
    for (port, (to, packet)) in (0..).zip(&arrived) {
        assert_eq!((*to, packet.destination_mac), (outside(VPC_A), host_mac(VPC_A, SERVER)));
        let session = sessions.iter().find(|s| s.external == packet.source).expect("has a session");
        assert_eq!(session.internal, endpoint(CONTAINER, 4000 + port));
    }
    assert_eq!(rig.engine.session_count(), 5);
}

#[test]
fn a_request_of_the_next_hop_itself_is_as_good_as_its_answer() {
    let mut rig = unresolved();
    rig.deliver(inside(C1), udp(4000, SERVER).frame());
    let sender = (host_mac(VPC_A, SERVER), SERVER);
    let step = rig.deliver(outside(VPC_A), Arp::request(sender, EXTERNAL).frame());
    assert_eq!(step.sent.len(), 2, "the answer, and the packet that waited");
    assert_eq!(Arp::read(&step.sent[0].frame), Arp::reply((uplink_mac(VPC_A), EXTERNAL), sender));
    assert_eq!(Packet::read(&step.sent[1].frame).destination, endpoint(SERVER, 53));
}

#[test]
fn an_answer_on_one_vpc_says_nothing_about_the_other() {
    let mut rig = unresolved();
    rig.deliver(inside(C1), udp(4000, SERVER).frame());
    let mut answer = Arp::host_answers(VPC_B, SERVER);
    answer.target.0 = NO_MAC;
    assert_eq!(rig.deliver(outside(VPC_B), answer.frame()).sent, []);
    assert_eq!(rig.deliver(inside(C1), udp(4000, SERVER).frame()).verdict, Verdict::Hold);
}

#[test]
fn a_silent_next_hop_is_asked_three_times_and_given_up_after_three_seconds() {
    let mut rig = unresolved();
    let packets = [udp(4000, NOBODY), udp(4001, NOBODY)];
    for packet in &packets {
        rig.deliver(inside(C1), packet.frame());
    }
    for second in 1..=2 {
        assert_eq!(rig.engine.poll_timeout(), Some(at(second)));
        let (_, sent) = rig.wait_until(at(second));
        assert_eq!(asks(&sent), [Arp::gateway_asks(VPC_A, NOBODY)]);
    }
    assert_eq!(rig.engine.poll_timeout(), Some(at(3)));
    let (_, sent) = rig.wait_until(at(3));
    let told: Vec<_> = sent.iter().map(|t| (t.to, Packet::read(&t.frame))).collect();
    let expected = packets.each_ref().map(|packet| (inside(C1), packet.error_by(GATEWAY, 3, 1, 548)));
    assert_eq!(told, expected);
    assert_eq!(rig.counters()[&inside(C1)].drops.of(Reason::NextHopUnreachable), 2);

    // For a moment it is not asked again.
    rig.now = just_before(at(6));
    assert!(rig.refused(inside(C1), packets[0].frame(), Reason::NextHopUnreachable).is_some());
    assert_eq!(rig.engine.poll_timeout(), Some(at(6)));
    assert_eq!(rig.wait_until(at(6)), (0, vec![]));
    assert_eq!(rig.engine.poll_timeout(), None);
    let step = rig.deliver(inside(C1), packets[0].frame());
    assert_eq!((step.verdict, step.sent.len()), (Verdict::Hold, 1));
}

#[test]
fn packets_that_wait_are_bounded_by_number_and_by_bytes() {
    let mut rig = unresolved();
    for _ in 0..limits::HELD_PACKETS_PER_NEIGHBOR {
        assert_eq!(rig.deliver(inside(C1), udp(4000, SERVER).frame()).verdict, Verdict::Hold);
    }
    assert_eq!(rig.refused(inside(C1), udp(4000, SERVER).frame(), Reason::NextHopQueueFull), None);

    let mut rig = unresolved();
    let large = udp(4000, SERVER).with_payload(vec![0; 1400]);
    let each = large.frame().len();
    let to = |host: usize| {
        let destination = endpoint([10, 1, 200, host as u8], 53);
        Packet { destination, ..large.clone() }.frame()
    };
    let room = limits::HELD_BYTES_PER_ATTACHMENT / each;
    for n in 0..room {
        let host = 1 + n / limits::HELD_PACKETS_PER_NEIGHBOR;
        assert_eq!(rig.deliver(inside(C1), to(host)).verdict, Verdict::Hold);
    }
    // Who has used up the room is still told where others are, and does not use up theirs.
    let step = rig.deliver(inside(C1), to(250));
    assert_eq!((step.verdict, asks(&step.sent).len()), (Verdict::Drop(Reason::NextHopQueueFull), 1));
    let other = Packet::outbound(C2, Carries::Udp, 4000, endpoint([10, 1, 200, 251], 53));
    assert_eq!(rig.deliver(inside(C2), other.frame()).verdict, Verdict::Hold);
}

#[test]
fn a_container_that_asks_for_everybody_does_not_keep_others_from_asking() {
    let mut rig = unresolved();
    let to = |id, host: usize| {
        Packet::outbound(id, Carries::Udp, 4000, endpoint([10, 1, 200, host as u8], 53)).frame()
    };
    for host in 1..=limits::UNRESOLVED_PER_ATTACHMENT {
        assert_eq!(rig.deliver(inside(C1), to(C1, host)).verdict, Verdict::Hold);
    }
    assert_eq!(rig.refused(inside(C1), to(C1, 250), Reason::NextHopQueueFull), None);
    assert_eq!(rig.deliver(inside(C2), to(C2, 250)).verdict, Verdict::Hold);
}

#[test]
fn a_neighbor_in_use_is_asked_again_and_used_meanwhile() {
    let mut rig = unresolved();
    rig.deliver(inside(C1), udp(4000, SERVER).frame());
    rig.deliver(outside(VPC_A), Arp::host_answers(VPC_A, SERVER).frame());
    let (_, sent) = rig.wait_until(at(60));
    assert_eq!(asks(&sent), [Arp::gateway_asks(VPC_A, SERVER)]);
    rig.forward(inside(C1), &udp(4000, SERVER));
}

#[test]
fn a_neighbor_that_nobody_uses_any_more_is_forgotten_though_it_answers() {
    let mut rig = unresolved();
    rig.deliver(inside(C1), udp(4000, SERVER).frame());
    let answer = Arp::host_answers(VPC_A, SERVER).frame();
    rig.deliver(outside(VPC_A), answer.clone());
    let mut asked = 0;
    while let Some(due) = rig.engine.poll_timeout() {
        assert!(due < at(3600), "asked {asked} times, with nobody using it");
        for _ in rig.wait_until(due).1 {
            asked += 1;
            rig.deliver(outside(VPC_A), answer.clone());
        }
    }
    assert_eq!(asked, 1);
    assert_eq!(rig.deliver(inside(C1), udp(4000, SERVER).frame()).verdict, Verdict::Hold);
}

#[test]
fn packets_of_a_container_that_goes_or_is_detached_are_not_sent() {
    for command in [
        gateway_core::Command::RemoveAttachment(C1),
        gateway_core::Command::Detach { attachment: C1, connector: TO_A },
    ] {
        let mut rig = unresolved();
        rig.deliver(inside(C1), udp(4000, SERVER).frame());
        rig.apply(command);
        let step = rig.deliver(outside(VPC_A), Arp::host_answers(VPC_A, SERVER).frame());
        assert!(step.sent.iter().all(|t| t.to != outside(VPC_A)), "{:?}", step.sent);
        assert_eq!(rig.engine.session_count(), 0);
    }
}

#[test]
fn the_external_addresses_of_a_new_uplink_are_announced_once() {
    let external = [EXTERNAL, Ipv4Addr::new(10, 1, 0, 11)];
    let space = space(external.map(IpAddr::V4).to_vec(), &limits::DEFAULT_PORTS, 2);
    let announced: Vec<_> = (0..2)
        .flat_map(|index| {
            let mut engine = Engine::new(WorkerSlot::new(index, 2), [1; 32]);
            let config = uplink_config(VPC_A, vec![], space.clone());
            engine.apply(Instant::ZERO, Command::AddUplink(config)).expect("applied");
            std::iter::from_fn(move || engine.poll_transmit())
        })
        .collect();
    // RFC 5227 §2.3: sender and target are the same address.
    let expected = external.map(|address| Arp::request((uplink_mac(VPC_A), address), address).frame());
    let expected = expected.map(|frame| Transmit::Frame { to: outside(VPC_A), frame });
    assert_eq!(announced, expected);
}
