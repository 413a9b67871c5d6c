//! Which container has which connector.

use std::net::IpAddr;
use std::sync::Arc;

use super::Resources;
use crate::family::Family;
use crate::limits::CONNECTORS_PER_CONTAINER;
use crate::{
    AttachmentId, Connector, ConnectorId, ConnectorSpec, Container, Fitted, FullName, Initialised, Join,
    Kind, Life, Name, Refusal, UplinkId,
};

/// What the gateway needs to know of a container and one of its connectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The container's link.
    pub attachment: AttachmentId,
    /// The connector.
    pub connector: ConnectorId,
    /// The VPC's link.
    pub uplink: UplinkId,
    /// What was asked for.
    pub spec: Arc<ConnectorSpec>,
    /// What that is in its VPC.
    pub fitted: Arc<Fitted>,
    /// Whether the gateway has it.
    pub join: Join,
}

impl Resources {
    /// What the gateway needs to know of a container and one of its connectors, attached or being attached.
    pub fn permission(&self, container: &FullName, connector: &Name) -> Result<Permission, Refusal> {
        let from = self.container(container)?;
        let to = self.connector(&FullName::new(&container.tenant, connector))?;
        let Some(&join) = from.connectors.get(connector) else {
            return Err(not_attached(container, connector));
        };
        let fitted = to.fitted.clone().ok_or_else(|| Refusal::not_approved(to))?;
        let (attachment, uplink) = (ready_container(from)?, self.ready_vpc(to)?);
        Ok(Permission { attachment, connector: to.id, uplink, spec: Arc::clone(&to.spec), fitted, join })
    }

    pub(crate) fn join(&mut self, container: &FullName, connector: &Name) -> Result<(), Refusal> {
        let full = FullName::new(&container.tenant, connector);
        let (from, to) = (self.container(container)?, self.connector(&full)?);
        ready_container(from)?;
        if to.fitted.is_none() {
            return Err(Refusal::not_approved(to));
        }
        self.ready_vpc(to)?;
        match from.connectors.get(connector) {
            Some(Join::Attached) => return Ok(()),
            // What was intended before a restart is told the gateway now.
            Some(Join::Attaching) => return self.joined(container, connector),
            None => {}
        }
        refuse_stranger(&to.spec, from)?;
        if from.connectors.len() >= CONNECTORS_PER_CONTAINER {
            let what = "connectors attached to this container";
            return Err(Refusal::LimitReached { what, limit: CONNECTORS_PER_CONTAINER });
        }
        self.refuse_misfit(container, &full)?;
        self.refuse_external_of_others(&full)?;
        let container = self.containers.edit(container).expect("looked up");
        container.connectors.insert(connector.clone(), Join::Attached);
        self.initialise(&full);
        Ok(())
    }

    /// The connector has its addresses from now on.
    fn initialise(&mut self, connector: &FullName) {
        if self.connectors.find(connector).is_some_and(|found| found.initialised != Initialised::Ready)
            && let Some(connector) = self.connectors.edit(connector)
        {
            connector.initialised = Initialised::Ready;
        }
    }

    pub(crate) fn joined(&mut self, container: &FullName, connector: &Name) -> Result<(), Refusal> {
        let full = FullName::new(&container.tenant, connector);
        let found = self.containers.edit(container).and_then(|c| c.connectors.get_mut(connector));
        if let Some(join) = found {
            *join = Join::Attached;
            self.initialise(&full);
            return Ok(());
        }
        // Something disappeared while the gateway was being told: say what.
        ready_container(self.container(container)?)?;
        self.ready_vpc(self.connector(&full)?)?;
        Err(not_attached(container, connector))
    }

    pub(crate) fn part(&mut self, container: &FullName, connector: &Name) {
        if let Some(container) = self.containers.edit(container) {
            container.connectors.remove(connector);
        }
    }

    pub(super) fn part_all_of_connector(&mut self, name: &FullName) {
        let containers: Vec<_> = self.index.attached(name).cloned().collect();
        for container in containers {
            self.part(&container, &name.name);
        }
    }

    fn ready_vpc(&self, connector: &Connector) -> Result<UplinkId, Refusal> {
        let vpc = self.vpc(&connector.vpc)?;
        let (name, state) = (connector.vpc.name.clone(), vpc.life.state());
        let not_ready = || Refusal::NotReady { kind: Kind::Vpc, name, state };
        vpc.life.ready().map(|link| link.uplink).ok_or_else(not_ready)
    }

    /// Refuses what a container with its other connectors cannot have.
    pub(super) fn refuse_misfit(&self, container: &FullName, connector: &FullName) -> Result<(), Refusal> {
        let (container, connector) = (self.container(container)?, self.connector(connector)?);
        let Some(fitted) = &connector.fitted else { return Err(Refusal::not_approved(connector)) };
        self.refuse_tie(container, connector, fitted)?;
        self.refuse_address_of_vpc(container, connector, fitted)
    }

    /// The longest prefix decides between the connectors of a container; with two equal ones nothing would.
    fn refuse_tie(
        &self,
        container: &Container,
        connector: &Connector,
        fitted: &Fitted,
    ) -> Result<(), Refusal> {
        let others = container.connectors.keys().filter(|name| **name != connector.name.name);
        for name in others {
            let other = self.connectors.find(&FullName::new(&container.name.tenant, name));
            let Some(destinations) = other.and_then(|other| other.fitted.as_ref()).map(|f| &f.destinations)
            else {
                continue;
            };
            if let Some(&prefix) = fitted.destinations.iter().find(|prefix| destinations.contains(prefix)) {
                let (container, other) = (container.name.name.clone(), name.clone());
                return Err(Refusal::DestinationTie { container, other, prefix });
            }
        }
        Ok(())
    }

    /// Without translation the VPC sees the container's address, which cannot be that of somebody whom others depend on. That it is
    /// no external one is seen to by the gateway, and that no other container has it.
    fn refuse_address_of_vpc(
        &self,
        container: &Container,
        connector: &Connector,
        fitted: &Fitted,
    ) -> Result<(), Refusal> {
        if connector.spec.policy.translation.is_some() {
            return Ok(());
        }
        let vpc = &self.vpc(&connector.vpc)?.spec;
        let seen = |address: IpAddr| {
            let family = Family::of(address);
            fitted.destinations.iter().any(|destination| Family::of(destination.addr()) == family)
        };
        let own: Vec<_> = container.spec.addresses().filter(|&address| seen(address)).collect();
        match vpc.taken().find(|(address, _)| own.contains(address)) {
            None => Ok(()),
            Some((address, role)) => {
                let (container, vpc) = (container.name.name.clone(), vpc.name.clone());
                Err(Refusal::AddressOfVpc { container, address, role, vpc })
            }
        }
    }

    /// Whether the connector has its external addresses at the time.
    pub(super) fn has_addresses(&self, connector: &FullName) -> bool {
        let found = self.connectors.find(connector);
        found.is_some_and(|found| found.initialised == Initialised::Ready)
            || self.index.attached(connector).next().is_some()
    }

    /// Refuses external addresses that another connector has at the time.
    pub(super) fn refuse_external_of_others(&self, name: &FullName) -> Result<(), Refusal> {
        let connector = self.connector(name)?;
        let Some(own) = &connector.spec.external_addresses else { return Ok(()) };
        let others = self.index.joining(&connector.vpc).filter(|other| *other != name);
        for other in others.filter_map(|other| self.connectors.find(other)) {
            let shared = own.iter().find(|&&address| self.has_addresses(&other.name) && other.names(address));
            if let Some(&address) = shared {
                // Whose it is, is nobody else's business.
                let by = (other.name.tenant == name.tenant).then(|| other.name.name.clone());
                return Err(Refusal::ExternalTaken { address, by });
            }
        }
        Ok(())
    }
}

/// A container that serves a function may use what the function may use.
pub(super) fn refuse_stranger(connector: &ConnectorSpec, container: &Container) -> Result<(), Refusal> {
    let (name, connector_name) = (container.name.name.clone(), connector.name.clone());
    match &container.function {
        Some(function) if !connector.may_be_used_by_function(function) => {
            Err(Refusal::FunctionMayNotUse { function: function.clone(), connector: connector_name })
        }
        None if !connector.may_be_used_by(&name) => {
            Err(Refusal::MayNotUse { container: name, connector: connector_name })
        }
        _ => Ok(()),
    }
}

fn not_attached(container: &FullName, connector: &Name) -> Refusal {
    Refusal::NotAttached { container: container.name.clone(), connector: connector.clone() }
}

fn ready_container(container: &Container) -> Result<AttachmentId, Refusal> {
    if let Life::Ready(link) = &container.life {
        return Ok(link.attachment);
    }
    let (name, state) = (container.name.name.clone(), container.life.state());
    Err(Refusal::NotReady { kind: Kind::Container, name, state })
}
