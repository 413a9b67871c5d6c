//! Pools: how many containers of a runtime wait for functions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fleet::PoolCounts;
use crate::limits::{
    POOL_MEMORY_DEFAULT_MB, POOL_MEMORY_MAX_MB, REFILL_DEFAULT_PER_S, REFILL_MAX_PER_S, WARM_MAX,
    WARM_MAX_DEFAULT, WARM_MIN_DEFAULT,
};
use crate::{Code, Faults, Name, Problem, number};

/// What a pool shall be.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewPool {
    /// Warm containers that it keeps at least, 0 to 1000; 2 unless given.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_warm: Option<i64>,
    /// Warm containers that it keeps at most, 0 to 1000; 16 unless given, or the least if that is more.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_warm: Option<i64>,
    /// Most containers that it makes a second, 1 to 1000; 20 unless given.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refill_per_s: Option<i64>,
    /// MiB of memory that its environments may have together: what their functions may use, and 32 for each container without a function;
    /// 1 to 1048576; 16384 unless given.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_048_576)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<i64>,
}

/// A valid pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The runtime of its containers.
    pub runtime: Name,
    /// Warm containers that it keeps at least.
    pub min_warm: u32,
    /// Warm containers that it keeps at most.
    pub max_warm: u32,
    /// Most containers that it makes a second.
    pub refill_per_s: u32,
    /// Memory that its environments may have together. MiB.
    pub memory_mb: u32,
    /// What was asked for, as it is kept.
    pub asked: NewPool,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PoolView {
    /// The runtime of its containers.
    pub runtime: String,
    /// Warm containers that it keeps at least.
    pub min_warm: u32,
    /// Warm containers that it keeps at most.
    pub max_warm: u32,
    /// Most containers that it makes a second.
    pub refill_per_s: u32,
    /// MiB of memory that its environments may have together.
    pub memory_mb: u32,
    /// Why there are none on this machine, if the runtime cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
    /// What it has now, if this daemon runs functions; for the local administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<PoolCounts>,
    /// Counts changes of what was asked for, 0 as long as nobody has asked; the resource's ETag.
    pub revision: u64,
}

impl NewPool {
    /// Checks everything, and fills in what was left out.
    pub fn validate(self, runtime: Name) -> Result<Pool, Problem> {
        let asked = self.clone();
        let mut faults = Faults::default();
        let min_warm = faults.take(number::within("min_warm", self.min_warm, 0..=WARM_MAX, WARM_MIN_DEFAULT));
        let most = WARM_MAX_DEFAULT.max(min_warm.unwrap_or_default());
        let max_warm = faults.take(number::within("max_warm", self.max_warm, 0..=WARM_MAX, most));
        let refill_per_s =
            number::within("refill_per_s", self.refill_per_s, 1..=REFILL_MAX_PER_S, REFILL_DEFAULT_PER_S);
        let refill_per_s = faults.take(refill_per_s);
        let memory_mb =
            number::within("memory_mb", self.memory_mb, 1..=POOL_MEMORY_MAX_MB, POOL_MEMORY_DEFAULT_MB);
        let memory_mb = faults.take(memory_mb);
        if let (Some(min), Some(max)) = (min_warm, max_warm)
            && min > max
        {
            let detail = format!("at least {min} and at most {max} contradict each other");
            faults.note(Problem::new(Code::InvalidNumber, detail).at("max_warm"));
        }
        let pool = || {
            let (min_warm, max_warm) = (min_warm?, max_warm?);
            let (refill_per_s, memory_mb) = (refill_per_s?, memory_mb?);
            Some(Pool { runtime, min_warm, max_warm, refill_per_s, memory_mb, asked })
        };
        let pool = pool();
        faults.end(pool)
    }
}

impl Pool {
    /// The pool of a runtime for which nobody has asked anything.
    pub fn of(runtime: Name) -> Self {
        NewPool::default().validate(runtime).expect("what is left out is right")
    }

    /// What clients see.
    pub(crate) fn view(&self, revision: u64) -> PoolView {
        PoolView {
            runtime: self.runtime.to_string(),
            min_warm: self.min_warm,
            max_warm: self.max_warm,
            refill_per_s: self.refill_per_s,
            memory_mb: self.memory_mb,
            unavailable: None,
            counts: None,
            revision,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> Name {
        Name::parse("runtime", "python3".into()).unwrap()
    }

    #[test]
    fn what_was_left_out_is_filled_in() {
        let pool = Pool::of(runtime());
        assert_eq!((pool.min_warm, pool.max_warm, pool.refill_per_s, pool.memory_mb), (2, 16, 20, 16_384));
        let many = NewPool { min_warm: Some(100), ..NewPool::default() };
        assert_eq!(many.validate(runtime()).unwrap().max_warm, 100);
    }

    #[test]
    fn numbers_are_checked_below_and_above_every_limit() {
        type Set = fn(&mut NewPool, i64);
        let fields: [(&str, i64, i64, Set); 4] = [
            ("min_warm", 0, 1_000, |pool, n| pool.min_warm = Some(n)),
            ("max_warm", 2, 1_000, |pool, n| pool.max_warm = Some(n)),
            ("refill_per_s", 1, 1_000, |pool, n| pool.refill_per_s = Some(n)),
            ("memory_mb", 1, 1_048_576, |pool, n| pool.memory_mb = Some(n)),
        ];
        for (field, least, most, set) in fields {
            for (number, right) in [(least - 1, false), (least, true), (most, true), (most + 1, false)] {
                let mut new = NewPool::default();
                set(&mut new, number);
                match new.validate(runtime()) {
                    Ok(_) => assert!(right, "{field} {number}"),
                    Err(problem) => {
                        assert!(!right, "{problem}");
                        assert_eq!((problem.code(), problem.field()), (Code::InvalidNumber, Some(field)));
                    }
                }
            }
        }
    }
}
