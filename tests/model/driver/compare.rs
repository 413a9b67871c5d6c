//! What the engines say of themselves, and what the model says.

use std::collections::{BTreeMap, BTreeSet};

use gateway_core::{AttachmentId, Instant, Link, Protocol, SessionQuery, UplinkId};

use super::{Checked, Driver};
use crate::model::{Key, Model};

impl Driver {
    /// The number of sessions.
    pub(super) fn compare_counts(&self) -> Checked {
        let live: usize = self.world.engines.iter().map(gateway_core::Engine::session_count).sum();
        let expected = self.model.sessions.len();
        if live == expected { Ok(()) } else { Err(format!("{live} sessions, expected {expected}")) }
    }

    /// Every session, and every count.
    pub(super) fn compare_all(&self) -> Checked {
        self.compare_counts()?;
        for worker in 0..self.world.engines.len() {
            self.compare_sessions(worker)?;
            self.compare_ports(worker)?;
            self.compare_links(worker)?;
        }
        Ok(())
    }

    fn compare_sessions(&self, worker: usize) -> Checked {
        for view in self.world.sessions(worker, &SessionQuery::default()) {
            let key: Key = (view.attachment, (view.protocol, view.internal, view.remote));
            let session =
                self.model.sessions.get(&key).ok_or_else(|| format!("{view:?} is not to be there"))?;
            let mapping = &self.model.mappings[&session.mapping];
            let found = (view.connector, view.uplink, view.external, view.state);
            let expected = (session.connector, mapping.scope.1, mapping.external, session.state);
            if found != expected || self.world.now + view.expires_in != session.expires {
                let left = session.expires.since(Instant::ZERO);
                return Err(format!("{view:?}, expected {expected:?} until {left:?}"));
            }
            let space = &self.spaces[&view.uplink];
            let (address, port) = (view.external.ip(), view.external.port());
            let owner = space.index_of(address).map(|_| space.owner_of(address, view.protocol, port));
            if owner.is_some_and(|owner| usize::from(owner) != worker) {
                return Err(format!("{view:?} is with worker {worker}, not {owner:?}"));
            }
        }
        Ok(())
    }

    fn compare_ports(&self, worker: usize) -> Checked {
        for found in self.world.engines[worker].port_use() {
            let expected = self.model.ports((found.uplink, found.protocol, found.external), worker as u32);
            if (found.used, found.free) != expected {
                return Err(format!("{found:?}, expected {expected:?}"));
            }
        }
        Ok(())
    }

    /// Sessions of each link.
    fn compare_links(&self, worker: usize) -> Checked {
        let mut expected: BTreeMap<Link, u64> = BTreeMap::new();
        for ((id, _), session) in
            self.model.sessions.iter().filter(|(key, _)| self.world.worker(key.0) == worker)
        {
            let uplink = self.model.mappings[&session.mapping].scope.1;
            *expected.entry(Link::Attachment(*id)).or_default() += 1;
            *expected.entry(Link::Uplink(uplink)).or_default() += 1;
        }
        for report in self.world.engines[worker].counters() {
            let expected = expected.get(&report.link).copied().unwrap_or(0);
            if report.sessions != expected {
                return Err(format!("{} has {} sessions, expected {expected}", report.link, report.sessions));
            }
        }
        Ok(())
    }

    /// At the end: every container goes, and every count is zero again once ports have rested.
    pub(super) fn remove_everything(&mut self) -> Checked {
        self.compare_all()?;
        let containers: Vec<AttachmentId> = self.model.containers.keys().copied().collect();
        for id in containers {
            self.remove_container(id)?;
        }
        self.compare_all()?;
        let later = self.model.now + gateway_core::limits::PORT_REST;
        self.model.advance(later);
        self.world.advance(later);
        for engine in &self.world.engines {
            if let Some(left) = engine.port_use().iter().find(|ports| ports.used > 0) {
                return Err(format!("left: {left:?}"));
            }
        }
        if let Some((_, _, quota)) = self.quotas.values().find(|(_, _, quota)| quota.used() > 0) {
            return Err(format!("left of a quota: {quota:?}"));
        }
        self.compare_all()?;
        let uplinks: Vec<UplinkId> = self.model.uplinks.keys().copied().collect();
        for id in uplinks {
            self.remove_uplink(id)?;
        }
        self.compare_counts()
    }
}

impl Model {
    /// Ports of an external address: what a worker has, and what nobody has.
    fn ports(&self, at: (UplinkId, Protocol, std::net::IpAddr), worker: u32) -> (u32, u32) {
        let here = self.mappings.values().filter(|m| (m.scope.1, m.scope.2, m.external.ip()) == at);
        let taken: BTreeSet<(u16, u32)> =
            here.map(|m| (m.external.port(), m.scope.0.0 % self.workers)).collect();
        let used = taken.iter().filter(|(_, of)| *of == worker).count();
        let ports = &self.uplinks[&at.0].1;
        let free = ports.len() - taken.iter().filter(|(port, _)| ports.contains(port)).count();
        (used as u32, free as u32)
    }
}
