//! The port quotas of connectors, each shared by all containers that have the connector.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use control_core::ConnectorId;
use gateway::PortQuota;

/// Has the quota of every connector that was ever attached and is not deleted: the ports of one container are still counted when
/// the next one comes.
#[derive(Default)]
pub(super) struct Quotas(Mutex<HashMap<ConnectorId, PortQuota>>);

impl Quotas {
    /// The connector's quota, of `limit` ports if nobody has asked for it yet.
    pub(super) fn of(&self, connector: ConnectorId, limit: Option<u32>) -> PortQuota {
        self.all().entry(connector).or_insert_with(|| PortQuota::new(limit)).clone()
    }

    /// External ports that the connector's containers have together.
    pub(super) fn used(&self, connector: ConnectorId) -> u32 {
        self.all().get(&connector).map_or(0, PortQuota::used)
    }

    /// Forgets those of connectors that do not exist any more.
    pub(super) fn retain(&self, exists: impl Fn(ConnectorId) -> bool) {
        self.all().retain(|&connector, _| exists(connector));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ConnectorId, PortQuota>> {
        // Nothing is left half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_lives_as_long_as_its_connector() {
        let quotas = Quotas::default();
        for id in [1, 2, 1] {
            quotas.of(ConnectorId(id), Some(7));
        }
        assert_eq!(quotas.all().len(), 2);
        quotas.retain(|connector| connector == ConnectorId(2));
        assert_eq!(quotas.all().keys().collect::<Vec<_>>(), [&ConnectorId(2)]);
    }
}
