//! The reference: what a correct NAT does, in maps and sets, from the RFCs and the documentation of the policies. It sees no
//! frames. What an engine may choose, addresses and ports, it checks and adopts.

mod config;
mod life;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use gateway_core::MappingMode::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
use gateway_core::{
    Action, AttachmentId, ConnectorConfig, ConnectorId, Filtering, Instant, Protocol, Publication,
};
use gateway_core::{Reason, SessionState, UdpRefresh, UplinkId};

/// Protocol, internal and remote endpoint, as the container sends.
pub(crate) type Flow = (Protocol, SocketAddr, SocketAddr);
pub(crate) type Key = (AttachmentId, Flow);
/// Sessions that are equal in this have one mapping. The last two: translated, and the remotes that it is for.
pub(crate) type Scope = (AttachmentId, UplinkId, Protocol, SocketAddr, bool, Option<(IpAddr, Option<u16>)>);
/// A connector, and which quota it has of how many ports.
pub(crate) type Policy = (ConnectorConfig, (u32, Option<u32>));
/// External addresses and ports of a VPC, and which of the addresses are reserved.
pub(crate) type Uplink = (Vec<IpAddr>, BTreeSet<u16>, BTreeSet<IpAddr>);
/// A session, and if it is new, by which mapping, if there is one, and connector.
pub(crate) type Entry = (Key, Option<(Option<u64>, ConnectorId)>);
/// A TCP segment: flags, whether its receiver would believe it, whether it acknowledges anything, and a FIN.
pub(crate) type Segment = (u8, bool, bool, bool);

#[derive(Clone)]
pub(crate) struct Mapping {
    pub(crate) scope: Scope,
    pub(crate) connector: ConnectorId,
    pub(crate) external: SocketAddr,
    pub(crate) publication: Option<Publication>,
    quota: Option<u32>,
    rests_afterwards: bool,
    pub(crate) finished: Option<Instant>,
    pub(crate) rests: Option<Instant>,
}

#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) mapping: u64,
    pub(crate) connector: ConnectorId,
    pub(crate) state: SessionState,
    pub(crate) expires: Instant,
    udp_refresh: UdpRefresh,
    /// The remote sent its first packet.
    called: bool,
    /// Which ends have acknowledged anything, and the other one's FIN.
    answered: [bool; 2],
    acknowledged: [bool; 2],
}

#[derive(Default)]
pub(crate) struct Container {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) policies: BTreeMap<ConnectorId, Policy>,
    /// By VPC, IP version and whether it is out of the reserved ones: the address that it appears as.
    pub(crate) paired: BTreeMap<(UplinkId, bool, bool), IpAddr>,
}

pub(crate) struct Model {
    pub(crate) now: Instant,
    pub(crate) workers: u32,
    pub(crate) containers: BTreeMap<AttachmentId, Container>,
    pub(crate) uplinks: BTreeMap<UplinkId, Uplink>,
    pub(crate) mappings: BTreeMap<u64, Mapping>,
    pub(crate) sessions: BTreeMap<Key, Session>,
    pub(crate) made: u64,
}

impl Model {
    /// By which mapping a container's packet leaves; `None`: a new one. `opens`: whether it may open a session.
    pub(crate) fn outbound(&self, key: Key, opens: Result<(), Reason>) -> Result<Option<u64>, Reason> {
        if let Some(session) = self.sessions.get(&key) {
            return Ok(Some(session.mapping));
        }
        opens?;
        let none = self.containers[&key.0].policies.is_empty();
        let policy =
            self.route(key.0, key.1.2).ok_or(if none { Reason::NoConnector } else { Reason::NoRoute })?;
        if !is_allowed(&policy.0, key.1.0, key.1.2, true) {
            return Err(Reason::PolicyDenied);
        }
        let known = self.known(scope(key, &policy.0), &policy.0);
        if known.is_some() || !policy.0.translation {
            return Ok(known);
        }
        let stuck =
            |&a: &IpAddr| self.obstacles(key, policy, a).into_iter().find(|o| o.2.is_empty()).map(|o| o.1);
        let addresses = self.addresses(key, policy);
        let reason = addresses.iter().map(stuck).min().unwrap_or(Some(Reason::NoExternalAddress));
        reason.map_or(Ok(None), Err)
    }

    /// Opens the session of a packet that leaves by an endpoint of the engine's choice, if that is one to choose. `gone`: whether
    /// the engine has ended a session to make room.
    pub(crate) fn open(&mut self, key: Key, external: SocketAddr, gone: impl Fn(Key) -> bool) -> bool {
        let policy = self.route(key.0, key.1.2).expect("it may leave").clone();
        let scope = scope(key, &policy.0);
        if self.known(scope, &policy.0).is_some() {
            // Publications of one endpoint are as good as each other.
            let serves = |m: &Mapping| m.external == external && self.may_use(m, &policy.0);
            let known =
                self.mappings.iter().find(|(_, m)| m.scope == scope && m.rests.is_none() && serves(m));
            let Some((&known, _)) = known else { return false };
            self.begin(key, known, policy.0.id, true);
            return true;
        }
        // The container's share, the quota, the port: each once.
        for what in [1, 2, 0] {
            let obstacle = self.obstacles(key, &policy, external.ip()).into_iter().find(|o| o.0 == what);
            let Some((_, _, givers)) = obstacle else { continue };
            let gave_up = |id: &u64| self.sessions_of(*id).all(|(key, _)| gone(*key));
            let Some(giver) = givers.into_iter().find(gave_up) else { return false };
            let keys: Vec<_> = self.sessions_of(giver).map(|(key, _)| *key).collect();
            self.end_all(keys);
        }
        let translated =
            self.addresses(key, &policy).contains(&external.ip()) && self.is_usable(scope, external);
        let mapping = self.map(scope, &policy, external, None);
        self.begin(key, mapping, policy.0.id, true);
        if policy.0.translation { translated } else { external == key.1.1 }
    }

    /// The session of a packet from a VPC to `external`; if that is new, by which mapping, if there is one, and connector.
    pub(crate) fn inbound(
        &self,
        uplink: UplinkId,
        (protocol, external, remote): Flow,
        opens: Result<(), Reason>,
    ) -> Result<Entry, Reason> {
        let routed = self.containers.iter().find(|(_, c)| c.is_routed(uplink, external.ip())).map(|c| *c.0);
        if !self.uplinks[&uplink].0.contains(&external.ip()) && routed.is_none() {
            return Err(Reason::NotExternalAddress);
        }
        let key_by = |m: &Mapping| (m.scope.0, (protocol, m.scope.3, remote));
        let mut here = self.mappings.iter().filter(|(_, m)| {
            (m.scope.1, m.scope.2, m.external, m.rests) == (uplink, protocol, external, None)
        });
        let live =
            |(id, m): &(&u64, &Mapping)| self.sessions.get(&key_by(m)).is_some_and(|s| s.mapping == **id);
        if let Some((_, mapping)) = here.clone().find(live) {
            return Ok((key_by(mapping), None));
        }
        let target = here.find(|(_, m)| !m.is_shared());
        let own = routed.map(|id| (id, (protocol, external, remote)));
        let key = target.map(|(_, m)| key_by(m)).or(own).ok_or(Reason::NoMapping)?;
        let publisher = target.filter(|(_, m)| m.publication.is_some()).map(|(_, m)| m.connector);
        let policy = match publisher {
            Some(connector) => self.containers[&key.0].policies.get(&connector),
            None => self.route(key.0, remote),
        };
        let (c, _) = policy
            .filter(|(c, _)| c.uplink == uplink && reaches(c, remote).is_some())
            .filter(|(c, _)| is_allowed(c, protocol, remote, false))
            .ok_or(Reason::Filtered)?;
        let filtering = if protocol == Protocol::Udp { c.udp_filtering } else { c.filtering };
        let covers = |m: &Mapping| m.scope.5.is_none_or(|scope| scope.0 == remote.ip());
        // The container's own endpoint is there where there is no translation, and mappings where there is.
        let there = target.map_or(!c.translation, |(_, m)| m.scope.4 == c.translation && self.may_use(m, c));
        let lets_in = publisher.is_some()
            || there
                && c.mapping != AddressAndPortDependent
                && match (target, filtering) {
                    (None, filtering) => filtering == Filtering::EndpointIndependent,
                    (Some((_, m)), Filtering::EndpointIndependent) => covers(m),
                    (Some((id, _)), Filtering::AddressDependent) => {
                        self.sessions_of(*id).any(|(k, _)| k.1.2.ip() == remote.ip())
                    }
                    (_, Filtering::AddressAndPortDependent) => false,
                };
        if !lets_in || self.sessions.contains_key(&key) {
            return Err(Reason::Filtered);
        }
        opens.map(|()| (key, Some((target.map(|t| *t.0), c.id))))
    }

    /// A new mapping.
    pub(crate) fn map(
        &mut self,
        scope: Scope,
        policy: &Policy,
        external: SocketAddr,
        publication: Option<Publication>,
    ) -> u64 {
        let c = &policy.0;
        let leased = publication.is_none() && c.translation;
        let paired = (scope.1, external.is_ipv4(), c.external.is_some());
        if let Some(container) = self.containers.get_mut(&scope.0).filter(|_| leased) {
            container.paired.insert(paired, external.ip());
        }
        let quota = leased.then_some(policy.1.0);
        let rests_afterwards =
            leased && self.containers[&scope.0].policies.values().any(|p| is_open(&p.0, scope));
        let mapping = Mapping {
            scope,
            connector: c.id,
            external,
            publication,
            quota,
            rests_afterwards,
            finished: None,
            rests: None,
        };
        self.made += 1;
        self.mappings.insert(self.made, mapping);
        self.made
    }

    /// What is in the way of a new mapping, and the finished mappings that could give it up: the first of them to finish.
    fn obstacles(&self, key: Key, (c, quota): &Policy, address: IpAddr) -> Vec<(u8, Reason, Vec<u64>)> {
        let wanted = scope(key, c);
        let finished = |serves: &dyn Fn(&Mapping) -> bool| {
            let same = |m: &Mapping| {
                wanted.2 == Protocol::Tcp && m.scope.0.0 % self.workers == key.0.0 % self.workers
            };
            let givers = self.mappings.iter().filter(|(_, m)| m.finished.is_some() && same(m) && serves(m));
            let first = givers.clone().map(|(_, m)| m.finished).min();
            givers.filter(|(_, m)| Some(m.finished) == first).map(|(id, _)| *id).collect::<Vec<_>>()
        };
        let full = |limit: Option<u32>, counts: &dyn Fn(&Mapping) -> bool| {
            limit.is_some_and(|limit| self.mappings.values().filter(|m| counts(m)).count() >= limit as usize)
        };
        let mut found = Vec::new();
        let shared = |s: Scope| s.5.filter(|r| r.1.is_some());
        let same_port = |m: &Mapping| {
            (m.scope.1, m.external.ip(), shared(m.scope)) == (wanted.1, address, shared(wanted))
        };
        if c.translation
            && !self.uplinks[&c.uplink].1.iter().any(|&port| self.is_usable(wanted, (address, port).into()))
        {
            found.push((0, Reason::PortsExhausted, finished(&same_port)));
        }
        let own = |m: &Mapping| m.quota.is_some() && (m.connector, m.scope.0) == (c.id, key.0);
        let all = |m: &Mapping| m.quota == Some(quota.0);
        if c.translation && full(c.quota_per_attachment, &own) {
            found.push((1, Reason::QuotaReached, finished(&own)));
        }
        if c.translation && full(quota.1, &all) {
            found.push((2, Reason::QuotaReached, finished(&all)));
        }
        found
    }

    /// Whether nobody stands in the way of a mapping with this external endpoint.
    pub(crate) fn is_usable(&self, scope: Scope, external: SocketAddr) -> bool {
        let apart = |m: &Mapping| {
            let both_shared = m.is_shared() && scope.5.is_some_and(|r| r.1.is_some()) && m.scope.5 != scope.5;
            (m.scope.1, m.scope.2, m.external) != (scope.1, scope.2, external)
                || both_shared && m.scope.0.0 % self.workers == scope.0.0 % self.workers
        };
        self.uplinks[&scope.1].1.contains(&external.port()) && self.mappings.values().all(apart)
    }

    /// Whether this can be the reason, with one of the addresses that the container may get.
    pub(crate) fn may_refuse(&self, key: Key, reason: Reason) -> bool {
        let new = |p: &&Policy| self.known(scope(key, &p.0), &p.0).is_none();
        let allowed = |p: &&Policy| is_allowed(&p.0, key.1.0, key.1.2, true);
        let Some(policy) = self.route(key.0, key.1.2).filter(new).filter(allowed) else { return false };
        let stuck = |a| self.obstacles(key, policy, a).into_iter().find(|o| o.2.is_empty());
        self.addresses(key, policy).into_iter().any(|a| stuck(a).is_some_and(|o| o.1 == reason))
    }

    /// The addresses that a container may appear as: always the same one (RFC 4787 REQ-2).
    fn addresses(&self, key: Key, (c, _): &Policy) -> Vec<IpAddr> {
        let v4 = key.1.1.is_ipv4();
        let paired = self.containers[&key.0].paired.get(&(c.uplink, v4, c.external.is_some()));
        let family = self.uplinks[&c.uplink].0.iter().filter(|a| a.is_ipv4() == v4 && self.is_of(c, **a));
        paired.map_or_else(|| family.copied().collect(), |paired| vec![*paired])
    }

    /// Whether this is one of a connector's external addresses.
    fn is_of(&self, c: &ConnectorConfig, address: IpAddr) -> bool {
        let reserved = self.uplinks[&c.uplink].2.contains(&address);
        c.external.as_ref().map_or(!reserved, |named| named.contains(&address))
    }

    /// Whether a mapping is for sessions of this connector.
    fn may_use(&self, m: &Mapping, c: &ConnectorConfig) -> bool {
        let own = m.publication.is_some() && m.connector == c.id;
        own || !m.scope.4 || self.is_of(c, m.external.ip())
    }

    /// The connector with the longest prefix.
    fn route(&self, id: AttachmentId, remote: SocketAddr) -> Option<&Policy> {
        let policies = self.containers[&id].policies.values();
        policies.filter(|p| reaches(&p.0, remote).is_some()).max_by_key(|p| reaches(&p.0, remote))
    }

    /// What packets have made comes first; of publications, the lowest endpoint.
    fn known(&self, scope: Scope, c: &ConnectorConfig) -> Option<u64> {
        let serves = |m: &Mapping| m.scope == scope && m.rests.is_none() && self.may_use(m, c);
        let known = self.mappings.iter().filter(|(_, m)| serves(m));
        known.min_by_key(|(_, m)| (m.publication.is_some(), m.external)).map(|(id, _)| *id)
    }

    pub(crate) fn sessions_of(&self, mapping: u64) -> impl Iterator<Item = (&Key, &Session)> + Clone {
        let nowhere = SocketAddr::from(([0; 4], 0));
        let m = self.mappings.get(&mapping).map(|m| (m.scope.0, (m.scope.2, m.scope.3)));
        let from = m.map(|(id, (protocol, internal))| (id, (protocol, internal, nowhere)));
        let sessions = from.into_iter().flat_map(|from| self.sessions.range(from..));
        sessions
            .take_while(move |(key, _)| Some((key.0, (key.1.0, key.1.1))) == m)
            .filter(move |(_, session)| session.mapping == mapping)
    }
}

impl Mapping {
    /// Whether others can have its port with other remotes (RFC 7857 §3).
    fn is_shared(&self) -> bool {
        self.scope.5.is_some_and(|remotes| remotes.1.is_some())
    }
}

impl Container {
    /// Whether the VPC sees this address of it as it is.
    pub(crate) fn is_routed(&self, uplink: UplinkId, address: IpAddr) -> bool {
        let own = |(c, _): &Policy| !c.translation && c.uplink == uplink;
        self.addresses.contains(&address) && self.policies.values().any(own)
    }
}

/// Which mapping a session of this connector has (RFC 4787 §4.1); query ids do not depend on the remote (RFC 5508 REQ-1).
fn scope((id, (protocol, internal, remote)): Key, c: &ConnectorConfig) -> Scope {
    let remotes = match c.mapping {
        _ if protocol == Protocol::Icmp || !c.translation => None,
        EndpointIndependent => None,
        AddressDependent => Some((remote.ip(), None)),
        AddressAndPortDependent => Some((remote.ip(), Some(remote.port()))),
    };
    (id, c.uplink, protocol, internal, c.translation, remotes)
}

/// What a connector's rules say; of a caller's port they say nothing.
fn is_allowed(c: &ConnectorConfig, protocol: Protocol, remote: SocketAddr, to_remote: bool) -> bool {
    for rule in &c.rules {
        let port = match (&rule.ports, protocol) {
            (None, _) => true,
            (Some(_), Protocol::Icmp) => false,
            (Some(ports), _) => to_remote && ports.contains(&remote.port()),
        };
        let about = rule.protocol.is_none() || rule.protocol == Some(protocol);
        if port && about && rule.destination.contains(&remote.ip()) {
            return rule.action == Action::Allow;
        }
    }
    c.rules.is_empty()
}

/// Whether a connector lets anybody send to a mapping, so that its port rests afterwards (RFC 6888 REQ-8).
fn is_open(c: &ConnectorConfig, scope: Scope) -> bool {
    let open = c.udp_filtering == Filtering::EndpointIndependent && c.mapping != AddressAndPortDependent;
    open && (c.uplink, Protocol::Udp) == (scope.1, scope.2)
        && scope.5.is_none_or(|remotes| remotes.1.is_none())
}

/// The longest prefix of a connector that contains the remote.
fn reaches(c: &ConnectorConfig, remote: SocketAddr) -> Option<u8> {
    c.destinations.iter().filter(|prefix| prefix.contains(&remote.ip())).map(ipnet::IpNet::prefix_len).max()
}
