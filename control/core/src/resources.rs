//! Everything that exists, and how it refers to each other.

mod connectors;
mod containers;
mod environments;
mod functions;
mod index;
mod joins;
mod lost;
mod restore;
mod shelf;
mod tenants;
#[cfg(test)]
mod tests;
mod views;
mod vpcs;

use index::Index;
pub use joins::Permission;
use lost::Lost;
pub use shelf::Stamp;
use shelf::{Shelf, Undo as Part};

use crate::{
    AttachmentId, Change, Connector, ConnectorId, Container, FullName, Function, Kind, Name, Pool, Refusal,
    Tenant, Token, UplinkId, Vpc,
};

/// All resources. Change them by [`Resources::apply`].
///
/// Always true: a connector that may join has a VPC; a container has a connector only while that may join; the connectors of a function
/// exist and let it use them.
#[derive(Debug)]
pub struct Resources {
    tenants: Shelf<Tenant>,
    tokens: Shelf<Token>,
    vpcs: Shelf<Vpc>,
    connectors: Shelf<Connector>,
    containers: Shelf<Container>,
    functions: Shelf<Function>,
    pools: Shelf<Pool>,
    index: Index,
    next_connector: u32,
    next_function: u32,
    lost_uplinks: Lost<UplinkId>,
    lost_attachments: Lost<AttachmentId>,
}

/// What became of a resource in a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Of which kind.
    pub kind: Kind,
    /// Which one.
    pub name: FullName,
    /// What became of it.
    pub operation: Operation,
    /// Whether what was asked for has changed, which is what is kept.
    pub is_kept: bool,
}

/// What can become of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is new.
    Created,
    /// It is another.
    Changed,
    /// It is gone.
    Deleted,
}

/// Takes a change back that was applied. Later changes have to be taken back before.
#[derive(Debug)]
pub struct Undo {
    tenants: Part<Tenant>,
    tokens: Part<Token>,
    vpcs: Part<Vpc>,
    connectors: Part<Connector>,
    containers: Part<Container>,
    functions: Part<Function>,
    pools: Part<Pool>,
}

impl Resources {
    /// The default tenant, and nothing else.
    pub fn new() -> Self {
        let mut resources = Self {
            tenants: Shelf::default(),
            tokens: Shelf::default(),
            vpcs: Shelf::default(),
            connectors: Shelf::default(),
            containers: Shelf::default(),
            functions: Shelf::default(),
            pools: Shelf::default(),
            index: Index::default(),
            next_connector: 0,
            next_function: 0,
            lost_uplinks: Lost::default(),
            lost_attachments: Lost::default(),
        };
        resources.restore_default_tenant();
        resources
    }

    /// Applies one change, whole or not at all; what it touches is of this revision from now on.
    pub fn apply(&mut self, change: Change, revision: u64) -> Result<(Vec<Touched>, Undo), Refusal> {
        // Not after the change, which could still be taken back.
        self.lost_uplinks.forget_unless(self.index.vpcs_in_creation > 0);
        self.lost_attachments.forget_unless(self.index.containers_in_creation > 0);
        if let Err(refusal) = self.carry_out(change) {
            let undo = self.abandon();
            self.restore_shelves(undo);
            return Err(refusal);
        }
        let touched = self.touched();
        for (_, before, after) in self.vpcs.touched() {
            self.index.vpc(before, after);
        }
        for (_, before, after) in self.connectors.touched() {
            self.index.connector(before, after);
        }
        for (_, before, after) in self.containers.touched() {
            self.index.container(before, after);
        }
        for (_, before, after) in self.functions.touched() {
            self.index.function(before, after);
        }
        let undo = Undo {
            tenants: self.tenants.settle(revision, |a, b| a.asked == b.asked),
            tokens: self.tokens.settle(revision, |a, b| a == b),
            vpcs: self.vpcs.settle(revision, same_vpc),
            connectors: self.connectors.settle(revision, same_connector),
            containers: self.containers.settle(revision, same_container),
            functions: self.functions.settle(revision, Function::is_alike),
            pools: self.pools.settle(revision, |a, b| a == b),
        };
        Ok((touched, undo))
    }

    /// Takes a change back, as if it had never been.
    pub fn undo(&mut self, undo: Undo) {
        for (name, kept) in &undo.vpcs {
            let before = kept.as_ref().map(shelf::Kept::value);
            self.index.vpc(self.vpcs.find(name), before);
        }
        for (name, kept) in &undo.connectors {
            let before = kept.as_ref().map(shelf::Kept::value);
            self.index.connector(self.connectors.find(name), before);
        }
        for (name, kept) in &undo.containers {
            let before = kept.as_ref().map(shelf::Kept::value);
            self.index.container(self.containers.find(name), before);
        }
        for (name, kept) in &undo.functions {
            let before = kept.as_ref().map(shelf::Kept::value);
            self.index.function(self.functions.find(name), before);
        }
        self.restore_shelves(undo);
    }

    fn abandon(&mut self) -> Undo {
        Undo {
            tenants: self.tenants.abandon(),
            tokens: self.tokens.abandon(),
            vpcs: self.vpcs.abandon(),
            connectors: self.connectors.abandon(),
            containers: self.containers.abandon(),
            functions: self.functions.abandon(),
            pools: self.pools.abandon(),
        }
    }

    fn restore_shelves(&mut self, undo: Undo) {
        self.tenants.undo(undo.tenants);
        self.tokens.undo(undo.tokens);
        self.vpcs.undo(undo.vpcs);
        self.connectors.undo(undo.connectors);
        self.containers.undo(undo.containers);
        self.functions.undo(undo.functions);
        self.pools.undo(undo.pools);
    }

    fn touched(&self) -> Vec<Touched> {
        let mut all = Vec::new();
        all.extend(
            self.tenants.touched().filter_map(|t| touched(Kind::Tenant, t, |a, b| a.asked == b.asked)),
        );
        all.extend(self.tokens.touched().filter_map(|t| touched(Kind::Token, t, |a, b| a == b)));
        all.extend(self.vpcs.touched().filter_map(|t| touched(Kind::Vpc, t, same_vpc)));
        all.extend(self.connectors.touched().filter_map(|t| touched(Kind::Connector, t, same_connector)));
        all.extend(self.containers.touched().filter_map(touched_container));
        all.extend(self.functions.touched().filter_map(|t| touched(Kind::Function, t, Function::is_alike)));
        all.extend(self.pools.touched().filter_map(|t| touched(Kind::Pool, t, |a, b| a == b)));
        all
    }

    /// The tenant of this name.
    pub fn tenant(&self, name: &Name) -> Result<&Tenant, Refusal> {
        let found = self.tenants.find(&FullName::new(name, name));
        found.ok_or_else(|| Refusal::NotFound { kind: Kind::Tenant, name: name.to_string() })
    }

    /// The token of this name.
    pub fn token(&self, name: &FullName) -> Result<&Token, Refusal> {
        self.tokens.find(name).ok_or_else(|| not_found(Kind::Token, name))
    }

    /// The VPC of this name.
    pub fn vpc(&self, name: &FullName) -> Result<&Vpc, Refusal> {
        self.vpcs.find(name).ok_or_else(|| not_found(Kind::Vpc, name))
    }

    /// The connector of this name.
    pub fn connector(&self, name: &FullName) -> Result<&Connector, Refusal> {
        self.connectors.find(name).ok_or_else(|| not_found(Kind::Connector, name))
    }

    /// The container of this name.
    pub fn container(&self, name: &FullName) -> Result<&Container, Refusal> {
        self.containers.find(name).ok_or_else(|| not_found(Kind::Container, name))
    }

    /// The function of this name.
    pub fn function(&self, name: &FullName) -> Result<&Function, Refusal> {
        self.functions.find(name).ok_or_else(|| not_found(Kind::Function, name))
    }

    /// All functions, by name.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.iter()
    }

    /// All VPCs, by name.
    pub fn vpcs(&self) -> impl Iterator<Item = &Vpc> {
        self.vpcs.iter()
    }

    /// All connectors, by name.
    pub fn connectors(&self) -> impl Iterator<Item = &Connector> {
        self.connectors.iter()
    }

    /// All containers, by name.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter()
    }

    /// Whose link this is.
    pub fn vpc_of(&self, uplink: UplinkId) -> Option<&FullName> {
        self.index.uplinks.get(&uplink)
    }

    /// Which connector this is.
    pub fn connector_of(&self, connector: ConnectorId) -> Option<&FullName> {
        self.index.connectors.get(&connector)
    }

    /// Whose link this is.
    pub fn container_of(&self, attachment: AttachmentId) -> Option<&FullName> {
        self.index.attachments.get(&attachment)
    }

    /// Containers that have the connector, or are about to, by name.
    pub fn attached_to<'a>(&'a self, connector: &'a FullName) -> impl Iterator<Item = &'a FullName> {
        self.index.attached(connector)
    }

    /// Containers that serve the function, by name.
    pub fn environments_of<'a>(&'a self, function: &'a FullName) -> impl Iterator<Item = &'a FullName> {
        self.index.serving(function)
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self::new()
    }
}

fn touched<T: PartialEq>(
    kind: Kind,
    (name, before, after): (&FullName, Option<&T>, Option<&T>),
    same_intent: fn(&T, &T) -> bool,
) -> Option<Touched> {
    let (operation, is_kept) = match (before, after) {
        (None, Some(_)) => (Operation::Created, true),
        // What was asked for again and is so already is nothing that anybody has to hear of.
        (Some(before), Some(after)) if before == after => return None,
        (Some(before), Some(after)) => (Operation::Changed, !same_intent(before, after)),
        (Some(_), None) => (Operation::Deleted, true),
        (None, None) => return None,
    };
    Some(Touched { kind, name: name.clone(), operation, is_kept })
}

/// A container that serves a function is nothing that is kept.
fn touched_container(
    (name, before, after): (&FullName, Option<&Container>, Option<&Container>),
) -> Option<Touched> {
    let is_environment = before.or(after).is_some_and(|container| container.function.is_some());
    let touched = touched(Kind::Container, (name, before, after), same_container)?;
    Some(Touched { is_kept: touched.is_kept && !is_environment, ..touched })
}

fn same_vpc(a: &Vpc, b: &Vpc) -> bool {
    a.spec == b.spec && a.mac == b.mac
}

fn same_connector(a: &Connector, b: &Connector) -> bool {
    a.spec == b.spec && a.may_join == b.may_join
}

fn same_container(a: &Container, b: &Container) -> bool {
    a.spec == b.spec && a.origin == b.origin && a.connectors.keys().eq(b.connectors.keys())
}

fn not_found(kind: Kind, name: &FullName) -> Refusal {
    Refusal::NotFound { kind, name: name.name.to_string() }
}
