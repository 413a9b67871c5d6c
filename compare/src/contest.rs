//! Rounds: every subject has its turn at every kind of traffic, in an order that turns as well.

use std::thread;
use std::time::{Duration, Instant};

use crate::arguments::Plan;
use crate::bout;
use crate::load::cpu::Meter;
use crate::metric::Traffic;
use crate::result::Results;
use crate::subject::{Programs, Stand, Subject};

/// Brings up the subjects, one beside the other. Those that cannot are in the results with the reason.
pub fn stands(subjects: &[Subject], programs: &Programs, results: &mut Results) -> Vec<Stand> {
    let mut stands = Vec::new();
    for subject in subjects {
        match subject.stand(programs) {
            Ok(stand) => {
                stand.pause();
                stands.push(stand);
            }
            Err(error) => {
                eprintln!("{}: cannot be compared: {error}", subject.name());
                results.absent(subject.name(), None, &error);
            }
        }
    }
    stands
}

/// Says what the machine works while nobody has a turn: the subjects' programs are stopped, so that it is what others do.
pub fn background(results: &mut Results) {
    let Ok(meter) = Meter::start() else { return };
    thread::sleep(LOOK);
    let Ok(time) = meter.stop() else { return };
    let cores = time.busy / time.span.as_secs_f64();
    results.settings.insert("background_cores".into(), cores.into());
    if cores > QUIET {
        eprintln!("others keep {cores:.2} processors busy: times and rates are theirs as well");
    }
}

/// How long it is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Processors that a machine without other work may have busy.
const QUIET: f64 = 0.05;

/// Lets them compete.
///
/// Subjects follow each other at the same traffic, within seconds, so that what the machine does slowly falls on all of
/// them. Who begins changes with every traffic and round, so that nobody always has the same one before it.
pub fn rounds(stands: &[Stand], plan: &Plan, results: &mut Results) {
    let start = Instant::now();
    for round in 0..plan.rounds {
        // As long as those before it took, on average.
        let expected = start.elapsed() + start.elapsed() / (round as u32).max(1);
        if expected > plan.budget {
            eprintln!("no time for round {} of {}", round + 1, plan.rounds);
            results.settings.insert("rounds_without_time".into(), (plan.rounds - round).into());
            break;
        }
        for (nth, traffic) in plan.traffics.iter().enumerate() {
            for stand in turned(stands, round + nth) {
                one(stand, *traffic, round, plan, results);
            }
        }
        eprintln!("round {} of {} done after {} s", round + 1, plan.rounds, start.elapsed().as_secs());
    }
}

fn one(stand: &Stand, traffic: Traffic, round: usize, plan: &Plan, results: &mut Results) {
    let name = stand.subject.name();
    match bout::run(stand, traffic, plan.lengths) {
        Ok(values) => {
            for (metric, value) in values.into_iter().filter(|(metric, _)| plan.metrics.contains(metric)) {
                eprintln!("  {:>2}  {:<22} {name:<12} {value:.6}", round + 1, metric.name());
                results.add(metric, name, value);
            }
        }
        Err(refusal) => {
            let metrics = traffic.metrics();
            eprintln!("  {:>2}  {:<22} {name:<12} refused: {refusal}", round + 1, metrics[0].name());
            results.refuse(name, metrics, round + 1, &refusal);
        }
    }
}

/// All of them, in another order each time: another one begins, and each has others before it.
pub(crate) fn turned<T>(all: &[T], by: usize) -> impl Iterator<Item = &T> {
    let count = all.len();
    // Steps without a common divisor with the count visit everybody once.
    let steps: Vec<_> = (1..count.max(2)).filter(|step| divisor(*step, count) == 1).collect();
    let step = steps.get(by.checked_rem(steps.len()).unwrap_or_default()).copied().unwrap_or(1);
    (0..count).map(move |nth| &all[(by + nth * step) % count])
}

/// The greatest common one.
const fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everybody_has_one_turn_and_the_order_differs() {
        for count in 1..9 {
            let all: Vec<_> = (0..count).collect();
            let mut orders = BTreeSet::new();
            for by in 0..count {
                let order: Vec<_> = turned(&all, by).copied().collect();
                assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), count, "{order:?}");
                orders.insert(order);
            }
            assert_eq!(orders.len(), count, "{orders:?}");
        }
        assert_eq!(turned::<u8>(&[], 5).count(), 0);
    }

    #[test]
    fn nobody_of_seven_always_follows_the_same_one() {
        let all: Vec<_> = (0..7).collect();
        let orders: Vec<Vec<_>> = (0..5).map(|by| turned(&all, by).copied().collect()).collect();
        for one in 0..7 {
            let before = |order: &Vec<i32>| {
                let place = order.iter().position(|other| *other == one)?;
                order.get(place.checked_sub(1)?).copied()
            };
            let before: Vec<_> = orders.iter().filter_map(before).collect();
            assert!(before.iter().collect::<BTreeSet<_>>().len() > 2, "{one} follows {before:?}");
        }
    }
}
