//! A connector together with its VPC: what was left out is the VPC's, and what the VPC cannot do is refused.

use std::net::IpAddr;

use ipnet::IpNet;

use super::ConnectorSpec;
use crate::family::Family;
use crate::{Action, Mapping, Policy, PortRange, Protocol, Publication, Refusal, Rule, VpcSpec};

/// What a connector's policy is in its VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// Prefixes that may be reached.
    pub destinations: Vec<IpNet>,
    /// What lets packets through; those to DNS servers first. Without any, all do.
    pub rules: Vec<Rule>,
    /// External endpoints that lead to the container, all different; none without translation.
    pub publications: Vec<Publication>,
}

impl Fitted {
    pub(crate) fn new(spec: &ConnectorSpec, vpc: &VpcSpec) -> Result<Self, Refusal> {
        refuse_unfit(&spec.policy, vpc)?;
        refuse_not_reserved(spec.external_addresses.as_deref().unwrap_or_default(), vpc)?;
        let publications = Publication::fit_all(&spec.publications, vpc)?;
        let whole_vpc = || vpc.subnets().map(|subnet| subnet.cidr).collect();
        let destinations = spec.destinations.clone().unwrap_or_else(whole_vpc);
        refuse_unreachable(&destinations, vpc)?;
        refuse_uncallable(&publications, &destinations)?;
        refuse_dns_outside(&spec.dns_servers, &destinations)?;
        Ok(Self { rules: rules(spec), destinations, publications })
    }
}

/// A connector whose rules forbade the DNS servers that it tells of would be of no use.
fn rules(spec: &ConnectorSpec) -> Vec<Rule> {
    if spec.policy.rules.is_empty() {
        return Vec::new();
    }
    let dns = |&server: &IpAddr| {
        [Protocol::Udp, Protocol::Tcp].map(|protocol| Rule {
            action: Action::Allow,
            destination: Some(server.into()),
            protocol: Some(protocol),
            ports: Some(PortRange::DNS),
        })
    };
    spec.dns_servers.iter().flat_map(dns).chain(spec.policy.rules.iter().cloned()).collect()
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

/// Refuses addresses of its own that are not kept for connectors.
fn refuse_not_reserved(addresses: &[IpAddr], vpc: &VpcSpec) -> Result<(), Refusal> {
    match addresses.iter().enumerate().find(|(_, address)| !vpc.reserved_addresses.contains(address)) {
        None => Ok(()),
        Some((index, &address)) => Err(Refusal::NotReserved { index, address, vpc: vpc.name.clone() }),
    }
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

/// Refuses DNS servers that containers would not reach.
fn refuse_dns_outside(servers: &[IpAddr], destinations: &[IpNet]) -> Result<(), Refusal> {
    let reached = |server: &IpAddr| destinations.iter().any(|destination| destination.contains(server));
    match servers.iter().enumerate().find(|(_, server)| !reached(server)) {
        None => Ok(()),
        Some((index, &server)) => Err(Refusal::DnsOutside { index, server }),
    }
}
