//! Runs that must not count, on a subject that everybody has.

use std::path::PathBuf;
use std::time::Duration;

use compare::bout::{self, Lengths};
use compare::metric::{Metric, Traffic};
use compare::refusal::Refusal;
use compare::subject::{Programs, Stand, Subject};
use netlab::Switch::{Off, On};

const LENGTHS: Lengths = Lengths { warm_up: Duration::from_millis(50), window: Duration::from_millis(300) };

fn direct() -> Stand {
    let programs = Programs { wharf: PathBuf::new(), raw: PathBuf::new() };
    Subject::Direct.stand(&programs).unwrap()
}

fn refused(stand: &Stand) -> Refusal {
    bout::run(stand, Traffic::TcpUp, LENGTHS).expect_err("it must not count")
}

#[test]
fn a_run_counts_if_all_is_as_it_was_set() {
    let stand = direct();
    for traffic in [Traffic::TcpUp, Traffic::TcpUpNoOffload, Traffic::TcpDown] {
        let values = bout::run(&stand, traffic, LENGTHS).unwrap_or_else(|e| panic!("{traffic:?}: {e}"));
        let metrics: Vec<Metric> = values.iter().map(|(metric, _)| *metric).collect();
        assert_eq!(metrics, traffic.metrics());
        assert!(values.iter().all(|(_, value)| *value > 0.0), "{values:?}");
    }
}

#[test]
fn an_offload_that_differs_from_what_was_set_is_refused() {
    for (feature, to) in [("tx", Off), ("tso", Off), ("gso", Off), ("gro", On)] {
        let stand = direct();
        stand.server.namespace.offload("eth0", feature, to).unwrap();
        let refusal = refused(&stand);
        assert!(matches!(refusal, Refusal::Offload { at: "server", .. }), "{feature}: {refusal}");
    }
}

#[test]
fn an_mtu_that_differs_from_what_was_set_is_refused() {
    let stand = direct();
    stand.client.namespace.mtu("eth0", 1400).unwrap();
    let refusal = refused(&stand);
    assert!(matches!(refusal, Refusal::Mtu { at: "client", found: 1400, .. }), "{refusal}");
}

#[test]
fn a_lost_route_is_refused() {
    let stand = direct();
    stand.client.namespace.down("eth0").unwrap();
    let refusal = refused(&stand);
    assert!(matches!(refusal, Refusal::RouteLost { from: "client", .. }), "{refusal}");
}

#[test]
fn a_way_around_the_subject_is_refused() {
    let mut stand = direct();
    // A gateway's device that the traffic does not pass.
    stand.site.client.veth("aside0", &stand.site.middle, "in0").unwrap();
    stand.between.push(stand.site.middle_end("in0"));
    stand.site.middle.offloads("in0", &[("tx", On), ("gro", Off)]).unwrap();
    let refusal = refused(&stand);
    assert!(matches!(refusal, Refusal::Bypassed { at: "gateway", .. }), "{refusal}");
}

#[test]
fn an_address_that_is_not_the_gateways_is_refused() {
    let mut stand = direct();
    stand.seen = [10, 1, 0, 99].into();
    let refusal = refused(&stand);
    assert!(matches!(refusal, Refusal::Peer { .. }), "{refusal}");
}
