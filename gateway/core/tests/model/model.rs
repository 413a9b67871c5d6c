//! The reference: what a correct NAT does, in maps and sets, from the RFCs and the documentation of the policies. It sees no
//! frames. What an engine may choose, addresses and ports, it checks and adopts.

use crate::driver::frame::tcp_flag::{ACK, FIN, RST, SYN};
use gateway_core::{AttachmentId, ConnectorConfig, ConnectorId, Filtering, Instant, MappingMode, Protocol};
use gateway_core::{Publication, Reason, SessionState, SessionState::*, UdpRefresh, UplinkId, limits::*};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Protocol, internal and remote endpoint, as the container sends.
pub(crate) type Flow = (Protocol, SocketAddr, SocketAddr);
pub(crate) type Key = (AttachmentId, Flow);
/// Sessions that are equal in this have one mapping. The last two: translated, and the remotes that it is for.
type Scope = (AttachmentId, UplinkId, Protocol, SocketAddr, bool, Option<(IpAddr, Option<u16>)>);
/// A connector, and which quota it has of how many ports.
pub(crate) type Policy = (ConnectorConfig, (u32, Option<u32>));
/// A TCP segment: flags, whether its receiver would believe it, whether it acknowledges the other end's FIN.
pub(crate) type Segment = (u8, bool, bool);

#[derive(Clone)]
pub(crate) struct Mapping {
    pub(crate) scope: Scope,
    pub(crate) connector: ConnectorId,
    pub(crate) external: SocketAddr,
    pub(crate) publication: Option<Publication>,
    quota: Option<u32>,
    rests_afterwards: bool,
    finished: Option<Instant>,
    pub(crate) rests: Option<Instant>,
}

#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) mapping: u64,
    pub(crate) connector: ConnectorId,
    pub(crate) state: SessionState,
    pub(crate) expires: Instant,
    udp_refresh: UdpRefresh,
    acknowledged: [bool; 2],
}

#[derive(Default)]
pub(crate) struct Container {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) policies: BTreeMap<ConnectorId, Policy>,
    pub(crate) paired: BTreeMap<(UplinkId, bool), IpAddr>,
}

pub(crate) struct Model {
    pub(crate) now: Instant,
    pub(crate) workers: u32,
    pub(crate) containers: BTreeMap<AttachmentId, Container>,
    /// External addresses and ports of each VPC.
    pub(crate) uplinks: BTreeMap<UplinkId, (Vec<IpAddr>, BTreeSet<u16>)>,
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
        let policy = self.route(key).ok_or(if none { Reason::NoConnector } else { Reason::NoRoute })?;
        let known = self.known(scope(key, &policy.0));
        if known.is_some() || !policy.0.translation {
            return Ok(known);
        }
        let obstacles = self.addresses(key, policy).into_iter().map(|a| self.obstacles(key, policy, a));
        let mut refusals = obstacles.map(|o| o.into_iter().find(|o| o.1.is_empty()).map(|o| o.0));
        match refusals.try_fold(Reason::NoExternalAddress, |_, refusal| refusal) {
            Some(reason) => Err(reason),
            None => Ok(None),
        }
    }

    /// The session of a packet that leaves by the endpoint that the engine chose; `gone`: which others it ended for that.
    pub(crate) fn open(&mut self, key: Key, external: SocketAddr, gone: impl Fn(Key) -> bool) -> bool {
        let policy = self.route(key).expect("it may leave").clone();
        let (config, scope) = (&policy.0, scope(key, &policy.0));
        let mapping = self.known(scope).unwrap_or_else(|| {
            while let Some((_, givers)) = self.obstacles(key, &policy, external.ip()).pop() {
                let gave_up = |id: &u64| self.sessions_of(*id).all(|(key, _)| gone(*key));
                let Some(giver) = givers.into_iter().find(gave_up) else { break };
                let keys: Vec<_> = self.sessions_of(giver).map(|(key, _)| *key).collect();
                keys.iter().for_each(|key| self.end(key));
            }
            let usable = if config.translation { self.is_usable(scope, external) } else { external == key.1.1 };
            self.map(scope, config.id, external)
        });
    }
