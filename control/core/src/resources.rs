//! Everything that exists, and how it refers to each other.

mod connectors;
mod containers;
mod creations;
mod joins;
#[cfg(test)]
mod tests;
mod vpcs;

use std::collections::BTreeMap;

use creations::Creations;
use ipnet::IpNet;

use crate::{
    AttachmentId, Connector, ConnectorId, ConnectorView, Container, Join, Kind, Name, Policy, Publication,
    Refusal, UplinkId, Vpc,
};

/// All resources. Change them by [`Resources::apply`].
///
/// Always true: a connector's VPC exists; a container has a connector only while both its own link and the VPC's are ready.
#[derive(Debug, Default)]
pub struct Resources {
    vpcs: BTreeMap<Name, Vpc>,
    connectors: BTreeMap<Name, Connector>,
    containers: BTreeMap<Name, Container>,
    uplinks: BTreeMap<UplinkId, Name>,
    connector_ids: BTreeMap<ConnectorId, Name>,
    attachments: BTreeMap<AttachmentId, Name>,
    next_connector: u32,
    vpc_creations: Creations<UplinkId>,
    container_creations: Creations<AttachmentId>,
}

/// What the gateway needs to know of a container and one of its connectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The container's link.
    pub attachment: AttachmentId,
    /// The connector.
    pub connector: ConnectorId,
    /// The VPC's link.
    pub uplink: UplinkId,
    /// Prefixes that may be reached.
    pub destinations: Vec<IpNet>,
    /// What the connector says about sessions.
    pub policy: Policy,
    /// External endpoints that lead to the container.
    pub publications: Vec<Publication>,
    /// Whether the gateway has it.
    pub join: Join,
}

impl Resources {
    /// The VPC of this name.
    pub fn vpc(&self, name: &str) -> Result<&Vpc, Refusal> {
        self.vpcs.get(name).ok_or_else(|| not_found(Kind::Vpc, name))
    }

    /// The connector of this name.
    pub fn connector(&self, name: &str) -> Result<&Connector, Refusal> {
        self.connectors.get(name).ok_or_else(|| not_found(Kind::Connector, name))
    }

    /// The container of this name.
    pub fn container(&self, name: &str) -> Result<&Container, Refusal> {
        self.containers.get(name).ok_or_else(|| not_found(Kind::Container, name))
    }

    /// All VPCs, by name.
    pub fn vpcs(&self) -> impl Iterator<Item = &Vpc> {
        self.vpcs.values()
    }

    /// All connectors, by name.
    pub fn connectors(&self) -> impl Iterator<Item = &Connector> {
        self.connectors.values()
    }

    /// All containers, by name.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.values()
    }

    /// Whose link this is.
    pub fn vpc_of(&self, uplink: UplinkId) -> Option<&Name> {
        self.uplinks.get(&uplink)
    }

    /// Which connector this is.
    pub fn connector_of(&self, connector: ConnectorId) -> Option<&Name> {
        self.connector_ids.get(&connector)
    }

    /// Whose link this is.
    pub fn container_of(&self, attachment: AttachmentId) -> Option<&Name> {
        self.attachments.get(&attachment)
    }

    /// What clients see of a connector whose containers have `ports_used` external ports.
    pub fn connector_view(&self, connector: &Connector, ports_used: u32) -> ConnectorView {
        let attached = |container: &&Name| {
            let joins = self.containers.get(*container).map(|c| &c.connectors);
            joins.and_then(|joins| joins.get(&connector.name)) == Some(&Join::Attached)
        };
        let containers = connector.containers.iter().filter(attached).map(Name::to_string).collect();
        connector.view(containers, ports_used)
    }
}

fn not_found(kind: Kind, name: &str) -> Refusal {
    Refusal::NotFound { kind, name: name.to_owned() }
}
