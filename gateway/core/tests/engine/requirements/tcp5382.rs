//! RFC 5382: TCP.

use gateway_core::{
    ConnectorConfig, Filtering, MappingMode, Reason, SessionState as S, Unsolicited, UplinkId, Verdict,
    limits,
};

use super::{Error, Net, Talk, ends_at, flows, nets, pattern, received, rig_with, seen};
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{Rig, Sent, space, uplink_config};
use crate::support::tcp::By::{Container, Remote};
use crate::support::*;

const TCP: fn(u8) -> Carries = Carries::Tcp;

#[test]
fn rfc5382_req_1_an_internal_endpoint_has_one_external_endpoint_for_all_remotes() {
    for net in nets() {
        let mut rig = Rig::new();
        let first = rig.open(C1, TCP(SYN), 4000, endpoint(net.server, 80));
        for remote in [endpoint(net.server, 81), endpoint(net.other, 80), endpoint(net.far, 80)] {
            assert_eq!(rig.open(C1, TCP(SYN), 4000, remote), first, "{remote}");
        }
        assert_ne!(rig.open(C1, TCP(SYN), 4001, endpoint(net.server, 80)), first);
    }
}

#[test]
fn rfc5382_req_2_every_valid_exchange_of_segments_gets_through() {
    let exchanges: [&[_]; 4] = [
        // The SYN is sent again; data both ways; the remote closes first.
        &[
            (Container, SYN, S::Opening),
            (Container, SYN, S::Opening),
            (Remote, SYN | ACK, S::Established),
            (Container, ACK, S::Established),
            (Remote, ACK, S::Established),
            (Remote, FIN | ACK, S::FinInbound),
            (Container, ACK, S::FinInbound),
            (Container, FIN | ACK, S::Closing),
            (Remote, ACK, S::Finished),
        ],
        // Half closed, with data still coming.
        &[
            (Container, SYN, S::Opening),
            (Remote, SYN | ACK, S::Established),
            (Container, FIN | ACK, S::FinOutbound),
            (Remote, ACK, S::FinOutbound),
            (Remote, ACK, S::FinOutbound),
            (Remote, FIN | ACK, S::Closing),
            (Container, ACK, S::Finished),
        ],
        // Refused.
        &[(Container, SYN, S::Opening), (Remote, RST | ACK, S::Reset)],
        // Reset by the container, and opened again from the same port.
        &[
            (Container, SYN, S::Opening),
            (Remote, SYN | ACK, S::Established),
            (Container, RST | ACK, S::Reset),
            (Container, SYN, S::Opening),
            (Remote, SYN | ACK, S::Established),
        ],
    ];
    for net in nets() {
        for exchange in exchanges {
            let mut talk = Talk::new(net);
            for &(by, flags, state) in exchange {
                assert_eq!(talk.say(by, flags), state, "{by:?} {flags:#x}");
            }
        }
    }
}

#[test]
fn rfc5382_req_2_a_connection_that_the_remote_opens_gets_through_where_policy_lets_it() {
    for net in nets() {
        let open = |policy: &mut ConnectorConfig| policy.filtering = Filtering::EndpointIndependent;
        let mut rig = rig_with(limits::DEFAULT_PORTS, open);
        let external = rig.open(C1, TCP(SYN), 4000, endpoint(net.server, 80));
        let remote = endpoint(net.other, 5000);
        let syn = Packet::inbound(VPC_A, TCP(SYN), remote, external);
        let arrived = rig.forward(outside(VPC_A), &syn).1;
        assert_eq!(arrived, received(&syn, C1, endpoint(net.container, 4000)));
        let answer = Packet::outbound(C1, TCP(SYN | ACK), 4000, remote);
        assert_eq!(rig.forward(inside(C1), &answer).1, seen(&answer, external));
        let state = rig.sessions().iter().find(|s| s.remote == remote).map(|s| s.state);
        assert_eq!(state, Some(S::Established));
    }
}

#[test]
fn rfc5382_req_2a_a_simultaneous_open_gets_through() {
    for net in nets() {
        let mut talk = Talk::new(net);
        for (by, flags, state) in [
            (Container, SYN, S::Opening),
            (Remote, SYN, S::Established),
            (Container, SYN | ACK, S::Established),
            (Remote, SYN | ACK, S::Established),
            (Container, ACK, S::Established),
        ] {
            assert_eq!(talk.say(by, flags), state, "{by:?} {flags:#x}");
        }
    }
}

/// Whether strangers may send TCP, and UDP, to mappings of a connector with this policy.
fn lets_strangers_in(net: Net, change: impl Fn(&mut ConnectorConfig)) -> [bool; 2] {
    [TCP(SYN), Carries::Udp].map(|carries| {
        let mut rig = rig_with(limits::DEFAULT_PORTS, &change);
        let external = rig.open(C1, carries, 4000, endpoint(net.server, 80));
        let stranger = Packet::inbound(VPC_A, carries, endpoint(net.other, 80), external);
        match rig.deliver(outside(VPC_A), stranger.frame()).verdict {
            Verdict::Forward(_) => true,
            verdict => {
                assert_eq!(verdict, Verdict::Drop(Reason::Filtered));
                false
            }
        }
    })
}

#[test]
fn rfc5382_req_3_tcp_is_filtered_by_a_policy_of_its_own() {
    for net in nets() {
        let all = Filtering::EndpointIndependent;
        assert_eq!(lets_strangers_in(net, |_| {}), [false, false]);
        assert_eq!(lets_strangers_in(net, |policy| policy.filtering = all), [true, false]);
        assert_eq!(lets_strangers_in(net, |policy| policy.udp_filtering = all), [false, true]);
    }
}

/// What was sent to a VPC.
fn to_vpc(sent: Vec<Sent>, uplink: UplinkId) -> Vec<Packet> {
    sent.into_iter().filter(|s| s.to == outside(uplink)).map(|s| Packet::read(&s.frame)).collect()
}

#[test]
fn rfc5382_req_4_an_unsolicited_syn_is_answered_after_six_seconds_and_not_before() {
    for net in nets() {
        let mut rig = Rig::new();
        let open = rig.open(C1, TCP(SYN), 4000, endpoint(net.server, 80));
        let unused = endpoint(net.external, open.port() ^ 1);
        for (external, reason) in [(open, Reason::Filtered), (unused, Reason::NoMapping)] {
            let received = rig.now;
            let syn = Packet::inbound(VPC_A, TCP(SYN), endpoint(net.other, 5000), external).frame();
            assert_eq!(rig.refused(outside(VPC_A), syn.clone(), reason), None);
            // It is sent again meanwhile, and answered once.
            let sent = rig.wait(seconds(3)).1;
            assert_eq!(to_vpc(sent, VPC_A), []);
            assert_eq!(rig.refused(outside(VPC_A), syn.clone(), reason), None);
            let sent = rig.wait_until(just_before(received + seconds(6))).1;
            assert_eq!(to_vpc(sent, VPC_A), []);
            let sent = rig.wait_until(received + seconds(6)).1;
            assert_eq!(to_vpc(sent, VPC_A), [net.told_outside(VPC_A, net.other, &syn, Error::Port)]);
            let sent = rig.wait(seconds(10)).1;
            assert_eq!(to_vpc(sent, VPC_A), []);
        }
    }
}

#[test]
fn rfc5382_req_4_nothing_is_said_if_the_container_opens_the_connection_meanwhile() {
    for net in nets() {
        let mut rig = Rig::new();
        let external = rig.open(C1, TCP(SYN), 4000, endpoint(net.server, 80));
        let remote = endpoint(net.other, 5000);
        let syn = Packet::inbound(VPC_A, TCP(SYN), remote, external);
        rig.refused(outside(VPC_A), syn.frame(), Reason::Filtered);
        rig.wait(seconds(5));
        assert_eq!(rig.open(C1, TCP(SYN), 4000, remote), external);
        let sent = rig.wait(seconds(5)).1;
        assert_eq!(to_vpc(sent, VPC_A), []);
        // The remote's next try makes the simultaneous open.
        assert_eq!(rig.forward(outside(VPC_A), &syn).0, inside(C1));
    }
}

#[test]
fn rfc5382_req_4a_nothing_is_ever_said_if_the_vpcs_policy_is_silence() {
    const VPC_C: UplinkId = UplinkId(3);
    for net in nets() {
        let mut rig = Rig::new();
        let space = space(vec![net.external], &limits::DEFAULT_PORTS, 1);
        let config = uplink_config(VPC_C, vec![], space);
        rig.add_uplink(gateway_core::UplinkConfig { unsolicited: Unsolicited::Silent, ..config });
        let syn = Packet::inbound(VPC_C, TCP(SYN), endpoint(net.other, 5000), endpoint(net.external, 3000));
        assert_eq!(rig.refused(outside(VPC_C), syn.frame(), Reason::NoMapping), None);
        let sent = rig.wait(seconds(60)).1;
        assert_eq!(to_vpc(sent, VPC_C), []);
    }
}

#[test]
fn rfc5382_req_5_an_idle_connection_lives_two_hours_and_four_minutes_once_established() {
    for net in nets() {
        let mut talk = Talk::established(net);
        talk.rig.run_until(at(1000));
        talk.say(Remote, ACK);
        ends_at(&mut talk.rig, at(1000 + 7440));
    }
}

#[test]
fn rfc5382_req_5_a_connection_that_opens_or_closes_lives_four_minutes() {
    for net in nets() {
        let mut opening = Talk::new(net);
        opening.say(Container, SYN);
        ends_at(&mut opening.rig, at(240));
        let mut closing = Talk::established(net);
        closing.rig.run_until(at(1000));
        closing.say(Remote, FIN | ACK);
        closing.say(Container, FIN | ACK);
        ends_at(&mut closing.rig, at(1240));
    }
}

#[test]
fn rfc5382_req_6_no_payload_is_looked_at() {
    for net in nets() {
        let mut rig = Rig::new();
        let payload = "PORT 169,254,1,2,15,160\r\nEPRT |2|fd00::c:0:0:0:2|4000|\r\n";
        let remote = endpoint(net.server, 21);
        rig.open(C1, TCP(SYN), 4000, remote);
        let sent = Packet::outbound(C1, TCP(ACK), 4000, remote).with_payload(payload);
        let (_, arrived) = rig.forward(inside(C1), &sent);
        assert_eq!(arrived, seen(&sent, arrived.source));
        assert_eq!(rig.sessions().len(), 1, "nothing is prepared for the connection that the text speaks of");
    }
}

#[test]
fn rfc5382_req_7_no_two_internal_endpoints_share_an_external_port() {
    for net in nets() {
        for mapping in [MappingMode::EndpointIndependent, MappingMode::AddressDependent] {
            let mut rig = rig_with(2000..=2001, |policy| policy.mapping = mapping);
            let [first, second] = [C1, C2].map(|id| rig.open(id, TCP(SYN), 4000, endpoint(net.server, 80)));
            assert_ne!(first, second);
            let third = Packet::outbound(C1, TCP(SYN), 4001, endpoint(net.other, 80));
            rig.refused(inside(C1), third.frame(), Reason::PortsExhausted);
        }
    }
}

#[test]
fn rfc5382_req_8_a_connection_between_containers_shows_external_endpoints() {
    for net in nets() {
        let open = |policy: &mut ConnectorConfig| policy.filtering = Filtering::EndpointIndependent;
        let mut rig = rig_with(limits::DEFAULT_PORTS, open);
        let listener = rig.open(C2, TCP(SYN), 4000, endpoint(net.server, 80));
        let hairpinned = |sent: &Packet, to, source, port| Packet {
            source_mac: gateway_mac(to),
            destination_mac: container_mac(to),
            source,
            destination: endpoint(net.container, port),
            ttl: sent.ttl - 2,
            ..sent.clone()
        };
        let syn = Packet::outbound(C1, TCP(SYN), 6000, listener);
        let (to, arrived) = rig.forward(inside(C1), &syn);
        let caller = arrived.source;
        assert_eq!(caller.ip(), net.external);
        assert_eq!((to, arrived), (inside(C2), hairpinned(&syn, C2, caller, 4000)));
        let answer = Packet::outbound(C2, TCP(SYN | ACK), 4000, caller).with_payload(pattern(10));
        let expected = hairpinned(&answer, C1, listener, 6000);
        assert_eq!(rig.forward(inside(C2), &answer), (inside(C1), expected));
    }
}

#[test]
fn rfc5382_req_9_every_destination_unreachable_is_translated() {
    for (net, mut flow) in flows().into_iter().filter(|(_, flow)| flow.sent.carries == TCP(SYN)) {
        for code in 0..if net.is_v4() { 16 } else { 7 } {
            let kind = if net.is_v4() { 3 } else { 1 };
            let error = flow.seen.error_by(net.hop, kind, code, 200);
            let inner = flow.sent.clone().with_ttl(flow.seen.ttl).embedded(200);
            let expected = Packet { payload: inner, ..received(&error, C1, endpoint(net.container, 0)) };
            assert_eq!(flow.rig.forward(outside(VPC_A), &error), (inside(C1), expected));
        }
    }
}

#[test]
fn rfc5382_req_10_no_icmp_error_ends_a_connection() {
    for net in nets() {
        let mut talk = Talk::established(net);
        talk.rig.run_until(at(100));
        let external = talk.external;
        let sent = seen(&talk.segment(Container, ACK), external);
        for error in [Error::Host, Error::Port, Error::TooBig(1400), Error::Prohibited, Error::TtlExpired] {
            talk.rig.forward(outside(VPC_A), &net.error(&sent, net.hop, error));
            assert_eq!(talk.state(), S::Established);
        }
        assert_eq!(talk.say(Remote, ACK), S::Established);
        assert_eq!(talk.say(Container, ACK), S::Established);
        assert_eq!(talk.external, external);
        ends_at(&mut talk.rig, at(7540));
    }
}
