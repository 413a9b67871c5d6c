//! Attach, detach, and links that come and go.

use gateway_core::{
    Applied, AttachmentId, Command, CommandError, ConnectorConfig, ConnectorId, Protocol, Reason, UplinkId,
    Verdict,
};

use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, Sent};
use crate::support::*;

fn syn(id: AttachmentId, port: u16) -> Packet {
    Packet::outbound(id, Carries::Tcp(SYN), port, endpoint(SERVER, 80))
}

/// How many ends of TCP sessions the engine tells that they are over. It sends nothing else.
fn resets(rig: &mut Rig) -> usize {
    let sent = rig.drain();
    for Sent { frame, .. } in &sent {
        let packet = Packet::read(frame);
        assert!(matches!(packet.carries, Carries::Tcp(flags) if flags & RST != 0), "{packet:?}");
    }
    sent.len()
}

#[test]
fn detach_ends_the_sessions_of_that_pair_and_frees_their_ports_at_once() {
    let mut rig = Rig::new();
    for port in 4000..4010 {
        rig.forward(inside(C1), &syn(C1, port));
    }
    let other = rig.open(C2, Carries::Tcp(SYN), 4000, endpoint(SERVER, 80));
    assert_eq!((rig.engine.session_count(), rig.ports_used()), (11, 11));

    let ended = rig.apply(Command::Detach { attachment: C1, connector: TO_A });
    assert_eq!((ended, rig.engine.session_count(), rig.ports_used()), (10, 1, 1));
    assert_eq!(resets(&mut rig), 20, "both ends of each are told");
    assert_eq!([inside(C1), inside(C2), outside(VPC_A)].map(|l| rig.sessions_of(l)), [0, 1, 1]);
    rig.refused(inside(C1), syn(C1, 4000).frame(), Reason::NoConnector).expect("the sender is told");
    let back = Packet::inbound(VPC_A, Carries::Tcp(SYN | ACK), endpoint(SERVER, 80), other);
    assert_eq!(rig.forward(outside(VPC_A), &back).0, inside(C2));
    let detach = Command::Detach { attachment: C1, connector: TO_A };
    assert_eq!(rig.engine.apply(rig.now, detach), Err(CommandError::NotAttached(C1, TO_A)));
}

#[test]
fn a_mapping_of_two_connectors_lives_until_both_are_detached() {
    let mut rig = Rig::new();
    let narrow = ConnectorId(7);
    let destinations = vec!["10.1.0.21/32".parse().expect("a prefix")];
    let connector = ConnectorConfig::new(narrow, VPC_A, destinations);
    rig.apply(Command::Attach { attachment: C1, connector });
    let external = rig.open(C1, Carries::Udp, 4000, endpoint(SERVER, 53));
    assert_eq!(rig.open(C1, Carries::Udp, 4000, endpoint(OTHER_SERVER, 53)), external);
    let connectors: Vec<_> = rig.sessions().iter().map(|s| s.connector).collect();
    assert_eq!(connectors, [TO_A, narrow], "the longest prefix decides");

    assert_eq!(rig.apply(Command::Detach { attachment: C1, connector: TO_A }), 1);
    assert_eq!(rig.port_use(VPC_A, Protocol::Udp).0, 1);
    let back = |remote| Packet::inbound(VPC_A, Carries::Udp, endpoint(remote, 53), external);
    rig.forward(outside(VPC_A), &back(OTHER_SERVER));
    rig.refused(outside(VPC_A), back(SERVER).frame(), Reason::Filtered);
    assert_eq!(rig.apply(Command::Detach { attachment: C1, connector: narrow }), 1);
    assert_eq!(rig.ports_used(), 0);
    rig.refused(outside(VPC_A), back(OTHER_SERVER).frame(), Reason::NoMapping);
}

#[test]
fn a_new_container_with_the_same_address_inherits_no_session() {
    let mut rig = Rig::new();
    let remote = endpoint(SERVER, 80);
    let external = rig.open(C1, Carries::Tcp(SYN), 4000, remote);
    assert_eq!(rig.apply(Command::RemoveAttachment(C1)), 1);
    assert_eq!((rig.ports_used(), resets(&mut rig)), (0, 1));

    let heir = AttachmentId(11);
    rig.add_attachment(heir);
    rig.attach(heir, TO_A, VPC_A);
    let back = Packet::inbound(VPC_A, Carries::Tcp(SYN | ACK), remote, external);
    rig.refused(outside(VPC_A), back.frame(), Reason::NoMapping);
    let data = Packet::outbound(heir, Carries::Tcp(ACK), 4000, remote);
    rig.refused(inside(heir), data.frame(), Reason::TcpNotSyn);
    assert_eq!(rig.deliver(inside(C1), syn(C1, 4000).frame()).verdict, Verdict::Drop(Reason::UnknownLink));
}

#[test]
fn a_vpc_that_goes_takes_its_sessions_and_connectors_and_leaves_the_other() {
    let mut rig = Rig::new();
    for id in [C1, C2, C3] {
        rig.forward(inside(id), &syn(id, 4000));
    }
    assert_eq!(rig.apply(Command::RemoveUplink(VPC_A)), 2);
    assert_eq!(resets(&mut rig), 2, "the containers are told");
    assert_eq!((rig.engine.session_count(), rig.ports_used()), (1, 1));
    rig.refused(inside(C1), syn(C1, 4000).frame(), Reason::NoConnector);
    rig.forward(inside(C3), &syn(C3, 4000));
    let frame = Packet::inbound(VPC_A, Carries::Udp, endpoint(SERVER, 1), endpoint(EXTERNAL, 2000)).frame();
    assert_eq!(rig.deliver(outside(VPC_A), frame).verdict, Verdict::Drop(Reason::UnknownLink));
    let again = rig.engine.apply(rig.now, Command::RemoveUplink(VPC_A));
    assert_eq!(again, Err(CommandError::UnknownUplink(VPC_A)));
}

#[test]
fn a_vpc_that_goes_takes_what_waits_for_its_neighbors() {
    let mut rig = Rig::unresolved_without_ipv6().resolved();
    let packet = Packet::outbound(C1, Carries::Udp, 4000, endpoint(NOBODY, 53));
    assert_eq!(rig.deliver(inside(C1), packet.frame()).verdict, Verdict::Hold);
    rig.apply(Command::RemoveUplink(VPC_A));
    rig.apply(Command::RemoveUplink(VPC_B));
    assert_eq!(rig.engine.poll_timeout(), None);
    assert_eq!(rig.wait(seconds(10)), (0, vec![]));
}

#[test]
fn frames_for_a_link_that_goes_are_not_sent() {
    let mut rig = Rig::new();
    let mut ping = Packet::outbound(C1, Carries::EchoRequest, 1, endpoint(GATEWAY, 0)).frame();
    assert_eq!(rig.engine.handle_packet(rig.now, inside(C1), &mut ping), Verdict::Respond);
    rig.apply(Command::RemoveAttachment(C1));
    assert_eq!(rig.drain(), []);
}

#[test]
fn attach_and_detach_ten_thousand_times_leaves_nothing() {
    let mut rig = Rig::new();
    for i in 0..10_000 {
        rig.attach(C4, TO_A, VPC_A);
        let mut frame = syn(C4, 4000 + i % 10).frame();
        let verdict = rig.engine.handle_packet(rig.now, inside(C4), &mut frame);
        assert_eq!(verdict, Verdict::Forward(outside(VPC_A)));
        assert_eq!(rig.apply(Command::Detach { attachment: C4, connector: TO_A }), 1);
        assert_eq!(resets(&mut rig), 2);
    }
    assert_eq!((rig.engine.session_count(), rig.ports_used(), rig.sessions_of(inside(C4))), (0, 0, 0));
    assert_eq!(rig.drain(), []);
}

#[test]
fn commands_that_name_what_is_not_there_change_nothing() {
    let mut rig = Rig::new();
    let nobody = AttachmentId(77);
    let nowhere = UplinkId(77);
    let to = |uplink| ConnectorConfig::new(TO_A, uplink, vec![]);
    let cases = [
        (Command::RemoveAttachment(nobody), CommandError::UnknownAttachment(nobody)),
        (
            Command::Attach { attachment: nobody, connector: to(VPC_A) },
            CommandError::UnknownAttachment(nobody),
        ),
        (Command::Attach { attachment: C1, connector: to(nowhere) }, CommandError::UnknownUplink(nowhere)),
        (Command::Detach { attachment: nobody, connector: TO_A }, CommandError::UnknownAttachment(nobody)),
        (Command::Detach { attachment: C1, connector: TO_B }, CommandError::NotAttached(C1, TO_B)),
    ];
    for (command, error) in cases {
        assert_eq!(rig.engine.apply(rig.now, command), Err(error));
    }
    rig.forward(inside(C1), &syn(C1, 4000));
}

#[test]
fn two_connectors_of_one_container_cannot_claim_one_prefix() {
    let mut rig = Rig::new();
    let prefix = "10.1.0.0/16".parse().expect("a prefix");
    let connector = ConnectorConfig::new(TO_B, VPC_B, vec![prefix]);
    let attach = Command::Attach { attachment: C1, connector };
    let tie = CommandError::DestinationTie { prefix, other: TO_A };
    assert_eq!(rig.engine.apply(rig.now, attach.clone()), Err(tie));
    assert_eq!(rig.forward(inside(C1), &syn(C1, 4000)).0, outside(VPC_A));
    rig.apply(Command::Detach { attachment: C1, connector: TO_A });
    assert_eq!(resets(&mut rig), 2);
    assert_eq!(rig.engine.apply(rig.now, attach), Ok(Applied::default()));
    assert_eq!(rig.forward(inside(C1), &syn(C1, 4000)).0, outside(VPC_B));
}

#[test]
fn a_container_has_a_bounded_number_of_connectors() {
    use gateway_core::limits::CONNECTORS_PER_ATTACHMENT as LIMIT;
    let mut rig = Rig::new();
    let connector = |i: u32| {
        let destinations = vec![format!("10.1.{i}.0/24").parse().expect("a prefix")];
        Command::Attach {
            attachment: C4,
            connector: ConnectorConfig::new(ConnectorId(100 + i), VPC_A, destinations),
        }
    };
    for i in 0..LIMIT as u32 {
        rig.apply(connector(i));
    }
    let refused = rig.engine.apply(rig.now, connector(LIMIT as u32));
    assert_eq!(refused, Err(CommandError::TableFull { what: "connectors of the container", limit: LIMIT }));
    rig.apply(connector(0));
}
