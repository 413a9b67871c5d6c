//! VPCs: private networks that the gateway has a link to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::family::Family;
use crate::limits::{EXTERNAL_ADDRESSES, IPV6_MTU_MIN, PORT_BLOCK};
use crate::subnet::{NewSubnet, Subnet};
use crate::{
    Code, Life, MacAddr, Name, NewPorts, NewUplink, Ports, PortsView, Problem, State, UnsolicitedSyn,
    UplinkId, UplinkSpec, UplinkView, address,
};

/// A requested VPC.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewVpc {
    /// 1 to 63 of a–z, 0–9 and inner hyphens.
    #[schema(example = "orders")]
    pub name: String,
    /// The VPC's IPv4 addresses. Other VPCs may have the same. A VPC has `cidr`, `cidr6` or both.
    #[schema(example = "10.1.0.0/16")]
    pub cidr: Option<String>,
    /// The VPC's IPv6 addresses.
    #[schema(example = "fd00::/64")]
    pub cidr6: Option<String>,
    /// Addresses inside `cidr` and `cidr6` that containers appear as; 1 to 64 in all.
    #[schema(example = json!(["10.1.0.10"]))]
    pub external_addresses: Vec<String>,
    /// The prefix that is resolved by ARP on the link; `cidr` unless given.
    pub on_link: Option<String>,
    /// The prefix that is resolved by neighbor discovery on the link; `cidr6` unless given.
    pub on_link6: Option<String>,
    /// The router for everything else, inside `on_link`.
    pub next_hop: Option<String>,
    /// The same for IPv6, inside `on_link6` or link-local.
    pub next_hop6: Option<String>,
    /// External ports that mappings are made from; 1024 to 65535 unless given.
    pub ports: Option<NewPorts>,
    /// Whether ports are given to containers in blocks of 64, so that a log of blocks tells who had which port
    /// (RFC 6888 REQ-14); not unless given. Only whole blocks are: one excluded port takes its block with it. Of the default ports an
    /// address has 1008 for each protocol, and so at most that many containers; a ping takes one too.
    pub port_blocks: Option<bool>,
    /// What becomes of a SYN that no mapping takes (RFC 5382 REQ-4): `icmp` (the default) says after 6 seconds that the port is
    /// unreachable, `silent` says nothing.
    #[schema(example = "icmp")]
    pub unsolicited_syn: Option<String>,
    /// The link.
    pub uplink: NewUplink,
}

/// A valid VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcSpec {
    /// Its name.
    pub name: Name,
    /// What it has of IPv4. A VPC has one family or both.
    pub ipv4: Option<Subnet>,
    /// What it has of IPv6.
    pub ipv6: Option<Subnet>,
    /// Addresses that containers appear as; at least one, all different, each inside the CIDR of its family.
    pub external_addresses: Vec<IpAddr>,
    /// External ports that mappings are made from.
    pub ports: Ports,
    /// Whether containers get ports in blocks.
    pub port_blocks: bool,
    /// What becomes of a SYN that no mapping takes.
    pub unsolicited_syn: UnsolicitedSyn,
    /// The link.
    pub uplink: UplinkSpec,
}

/// A VPC's link, once it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcLink {
    /// The gateway's number for it.
    pub uplink: UplinkId,
    /// The gateway's MAC address on it.
    pub mac: MacAddr,
    /// Its MTU. Bytes.
    pub mtu: u16,
    /// Offloads that the kernel accepted.
    pub offloads: Vec<String>,
}

/// A VPC as a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    /// What was asked for.
    pub spec: VpcSpec,
    /// What became of it.
    pub life: Life<VpcLink>,
    /// Connectors that lead to it.
    pub connectors: BTreeSet<Name>,
}

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VpcView {
    /// Its name.
    pub name: String,
    /// Its IPv4 addresses, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<String>,
    /// Its IPv6 addresses, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr6: Option<String>,
    /// Addresses that containers appear as.
    pub external_addresses: Vec<String>,
    /// The prefix that is resolved by ARP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_link: Option<String>,
    /// The prefix that is resolved by neighbor discovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_link6: Option<String>,
    /// The router for everything else, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<String>,
    /// The same for IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop6: Option<String>,
    /// External ports that mappings are made from.
    pub ports: PortsView,
    /// Whether containers get ports in blocks.
    pub port_blocks: bool,
    /// What becomes of a SYN that no mapping takes.
    pub unsolicited_syn: UnsolicitedSyn,
    /// The link.
    pub uplink: UplinkView,
    /// Where it is in its life.
    pub state: State,
    /// The gateway's MAC address on the link, once made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The link's MTU in bytes, once made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Offloads that the kernel accepted.
    pub offloads: Vec<String>,
}

impl NewVpc {
    /// Checks everything that can be checked without the machine, and fills in what was left out.
    pub fn validate(self) -> Result<VpcSpec, Problem> {
        let name = Name::parse("name", self.name)?;
        let v4 = NewSubnet { cidr: self.cidr, on_link: self.on_link, next_hop: self.next_hop };
        let v6 = NewSubnet { cidr: self.cidr6, on_link: self.on_link6, next_hop: self.next_hop6 };
        let (ipv4, ipv6) = (v4.validate(Family::V4)?, v6.validate(Family::V6)?);
        if ipv4.is_none() && ipv6.is_none() {
            return Err(Problem::new(Code::MissingField, "a VPC has cidr, cidr6 or both").at("cidr"));
        }
        let ports = Ports::parse("ports", self.ports.unwrap_or_default())?;
        let unsolicited_syn = UnsolicitedSyn::parse("unsolicited_syn", self.unsolicited_syn.as_deref())?;
        let uplink = self.uplink.validate()?;
        if ipv6.is_some() {
            uplink.refuse_too_small_for_ipv6()?;
        }
        let subnets = || ipv4.iter().chain(&ipv6);
        let external_addresses = parse_external(&self.external_addresses, ipv4.as_ref(), ipv6.as_ref())?;
        for (i, &external) in external_addresses.iter().enumerate() {
            refuse_taken(i, external, "next hop", subnets().filter_map(|subnet| subnet.next_hop))?;
            refuse_taken(i, external, "address of the uplink", uplink.addresses().iter().map(IpNet::addr))?;
        }
        let port_blocks = self.port_blocks.unwrap_or_default();
        if port_blocks && ports.whole_blocks() == 0 {
            let detail = format!(
                "no whole block of {PORT_BLOCK} ports, such as 1024 to 1087, is among the ports; choose more of them, or no blocks"
            );
            return Err(Problem::new(Code::InvalidPorts, detail).at("port_blocks"));
        }
        Ok(VpcSpec { name, ipv4, ipv6, external_addresses, ports, port_blocks, unsolicited_syn, uplink })
    }
}

fn parse_external(
    texts: &[String],
    ipv4: Option<&Subnet>,
    ipv6: Option<&Subnet>,
) -> Result<Vec<IpAddr>, Problem> {
    if !(1..=EXTERNAL_ADDRESSES).contains(&texts.len()) {
        let detail = format!("a VPC has 1 to {EXTERNAL_ADDRESSES} external addresses, not {}", texts.len());
        return Err(Problem::new(Code::InvalidAddress, detail).at("external_addresses"));
    }
    let mut addresses = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        let field = external_field(i);
        let external = address::parse(&field, text)?;
        address::refuse_unroutable(&field, external)?;
        let subnet = if external.is_ipv4() { ipv4 } else { ipv6 };
        refuse_outside(&field, external, subnet)?;
        if addresses.contains(&external) {
            let detail = format!("{external} is listed twice; list each address once");
            return Err(Problem::new(Code::DuplicateAddress, detail).at(field));
        }
        addresses.push(external);
    }
    Ok(addresses)
}

fn refuse_outside(field: &str, external: IpAddr, subnet: Option<&Subnet>) -> Result<(), Problem> {
    let name = Family::of(external).field("cidr");
    let detail = match subnet {
        Some(Subnet { cidr, .. }) if cidr.contains(&external) => {
            return address::refuse_edge(field, external, *cidr);
        }
        Some(Subnet { cidr, .. }) => {
            format!("{external} is not inside the VPC's {name} {cidr}; choose an unused address of the VPC")
        }
        None => format!("{external} is outside of the VPC, which has no {name}"),
    };
    Err(Problem::new(Code::AddressOutsideVpc, detail).at(field))
}

fn refuse_taken(
    i: usize,
    external: IpAddr,
    role: &str,
    mut taken: impl Iterator<Item = IpAddr>,
) -> Result<(), Problem> {
    if !taken.any(|taken| taken == external) {
        return Ok(());
    }
    let detail = format!("{external} is the {role}; an external address belongs to the gateway alone");
    Err(address::invalid(&external_field(i), detail))
}

fn external_field(i: usize) -> String {
    format!("external_addresses[{i}]")
}

impl VpcSpec {
    /// What it has of each family, IPv4 first.
    pub fn subnets(&self) -> impl Iterator<Item = &Subnet> {
        self.ipv4.iter().chain(&self.ipv6)
    }

    /// External ports of one protocol that containers can have, over all external addresses of the family that has more of them.
    pub fn port_count(&self) -> u32 {
        let v4 = self.external_addresses.iter().filter(|address| address.is_ipv4()).count();
        let addresses = v4.max(self.external_addresses.len() - v4);
        let blocks = self.ports.whole_blocks() * u32::from(PORT_BLOCK);
        let ports = if self.port_blocks { blocks } else { self.ports.count() };
        ports * addresses as u32
    }

    /// Refuses a device that the VPC cannot use. What one has that existed is not known before.
    pub fn refuse_unfit(&self, link: &VpcLink) -> Result<(), Problem> {
        if self.ipv6.is_none() || link.mtu >= IPV6_MTU_MIN {
            return Ok(());
        }
        let detail = format!(
            "the device's MTU {} is too small for IPv6; set it to {IPV6_MTU_MIN} or more, or leave out cidr6",
            link.mtu
        );
        Err(Problem::new(Code::InvalidMtu, detail).at("uplink.device"))
    }
}

impl Vpc {
    /// What clients see.
    pub fn view(&self) -> VpcView {
        let (spec, link) = (&self.spec, self.life.link());
        let cidr = |subnet: &Option<Subnet>| subnet.as_ref().map(|s| s.cidr.to_string());
        let on_link = |subnet: &Option<Subnet>| subnet.as_ref().map(|s| s.on_link.to_string());
        let next_hop = |subnet: &Option<Subnet>| Some(subnet.as_ref()?.next_hop?.to_string());
        VpcView {
            name: spec.name.to_string(),
            cidr: cidr(&spec.ipv4),
            cidr6: cidr(&spec.ipv6),
            external_addresses: spec.external_addresses.iter().map(IpAddr::to_string).collect(),
            on_link: on_link(&spec.ipv4),
            on_link6: on_link(&spec.ipv6),
            next_hop: next_hop(&spec.ipv4),
            next_hop6: next_hop(&spec.ipv6),
            ports: spec.ports.view(),
            port_blocks: spec.port_blocks,
            unsolicited_syn: spec.unsolicited_syn,
            uplink: spec.uplink.view(),
            state: self.life.state(),
            mac: link.map(|l| l.mac.to_string()),
            mtu: link.map(|l| l.mtu),
            offloads: link.map(|l| l.offloads.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
