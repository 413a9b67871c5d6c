//! A connector as a resource, and its states.
//!
//! ```text
//!                 approve             first use            nothing attached, linger over
//!   requested ───────────► approved ───────────► ready ◄──────────────────────────► idle
//!                             ▲                  │   use
//!              approve ───────┴── revoked ◄──────┴── revoke, in any of them
//! ```
//!
//! `failed` instead of `ready`: the gateway did not take it; the next use tries again.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ConnectorSpec, Fitted, Pattern};
use crate::{
    ConnectorId, Filtering, FullName, Mapping, OnDetach, Publication, PublicationView, Rates, RuleView,
    UdpRefresh,
};

/// A connector as a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    /// Its identity for the gateway.
    pub id: ConnectorId,
    /// Its name and tenant.
    pub name: FullName,
    /// The VPC that it joins.
    pub vpc: FullName,
    /// What was asked for.
    pub spec: Arc<ConnectorSpec>,
    /// What the owner of the VPC says.
    pub may_join: MayJoin,
    /// What that is in its VPC; `None` while it may not join.
    pub fitted: Option<Arc<Fitted>>,
    /// Whether it has been used.
    pub initialised: Initialised,
}

/// What the owner of the VPC says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MayJoin {
    /// Nothing yet.
    Requested,
    /// Yes.
    Approved,
    /// Not any more.
    Revoked,
}

/// Whether a connector has been used. Not kept over a restart, which begins with nothing attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Initialised {
    /// Not yet.
    Not,
    /// It has its addresses.
    Ready,
    /// It has given its addresses back.
    Idle,
    /// The gateway did not take it.
    Failed {
        /// Why, for people.
        detail: String,
    },
}

/// Where a connector is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorState {
    /// The owner of the VPC has not said that it may join.
    Requested,
    /// It may be used, and was not yet.
    Approved,
    /// It has been used, and has its addresses.
    Ready,
    /// Nothing has been attached for a while, and its addresses were given back. The next use brings it back.
    Idle,
    /// The owner of the VPC says that it may not join any more.
    Revoked,
    /// The gateway did not take it; `failure` says why. The next use tries again.
    Failed,
}

/// A connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectorView {
    /// Its name.
    pub name: String,
    /// The tenant that it belongs to.
    pub tenant: String,
    /// The VPC that it joins; `tenant/name` if it is another tenant's.
    pub vpc: String,
    /// Where it is in its life.
    pub state: ConnectorState,
    /// Why the gateway did not take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Which containers may use it; all of the tenant if neither this nor `functions` is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<String>>,
    /// Which functions may use it; all of the tenant if neither this nor `users` is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub functions: Option<Vec<String>>,
    /// Prefixes that may be reached; those of the VPC, if none were asked for, once it may join.
    pub destinations: Vec<String>,
    /// Which packets go through, by the first that matches; all to the destinations if there are none.
    pub rules: Vec<RuleView>,
    /// How much all containers may do together.
    pub rate_limits: Rates,
    /// Addresses that containers appear as; the VPC's pool if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_addresses: Option<Vec<String>>,
    /// DNS servers that containers are told of.
    pub dns_servers: Vec<String>,
    /// Seconds that it keeps its addresses while nothing is attached.
    pub linger_s: u64,
    /// Whether the VPC sees an external address in place of the container's.
    pub translation: bool,
    /// Which packets have their external endpoint in common; absent without translation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Mapping>,
    /// Who there may send to what a container has opened.
    pub filtering: Filtering,
    /// The same for UDP, if it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_filtering: Option<Filtering>,
    /// Which packets keep a UDP session alive.
    pub udp_refresh: UdpRefresh,
    /// External ports that its containers have now, or sessions where ports serve many; absent without translation. Publications do
    /// not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports_used: Option<u32>,
    /// Most external ports of all containers together, if there is a bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_quota: Option<u32>,
    /// Most external ports of each container, if there is a bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_quota_per_container: Option<u32>,
    /// What the ends of a live TCP session hear of a detach.
    pub on_detach: OnDetach,
    /// External endpoints that lead to the container, once it may join.
    pub publications: Vec<PublicationView>,
    /// Containers that it is attached to.
    pub containers: Vec<String>,
    /// Counts changes of what was asked for and of what the owner of the VPC says; the resource's ETag.
    pub revision: u64,
}

impl Connector {
    /// Where it is in its life.
    pub const fn state(&self) -> ConnectorState {
        match (self.may_join, &self.initialised) {
            (MayJoin::Requested, _) => ConnectorState::Requested,
            (MayJoin::Revoked, _) => ConnectorState::Revoked,
            (MayJoin::Approved, Initialised::Not) => ConnectorState::Approved,
            (MayJoin::Approved, Initialised::Ready) => ConnectorState::Ready,
            (MayJoin::Approved, Initialised::Idle) => ConnectorState::Idle,
            (MayJoin::Approved, Initialised::Failed { .. }) => ConnectorState::Failed,
        }
    }

    /// Whether it has this external address alone while it is in use.
    pub(crate) fn names(&self, address: IpAddr) -> bool {
        self.spec.external_addresses.as_ref().is_some_and(|own| own.contains(&address))
    }

    /// What clients see, of whom `containers` have it, and `ports_used` external ports.
    pub(crate) fn view(&self, containers: Vec<String>, ports_used: u32, revision: u64) -> ConnectorView {
        let (spec, policy) = (&self.spec, &self.spec.policy);
        let translation = policy.translation.as_ref();
        let patterns = |all: &Vec<Pattern>| all.iter().map(|p| p.as_str().to_owned()).collect::<Vec<_>>();
        let addresses = |list: &[IpAddr]| list.iter().map(IpAddr::to_string).collect::<Vec<_>>();
        let asked = spec.destinations.as_deref().unwrap_or_default();
        let destinations = self.fitted.as_ref().map_or(asked, |fitted| &fitted.destinations);
        let publications = self.fitted.iter().flat_map(|fitted| &fitted.publications);
        ConnectorView {
            name: self.name.name.to_string(),
            tenant: self.name.tenant.to_string(),
            vpc: self.vpc.seen_by(&self.name.tenant),
            state: self.state(),
            failure: match &self.initialised {
                Initialised::Failed { detail } => Some(detail.clone()),
                _ => None,
            },
            users: spec.users.as_ref().map(patterns),
            functions: spec.functions.as_ref().map(patterns),
            destinations: destinations.iter().map(IpNet::to_string).collect(),
            rules: policy.rules.iter().map(crate::Rule::view).collect(),
            rate_limits: policy.rates,
            external_addresses: spec.external_addresses.as_deref().map(addresses),
            dns_servers: addresses(&spec.dns_servers),
            linger_s: spec.linger_s,
            translation: translation.is_some(),
            mapping: translation.map(|t| t.mapping),
            filtering: policy.filtering,
            udp_filtering: policy.udp_filtering,
            udp_refresh: policy.udp_refresh,
            ports_used: translation.map(|_| ports_used),
            port_quota: translation.and_then(|t| t.port_quota),
            port_quota_per_container: translation.and_then(|t| t.port_quota_per_container),
            on_detach: policy.on_detach,
            publications: publications.map(Publication::view).collect(),
            containers,
            revision,
        }
    }
}

impl ConnectorState {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Approved => "approved",
            Self::Ready => "ready",
            Self::Idle => "idle",
            Self::Revoked => "revoked",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for ConnectorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
