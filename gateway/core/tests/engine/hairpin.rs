//! From one container to another through their external endpoints (RFC 4787 §6, RFC 5382 REQ-8, RFC 5508 REQ-7).

use gateway_core::{Command, Filtering, Reason, Step, Verdict, limits};

use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Handed, Rig};
use crate::support::*;

/// C1 and C2 with a mapping each, from port 4000, open to everybody; and their external endpoints.
fn rig() -> (Rig, [std::net::SocketAddr; 2]) {
    let mut rig = Rig::new();
    let external = [C1, C2].map(|id| {
        rig.apply(Command::Detach { attachment: id, connector: TO_A });
        rig.attach_filtering(id, TO_A, VPC_A, Filtering::EndpointIndependent);
        rig.open(id, Carries::Udp, 4000, endpoint(SERVER, 53))
    });
    (rig, external)
}

#[test]
fn rfc4787_req_9_hairpins_with_the_external_source() {
    let (mut rig, [ext1, ext2]) = rig();
    let sent = Packet::outbound(C1, Carries::Udp, 4000, ext2);
    let (to, arrived) = rig.forward(inside(C1), &sent);
    assert_eq!((to, arrived.source, arrived.destination), (inside(C2), ext1, endpoint(CONTAINER, 4000)));
    assert_eq!((arrived.source_mac, arrived.destination_mac), (gateway_mac(C2), container_mac(C2)));
    assert_eq!(arrived.payload, sent.payload);
    let (to, back) = rig.forward(inside(C2), &Packet::outbound(C2, Carries::Udp, 4000, ext1));
    assert_eq!((to, back.source, back.destination), (inside(C1), ext2, endpoint(CONTAINER, 4000)));
}

#[test]
fn rfc5382_req_8_tcp_is_hairpinned() {
    let (mut rig, _) = rig();
    let (tcp, port) = (Carries::Tcp, 5000);
    let ext2 = rig.open(C2, tcp(SYN), port, endpoint(SERVER, 80));
    let (to, syn) = rig.forward(inside(C1), &Packet::outbound(C1, tcp(SYN), 6000, ext2));
    assert_eq!((to, syn.destination), (inside(C2), endpoint(CONTAINER, port)));
    let (to, answer) = rig.forward(inside(C2), &Packet::outbound(C2, tcp(SYN | ACK), port, syn.source));
    assert_eq!((to, answer.source, answer.destination), (inside(C1), ext2, endpoint(CONTAINER, 6000)));
    let (to, _) = rig.forward(inside(C1), &Packet::outbound(C1, tcp(ACK), 6000, ext2));
    assert_eq!(to, inside(C2));
}

#[test]
fn a_container_reaches_itself_through_its_external_endpoint() {
    let (mut rig, [ext1, _]) = rig();
    let (to, arrived) = rig.forward(inside(C1), &Packet::outbound(C1, Carries::Udp, 7000, ext1));
    assert_eq!((to, arrived.destination), (inside(C1), endpoint(CONTAINER, 4000)));
    assert_eq!(arrived.source.ip(), EXTERNAL);
}

#[test]
fn rfc5508_req_7_an_error_about_a_hairpinned_packet_comes_back_with_the_packet_that_was_sent() {
    let (mut rig, [_, ext2]) = rig();
    let sent = Packet::outbound(C1, Carries::Udp, 4000, ext2);
    let (_, arrived) = rig.forward(inside(C1), &sent);
    let unreachable = Carries::Icmp { kind: 3, code: 3, rest: 0 };
    let error = Packet::outbound(C2, unreachable, 0, arrived.source).with_payload(arrived.embedded(28));
    let (to, told) = rig.forward(inside(C2), &error);
    assert_eq!(
        (to, told.source, told.destination),
        (inside(C1), endpoint(EXTERNAL, 0), endpoint(CONTAINER, 0))
    );
    // Source, destination and ports as C1 sent them; the TTL has gone down on the way.
    let quoted = &told.payload;
    assert_eq!(quoted[12..16], CONTAINER.octets());
    assert_eq!(quoted[16..20], EXTERNAL.octets());
    assert_eq!(quoted[20..24], [4000_u16.to_be_bytes(), ext2.port().to_be_bytes()].concat());
}

#[test]
fn filtering_and_missing_mappings_end_hairpinned_packets_too() {
    let mut rig = Rig::new();
    let ext2 = rig.open(C2, Carries::Udp, 4000, endpoint(SERVER, 53));
    let to = |remote| Packet::outbound(C1, Carries::Udp, 4000, remote).frame();
    assert_eq!(
        rig.refused(inside(C1), to(ext2), Reason::Filtered),
        None,
        "C2 has not contacted this address"
    );
    let nobody = endpoint(EXTERNAL, ext2.port() ^ 1);
    assert_eq!(rig.refused(inside(C1), to(nobody), Reason::NoMapping), None);
}

#[test]
fn the_other_vpcs_equal_external_address_is_not_meant() {
    let (mut rig, [_, ext2]) = rig();
    let frame = Packet::outbound(C3, Carries::Udp, 4000, ext2).frame();
    rig.refused(inside(C3), frame, Reason::NoMapping);
}

#[test]
fn a_ttl_that_runs_out_between_the_two_is_reported_to_the_sender() {
    let (mut rig, [_, ext2]) = rig();
    let frame = Packet::outbound(C1, Carries::Udp, 4000, ext2).with_ttl(2).frame();
    let told = rig.refused(inside(C1), frame, Reason::TtlExpired).expect("told");
    let expired = Carries::Icmp { kind: 11, code: 0, rest: 0 };
    assert_eq!((told.carries, told.source), (expired, endpoint(GATEWAY, 0)));
}

#[test]
fn a_container_of_another_worker_gets_it_by_hand_off() {
    let mut workers = Rig::workers(limits::DEFAULT_PORTS).map(Rig::resolved);
    let open = |rig: &mut Rig, id| {
        rig.apply(Command::Detach { attachment: id, connector: TO_A });
        rig.attach_filtering(id, TO_A, VPC_A, Filtering::EndpointIndependent);
        rig.open(id, Carries::Udp, 4000, endpoint(SERVER, 53))
    };
    let ext1 = open(&mut workers[0], C1);
    let ext2 = open(&mut workers[1], C2);
    let step = workers[0].deliver(inside(C1), Packet::outbound(C1, Carries::Udp, 4000, ext2).frame());
    assert_eq!(step.verdict, Verdict::HandOff { to: 1, from: VPC_A });
    // From the wire, nobody may say that they are us.
    assert_eq!(workers[1].refused(outside(VPC_A), step.frame.clone(), Reason::SourceInvalid), None);
    workers[1].take_whole(&Handed { worker: 1, from: VPC_A, largest: None, frame: step.frame });
    let [sent] = &workers[1].drain()[..] else { panic!("one packet") };
    assert_eq!((sent.to, Packet::read(&sent.frame).source), (inside(C2), ext1));
}

#[test]
fn explain_foresees_hairpinning() {
    let (rig, [_, ext2]) = rig();
    let explain = |remote| {
        let probe = gateway_core::Probe::new(gateway_core::Protocol::Udp, remote);
        let probe = gateway_core::Probe { source_port: Some(4000), ..probe };
        rig.engine.explain(rig.now, inside(C1), &probe).expect("the container exists")
    };
    let explanation = explain(ext2);
    let arrives = Verdict::Forward(inside(C2));
    assert_eq!((explanation.steps.last(), explanation.verdict), (Some(&Step::Hairpin), arrives));
    let nobody = endpoint(EXTERNAL, ext2.port() ^ 1);
    assert_eq!(explain(nobody).reason(), Some(Reason::NoMapping));
}
