//! Several engines that share every uplink.

use gateway_core::{Reason, Transmit, Verdict, WorkerSlot, limits};

use crate::support::arp::Arp;
use crate::support::packet::{Carries, Packet};
use crate::support::rig::Rig;
use crate::support::*;

/// Two workers with resolved neighbors.
fn workers() -> [Rig; 2] {
    [0, 1].map(|index| {
        let mut rig = Rig::unresolved(WorkerSlot::new(index, 2), limits::DEFAULT_PORTS);
        rig.resolve_all();
        rig
    })
}

fn unresolved() -> [Rig; 2] {
    [0, 1].map(|index| Rig::unresolved(WorkerSlot::new(index, 2), limits::DEFAULT_PORTS))
}

#[test]
fn each_worker_leases_ports_of_its_own_blocks_only() {
    for (index, mut rig) in (0..).zip(workers()) {
        for carries in [Carries::Tcp(SYN), Carries::Udp, Carries::EchoRequest] {
            for port in 4000..4100 {
                let external = rig.open(C1, carries, port, endpoint(SERVER, 0));
                assert_eq!(WorkerSlot::new(0, 2).owner_of(external.port()), index);
            }
        }
    }
}

#[test]
fn a_worker_runs_out_of_ports_when_its_own_blocks_are_leased() {
    for index in 0..2 {
        let mut rig = Rig::unresolved(WorkerSlot::new(index, 2), 1024..=1024 + 2 * limits::PORT_BLOCK - 1);
        rig.resolve_all();
        for port in 0..limits::PORT_BLOCK {
            rig.open(C1, Carries::Udp, 4000 + port, endpoint(SERVER, 53));
        }
        let packet = Packet::outbound(C2, Carries::Udp, 4000, endpoint(SERVER, 53));
        rig.refused(inside(C2), packet.frame(), Reason::PortsExhausted);
    }
}

#[test]
fn a_packet_for_the_other_workers_port_is_handed_off_untouched() {
    let remote = endpoint(SERVER, 0);
    for (carries, answer) in [
        (Carries::Tcp(SYN), Carries::Tcp(SYN | ACK)),
        (Carries::Udp, Carries::Udp),
        (Carries::EchoRequest, Carries::EchoReply),
    ] {
        let [mut first, mut second] = workers();
        let (_, seen) = second.forward(inside(C2), &Packet::outbound(C2, carries, 4000, remote));
        let back = Packet::inbound(VPC_A, answer, remote, seen.source);
        assert_eq!(
            first.deliver(outside(VPC_A), back.frame()).verdict,
            Verdict::HandOff { to: 1, from: VPC_A }
        );
        assert_eq!(second.forward(outside(VPC_A), &back).0, inside(C2));
        let error = seen.error_by(ROUTER, 3, 1, 28);
        assert_eq!(
            first.deliver(outside(VPC_A), error.frame()).verdict,
            Verdict::HandOff { to: 1, from: VPC_A }
        );
        assert_eq!(second.forward(outside(VPC_A), &error).0, inside(C2));
    }
}

#[test]
fn an_answer_to_arp_is_shared_and_releases_what_every_worker_holds() {
    let [mut first, mut second] = unresolved();
    for (rig, id) in [(&mut first, C1), (&mut second, C2)] {
        let packet = Packet::outbound(id, Carries::Udp, 4000, endpoint(SERVER, 53));
        assert_eq!(rig.deliver(inside(id), packet.frame()).verdict, Verdict::Hold);
    }
    let answer = Arp::host_answers(VPC_A, SERVER).frame();
    let step = first.deliver(outside(VPC_A), answer.clone());
    assert_eq!((step.verdict, step.sent.len()), (Verdict::Share, 1));
    second.engine.handle_shared(second.now, VPC_A, &answer);
    let [Transmit { to, frame }] = &second.drain()[..] else { panic!("one packet was held") };
    assert_eq!((*to, Packet::read(frame).destination_mac), (outside(VPC_A), host_mac(VPC_A, SERVER)));
    second.forward(inside(C2), &Packet::outbound(C2, Carries::Udp, 4001, endpoint(SERVER, 53)));
}

#[test]
fn one_worker_alone_answers_arp() {
    let [mut first, mut second] = unresolved();
    let asker = (host_mac(VPC_A, SERVER), SERVER);
    let request = Arp::request(asker, EXTERNAL).frame();
    let step = first.deliver(outside(VPC_A), request.clone());
    assert_eq!((step.verdict, step.sent.len()), (Verdict::Share, 1));
    second.engine.handle_shared(second.now, VPC_A, &request);
    assert_eq!(second.drain(), []);
}

#[test]
fn whatever_is_shared_can_be_given_to_a_worker_that_has_nothing_to_do_with_it() {
    let [mut first, _] = unresolved();
    let answer = Arp::host_answers(VPC_A, SERVER).frame();
    for length in 0..=answer.len() {
        first.engine.handle_shared(first.now, VPC_A, &answer[..length]);
        first.engine.handle_shared(first.now, gateway_core::UplinkId(77), &answer[..length]);
    }
    assert_eq!(first.drain(), []);
}
