//! A random walk over all changes: each is whole or leaves nothing, and can be taken back; what is kept is taken up again as it was.

use super::*;
use crate::{NewPool, NewTenant, Origin, Record, Role, Token};

/// Choices that repeat with their seed (xorshift64*).
struct Choices(u64);

impl Choices {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn number(&mut self) -> u32 {
        self.below(6) as u32
    }
}

const TENANTS: [&str; 3] = ["default", "a", "b"];
const NAMES: [&str; 3] = ["x", "y", "z"];

fn any_name(choices: &mut Choices) -> FullName {
    FullName::new(&name(choices.of(&TENANTS)), &name(choices.of(&NAMES)))
}

fn any_connector(choices: &mut Choices) -> ConnectorSpec {
    let tenant = choices.of(&["", "", "a/", "default/"]);
    let destinations = match choices.below(4) {
        0 => None,
        1 => Some(vec!["fd00::/64".into()]),
        n => Some(vec![format!("10.1.{n}.0/24")]),
    };
    let users = (choices.below(4) == 0).then(|| vec![format!("{}*", choices.of(&NAMES))]);
    let functions = (choices.below(4) == 0).then(|| vec![format!("{}*", choices.of(&NAMES))]);
    let address = (choices.below(3) == 0).then(|| vec!["10.1.0.20".into()]);
    let translation = (choices.below(6) == 0 && address.is_none()).then_some(false);
    let new = NewConnector {
        name: choices.of(&NAMES).into(),
        vpc: format!("{tenant}{}", choices.of(&NAMES)),
        users,
        functions,
        destinations,
        external_addresses: address,
        translation,
        linger_s: Some(i64::from(choices.number())),
        ..NewConnector::default()
    };
    new.validate().unwrap()
}

fn any_vpc(choices: &mut Choices) -> VpcSpec {
    let new = NewVpc {
        approval: Some(choices.of(&["manual", "automatic", "automatic"]).into()),
        reserved_addresses: Some(vec!["10.1.0.20".into()]),
        ..new_vpc(choices.of(&NAMES))
    };
    new.validate().unwrap()
}

fn any_function(choices: &mut Choices) -> crate::FunctionSpec {
    let connectors: Vec<_> = (0..choices.below(3)).map(|_| choices.of(&NAMES)).collect();
    let new = crate::NewFunction {
        timeout_s: Some(i64::from(choices.number()) + 1),
        keep_alive_s: Some(i64::from(choices.number())),
        ..new_function(choices.of(&NAMES), &connectors[..connectors.len().min(1)])
    };
    new.validate().unwrap()
}

fn any_change(choices: &mut Choices, next_link: &mut u32) -> Change {
    let (some, other) = (any_name(choices), name(choices.of(&NAMES)));
    let tenant = some.tenant.clone();
    // Those without which nothing happens come more often.
    match choices.below(54) {
        0 => {
            let new = NewTenant { name: choices.of(&["a", "b"]).into(), netns_prefix: None };
            Change::AddTenant(new.validate().unwrap())
        }
        1 => Change::RemoveTenant(tenant),
        2 => {
            let token = Token { role: Role::Admin, hash: "00".into(), created_at: 1, expires_at: Some(9) };
            Change::AddToken { name: some, token }
        }
        3 => Change::RemoveToken(some),
        4 | 5 => Change::ReserveVpc { tenant, spec: any_vpc(choices) },
        6..=8 => {
            *next_link += 1;
            Change::VpcReady { vpc: some, link: uplink(*next_link) }
        }
        9 => Change::DeleteVpc(some),
        10 => Change::ForgetVpc(some),
        11 => Change::VpcGone(some),
        12 => Change::UplinkGone(UplinkId(*next_link + 1 - choices.number().min(*next_link))),
        13..=15 => Change::AddConnector { tenant, spec: any_connector(choices) },
        16 | 17 => Change::UpdateConnector { tenant, spec: any_connector(choices) },
        18 | 19 => Change::ApproveConnector(some),
        20 => Change::RevokeConnector(some),
        21 => Change::ConnectorFailed { connector: some, detail: "no".into() },
        22 => Change::ConnectorIdle(some),
        23 => Change::RemoveConnector(some),
        24 | 25 => Change::ReserveContainer { tenant, spec: container(choices.of(&NAMES)) },
        26..=28 => {
            *next_link += 1;
            let origin = (choices.below(2) == 0).then(|| Origin {
                namespace: "n".into(),
                mac: "02:00:00:00:00:01".into(),
                gateway_mac: "02:00:00:00:00:02".into(),
            });
            Change::ContainerReady { container: some, link: link(*next_link), origin }
        }
        29 => Change::DeleteContainer(some),
        30 => Change::ForgetContainer(some),
        31 => Change::ContainerGone(some),
        32 => Change::AttachmentGone(AttachmentId(*next_link + 1 - choices.number().min(*next_link))),
        33..=36 => Change::Attach { container: some, connector: other },
        37 => Change::Attached { container: some, connector: other },
        38..=41 => {
            let (spec, code) = (any_function(choices), code(choices.below(3)));
            Change::AddFunction { tenant, spec, code, created_s: 7 }
        }
        42 | 43 => {
            let spec = any_function(choices);
            let code = (choices.below(2) == 0).then(|| code(choices.below(3)));
            Change::UpdateFunction { tenant, spec, code, created_s: 8 }
        }
        44 => Change::RemoveFunction(some),
        45 => Change::RemoveVersion { function: some, number: u64::from(choices.number()) },
        46 => {
            let new = NewPool { min_warm: Some(i64::from(choices.number())), ..NewPool::default() };
            Change::SetPool(new.validate(other).unwrap())
        }
        47..=50 => {
            *next_link += 1;
            let spec = container(some.name.as_str());
            Change::AdoptEnvironment { container: some, spec, link: link(*next_link), function: other }
        }
        51 => Change::ForgetEnvironment(some),
        _ => Change::Detached { container: some, connector: other },
    }
}

/// All resources as they are kept, those first that others refer to.
fn records(resources: &Resources) -> Vec<(FullName, crate::Stored)> {
    let Resources { tenants, tokens, vpcs, connectors, containers, functions, pools, .. } = resources;
    let mut all: Vec<(Kind, FullName)> = Vec::new();
    all.extend(tenants.iter().map(|t| (Kind::Tenant, FullName::new(&t.name, &t.name))));
    for tenant in tenants.iter() {
        all.extend(tokens.names_of(&tenant.name).map(|token| (Kind::Token, token)));
    }
    all.extend(vpcs.iter().map(|v| (Kind::Vpc, v.name.clone())));
    all.extend(connectors.iter().map(|k| (Kind::Connector, k.name.clone())));
    all.extend(functions.iter().map(|f| (Kind::Function, f.name.clone())));
    let kept = containers.iter().filter(|container| container.function.is_none());
    all.extend(kept.map(|c| (Kind::Container, c.name.clone())));
    all.extend(pools.iter().map(|p| (Kind::Pool, Resources::pool_name(&p.runtime))));
    let record = |(kind, name): (Kind, FullName)| {
        let stored = resources.record(kind, &name).expect("it is there");
        assert_eq!(stored.record.kind(), kind);
        (name, stored)
    };
    all.into_iter().map(record).collect()
}

/// Takes up what is kept, by way of its text, as after a restart.
fn restored(resources: &Resources) -> Resources {
    let mut again = Resources::new();
    for (name, stored) in records(resources) {
        let text = serde_json::to_string(&stored).unwrap();
        again.restore(&name, serde_json::from_str(&text).unwrap()).unwrap();
    }
    again
}

fn walk(seed: u64, steps: usize) -> (usize, usize) {
    let mut choices = Choices(seed);
    let (mut resources, mut next_link) = (Resources::new(), 0);
    let (mut done, mut refused) = (0, 0);
    for step in 0..steps {
        let change = any_change(&mut choices, &mut next_link);
        let told = format!("seed {seed}, step {step}: {change:?}");
        let before = dump(&resources);
        match resources.apply(change.clone(), step as u64 + 1) {
            Err(_) => {
                refused += 1;
                assert_eq!(dump(&resources), before, "refused, {told}");
            }
            Ok((touched, undo)) => {
                let after = dump(&resources);
                assert_eq!(touched.is_empty(), after == before, "{told}: {touched:?}");
                resources.undo(undo);
                assert_eq!(dump(&resources), before, "taken back, {told}");
                resources.apply(change, step as u64 + 1).expect("it went through before");
                done += usize::from(!touched.is_empty());
            }
        }
        check(&resources);
        if step % 64 == 0 {
            let again = restored(&resources);
            check_restored(&resources, &again, &told);
        }
    }
    (done, refused)
}

fn check_restored(resources: &Resources, again: &Resources, told: &str) {
    let (kept, again) = (records(resources), records(again));
    assert_eq!(kept.len(), again.len(), "{told}");
    for (one, other) in kept.iter().zip(&again) {
        assert_eq!(one, other, "{told}");
    }
}

#[test]
fn every_change_is_whole_or_nothing_and_can_be_taken_back() {
    let (mut done, mut refused) = (0, 0);
    for seed in 1..=8 {
        let counts = walk(seed, 800);
        (done, refused) = (done + counts.0, refused + counts.1);
    }
    assert!(done > 800 && refused > 800, "the walk goes nowhere: {done} done, {refused} refused");
}

#[test]
fn many_changes_are_taken_back_in_their_order() {
    let (mut choices, mut resources, mut next_link) = (Choices(99), Resources::new(), 0);
    let mut undos = Vec::new();
    for step in 0..2_000 {
        let before = dump(&resources);
        if let Ok((_, undo)) = resources.apply(any_change(&mut choices, &mut next_link), step + 1) {
            undos.push((before, undo));
        }
    }
    for (before, undo) in undos.into_iter().rev() {
        resources.undo(undo);
        assert_eq!(dump(&resources), before);
    }
    assert_eq!(dump(&resources), dump(&Resources::new()));
}

#[test]
fn what_is_taken_up_again_waits_for_its_links_and_then_is_what_it_was() {
    let mut resources = all_attached();
    let again = &mut restored(&resources);
    let permission = again.permission(&full("c"), &name("k")).unwrap_err();
    assert_eq!(permission.code(), Code::NotReady);
    assert_eq!(again.connector(&full("k")).unwrap().state(), ConnectorState::Approved);
    let shown =
        |resources: &Resources| resources.container_view(resources.container(&full("c")).unwrap()).connectors;
    assert_eq!(shown(again), [""; 0], "the gateway does not have it yet");
    apply(again, vpc_ready("v", 7)).unwrap();
    apply(again, container_ready("c", 7)).unwrap();
    assert_eq!(again.permission(&full("c"), &name("k")).unwrap().join, Join::Attaching);
    let attached = Change::Attached { container: full("c"), connector: name("k") };
    apply(again, attached).unwrap();
    assert_eq!(shown(again), ["k"]);
    assert_eq!(again.connector(&full("k")).unwrap().state(), ConnectorState::Ready);
    let mac = |resources: &Resources| resources.vpc(&full("v")).unwrap().mac;
    assert_eq!(mac(again), mac(&resources));

    // What somebody asks for again before its turn is there as well.
    let again = &mut restored(&resources);
    apply(again, vpc_ready("v", 7)).unwrap();
    apply(again, container_ready("c", 7)).unwrap();
    apply(again, attach("c", "k")).unwrap();
    assert_eq!(shown(again), ["k"]);
    apply(&mut resources, detached("c", "k")).unwrap();
}

#[test]
fn what_is_gone_after_a_restart_is_kept_until_somebody_deletes_it() {
    let again = &mut restored(&all_attached());
    apply(again, Change::VpcGone(full("v"))).unwrap();
    apply(again, Change::ContainerGone(full("c"))).unwrap();
    assert_eq!((vpc_state(again), container_state(again)), (State::Gone, State::Gone));
    assert_eq!(apply(again, attach("c", "k")), Err(Code::NotReady));
    // A device that comes later is taken; a namespace that was deleted does not come back.
    apply(again, vpc_ready("v", 3)).unwrap();
    apply(again, container_ready("c", 3)).unwrap();
    assert_eq!((vpc_state(again), container_state(again)), (State::Ready, State::Gone));
    apply(again, Change::DeleteContainer(full("c"))).unwrap();
    apply(again, Change::ForgetContainer(full("c"))).unwrap();
}

#[test]
fn what_is_kept_and_not_valid_is_named() {
    let stored = |record| crate::Stored { revision: 1, record };
    let spec = || NewConnector { name: "k".into(), vpc: "v".into(), ..NewConnector::default() };
    let approved = Record::Connector { spec: spec(), may_join: MayJoin::Approved };
    let error = Resources::new().restore(&full("k"), stored(approved)).unwrap_err();
    assert!(error.to_string().contains("connector default/k"), "{error}");
    let bad = Record::Connector {
        spec: NewConnector { linger_s: Some(-1), ..spec() },
        may_join: MayJoin::Requested,
    };
    let error = Resources::new().restore(&full("k"), stored(bad)).unwrap_err();
    assert!(error.to_string().contains("seconds"), "{error}");
}
