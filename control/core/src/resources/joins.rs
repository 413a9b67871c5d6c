//! Which container has which connector. Both sides are kept; they change here and nowhere else.

use std::mem;
use std::net::IpAddr;

use super::{Permission, Resources};
use crate::family::Family;
use crate::limits::CONNECTORS_PER_CONTAINER;
use crate::{Connector, Container, Join, Kind, Name, Refusal, UplinkId};

impl Resources {
    /// What the gateway needs to know of a container and one of its connectors, attached or being attached.
    pub fn permission(&self, container: &Name, connector: &Name) -> Result<Permission, Refusal> {
        let (from, to) = (self.container(container.as_str())?, self.connector(connector.as_str())?);
        let Some(&join) = from.connectors.get(connector) else {
            return Err(Refusal::NotAttached { container: container.clone(), connector: connector.clone() });
        };
        Ok(Permission {
            attachment: ready_container(from)?,
            connector: to.id,
            uplink: self.ready_vpc(to)?,
            destinations: to.destinations.clone(),
            policy: to.policy.clone(),
            publications: to.publications.clone(),
            join,
        })
    }

    pub(crate) fn join(&mut self, container: &Name, connector: &Name) -> Result<(), Refusal> {
        let (from, to) = (self.container(container.as_str())?, self.connector(connector.as_str())?);
        ready_container(from)?;
        self.ready_vpc(to)?;
        if from.connectors.contains_key(connector) {
            return Ok(());
        }
        if from.connectors.len() >= CONNECTORS_PER_CONTAINER {
            let what = "connectors attached to this container";
            return Err(Refusal::LimitReached { what, limit: CONNECTORS_PER_CONTAINER });
        }
        self.refuse_tie(from, to)?;
        self.refuse_address_of_vpc(from, to)?;
        self.containers
            .get_mut(container)
            .expect("looked up")
            .connectors
            .insert(connector.clone(), Join::Attaching);
        self.connectors.get_mut(connector).expect("looked up").containers.insert(container.clone());
        Ok(())
    }

    pub(crate) fn joined(&mut self, container: &Name, connector: &Name) -> Result<(), Refusal> {
        let found = self.containers.get_mut(container).and_then(|c| c.connectors.get_mut(connector));
        if let Some(join) = found {
            *join = Join::Attached;
            return Ok(());
        }
        // Something disappeared while the gateway was being told: say what.
        ready_container(self.container(container.as_str())?)?;
        self.ready_vpc(self.connector(connector.as_str())?)?;
        Err(Refusal::NotAttached { container: container.clone(), connector: connector.clone() })
    }

    pub(crate) fn part(&mut self, container: &Name, connector: &Name) {
        if let Some(container) = self.containers.get_mut(container) {
            container.connectors.remove(connector);
        }
        if let Some(connector) = self.connectors.get_mut(connector) {
            connector.containers.remove(container);
        }
    }

    pub(super) fn part_all_of_container(&mut self, name: &Name) {
        let Some(container) = self.containers.get_mut(name) else { return };
        for connector in mem::take(&mut container.connectors).into_keys() {
            self.part(name, &connector);
        }
    }

    pub(super) fn part_all_of_connector(&mut self, name: &Name) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        for container in mem::take(&mut connector.containers) {
            self.part(&container, name);
        }
    }

    fn ready_vpc(&self, connector: &Connector) -> Result<UplinkId, Refusal> {
        let vpc = self.vpc(connector.vpc.as_str())?;
        let not_ready =
            || Refusal::NotReady { kind: Kind::Vpc, name: connector.vpc.clone(), state: vpc.life.state() };
        vpc.life.ready().map(|link| link.uplink).ok_or_else(not_ready)
    }

    /// The longest prefix decides between the connectors of a container; with two equal ones nothing would.
    fn refuse_tie(&self, container: &Container, connector: &Connector) -> Result<(), Refusal> {
        for other in container.connectors.keys().filter_map(|name| self.connectors.get(name)) {
            if let Some(&prefix) =
                connector.destinations.iter().find(|prefix| other.destinations.contains(prefix))
            {
                let (container, other) = (container.spec.name.clone(), other.name.clone());
                return Err(Refusal::DestinationTie { container, other, prefix });
            }
        }
        Ok(())
    }

    /// Without translation the VPC sees the container's address, which cannot be that of somebody whom others depend on. That it is
    /// no external one is seen to by the gateway, and that no other container has it.
    fn refuse_address_of_vpc(&self, container: &Container, connector: &Connector) -> Result<(), Refusal> {
        if connector.policy.translation.is_some() {
            return Ok(());
        }
        let vpc = &self.vpc(connector.vpc.as_str())?.spec;
        let next_hops = vpc.subnets().filter_map(|subnet| Some((subnet.next_hop?, "next hop")));
        let ends = vpc.uplink.addresses().iter().map(|address| (address.addr(), "address of the uplink"));
        let seen = |address: IpAddr| {
            let family = Family::of(address);
            connector.destinations.iter().any(|destination| Family::of(destination.addr()) == family)
        };
        let own: Vec<_> = container.spec.addresses().filter(|&address| seen(address)).collect();
        match next_hops.chain(ends).find(|(address, _)| own.contains(address)) {
            None => Ok(()),
            Some((address, role)) => {
                let (container, vpc) = (container.spec.name.clone(), vpc.name.clone());
                Err(Refusal::AddressOfVpc { container, address, role, vpc })
            }
        }
    }
}

fn ready_container(container: &Container) -> Result<crate::AttachmentId, Refusal> {
    let not_ready = || Refusal::NotReady {
        kind: Kind::Container,
        name: container.spec.name.clone(),
        state: container.life.state(),
    };
    container.life.ready().map(|link| link.attachment).ok_or_else(not_ready)
}
