//! RFC 7857: updates of the three before it.

use std::collections::BTreeSet;

use gateway_core::{
    Filtering, MappingMode, Protocol, Reason, SessionState as S, UdpRefresh, Verdict, limits,
};

use super::{Error, KINDS, Talk, ends_at, flow, nets, rig_with};
use crate::support::checksum::word;
use crate::support::packet::{Carries, Packet};
use crate::support::rig::Rig;
use crate::support::tcp::By::{Container, Remote};
use crate::support::*;

const TCP: fn(u8) -> Carries = Carries::Tcp;

#[test]
fn rfc7857_sec_2_a_connection_goes_through_the_states_of_the_figure() {
    for net in nets() {
        for (first, second) in [(Container, Remote), (Remote, Container)] {
            let mut talk = Talk::established(net);
            let half = if first == Container { S::FinOutbound } else { S::FinInbound };
            let steps = [
                (Container, ACK, S::Established),
                (Remote, SYN | ACK, S::Established),
                (first, FIN | ACK, half),
                (second, ACK, half),
                (second, FIN | ACK, S::Closing),
                (first, ACK, S::Finished),
                (Container, SYN, S::Opening),
            ];
            for (by, flags, state) in steps {
                assert_eq!(talk.say(by, flags), state, "{by:?} {flags:#x}");
            }
        }
    }
}

#[test]
fn rfc7857_sec_2_1_opening_and_closing_end_after_four_minutes_whatever_is_sent_meanwhile() {
    for net in nets() {
        let mut opening = Talk::new(net);
        opening.say(Container, SYN);
        opening.rig.run_until(at(239));
        opening.say(Container, SYN);
        ends_at(&mut opening.rig, at(240));
        let mut closing = Talk::established(net);
        closing.say(Container, FIN | ACK);
        closing.rig.run_until(at(100));
        closing.say(Remote, FIN | ACK);
        closing.rig.run_until(at(339));
        closing.say(Remote, FIN | ACK);
        ends_at(&mut closing.rig, at(340));
    }
}

#[test]
fn rfc7857_sec_2_2_a_reset_connection_lives_four_minutes_more() {
    for net in nets() {
        for by in [Container, Remote] {
            let mut talk = Talk::established(net);
            talk.rig.run_until(at(100));
            assert_eq!(talk.say(by, RST | ACK), S::Reset);
            talk.rig.run_until(at(200));
            assert_eq!(talk.say(by, RST | ACK), S::Reset);
            ends_at(&mut talk.rig, at(340));
        }
    }
}

#[test]
fn rfc7857_sec_2_2_a_reset_connection_that_goes_on_is_established_again() {
    for net in nets() {
        let mut talk = Talk::established(net);
        talk.say(Remote, RST | ACK);
        talk.rig.run_until(just_before(at(240)));
        assert_eq!(talk.say(Container, ACK), S::Established);
        talk.rig.run_until(at(240));
        assert_eq!(talk.state(), S::Established);
    }
}

#[test]
fn rfc7857_sec_2_2_a_reset_that_the_receiver_does_not_believe_is_translated_and_changes_nothing() {
    for net in nets() {
        for by in [Container, Remote] {
            let mut talk = Talk::established(net);
            let mut reset = talk.segment(by, RST);
            // The window is 1000 bytes (RFC 5961 §3.2).
            reset.numbers.sequence = reset.numbers.sequence.wrapping_add(5000);
            assert_eq!(talk.pass(by, &reset), S::Established);
            ends_at(&mut talk.rig, at(7440));
        }
    }
}

#[test]
fn rfc7857_sec_3_one_external_port_serves_different_remotes_under_apdm() {
    for net in nets() {
        for carries in [TCP(SYN), Carries::Udp] {
            let apdm = MappingMode::AddressAndPortDependent;
            let mut rig = rig_with(2000..=2000, |policy| policy.mapping = apdm);
            let remotes = [endpoint(net.server, 80), endpoint(net.server, 81), endpoint(net.other, 80)];
            for (id, remote) in [(C1, remotes[0]), (C2, remotes[1]), (C1, remotes[2])] {
                assert_eq!(rig.open(id, carries, 4000, remote), endpoint(net.external, 2000));
                let back = Packet::inbound(VPC_A, carries, remote, endpoint(net.external, 2000));
                assert_eq!(rig.forward(outside(VPC_A), &back).0, inside(id), "{remote}");
            }
            // One remote endpoint is served once.
            let taken = Packet::outbound(C2, carries, 4000, remotes[0]);
            rig.refused(inside(C2), taken.frame(), Reason::PortsExhausted);
        }
    }
}

#[test]
fn rfc7857_sec_4_all_protocols_of_a_container_have_one_external_address() {
    use crate::support::rig::{space, uplink_config};
    use gateway_core::{AttachmentId, UplinkId};
    const VPC_C: UplinkId = UplinkId(3);
    for net in nets() {
        let pool = if net.is_v4() { ["10.1.0.10", "10.1.0.11"] } else { ["fd00:1::10", "fd00:1::11"] };
        let pool = pool.map(|address| address.parse().expect("one"));
        let mut rig = Rig::new();
        rig.add_uplink(uplink_config(VPC_C, vec![], space(pool.to_vec(), &limits::DEFAULT_PORTS, 1)));
        let mut seen = BTreeSet::new();
        for id in [AttachmentId(20), AttachmentId(21)] {
            rig.add_attachment(id);
            rig.attach(id, TO_A, VPC_C);
            let addresses: BTreeSet<_> = KINDS
                .into_iter()
                .flat_map(|(carries, _)| (4000..4010).map(move |port| (carries, port)))
                .map(|(carries, port)| {
                    let packet = Packet::outbound(id, carries, port, endpoint(net.server, 0));
                    rig.forward_resolving(inside(id), &packet).source.ip()
                })
                .collect();
            assert_eq!(addresses.len(), 1);
            seen.extend(addresses);
        }
        assert_eq!(seen, pool.into());
    }
}

#[test]
fn rfc7857_sec_5_a_mapping_is_of_one_protocol() {
    for net in nets() {
        let open = |policy: &mut gateway_core::ConnectorConfig| {
            policy.filtering = Filtering::EndpointIndependent;
            policy.udp_filtering = Filtering::EndpointIndependent;
        };
        for (carries, other) in [(Carries::Udp, TCP(SYN)), (TCP(SYN), Carries::Udp)] {
            let mut rig = rig_with(limits::DEFAULT_PORTS, open);
            let external = rig.open(C1, carries, 4000, endpoint(net.server, 80));
            let stranger = Packet::inbound(VPC_A, other, endpoint(net.other, 80), external);
            rig.refused(outside(VPC_A), stranger.frame(), Reason::NoMapping);
            rig.open(C1, other, 4000, endpoint(net.server, 80));
            assert_eq!([Protocol::Tcp, Protocol::Udp].map(|p| used(&rig, net.external, p)), [1, 1]);
        }
    }
}

fn used(rig: &Rig, external: std::net::IpAddr, protocol: Protocol) -> u32 {
    let is_it =
        |u: &&gateway_core::PortUse| (u.uplink, u.external, u.protocol) == (VPC_A, external, protocol);
    rig.engine.port_use().iter().find(is_it).expect("the address is one").used
}

#[test]
fn rfc7857_sec_6_filtering_is_of_one_protocol() {
    for net in nets() {
        for (tcp, udp) in [
            (Filtering::EndpointIndependent, Filtering::AddressDependent),
            (Filtering::AddressDependent, Filtering::EndpointIndependent),
        ] {
            for (carries, filtering) in [(TCP(SYN), tcp), (Carries::Udp, udp)] {
                let mut rig = rig_with(limits::DEFAULT_PORTS, |policy| {
                    (policy.filtering, policy.udp_filtering) = (tcp, udp);
                });
                let external = rig.open(C1, carries, 4000, endpoint(net.server, 80));
                let stranger = Packet::inbound(VPC_A, carries, endpoint(net.other, 80), external);
                let expected = if filtering == Filtering::EndpointIndependent {
                    Verdict::Forward(inside(C1))
                } else {
                    Verdict::Drop(Reason::Filtered)
                };
                assert_eq!(rig.deliver(outside(VPC_A), stranger.frame()).verdict, expected);
            }
        }
    }
}

#[test]
fn rfc7857_sec_7_whether_strangers_keep_a_mapping_alive_is_the_connectors_choice() {
    for net in nets() {
        for (refresh, end) in [(UdpRefresh::Outbound, 500), (UdpRefresh::Both, 700)] {
            let mut rig = rig_with(limits::DEFAULT_PORTS, |policy| {
                (policy.udp_filtering, policy.udp_refresh) = (Filtering::EndpointIndependent, refresh);
            });
            let external = rig.open(C1, Carries::Udp, 4000, endpoint(net.server, 53));
            // A stranger's session begins at 200 s, and it sends again at 400 s. The first session ends at 300 s.
            let stranger = Packet::inbound(VPC_A, Carries::Udp, endpoint(net.other, 53), external);
            for (second, ended) in [(200, 0), (400, 1)] {
                assert_eq!(rig.run_until(at(second)), ended);
                rig.forward(outside(VPC_A), &stranger);
            }
            assert_eq!(rig.run_until(just_before(at(end))), 0);
            assert_eq!(rig.run_until(at(end)), 1);
        }
    }
}

#[test]
fn rfc7857_sec_7_1_the_containers_errors_and_resets_do_not_refresh() {
    for net in nets() {
        let mut udp = flow(net, Carries::Udp, Carries::Udp);
        udp.rig.run_until(at(200));
        // The server has not been forgotten: it is asked for again while it is in use.
        let error = net.error(&udp.received, net.container, Error::Port);
        udp.rig.forward_resolving(inside(C1), &error);
        ends_at(&mut udp.rig, at(300));

        let mut tcp = Talk::established(net);
        tcp.rig.run_until(at(1000));
        let mut reset = tcp.segment(Container, RST);
        reset.numbers.sequence = reset.numbers.sequence.wrapping_add(5000);
        assert_eq!(tcp.pass(Container, &reset), S::Established);
        ends_at(&mut tcp.rig, at(7440));
    }
}

#[test]
fn rfc7857_sec_8_port_parity_is_not_kept() {
    for net in nets() {
        let mut rig = Rig::new();
        let parities: BTreeSet<u16> = (0..64)
            .map(|n| rig.open(C1, Carries::Udp, 4000 + 2 * n, endpoint(net.server, 53)).port() % 2)
            .collect();
        assert_eq!(parities, BTreeSet::from([0, 1]));
    }
}

#[test]
fn rfc7857_sec_9_external_ports_are_spread_at_random() {
    for net in nets() {
        for carries in [TCP(SYN), Carries::Udp] {
            let mut rig = Rig::new();
            let ports: Vec<u16> =
                (0..64).map(|n| rig.open(C1, carries, 4000 + n, endpoint(net.server, 53)).port()).collect();
            let steps: BTreeSet<u16> = ports.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
            assert!(steps.len() > 60, "{ports:?}");
            let blocks: BTreeSet<u16> = ports.iter().map(|port| port / limits::PORT_BLOCK).collect();
            assert!(blocks.len() > 48, "{ports:?}");
        }
    }
}

#[test]
fn rfc7857_sec_10_two_containers_datagrams_have_different_ip_ids() {
    let [v4, _] = nets();
    let mut rig = Rig::new();
    let ids = [C1, C2].map(|id| {
        let step = rig.deliver(inside(id), v4.large(id, 4000, 100).frame());
        word(&step.frame, IP + 4)
    });
    assert_ne!(ids[0], ids[1]);
}
