//! Every order of everything that can happen to two events, and what each must come to.

use std::collections::HashMap;
use std::time::SystemTime;

use super::*;

/// What can happen. Two ids are enough for all that goes wrong with ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Offer,
    Ask,
    Take,
    Vanish,
    Answer(usize),
    Stream(usize),
    EndStream,
    Hear,
    Forget,
    InitError,
    End,
}

const STEPS: &[Step] = &[
    Step::Offer,
    Step::Ask,
    Step::Take,
    Step::Vanish,
    Step::Answer(0),
    Step::Answer(1),
    Step::Stream(0),
    Step::EndStream,
    Step::Hear,
    Step::Forget,
    Step::InitError,
    Step::End,
];

const IDS: [&str; 2] = ["id-0", "id-1"];

/// A state, and what a reader of the specification expects of it.
struct World {
    state: State<usize>,
    /// The offer that somebody waits for, and its number.
    waits: Option<(Ticket, usize)>,
    offers: usize,
    /// How often each event was given out since it was last given back.
    out: HashMap<usize, usize>,
    /// The last event that the runtime got.
    has: Option<Ticket>,
    /// Answers that the runtime was told are taken, by offer.
    taken: Vec<usize>,
    /// Answers that whoever waited got.
    heard: Vec<usize>,
}

impl World {
    fn new() -> Self {
        Self {
            state: State::default(),
            waits: None,
            offers: 0,
            out: HashMap::new(),
            has: None,
            taken: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// `false` if this cannot happen now.
    fn step(&mut self, step: Step) -> bool {
        match step {
            Step::Offer => return self.offer(),
            Step::Ask => _ = self.state.ask(),
            Step::Take => return self.take(),
            Step::Vanish => return self.vanish(),
            Step::Answer(id) => self.answer(IDS[id]),
            Step::Stream(id) => self.stream(IDS[id]),
            Step::EndStream => match self.has {
                Some(ticket) => self.state.end_stream(ticket),
                None => return false,
            },
            Step::Hear => return self.hear(),
            Step::Forget => match self.waits.take() {
                Some((ticket, _)) => self.state.forget(ticket),
                None => return false,
            },
            Step::InitError => _ = self.state.init_failed(FunctionError::new("x", "x")),
            Step::End => self.state.end(Fault::Removed),
        }
        true
    }

    fn offer(&mut self) -> bool {
        if self.waits.is_some() || self.offers == IDS.len() {
            return false;
        }
        let invocation = invocation(IDS[self.offers]);
        match self.state.offer(invocation, Duration::ZERO) {
            Ok(ticket) => self.waits = Some((ticket, self.offers)),
            Err(fault) => assert_eq!(Some(fault), self.state.fault()),
        }
        self.offers += 1;
        true
    }

    fn take(&mut self) -> bool {
        let Some(event) = self.state.take() else { return false };
        let number = IDS.iter().position(|id| *id == event.invocation.id).expect("one of ours");
        assert_eq!(self.waits, Some((event.ticket, number)), "nobody waits for what is handed over");
        let out = self.out.entry(number).or_default();
        *out += 1;
        assert_eq!(*out, 1, "handed over twice");
        self.has = Some(event.ticket);
        true
    }

    fn vanish(&mut self) -> bool {
        let Some(ticket) = self.has.take() else { return false };
        let number = usize::try_from(ticket.0).expect("small") - 1;
        self.state.undelivered(ticket);
        self.out.insert(number, 0);
        true
    }

    fn answer(&mut self, id: &str) {
        match self.state.running(id).map(|event| event.ticket) {
            Ok(ticket) => {
                let number = usize::try_from(ticket.0).expect("small") - 1;
                assert_eq!(IDS[number], id, "the answer of another event");
                assert_eq!(self.state.answer(ticket, Ok(number)), Ok(()), "it was said to be running");
                assert!(!self.taken.contains(&number), "taken twice");
                self.taken.push(number);
            }
            Err(refusal) => self.check(id, refusal),
        }
    }

    fn stream(&mut self, id: &str) {
        match self.state.running(id).map(|event| event.ticket) {
            Ok(ticket) => {
                let number = usize::try_from(ticket.0).expect("small") - 1;
                assert_eq!(self.state.begin_stream(ticket, number), Ok(()));
                assert!(!self.taken.contains(&number), "taken twice");
                self.taken.push(number);
                assert_eq!(self.state.stream_fault(ticket), self.state.fault());
            }
            Err(refusal) => self.check(id, refusal),
        }
    }

    /// Only what was answered can be in the wrong state.
    fn check(&self, id: &str, refusal: Refusal) {
        let answered = self.taken.iter().any(|number| IDS[*number] == id);
        assert!(refusal == Refusal::UnknownId || answered, "{id}: {refusal:?}");
    }

    fn hear(&mut self) -> bool {
        let Some((ticket, number)) = self.waits else { return false };
        let Some(outcome) = self.state.outcome(ticket) else { return false };
        match outcome {
            Ok(answer) => {
                assert_eq!(answer, number, "somebody else's answer");
                assert!(self.taken.contains(&number), "an answer that the runtime never gave");
                assert!(!self.heard.contains(&number), "heard twice");
                self.heard.push(number);
            }
            Err(Fault::Reported(error)) => assert_eq!(error.error_type, "Runtime.NoResponse"),
            Err(fault) => assert_eq!(Some(fault), self.state.fault()),
        }
        self.waits = None;
        self.state.forget(ticket);
        true
    }

    /// Whoever waits will hear something: the event is there for the runtime, or with it, or its outcome is known.
    fn check_nothing_is_lost(&self, path: &[Step]) {
        let Some((ticket, number)) = self.waits else { return };
        let state = &self.state;
        let offered = state.offered.as_ref().is_some_and(|event| event.ticket == ticket);
        let running =
            state.handed.as_ref().is_some_and(|h| h.event.ticket == ticket && h.stage == Stage::Running);
        let known = state.outcome.as_ref().is_some_and(|(of, _)| *of == ticket) || state.fault().is_some();
        let places = [offered, running].into_iter().filter(|place| *place).count();
        assert!(places == 1 || known, "event {number} is lost or doubled after {path:?}: {state:?}");
        if self.taken.contains(&number) {
            assert!(
                matches!(state.outcome, Some((of, Ok(_))) if of == ticket),
                "its answer is lost after {path:?}"
            );
        }
    }
}

fn invocation(id: &str) -> Invocation {
    Invocation { id: id.into(), payload: bytes::Bytes::new(), deadline: SystemTime::UNIX_EPOCH, trace: None }
}

#[test]
fn in_every_order_an_event_is_answered_once_or_its_taker_hears_why_not() {
    let mut orders = 0_u32;
    let mut paths: Vec<Vec<Step>> = vec![Vec::new()];
    while let Some(path) = paths.pop() {
        let mut world = World::new();
        // Every prefix was possible and was checked before it was extended.
        let possible = path.iter().all(|step| world.step(*step));
        if !possible {
            continue;
        }
        world.check_nothing_is_lost(&path);
        orders += 1;
        if path.len() < DEPTH {
            paths.extend(STEPS.iter().map(|step| [path.as_slice(), &[*step]].concat()));
        }
    }
    assert!(orders > 50_000, "only {orders}");
}

/// Enough for two events, each offered, asked for, taken, answered and heard, in part.
const DEPTH: usize = 6;

proptest::proptest! {
    #[test]
    fn in_long_orders_too(steps in proptest::collection::vec(0..STEPS.len(), 0..40)) {
        let mut world = World::new();
        let mut path = Vec::new();
        for step in steps {
            if world.step(STEPS[step]) {
                path.push(STEPS[step]);
                world.check_nothing_is_lost(&path);
            }
        }
    }
}

#[test]
fn a_bootstrap_is_assigned_once_after_it_asked() {
    let assignment = || Assignment {
        function: "f".into(),
        version: 1,
        handler: String::new(),
        command: None,
        environment: Vec::new(),
        code: crate::CodeId::NONE,
        memory_mb: 64,
        timeout: Duration::ZERO,
        dns_servers: Vec::new(),
    };
    let mut state = State::<()>::default();
    assert!(!state.is_warm());
    assert!(!state.assign(assignment()));
    state.bootstrap_asks();
    assert!(state.is_warm() && state.assignment().is_none());
    assert!(state.assign(assignment()));
    state.bootstrap_asks();
    assert!(state.assignment().is_some(), "asking again changes nothing");
    assert!(!state.assign(assignment()));

    let mut ended = State::<()>::default();
    ended.bootstrap_asks();
    ended.end(Fault::Removed);
    assert!(!ended.assign(assignment()));
}

#[test]
fn what_failed_to_load_stays_so() {
    let mut state = State::<()>::default();
    assert_eq!(state.initialised(), None);
    let error = FunctionError::new("Runtime.ImportModuleError", "x");
    assert_eq!(state.init_failed(error.clone()), Ok(()));
    assert_eq!(state.init_failed(error.clone()), Err(Refusal::WrongState));
    assert_eq!(state.ask(), Err(Refusal::WrongState));
    state.end(Fault::Removed);
    assert_eq!(state.initialised(), Some(Err(Fault::Init(error))));
}

#[test]
fn a_streams_successor_waits_for_its_end() {
    let mut state = State::<u8>::default();
    state.ask().expect("nothing failed");
    let first = state.offer(invocation("a"), Duration::ZERO).expect("nothing ended");
    state.take().expect("it is offered");
    state.begin_stream(first, 1).expect("it runs");
    assert_eq!(state.outcome(first), Some(Ok(1)));
    state.forget(first);
    assert_eq!(state.stream_fault(first), None, "nobody has to wait for it");
    let second = state.offer(invocation("b"), Duration::ZERO).expect("nothing ended");
    assert!(state.take().is_none());
    state.end_stream(first);
    assert_eq!(state.take().map(|event| event.ticket), Some(second));
}
