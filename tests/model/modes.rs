//! Every mapping and filtering mode, with one worker and with two.

use gateway_core::{Filtering, MappingMode};

use crate::driver::{Driver, Pace, Settings, Tally};

/// Steps of each mode, unless `WHARF_MODEL_STEPS` says otherwise.
const STEPS: u64 = 40_000;

pub(crate) fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// The seed of this run: always the same, so that a change is what makes the difference, unless `WHARF_MODEL_SEED` says otherwise.
pub(crate) fn seed() -> u64 {
    let seed = environment("WHARF_MODEL_SEED").unwrap_or(1);
    println!("WHARF_MODEL_SEED={seed}");
    seed
}

fn run(mapping: MappingMode, filtering: Filtering, workers: u16) -> Tally {
    let steps = environment("WHARF_MODEL_STEPS").unwrap_or(STEPS);
    let tally =
        Driver::new(Settings { mapping, filtering, workers, seed: seed(), steps, pace: Pace::Leaps }).run();
    println!("{mapping:?} {filtering:?}: {tally:?}");
    // A run that has not met these has tested nothing.
    let packets = [tally.sent, tally.hairpins, tally.entered, tally.filtered, tally.errors, tally.whole];
    let policies = [tally.quota, tally.denied, tally.revised];
    assert!(packets.iter().chain(&policies).all(|&n| n > steps / 10_000), "{tally:?}");
    // These take a while to come about.
    assert!(steps < 100_000 || tally.exhausted > 0 && tally.gave_up > 0 && tally.refused > 0, "{tally:?}");
    tally
}

macro_rules! modes {
    ($($name:ident: $mapping:ident, $filtering:ident;)+) => {
        $(#[test]
        fn $name() {
            run(MappingMode::$mapping, Filtering::$filtering, 1);
        })+
    };
}

modes! {
    eim_with_eif_does_what_the_model_does: EndpointIndependent, EndpointIndependent;
    eim_with_adf_does_what_the_model_does: EndpointIndependent, AddressDependent;
    eim_with_apdf_does_what_the_model_does: EndpointIndependent, AddressAndPortDependent;
    adm_with_eif_does_what_the_model_does: AddressDependent, EndpointIndependent;
    adm_with_adf_does_what_the_model_does: AddressDependent, AddressDependent;
    adm_with_apdf_does_what_the_model_does: AddressDependent, AddressAndPortDependent;
    apdm_with_eif_does_what_the_model_does: AddressAndPortDependent, EndpointIndependent;
    apdm_with_adf_does_what_the_model_does: AddressAndPortDependent, AddressDependent;
    apdm_with_apdf_does_what_the_model_does: AddressAndPortDependent, AddressAndPortDependent;
}

#[test]
fn two_workers_do_what_the_model_does_and_no_session_is_with_the_wrong_one() {
    for mapping in [MappingMode::EndpointIndependent, MappingMode::AddressAndPortDependent] {
        let tally = run(mapping, Filtering::default(), 2);
        assert!(tally.hand_offs > 0);
    }
}

/// One simulated hour with all its timers. The model looks at all sessions at each step, so that there are 200,000 steps at most.
#[test]
fn an_hour_of_mixed_load_keeps_every_count_equal_to_the_models() {
    let steps = environment("WHARF_MODEL_STEPS").unwrap_or(STEPS).min(200_000);
    let (mapping, filtering) = (MappingMode::default(), Filtering::default());
    let settings = Settings { mapping, filtering, workers: 2, seed: seed(), steps, pace: Pace::AnHour };
    let tally = Driver::new(settings).run();
    println!("{tally:?}");
    assert!(tally.came > steps / 40 && tally.opened > steps / 100, "{tally:?}");
}
