//! What the control plane changes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gateway_core::MappingMode::{AddressAndPortDependent, EndpointIndependent};
use gateway_core::{AttachmentId, ConnectorConfig, ConnectorId, Filtering, Protocol, Publication, UplinkId};

use super::{Key, Mapping, Model, Policy, Session, is_allowed, is_open, reaches, scope};

impl Model {
    /// Attaches a connector, or changes its policy, which ends sessions that it does not allow; `false`: refused, nothing has changed.
    pub(crate) fn attach(&mut self, id: AttachmentId, policy: Policy) -> bool {
        let c = &policy.0;
        let container = &self.containers[&id];
        let mut others = container.policies.values().filter(|(other, _)| other.id != c.id);
        let tie = others.any(|(other, _)| other.destinations.iter().any(|d| c.destinations.contains(d)));
        let published = if c.translation { &c.publications[..] } else { &[] };
        let foreign_address = c.external.iter().flatten().any(|a| !self.uplinks[&c.uplink].0.contains(a));
        let foreign =
            |p: &Publication| !container.addresses.iter().any(|a| a.is_ipv4() == p.external.is_ipv4());
        let taken = |p: &Publication| {
            let own = |m: &Mapping| m.publication.is_some() && (m.scope.0, m.connector) == (id, c.id);
            let at = (c.uplink, p.protocol, p.external);
            !self.uplinks[&c.uplink].0.contains(&p.external.ip())
                || self.mappings.values().any(|m| (m.scope.1, m.scope.2, m.external) == at && !own(m))
        };
        let mut seen = BTreeSet::new();
        let twice = c.publications.iter().any(|p| !seen.insert((p.protocol, p.external)));
        let mut neighbors = self.containers.iter().filter(|other| *other.0 != id).map(|other| other.1);
        let mut own = container.addresses.iter();
        let overlaps = neighbors.any(|other| own.clone().any(|&address| other.is_routed(c.uplink, address)));
        let external = own.any(|address| self.uplinks[&c.uplink].0.contains(address));
        let foreign = c.publications.iter().any(foreign);
        if foreign_address
            || tie
            || twice
            || foreign
            || published.iter().any(taken)
            || !c.translation && (overlaps || external)
        {
            return false;
        }
        self.unpublish(id, c.id, published);
        for &publication in published {
            let Publication { protocol, external, internal_port } = publication;
            if !self.mappings.values().any(|m| m.connector == c.id && m.publication == Some(publication)) {
                let like = |a: &&std::net::IpAddr| a.is_ipv4() == external.is_ipv4();
                let own = *self.containers[&id].addresses.iter().find(like).expect("checked");
                let flow = (protocol, (own, internal_port).into(), external);
                let mut any = c.clone();
                any.mapping = EndpointIndependent;
                self.map(scope((id, flow), &any), &policy, external, Some(publication));
            }
        }
        for m in self.mappings.values_mut().filter(|m| m.scope.0 == id && m.quota.is_some()) {
            m.rests_afterwards |= is_open(&policy.0, m.scope);
        }
        let (connector, uplink) = (policy.0.id, policy.0.uplink);
        let old = self.containers.get_mut(&id).expect("known").policies.insert(connector, policy);
        self.unroute(id, uplink);
        if let Some((old, _)) = old {
            self.enforce(id, connector, &old);
        }
        true
    }

    /// Ends the sessions of a connector that its policy does not allow any more.
    fn enforce(&mut self, id: AttachmentId, connector: ConnectorId, old: &ConnectorConfig) {
        let own = |(key, s): &(&Key, &Session)| key.0 == id && s.connector == connector;
        let (called, calling): (Vec<Key>, Vec<Key>) = {
            let keys = self.sessions.iter().filter(own).map(|(key, _)| *key);
            keys.partition(|key| self.sessions[key].called)
        };
        let kept = |key: &&Key| self.is_still_allowed(**key, old, &[]);
        let contacts: Vec<_> =
            calling.iter().filter(kept).map(|key| (self.sessions[key].mapping, key.1.2.ip())).collect();
        let gone = |key: &Key| !self.is_still_allowed(*key, old, &contacts);
        let gone: Vec<Key> = calling.into_iter().chain(called).filter(gone).collect();
        self.end_all(gone);
    }

    fn is_still_allowed(&self, key: Key, old: &ConnectorConfig, contacts: &[(u64, IpAddr)]) -> bool {
        let (id, (protocol, _, remote)) = key;
        let session = &self.sessions[&key];
        let m = &self.mappings[&session.mapping];
        let (c, _) = &self.containers[&id].policies[&session.connector];
        let published = m.publication.is_some();
        let routed = match self.route(id, remote) {
            _ if session.called && published => reaches(c, remote).is_some(),
            route => route.is_some_and(|(other, _)| other.id == c.id),
        };
        let filtering = |c: &ConnectorConfig| match (c.mapping, protocol) {
            (AddressAndPortDependent, _) => Filtering::AddressAndPortDependent,
            (_, Protocol::Udp) => c.udp_filtering,
            _ => c.filtering,
        };
        let lets_in = !session.called
            || published
            || filtering(c) == filtering(old)
            || match filtering(c) {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => contacts.contains(&(session.mapping, remote.ip())),
                Filtering::AddressAndPortDependent => false,
            };
        let mapped = m.scope.4 == c.translation && (published || m.scope == scope(key, c));
        let rules = is_allowed(c, protocol, remote, !session.called);
        routed && lets_in && mapped && rules && self.may_use(m, c)
    }

    /// Ends publications that are not to stay, and their sessions.
    fn unpublish(&mut self, id: AttachmentId, connector: ConnectorId, stay: &[Publication]) {
        let ends = |m: &Mapping| m.publication.is_some_and(|p| !stay.contains(&p));
        let of = |m: &Mapping| (m.scope.0, m.connector) == (id, connector);
        let gone: Vec<u64> =
            self.mappings.iter().filter(|(_, m)| of(m) && ends(m)).map(|(id, _)| *id).collect();
        for mapping in gone {
            let keys: Vec<Key> = self.sessions_of(mapping).map(|(key, _)| *key).collect();
            self.mappings.get_mut(&mapping).expect("there").publication = None;
            self.end_all(keys);
            self.settle(mapping);
        }
    }

    /// Detaches a connector: its sessions end.
    pub(crate) fn detach(&mut self, id: AttachmentId, connector: ConnectorId) {
        let own = |key: &Key, c: ConnectorId| (key.0, c) == (id, connector);
        let keys: Vec<Key> =
            self.sessions.iter().filter(|(key, s)| own(key, s.connector)).map(|(key, _)| *key).collect();
        self.end_all(keys);
        self.unpublish(id, connector, &[]);
        let gone = self.containers.get_mut(&id).expect("known").policies.remove(&connector);
        self.unroute(id, gone.expect("attached").0.uplink);
    }

    /// Ends what no answer finds any more: sessions of addresses that the VPC sees no longer.
    fn unroute(&mut self, id: AttachmentId, uplink: UplinkId) {
        let c = &self.containers[&id];
        if !c.addresses.iter().any(|&address| c.is_routed(uplink, address)) {
            let own = |m: &Mapping| (m.scope.0, m.scope.1, m.scope.4) == (id, uplink, false);
            let keys: Vec<Key> = self
                .sessions
                .iter()
                .filter(|(_, s)| own(&self.mappings[&s.mapping]))
                .map(|(key, _)| *key)
                .collect();
            self.end_all(keys);
        }
    }

    pub(crate) fn remove_container(&mut self, id: AttachmentId) {
        let connectors: Vec<ConnectorId> = self.containers[&id].policies.keys().copied().collect();
        for connector in connectors {
            self.detach(id, connector);
        }
        self.containers.remove(&id);
    }

    pub(crate) fn remove_uplink(&mut self, uplink: UplinkId) {
        let policies =
            self.containers.iter().flat_map(|(id, c)| c.policies.values().map(|p| (*id, p.0.uplink, p.0.id)));
        let joined: Vec<_> = policies.filter(|p| p.1 == uplink).collect();
        for (id, _, connector) in joined {
            self.detach(id, connector);
        }
        self.mappings.retain(|_, m| m.scope.1 != uplink);
        self.uplinks.remove(&uplink);
    }
}
