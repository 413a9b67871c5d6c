//! One function, all its versions together: how many environments it may have, and what is kept free for it.

use crate::Name;

/// One function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) runtime: Name,
    pub(super) concurrency: Option<u32>,
    pub(super) memory_mb: u32,
    /// Its versions that are known.
    pub(super) versions: usize,
    /// Those that initialise, wait or serve.
    pub(super) environments: usize,
    /// What all its environments are counted as, those that leave included. MiB.
    pub(super) used_mb: u64,
    /// Requests that wait.
    pub(super) waiting: usize,
}

/// Requests that may wait for each environment that a function may have.
const WAITING_PER_ENVIRONMENT: usize = 4;

impl Function {
    /// How many more environments it may have.
    pub(super) fn free(&self) -> usize {
        let limit = self.concurrency.map_or(usize::MAX, |limit| limit as usize);
        limit.saturating_sub(self.environments)
    }

    /// Whether another request has to be turned away: one may wait for each environment that may still come, and a few for each
    /// that may be there at all.
    pub(super) fn is_crowded(&self) -> bool {
        let limit = self.concurrency.map_or(usize::MAX, |limit| limit as usize);
        self.waiting >= limit.saturating_mul(WAITING_PER_ENVIRONMENT).saturating_add(self.free())
    }

    /// What is kept free for it, and not in use. MiB.
    pub(super) fn reserved_mb(&self) -> u64 {
        let reserved =
            self.concurrency.map_or(0, |concurrency| u64::from(concurrency) * u64::from(self.memory_mb));
        reserved.saturating_sub(self.used_mb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(concurrency: Option<u32>, environments: usize, waiting: usize) -> Function {
        let runtime = Name::parse("runtime", "python3".into()).unwrap();
        let used_mb = environments as u64 * 128;
        Function { runtime, concurrency, memory_mb: 128, versions: 1, environments, used_mb, waiting }
    }

    #[test]
    fn four_may_wait_for_each_environment_besides_those_for_which_one_may_come() {
        for (concurrency, environments, waiting, crowded) in [
            (Some(0), 0, 0, true),
            (Some(1), 0, 4, false),
            (Some(1), 0, 5, true),
            (Some(1), 1, 3, false),
            (Some(1), 1, 4, true),
            (Some(10), 10, 39, false),
            (Some(10), 10, 40, true),
            (None, 100, 999, false),
        ] {
            let found = function(concurrency, environments, waiting).is_crowded();
            assert_eq!(found, crowded, "{concurrency:?} {environments} {waiting}");
        }
    }

    #[test]
    fn what_is_reserved_and_in_use_is_not_reserved_any_more() {
        for (concurrency, environments, reserved) in [(None, 3, 0), (Some(4), 1, 384), (Some(4), 5, 0)] {
            assert_eq!(function(concurrency, environments, 0).reserved_mb(), reserved);
        }
    }
}
