//! What is found by something else than its name. Follows from the resources: it changes with them, both ways.

use std::collections::{BTreeMap, BTreeSet};

use crate::{AttachmentId, Connector, ConnectorId, Container, FullName, Function, Life, UplinkId, Vpc};

/// Names of resources by what else is known of them.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) uplinks: BTreeMap<UplinkId, FullName>,
    pub(super) attachments: BTreeMap<AttachmentId, FullName>,
    pub(super) connectors: BTreeMap<ConnectorId, FullName>,
    /// Connectors by their VPC, whether that exists or not.
    joining: BTreeSet<(FullName, FullName)>,
    /// Containers by their connectors.
    attached: BTreeSet<(FullName, FullName)>,
    /// Containers by the function that they serve.
    serving: BTreeSet<(FullName, FullName)>,
    /// Functions by their connectors.
    using: BTreeSet<(FullName, FullName)>,
    /// Links that are being made.
    pub(super) vpcs_in_creation: usize,
    pub(super) containers_in_creation: usize,
}

impl Index {
    /// Connectors that want to join the VPC.
    pub(super) fn joining<'a>(&'a self, vpc: &'a FullName) -> impl Iterator<Item = &'a FullName> {
        under(&self.joining, vpc)
    }

    /// Containers that have the connector, or are about to.
    pub(super) fn attached<'a>(&'a self, connector: &'a FullName) -> impl Iterator<Item = &'a FullName> {
        under(&self.attached, connector)
    }

    /// Containers that serve the function.
    pub(super) fn serving<'a>(&'a self, function: &'a FullName) -> impl Iterator<Item = &'a FullName> {
        under(&self.serving, function)
    }

    /// Functions that name the connector.
    pub(super) fn using<'a>(&'a self, connector: &'a FullName) -> impl Iterator<Item = &'a FullName> {
        under(&self.using, connector)
    }

    pub(super) fn function(&mut self, before: Option<&Function>, after: Option<&Function>) {
        let pair = |function: &Function, connector: &crate::Name| {
            (FullName::new(&function.name.tenant, connector), function.name.clone())
        };
        for (function, connector) in before.iter().flat_map(|f| f.connectors.iter().map(move |c| (f, c))) {
            self.using.remove(&pair(function, connector));
        }
        for (function, connector) in after.iter().flat_map(|f| f.connectors.iter().map(move |c| (f, c))) {
            self.using.insert(pair(function, connector));
        }
    }

    pub(super) fn vpc(&mut self, before: Option<&Vpc>, after: Option<&Vpc>) {
        if let Some(link) = before.and_then(|vpc| vpc.life.link()) {
            self.uplinks.remove(&link.uplink);
        }
        if let Some(vpc) = after {
            self.uplinks.extend(vpc.life.link().map(|link| (link.uplink, vpc.name.clone())));
        }
        let creating = |vpc: Option<&Vpc>| usize::from(vpc.is_some_and(|vpc| vpc.life == Life::Creating));
        self.vpcs_in_creation += creating(after);
        self.vpcs_in_creation -= creating(before);
    }

    pub(super) fn connector(&mut self, before: Option<&Connector>, after: Option<&Connector>) {
        if let Some(connector) = before {
            self.connectors.remove(&connector.id);
            self.joining.remove(&(connector.vpc.clone(), connector.name.clone()));
        }
        if let Some(connector) = after {
            self.connectors.insert(connector.id, connector.name.clone());
            self.joining.insert((connector.vpc.clone(), connector.name.clone()));
        }
    }

    pub(super) fn container(&mut self, before: Option<&Container>, after: Option<&Container>) {
        if let Some(container) = before {
            for connector in container.connectors.keys() {
                let connector = FullName::new(&container.name.tenant, connector);
                self.attached.remove(&(connector, container.name.clone()));
            }
            if let Some(link) = container.life.link() {
                self.attachments.remove(&link.attachment);
            }
            if let Some(function) = &container.function {
                let function = FullName::new(&container.name.tenant, function);
                self.serving.remove(&(function, container.name.clone()));
            }
        }
        if let Some(container) = after {
            for connector in container.connectors.keys() {
                let connector = FullName::new(&container.name.tenant, connector);
                self.attached.insert((connector, container.name.clone()));
            }
            self.attachments
                .extend(container.life.link().map(|link| (link.attachment, container.name.clone())));
            if let Some(function) = &container.function {
                let function = FullName::new(&container.name.tenant, function);
                self.serving.insert((function, container.name.clone()));
            }
        }
        let creating = |c: Option<&Container>| usize::from(c.is_some_and(|c| c.life == Life::Creating));
        self.containers_in_creation += creating(after);
        self.containers_in_creation -= creating(before);
    }
}

/// The second of all pairs whose first is this.
fn under<'a>(
    pairs: &'a BTreeSet<(FullName, FullName)>,
    first: &'a FullName,
) -> impl Iterator<Item = &'a FullName> {
    let from = (first.clone(), FullName::before_all());
    pairs.range(from..).take_while(move |(one, _)| one == first).map(|(_, other)| other)
}
