//! What becomes of asynchronous invocations.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::Name;
use crate::limits::{DELIVERIES_RUNNING_PER_FUNCTION, DELIVERY_RETENTION_MS};

const START: u64 = 1_700_000_000_000;

fn function(text: &str) -> FullName {
    let name = |text: &str| Name::parse("name", text.into()).unwrap();
    FullName::new(&name("acme"), &name(text))
}

fn new(number: u8, of: &str) -> NewDelivery {
    let id = InvocationId::new(START + u64::from(number), [number; 10]);
    NewDelivery { id, function: function(of), version: 1, event_bytes: 10, key: None }
}

fn fault(retry: Retry) -> DeliveryOutcome {
    let code = match retry {
        Retry::Function => Code::FunctionFailed,
        Retry::Platform => Code::NoEnvironment,
        Retry::Never => Code::NotFound,
    };
    DeliveryOutcome::Failed(DeliveryFault { code, detail: "no".into(), report: None, retry })
}

fn answer() -> DeliveryOutcome {
    DeliveryOutcome::Answered { content_type: "application/json".into(), answer_bytes: 4 }
}

fn backlog() -> Backlog {
    Backlog::new(BacklogLimits::default())
}

/// Runs the only one until it has ended; gives how often, and how long that took.
fn run_out(retry: Retry) -> (u32, u64, Delivery) {
    let (mut backlog, mut now) = (backlog(), START);
    let Accepted::New(id) = backlog.accept(now, new(1, "f")).unwrap() else { panic!("it is new") };
    while let Some(due) = backlog.next_due_ms() {
        now = now.max(due);
        assert_eq!(backlog.begin(now), Some(id));
        backlog.end(now, id, fault(retry), Vec::new());
    }
    let ended = backlog.find(id).unwrap().clone();
    (ended.attempts, now - START, ended)
}

#[test]
fn what_is_to_blame_decides_how_often_it_is_tried() {
    let (attempts, took, ended) = run_out(Retry::Function);
    assert_eq!((attempts, took), (3, 1_000 + 2_000));
    assert_eq!(ended.fault.unwrap().code, Code::FunctionFailed);
    assert_eq!(run_out(Retry::Never).0, 1);
    let (attempts, took, ended) = run_out(Retry::Platform);
    assert!(took <= DELIVERY_AGE_MS && took > DELIVERY_AGE_MS - DELIVERY_BACKOFF_MAX_MS, "{took}");
    // 1 s, 2 s, … 256 s, and from there on 5 min.
    assert_eq!(u64::from(attempts), 10 + (DELIVERY_AGE_MS - 511_000) / DELIVERY_BACKOFF_MAX_MS);
    assert_eq!(ended.state, DeliveryState::Failed { at_ms: START + took });
}

#[test]
fn times_between_tries_double_up_to_a_bound() {
    for (faults, ms) in
        [(1, 1_000), (2, 2_000), (9, 256_000), (10, 300_000), (11, 300_000), (u32::MAX, 300_000)]
    {
        assert_eq!(backoff_ms(faults), ms, "{faults}");
    }
}

#[test]
fn faults_of_the_platform_cost_the_function_no_try() {
    let (mut backlog, mut now) = (backlog(), START);
    backlog.accept(now, new(1, "f")).unwrap();
    let retries = [Retry::Platform, Retry::Function, Retry::Platform, Retry::Function, Retry::Platform];
    for retry in retries {
        now = now.max(backlog.next_due_ms().unwrap());
        let id = backlog.begin(now).unwrap();
        backlog.end(now, id, fault(retry), Vec::new());
    }
    now = backlog.next_due_ms().unwrap();
    let id = backlog.begin(now).unwrap();
    backlog.end(now, id, answer(), Vec::new());
    let delivery = backlog.find(id).unwrap();
    assert_eq!((delivery.attempts, delivery.function_faults, delivery.platform_faults), (6, 2, 3));
    assert_eq!((delivery.state.as_str(), &delivery.fault), ("succeeded", &None));
}

#[test]
fn an_attempt_that_took_the_daemon_with_it_counts_and_is_made_again() {
    let mut kept = backlog();
    let Accepted::New(id) = kept.accept(START, new(1, "f")).unwrap() else { panic!("it is new") };
    let mut now = START;
    for crash in 1..=3 {
        now = now.max(kept.next_due_ms().unwrap());
        assert_eq!(kept.begin(now), Some(id));
        let found = kept.find(id).unwrap().clone();
        assert_eq!((found.attempts, &found.state), (crash, &DeliveryState::Running));
        kept = backlog();
        kept.restore(now, found);
        assert_eq!(kept.take_touched(), BTreeSet::from([id]), "what it became is to be kept");
    }
    let failed = kept.find(id).unwrap();
    assert_eq!((failed.state.as_str(), failed.fault.as_ref().unwrap().code), ("failed", Code::Interrupted));
    assert_eq!(kept.begin(now + DELIVERY_AGE_MS), None);
}

#[test]
fn an_attempt_that_was_dropped_at_shutdown_does_not_count() {
    let mut backlog = backlog();
    backlog.accept(START, new(1, "f")).unwrap();
    let id = backlog.begin(START).unwrap();
    backlog.end(START + 5, id, DeliveryOutcome::Dropped, Vec::new());
    let delivery = backlog.find(id).unwrap();
    assert_eq!((delivery.attempts, &delivery.state), (0, &DeliveryState::Queued { due_ms: START + 5 }));
    assert_eq!((delivery.function_faults, delivery.platform_faults), (0, 0));
}

#[test]
fn functions_take_turns() {
    let mut backlog = backlog();
    for number in 0..6 {
        backlog.accept(START, new(number, "busy")).unwrap();
    }
    for (number, of) in [(6, "a"), (7, "z"), (8, "a")] {
        backlog.accept(START, new(number, of)).unwrap();
    }
    let begun = std::iter::from_fn(|| backlog.begin(START));
    let begun: Vec<_> = begun.collect();
    let order: Vec<_> =
        begun.iter().map(|id| backlog.find(*id).unwrap().function.name.as_str().to_owned()).collect();
    assert_eq!(order, ["a", "busy", "z", "a", "busy", "busy", "busy", "busy", "busy"]);
}

#[test]
fn attempts_at_a_time_are_bounded_for_each_function_and_for_all() {
    let limits = BacklogLimits { running: 5, running_per_function: 3, ..BacklogLimits::default() };
    let mut backlog = Backlog::new(limits);
    for number in 0..20 {
        backlog.accept(START, new(number, ["a", "b"][usize::from(number) % 2])).unwrap();
    }
    let begun: Vec<_> = std::iter::from_fn(|| backlog.begin(START)).collect();
    assert_eq!((begun.len(), backlog.running(), backlog.next_due_ms()), (5, 5, None));
    backlog.end(START, begun[0], answer(), Vec::new());
    assert_eq!(backlog.next_due_ms(), Some(START));
    assert!(backlog.begin(START).is_some() && backlog.begin(START).is_none());
    const { assert!(DELIVERIES_RUNNING_PER_FUNCTION >= 1) };
}

#[test]
fn outcomes_are_kept_for_a_day_and_give_way_to_what_comes_in() {
    let limits = BacklogLimits { deliveries: 3, deliveries_per_function: 9, ..BacklogLimits::default() };
    let mut backlog = Backlog::new(limits);
    let ids: Vec<_> = (0..3).map(|number| backlog.accept(START, new(number, "f")).unwrap()).collect();
    assert_eq!(backlog.accept(START, new(3, "f")), Err(NotAccepted::Full { waiting: 3 }));
    for at in [START + 1, START + 2] {
        let id = backlog.begin(START).unwrap();
        backlog.end(at, id, answer(), Vec::new());
    }
    backlog.accept(START + 3, new(3, "f")).unwrap();
    let left: Vec<_> = backlog.of(&function("f")).map(|delivery| delivery.state.as_str()).collect();
    assert_eq!(left, ["queued", "queued", "succeeded"], "the newest first");
    assert!(matches!(ids[0], Accepted::New(id) if backlog.find(id).is_none()), "it ended first");
    backlog.expire(START + 2 + DELIVERY_RETENTION_MS - 1);
    assert_eq!(backlog.of(&function("f")).count(), 3);
    backlog.expire(START + 2 + DELIVERY_RETENTION_MS);
    assert_eq!((backlog.of(&function("f")).count(), backlog.waiting()), (2, 2));
}

#[test]
fn one_function_does_not_fill_the_room_of_all() {
    let limits = BacklogLimits { deliveries_per_function: 2, ..BacklogLimits::default() };
    let mut few = Backlog::new(limits);
    few.accept(START, new(1, "f")).unwrap();
    few.accept(START, new(2, "f")).unwrap();
    assert_eq!(few.accept(START, new(3, "f")), Err(NotAccepted::FunctionFull { waiting: 2 }));
    few.accept(START, new(3, "g")).unwrap();
    let limits = BacklogLimits { bytes_per_function: 5_000, bytes: 9_000, ..BacklogLimits::default() };
    let mut small = Backlog::new(limits);
    let large = |number, of| NewDelivery { event_bytes: 3_000, ..new(number, of) };
    small.accept(START, large(1, "f")).unwrap();
    assert_eq!(small.accept(START, large(2, "f")), Err(NotAccepted::FunctionFull { waiting: 1 }));
    small.accept(START, large(2, "g")).unwrap();
    assert_eq!(small.accept(START, large(3, "h")), Err(NotAccepted::Full { waiting: 2 }));
}

#[test]
fn one_tenant_does_not_fill_the_room_of_all() {
    let limits =
        BacklogLimits { deliveries_per_tenant: 2, bytes_per_tenant: 5_000, ..BacklogLimits::default() };
    let others = |number, of| {
        let tenant = Name::parse("tenant", "other".into()).unwrap();
        NewDelivery { function: FullName { tenant, ..function(of) }, ..new(number, of) }
    };
    let mut few = Backlog::new(limits);
    few.accept(START, new(1, "f")).unwrap();
    few.accept(START, new(2, "g")).unwrap();
    assert_eq!(few.accept(START, new(3, "h")), Err(NotAccepted::TenantFull { waiting: 2 }));
    few.accept(START, others(3, "h")).unwrap();
    let mut small = Backlog::new(limits);
    let large = NewDelivery { event_bytes: 3_000, ..new(1, "f") };
    small.accept(START, large.clone()).unwrap();
    small.accept(START, others(2, "f")).unwrap();
    let one_more = NewDelivery { id: new(3, "g").id, function: function("g"), ..large };
    assert_eq!(small.accept(START, one_more), Err(NotAccepted::TenantFull { waiting: 1 }));
}

#[test]
fn a_request_that_comes_again_leads_to_the_same_invocation() {
    let mut backlog = backlog();
    let keyed = |number, fingerprint: &str| {
        let key = DeliveryKey { key: "k".into(), fingerprint: fingerprint.into() };
        NewDelivery { key: Some(key), ..new(number, "f") }
    };
    let Accepted::New(id) = backlog.accept(START, keyed(1, "x")).unwrap() else { panic!("it is new") };
    assert_eq!(backlog.accept(START, keyed(2, "x")), Ok(Accepted::Before(id)));
    assert_eq!(backlog.accept(START, keyed(3, "y")), Err(NotAccepted::KeyReused));
    backlog.begin(START).unwrap();
    backlog.end(START, id, answer(), Vec::new());
    assert_eq!(backlog.accept(START + 1, keyed(4, "x")), Ok(Accepted::Before(id)));
    let later = START + DELIVERY_RETENTION_MS;
    assert!(matches!(backlog.accept(later, keyed(5, "y")), Ok(Accepted::New(_))));
    // What could not be kept was never accepted.
    let forgotten = backlog.of(&function("f")).next().unwrap().id;
    backlog.forget(forgotten);
    assert!(matches!(backlog.accept(later, keyed(6, "z")), Ok(Accepted::New(_))));
}

/// Something that happens to a backlog.
#[derive(Clone, Copy, Debug)]
enum Event {
    Accept(u8),
    Begin,
    End(u8, u8),
    Wait(u32),
    Crash,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..4u8).prop_map(Event::Accept),
        4 => Just(Event::Begin),
        4 => (any::<u8>(), 0..5u8).prop_map(|(which, how)| Event::End(which, how)),
        2 => (0..400_000u32).prop_map(Event::Wait),
        1 => Just(Event::Crash),
    ]
}

/// A daemon that keeps what it is told to, and what it has promised.
struct World {
    backlog: Backlog,
    now: u64,
    number: u8,
    kept: BTreeMap<InvocationId, Delivery>,
    accepted: BTreeSet<InvocationId>,
    running: BTreeSet<InvocationId>,
    ended: BTreeMap<InvocationId, &'static str>,
}

const SMALL: BacklogLimits = BacklogLimits {
    deliveries: 40,
    bytes: 1 << 20,
    deliveries_per_tenant: 35,
    bytes_per_tenant: 1 << 19,
    deliveries_per_function: 15,
    bytes_per_function: 1 << 18,
    running: 4,
    running_per_function: 2,
};

impl World {
    fn new() -> Self {
        let (kept, accepted, running, ended) = Default::default();
        Self { backlog: Backlog::new(SMALL), now: START, number: 0, kept, accepted, running, ended }
    }

    fn meet(&mut self, event: Event) {
        match event {
            Event::Accept(of) => {
                self.number += 1;
                if let Ok(Accepted::New(id)) =
                    self.backlog.accept(self.now, new(self.number, ["a", "b", "c", "d"][usize::from(of)]))
                {
                    self.accepted.insert(id);
                }
            }
            Event::Begin => {
                if let Some(id) = self.backlog.begin(self.now) {
                    assert!(self.running.insert(id), "{id} runs twice at a time");
                    assert!(!self.ended.contains_key(&id), "{id} runs after its end");
                }
            }
            Event::End(which, how) => {
                let Some(&id) = self.running.iter().nth(usize::from(which) % self.running.len().max(1))
                else {
                    return;
                };
                self.running.remove(&id);
                let outcome = match how {
                    0 => answer(),
                    1 => fault(Retry::Function),
                    2 => fault(Retry::Platform),
                    3 => fault(Retry::Never),
                    _ => DeliveryOutcome::Dropped,
                };
                self.backlog.end(self.now, id, outcome, Vec::new());
            }
            Event::Wait(ms) => self.now += u64::from(ms),
            Event::Crash => {
                self.running.clear();
                self.backlog = Backlog::new(SMALL);
                for delivery in self.kept.values() {
                    self.backlog.restore(self.now, delivery.clone());
                }
            }
        }
        self.keep();
        self.check();
    }

    fn keep(&mut self) {
        for id in self.backlog.take_touched() {
            match self.backlog.find(id) {
                Some(delivery) => _ = self.kept.insert(id, delivery.clone()),
                None => {
                    let gone = self.kept.remove(&id);
                    assert!(gone.is_none_or(|gone| gone.ended_at_ms().is_some()), "{id} was lost");
                }
            }
        }
    }

    fn check(&mut self) {
        for id in &self.accepted {
            let Some(delivery) = self.backlog.find(*id) else {
                assert!(self.ended.contains_key(id), "{id} was lost");
                continue;
            };
            assert_eq!(Some(delivery), self.kept.get(id));
            assert_eq!(delivery.state == DeliveryState::Running, self.running.contains(id));
            assert!(delivery.function_faults <= 3);
            if delivery.ended_at_ms().is_some() {
                let state = delivery.state.as_str();
                assert_eq!(*self.ended.entry(*id).or_insert(state), state, "an end is final");
            }
        }
        let of_function =
            |name| self.backlog.of(&function(name)).filter(|d| d.state == DeliveryState::Running).count();
        assert!(self.running.len() <= SMALL.running && of_function("a") <= SMALL.running_per_function);
        assert_eq!(self.backlog.running(), self.running.len());
        assert!(self.kept.len() <= SMALL.deliveries);
    }

    /// Everything that is left is run.
    fn finish(&mut self) {
        for how in [0, 1, 2].into_iter().cycle().take(10_000) {
            self.meet(Event::Begin);
            self.meet(Event::End(how, how));
            if self.running.is_empty() {
                let Some(due) = self.backlog.next_due_ms() else { return };
                self.now = self.now.max(due);
            }
        }
        panic!("it does not end");
    }
}

proptest! {
    #[test]
    fn every_accepted_invocation_ends_once_whatever_happens(events in prop::collection::vec(any_event(), 0..200)) {
        let mut world = World::new();
        for event in events {
            world.meet(event);
        }
        world.finish();
        prop_assert_eq!(world.backlog.waiting(), 0);
        prop_assert_eq!(world.ended.keys().copied().collect::<BTreeSet<_>>(), world.accepted);
    }
}
