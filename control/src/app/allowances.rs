//! What all containers of a connector may have and do together: ports, packets, bits, sessions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use control_core::{ConnectorId, ConnectorSpec, Rates};
use gateway::{PortQuota, RateLimits};

use super::convert;

/// Has the allowance of every connector that is in use: what one container has taken of it counts when the next one comes.
#[derive(Default)]
pub(super) struct Allowances(Mutex<HashMap<ConnectorId, Allowance>>);

/// What all containers of one connector share, whichever worker serves them.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    pub(super) quota: PortQuota,
    pub(super) limits: RateLimits,
    rates: Rates,
}

impl Allowances {
    /// The connector's allowance, as its policy is now.
    pub(super) fn of(&self, connector: ConnectorId, spec: &ConnectorSpec) -> Allowance {
        let (limit, rates) = (spec.policy.translation.as_ref().and_then(|t| t.port_quota), spec.policy.rates);
        let mut all = self.all();
        let allowance = all.entry(connector).or_insert_with(|| Allowance {
            quota: PortQuota::new(limit),
            limits: convert::rate_limits(&rates),
            rates,
        });
        // Ports that are in use go on counting; buckets of another rate begin full.
        allowance.quota.set_limit(limit);
        if allowance.rates != rates {
            (allowance.limits, allowance.rates) = (convert::rate_limits(&rates), rates);
        }
        allowance.clone()
    }

    /// External ports that the connector's containers have together.
    pub(super) fn used(&self, connector: ConnectorId) -> u32 {
        self.all().get(&connector).map_or(0, |allowance| allowance.quota.used())
    }

    /// Forgets that of a connector that is idle, or does not exist any more.
    pub(super) fn forget(&self, connector: ConnectorId) {
        self.all().remove(&connector);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ConnectorId, Allowance>> {
        // Nothing is left half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use control_core::NewConnector;

    use super::*;

    #[test]
    fn an_allowance_lives_until_it_is_forgotten() {
        let allowances = Allowances::default();
        let new = NewConnector { name: "k".into(), vpc: "v".into(), ..NewConnector::default() };
        let spec = new.validate().unwrap();
        for id in [1, 2, 1] {
            allowances.of(ConnectorId(id), &spec);
        }
        assert_eq!(allowances.all().len(), 2);
        allowances.forget(ConnectorId(1));
        assert_eq!(allowances.all().keys().collect::<Vec<_>>(), [&ConnectorId(2)]);
    }
}
