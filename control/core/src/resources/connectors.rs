//! Transitions of connectors.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Resources, not_found};
use crate::family::Family;
use crate::limits::CONNECTORS;
use crate::{
    Connector, ConnectorId, ConnectorSpec, Kind, Mapping, Name, Policy, Publication, Refusal, VpcSpec,
};

impl Resources {
    pub(crate) fn add_connector(&mut self, spec: ConnectorSpec) -> Result<(), Refusal> {
        if self.connectors.contains_key(&spec.name) {
            return Err(Refusal::AlreadyExists { kind: Kind::Connector, name: spec.name });
        }
        if self.connectors.len() >= CONNECTORS {
            return Err(Refusal::LimitReached { what: "connectors", limit: CONNECTORS });
        }
        let Some(vpc) = self.vpcs.get_mut(&spec.vpc) else { return Err(Refusal::VpcMissing(spec.vpc)) };
        if vpc.life.ready().is_none() {
            return Err(Refusal::NotReady { kind: Kind::Vpc, name: spec.vpc, state: vpc.life.state() });
        }
        refuse_unfit(&spec.policy, &vpc.spec)?;
        let publications = Publication::fit_all(&spec.publications, &vpc.spec)?;
        let whole_vpc = || vpc.spec.subnets().map(|subnet| subnet.cidr).collect();
        let destinations = spec.destinations.unwrap_or_else(whole_vpc);
        refuse_unreachable(&destinations, &vpc.spec)?;
        refuse_uncallable(&publications, &destinations)?;
        vpc.connectors.insert(spec.name.clone());

        let id = ConnectorId(self.next_connector);
        self.next_connector += 1;
        self.connector_ids.insert(id, spec.name.clone());
        let connector = Connector {
            id,
            name: spec.name.clone(),
            vpc: spec.vpc,
            destinations,
            policy: spec.policy,
            publications,
            containers: BTreeSet::new(),
        };
        self.connectors.insert(spec.name, connector);
        Ok(())
    }

    pub(crate) fn remove_connector(&mut self, name: &Name) -> Result<(), Refusal> {
        let connector = self.connectors.get(name).ok_or_else(|| not_found(Kind::Connector, name.as_str()))?;
        if !connector.containers.is_empty() {
            let names = connector.containers.iter().cloned().collect();
            return Err(Refusal::InUse {
                kind: Kind::Connector,
                name: name.clone(),
                by: Kind::Container,
                names,
            });
        }
        self.vpcs.get_mut(&connector.vpc).expect("a connector's VPC exists").connectors.remove(name);
        self.connector_ids.remove(&connector.id);
        self.connectors.remove(name);
        Ok(())
    }
}

/// Refuses what the VPC cannot do.
fn refuse_unfit(policy: &Policy, vpc: &VpcSpec) -> Result<(), Refusal> {
    let Some(translation) = &policy.translation else { return Ok(()) };
    if translation.mapping == Mapping::AddressAndPortDependent && vpc.port_blocks {
        return Err(Refusal::PortBlocks(vpc.name.clone()));
    }
    // Such ports serve many, so that there are more sessions to count than ports.
    if translation.mapping == Mapping::AddressAndPortDependent {
        return Ok(());
    }
    let ports = vpc.port_count();
    for (field, quota) in [
        ("port_quota", translation.port_quota),
        ("port_quota_per_container", translation.port_quota_per_container),
    ] {
        if let Some(quota) = quota.filter(|&quota| quota > ports) {
            return Err(Refusal::QuotaTooLarge { field, quota, vpc: vpc.name.clone(), ports });
        }
    }
    Ok(())
}

/// Refuses destinations of a family that the VPC does not have.
fn refuse_unreachable(destinations: &[IpNet], vpc: &VpcSpec) -> Result<(), Refusal> {
    for (index, &destination) in destinations.iter().enumerate() {
        let family = Family::of(destination.addr());
        if !vpc.subnets().any(|subnet| Family::of(subnet.cidr.addr()) == family) {
            return Err(Refusal::NoSuchFamily { index, destination, vpc: vpc.name.clone() });
        }
    }
    Ok(())
}

/// Refuses publications of a family that no destination has: only destinations may call.
fn refuse_uncallable(publications: &[Publication], destinations: &[IpNet]) -> Result<(), Refusal> {
    for (index, &Publication { external, .. }) in publications.iter().enumerate() {
        let family = Family::of(external.ip());
        if !destinations.iter().any(|destination| Family::of(destination.addr()) == family) {
            return Err(Refusal::NobodyMayCall { index, external });
        }
    }
    Ok(())
}
