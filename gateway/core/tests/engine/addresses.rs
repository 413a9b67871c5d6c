//! External addresses of a connector's own, and those that a VPC reserves.

use std::net::{IpAddr, SocketAddr};

use gateway_core::{
    AttachmentId, Command, CommandError, ConnectorConfig, ConnectorId, Reason, UplinkConfig, UplinkId, limits,
};

use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, connector, space, uplink_config};
use crate::support::*;

const NARROW: ConnectorId = ConnectorId(7);

/// A VPC with three external addresses of each version, of which the last is reserved.
const VPC_C: UplinkId = UplinkId(3);
const TO_C: ConnectorId = ConnectorId(3);
const V4: [[u8; 4]; 3] = [[10, 1, 0, 10], [10, 1, 0, 12], [10, 1, 0, 13]];
const V6: [&str; 3] = ["fd00:1::10", "fd00:1::12", "fd00:1::13"];

fn external(which: usize) -> [IpAddr; 2] {
    [V4[which].into(), V6[which].parse().expect("an address")]
}

fn rig_with_addresses() -> Rig {
    let mut rig = Rig::unresolved(limits::DEFAULT_PORTS);
    let space = space((0..3).flat_map(external).collect(), &limits::DEFAULT_PORTS, 1);
    rig.add_uplink(UplinkConfig { reserved: external(2).to_vec(), ..uplink_config(VPC_C, vec![], space) });
    rig
}

/// C4 has the connector, with these external addresses.
fn attach_to_c(rig: &mut Rig, addresses: Option<Vec<IpAddr>>) -> usize {
    let connector = ConnectorConfig { external: addresses, ..connector(TO_C, VPC_C) };
    rig.apply(Command::Attach { attachment: C4, connector })
}

fn seen(rig: &mut Rig, id: AttachmentId, port: u16, server: impl Into<IpAddr>) -> SocketAddr {
    let packet = Packet::outbound(id, Carries::Udp, port, endpoint(server, 53));
    rig.forward_resolving(inside(id), &packet).source
}

#[test]
fn a_container_appears_as_one_of_the_addresses_that_its_connector_names() {
    for (named, expected) in [(None, 0..2), (Some(1), 1..2), (Some(2), 2..3)] {
        let mut rig = rig_with_addresses();
        attach_to_c(&mut rig, named.map(|which| external(which).to_vec()));
        let own = |at| expected.clone().map(external).map(|pair: [IpAddr; 2]| pair[at]).collect::<Vec<_>>();
        for (at, server) in [(0, IpAddr::from(SERVER)), (1, SERVER_V6.into())] {
            let first = seen(&mut rig, C4, 4000, server).ip();
            assert!(own(at).contains(&first), "{first} of {:?}", own(at));
            // RFC 4787 REQ-2.
            assert!((4001..4020).all(|port| seen(&mut rig, C4, port, server).ip() == first));
        }
    }
}

#[test]
fn containers_of_one_connector_are_spread_over_its_addresses() {
    let mut rig = rig_with_addresses();
    let both = [external(0), external(2)].concat();
    let seen_as = |id: u32| {
        let id = AttachmentId(id);
        rig.add_attachment(id);
        rig.attach_with(id, ConnectorConfig { external: Some(both.clone()), ..connector(TO_C, VPC_C) });
        seen(&mut rig, id, 4000, SERVER).ip()
    };
    let seen: Vec<IpAddr> = (60..70).map(seen_as).collect();
    for address in [external(0)[0], external(2)[0]] {
        assert_eq!(seen.iter().filter(|&&other| other == address).count(), 5, "{seen:?}");
    }
}

#[test]
fn a_family_without_an_address_is_refused_and_a_foreign_address_too() {
    let mut rig = rig_with_addresses();
    attach_to_c(&mut rig, Some(vec![external(0)[0]]));
    seen(&mut rig, C4, 4000, SERVER);
    let packet = Packet::outbound(C4, Carries::Udp, 4000, endpoint(SERVER_V6, 53));
    assert!(rig.refused(inside(C4), packet.frame(), Reason::NoExternalAddress).is_some());
    let foreign = ConnectorConfig { external: Some(vec![SERVER.into()]), ..connector(TO_C, VPC_C) };
    let attach = Command::Attach { attachment: C4, connector: foreign };
    let refused = rig.engine.apply(rig.now, attach);
    assert_eq!(refused, Err(CommandError::NotExternalAddress(SERVER.into())));
    assert_eq!(rig.engine.session_count(), 1, "nothing changed");
}

#[test]
fn two_connectors_of_a_container_do_not_lend_each_other_addresses_that_only_one_of_them_has() {
    let mut rig = rig_with_addresses();
    attach_to_c(&mut rig, Some(external(0).to_vec()));
    let narrow = ConnectorConfig::new(NARROW, VPC_C, vec!["10.1.0.21/32".parse().expect("a prefix")]);
    rig.attach_with(C4, ConnectorConfig { external: Some(external(2).to_vec()), ..narrow.clone() });
    let (wide, reserved) = (seen(&mut rig, C4, 4000, SERVER), seen(&mut rig, C4, 4000, OTHER_SERVER));
    assert_eq!((wide.ip(), reserved.ip()), (external(0)[0], external(2)[0]));
    // With the same addresses they have one mapping together, as EIM wants it.
    rig.attach_with(C4, ConnectorConfig { external: Some(external(0).to_vec()), ..narrow });
    assert_eq!(seen(&mut rig, C4, 4001, SERVER), seen(&mut rig, C4, 4001, OTHER_SERVER));
}

#[test]
fn sessions_of_an_address_that_the_connector_has_no_longer_end() {
    let mut rig = rig_with_addresses();
    attach_to_c(&mut rig, Some(external(0).to_vec()));
    let first = seen(&mut rig, C4, 4000, SERVER);
    seen(&mut rig, C4, 4000, SERVER_V6);
    let (v4, v6) = (external(0)[0], external(1)[1]);
    assert_eq!(attach_to_c(&mut rig, Some(vec![external(2)[0], v4, external(0)[1]])), 0, "it has them still");
    assert_eq!(seen(&mut rig, C4, 4000, SERVER), first, "and its sessions go on");
    assert_eq!(attach_to_c(&mut rig, Some(vec![v4, v6])), 1);
    assert_eq!(rig.sessions()[0].remote, endpoint(SERVER, 53));
    assert_eq!(seen(&mut rig, C4, 4000, SERVER_V6).ip(), v6);
    assert_eq!(attach_to_c(&mut rig, Some(external(2).to_vec())), 2);
    assert_eq!((rig.engine.session_count(), rig.ports_used()), (0, 0));
}
