//! Several engines that share every uplink.

use gateway_core::{Command, Reason, Verdict, WorkerSlot, limits};

use crate::support::arp::Arp;
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, Sent};
use crate::support::*;

/// Two workers with resolved neighbors.
fn workers() -> [Rig; 2] {
    unresolved().map(Rig::resolved)
}

fn unresolved() -> [Rig; 2] {
    Rig::workers(limits::DEFAULT_PORTS)
}

#[test]
fn each_worker_leases_ports_of_its_own_blocks_first() {
    for (index, mut rig) in (0..).zip(workers()) {
        for carries in [Carries::Tcp(SYN), Carries::Udp, Carries::EchoRequest] {
            for port in 4000..4100 {
                let external = rig.open(C1, carries, port, endpoint(SERVER, 0));
                assert_eq!(WorkerSlot::new(0, 2).home_of(external.port()), index);
            }
        }
    }
}

#[test]
fn workers_run_out_of_ports_together_when_every_port_is_leased() {
    for all_by in 0..2 {
        let ports = 1024..=1024 + 2 * limits::PORT_BLOCK - 1;
        let mut workers = Rig::workers(ports.clone()).map(Rig::resolved);
        let mut leased: Vec<_> = ports
            .clone()
            .map(|port| workers[all_by].open(C1, Carries::Udp, port, endpoint(SERVER, 53)).port())
            .collect();
        leased.sort_unstable();
        assert!(leased.into_iter().eq(ports), "each port once, home or not");
        let packet = Packet::outbound(C2, Carries::Udp, 4000, endpoint(SERVER, 53));
        for rig in &mut workers {
            rig.refused(inside(C2), packet.frame(), Reason::PortsExhausted);
        }
        workers[all_by].apply(Command::Detach { attachment: C1, connector: TO_A });
        workers[1 - all_by].forward(inside(C2), &packet);
    }
}

#[test]
fn a_port_away_from_home_is_found_by_whoever_reads_its_packets() {
    let [mut first, mut second] = Rig::workers(1024..=1024 + limits::PORT_BLOCK - 1).map(Rig::resolved);
    let remote = endpoint(SERVER, 53);
    let external = second.open(C2, Carries::Udp, 4000, remote);
    assert_eq!(WorkerSlot::new(0, 2).home_of(external.port()), 0);
    let back = Packet::inbound(VPC_A, Carries::Udp, remote, external);
    let verdict = first.deliver(outside(VPC_A), back.frame()).verdict;
    assert_eq!(verdict, Verdict::HandOff { to: 1, from: VPC_A });
    assert_eq!(second.forward(outside(VPC_A), &back).0, inside(C2));
    second.apply(Command::Detach { attachment: C2, connector: TO_A });
    first.refused(outside(VPC_A), back.frame(), Reason::NoMapping);
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
    let [Sent { to, frame }] = &second.drain()[..] else { panic!("one packet was held") };
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
