//! Who gets a warm container, who has to make room, what is made anew, what goes.

use std::time::Duration;

use super::pool::Pool;
use super::version::Outlook;
use super::{Cause, EnvironmentId, Fleet, Reason, VersionKey};
use crate::Name;
use crate::limits::{ENVIRONMENTS, WARM_CONTAINER_MB};

/// How long a handler takes to load until that is known of its runtime.
const INIT_TIME: Duration = Duration::from_millis(100);

impl Fleet {
    /// Something has changed for a version: reckons what it needs, and acts on it.
    pub(super) fn settle_version(&mut self, now: Duration, key: &VersionKey) {
        let Some(version) = self.versions.get(key) else { return };
        let runtime = version.terms.runtime.clone();
        self.reckon(now, key);
        self.supply(now, &runtime);
        self.forget_if_over(key);
    }

    /// Something has changed for a pool: reckons what those need that would have more environments, and acts on it.
    pub(super) fn settle(&mut self, now: Duration, runtime: &Name) {
        for key in self.wanting(runtime) {
            self.reckon(now, &key);
        }
        self.supply(now, runtime);
    }

    /// Those that have been idle for as long as they are kept.
    pub(super) fn retire_kept(&mut self, now: Duration) {
        while let Some(&(until, id)) = self.expiries.first()
            && until <= now
        {
            let key = self.key_of(id);
            self.retire(now, id, Cause::KeptLongEnough);
            self.settle_version(now, &key);
        }
    }

    pub(super) fn retire_idle(&mut self, now: Duration, key: &VersionKey, cause: Cause) {
        while let Some(&(_, id)) = self.versions[key].idle.first() {
            self.retire(now, id, cause);
        }
    }

    /// Containers of the runtime cannot be made: those who wait for nothing else need not wait.
    pub(super) fn refuse_who_depends_on(&mut self, runtime: &Name) {
        let depends = |key: &&VersionKey| {
            let version = &self.versions[*key];
            version.terms.runtime == *runtime && !version.is_served()
        };
        let keys: Vec<_> = self.looks.keys().filter(depends).cloned().collect();
        for key in keys {
            self.refuse_waiting(&key, Reason::NoEnvironment);
            self.versions.get_mut(&key).expect("somebody waited for it").wanted = 0;
            self.looks.remove(&key);
        }
    }

    /// How many more environments a version wants, and when to look again.
    fn reckon(&mut self, now: Duration, key: &VersionKey) {
        let version = self.versions.get_mut(key).expect("whoever is waited for exists");
        let pool = &self.pools[&version.terms.runtime];
        let outlook = Outlook {
            warm: pool.warm.len(),
            creation: pool.creation_estimate(),
            init: pool.init_time.mean().unwrap_or(INIT_TIME),
        };
        version.wanted = version.count_wanted(now, outlook);
        if version.waiting.is_empty() {
            self.looks.remove(key);
        } else {
            self.looks.insert(key.clone(), version.look_at(now, outlook));
        }
    }

    /// Versions of a runtime that would have more environments: those first that have the fewest under way, and of them whoever
    /// waits longest.
    fn wanting(&self, runtime: &Name) -> Vec<VersionKey> {
        let wanting = self.looks.keys().filter_map(|key| {
            let version = self.versions.get(key)?;
            let wants = version.wanted > 0 && version.terms.runtime == *runtime;
            wants.then_some((version.init.len(), version.waiting.front()?.since, key))
        });
        let mut wanting: Vec<_> = wanting.collect();
        wanting.sort();
        wanting.into_iter().map(|(.., key)| key.clone()).collect()
    }

    fn supply(&mut self, now: Duration, runtime: &Name) {
        if self.is_stopping {
            self.pool(runtime).next_creation = None;
            return;
        }
        self.hand_out(now, runtime);
        self.refill(now, runtime);
        self.retire_surplus(now, runtime);
    }

    /// Warm containers go round, one for each version at a time.
    fn hand_out(&mut self, now: Duration, runtime: &Name) {
        self.pool(runtime).is_short_of_memory = false;
        let mut keys = self.wanting(runtime);
        while !keys.is_empty() {
            keys.retain(|key| self.begin_one(now, runtime, key) && self.versions[key].wanted > 0);
        }
    }

    /// Gives a version one more environment. Whether it could.
    fn begin_one(&mut self, now: Duration, runtime: &Name, key: &VersionKey) -> bool {
        let warm = self.pools[runtime].warm.first().map(|&(_, id)| id);
        if self.functions[&key.function].free() == 0 {
            let Some(sibling) = self.idle_sibling(key) else {
                // Who waits has to wait for those that there are.
                self.versions.get_mut(key).expect("it wants one").wanted = 0;
                return false;
            };
            if warm.is_none() {
                return false;
            }
            self.retire(now, sibling, Cause::MadeRoom);
        }
        if !self.make_room(now, runtime, key) {
            self.pool(runtime).is_short_of_memory = true;
            return false;
        }
        let Some(id) = warm else { return false };
        self.begin(now, id, key);
        self.versions.get_mut(key).expect("it has an environment").wanted -= 1;
        true
    }

    /// An environment of another version of the same function that does nothing.
    fn idle_sibling(&self, key: &VersionKey) -> Option<EnvironmentId> {
        let all = |version| VersionKey { function: key.function.clone(), version };
        let siblings = self.versions.range(all(0)..=all(u64::MAX));
        siblings.filter_map(|(_, version)| version.idle.first()).min().map(|&(_, id)| id)
    }

    /// Whether a version's environment has room in the memory. If it had it without those that nobody uses, they are sent away.
    fn make_room(&mut self, now: Duration, runtime: &Name, key: &VersionKey) -> bool {
        let needed = Needed::of(self, runtime, key);
        if needed.fits(&self.pools[runtime], 0, 0) {
            return true;
        }
        let candidates = self.dispensable(runtime, key);
        let total: u64 = candidates.iter().map(|id| u64::from(self.environments[id].charge_mb)).sum();
        let pool = &self.pools[runtime];
        let warm = (pool.warm.len() as u64).saturating_sub(1) * u64::from(WARM_CONTAINER_MB);
        let (leaving, serving) = (pool.leaving_mb, pool.leaving_serving_mb);
        if !needed.fits(pool, leaving + total + warm, serving + total) {
            return false;
        }
        let mut candidates = candidates.into_iter();
        loop {
            let pool = &self.pools[runtime];
            if needed.fits(pool, pool.leaving_mb, pool.leaving_serving_mb) {
                return false;
            }
            // The oldest is the one that will be given away.
            let spare = pool.warm.last().filter(|_| pool.warm.len() > 1).map(|&(_, id)| id);
            let Some(id) = candidates.next().or(spare) else { return false };
            self.retire(now, id, Cause::MadeRoom);
        }
    }

    /// Environments that may go for another, longest idle first. What is reserved for a function stays.
    fn dispensable(&self, runtime: &Name, key: &VersionKey) -> Vec<EnvironmentId> {
        let idle = self.pools[runtime].idle.iter().map(|&(_, id)| id);
        let may_go = |id: &EnvironmentId| {
            let owner = self.environments[id].version.as_ref().expect("it is idle");
            owner.function == key.function || self.functions[&owner.function].concurrency.is_none()
        };
        idle.filter(may_go).collect()
    }

    /// Makes what is missing, as far as it may be made now.
    fn refill(&mut self, now: Duration, runtime: &Name) {
        let unmet: usize = self.wanting(runtime).iter().map(|key| self.versions[key].wanted).sum();
        self.pool(runtime).next_creation = None;
        loop {
            let (count, pool) = (self.environments.len(), self.pool(runtime));
            let supply = pool.supply();
            let is_enough = supply >= pool.settings.min_warm + unmet;
            // What comes would only take more of the memory that somebody waits for.
            let is_in_the_way = pool.is_short_of_memory && supply > 0;
            if is_enough || is_in_the_way || !pool.has_slot() || !pool.has_room() || count >= ENVIRONMENTS {
                return;
            }
            let at = pool.creation_at();
            if at > now {
                pool.next_creation = Some(at);
                return;
            }
            let cause = if supply < unmet { Cause::Demand } else { Cause::Refill };
            self.create(now, runtime, cause);
        }
    }

    fn retire_surplus(&mut self, now: Duration, runtime: &Name) {
        loop {
            let pool = &self.pools[runtime];
            let most = pool.settings.max_warm.max(pool.settings.min_warm);
            let Some(&(_, id)) = pool.warm.first().filter(|_| pool.warm.len() > most) else { return };
            self.retire(now, id, Cause::Surplus);
        }
    }
}

/// What a new environment of a version needs of its pool's memory. MiB.
struct Needed {
    memory: u64,
    /// What is kept free for other functions.
    reserved: u64,
    /// What the warm container counts as that it is made from.
    saved: u64,
}

impl Needed {
    fn of(fleet: &Fleet, runtime: &Name, key: &VersionKey) -> Self {
        let others = fleet
            .functions
            .iter()
            .filter(|&(name, found)| *name != key.function && found.runtime == *runtime);
        let has_warm = !fleet.pools[runtime].warm.is_empty();
        Self {
            memory: u64::from(fleet.versions[key].terms.memory_mb),
            reserved: others.map(|(_, function)| function.reserved_mb()).sum(),
            saved: if has_warm { u64::from(WARM_CONTAINER_MB) } else { 0 },
        }
    }

    /// Whether it has room when so much has gone, and of that so much of functions.
    fn fits(&self, pool: &Pool, gone_mb: u64, gone_serving_mb: u64) -> bool {
        let most = u64::from(pool.settings.memory_mb);
        let serving = pool.serving_mb.saturating_sub(gone_serving_mb) + self.memory + self.reserved;
        let total = (pool.used_mb + self.memory).saturating_sub(gone_mb + self.saved);
        serving <= most && total <= most
    }
}

impl Pool {
    /// Whether another warm container fits into the memory.
    fn has_room(&self) -> bool {
        self.used_mb + u64::from(WARM_CONTAINER_MB) <= u64::from(self.settings.memory_mb)
    }
}
