//! VPCs: private networks that the gateway has a link to.

mod external;

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use external::{External, Surroundings};

use crate::family::Family;
use crate::limits::{IPV6_MTU_MIN, PORT_BLOCK};
use crate::subnet::{NewSubnet, Subnet};
use crate::{
    Approval, Code, Faults, FullName, Life, MacAddr, Name, NewPorts, NewUplink, Ports, PortsView, Problem,
    State, UnsolicitedSyn, UplinkId, UplinkSpec, UplinkView,
};

/// A requested VPC.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewVpc {
    /// 1 to 63 of a–z, 0–9 and inner hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "orders")]
    pub name: String,
    /// The VPC's IPv4 addresses. Other VPCs may have the same. A VPC has `cidr`, `cidr6` or both.
    #[schema(example = "10.1.0.0/16")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<String>,
    /// The VPC's IPv6 addresses.
    #[schema(example = "fd00::/64")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr6: Option<String>,
    /// Addresses inside `cidr` and `cidr6` that containers appear as; 1 to 64 in all.
    #[schema(example = json!(["10.1.0.10"]))]
    pub external_addresses: Vec<String>,
    /// More addresses of the same kind, for connectors that name them in their `external_addresses`; at most 64 together with those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_addresses: Option<Vec<String>>,
    /// Who approves that a connector may join: `automatic` (the default) lets in those of the same tenant at once, `manual` nobody.
    /// Connectors of other tenants always wait for an approval.
    #[schema(example = "automatic")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// The prefix that is resolved by ARP on the link; `cidr` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_link: Option<String>,
    /// The prefix that is resolved by neighbor discovery on the link; `cidr6` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_link6: Option<String>,
    /// The router for everything else, inside `on_link`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<String>,
    /// The same for IPv6, inside `on_link6` or link-local.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop6: Option<String>,
    /// External ports that mappings are made from; 1024 to 65535 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<NewPorts>,
    /// Whether ports are given to containers in blocks of 64, so that a log of blocks tells who had which port
    /// (RFC 6888 REQ-14); not unless given. Only whole blocks are: one excluded port takes its block with it. Of the default ports an
    /// address has 1008 for each protocol, and so at most that many containers; a ping takes one too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_blocks: Option<bool>,
    /// What becomes of a SYN that no mapping takes (RFC 5382 REQ-4): `icmp` (the default) says after 6 seconds that the port is
    /// unreachable, `silent` says nothing.
    #[schema(example = "icmp")]
    #[serde(skip_serializing_if = "Option::is_none")]
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
    /// More of them, for connectors that name them.
    pub reserved_addresses: Vec<IpAddr>,
    /// Who approves that a connector may join.
    pub approval: Approval,
    /// External ports that mappings are made from.
    pub ports: Ports,
    /// Whether containers get ports in blocks.
    pub port_blocks: bool,
    /// What becomes of a SYN that no mapping takes.
    pub unsolicited_syn: UnsolicitedSyn,
    /// The link.
    pub uplink: UplinkSpec,
    /// What was asked for, as it is kept.
    pub asked: NewVpc,
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
    /// Its name and tenant.
    pub name: FullName,
    /// What was asked for.
    pub spec: Arc<VpcSpec>,
    /// What became of it.
    pub life: Life<VpcLink>,
    /// The gateway's MAC address on its link, once made; it is the same after a restart.
    pub mac: Option<MacAddr>,
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
    /// More of them, for connectors that name them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reserved_addresses: Vec<String>,
    /// Who approves that a connector may join.
    pub approval: Approval,
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
    /// Counts changes of what was asked for; the resource's ETag.
    pub revision: u64,
}

impl NewVpc {
    /// Checks everything that can be checked without the machine, and fills in what was left out.
    pub fn validate(self) -> Result<VpcSpec, Problem> {
        let asked = self.clone();
        let mut faults = Faults::default();
        let name = faults.take(Name::parse("name", self.name));
        let approval = faults.take(Approval::parse("approval", self.approval.as_deref()));
        let unsolicited_syn =
            faults.take(UnsolicitedSyn::parse("unsolicited_syn", self.unsolicited_syn.as_deref()));
        let ports = faults.take(Ports::parse("ports", self.ports.unwrap_or_default()));
        let port_blocks = self.port_blocks.unwrap_or_default();
        if let Some(ports) = ports.as_ref().filter(|_| port_blocks) {
            faults.take(refuse_no_blocks(ports));
        }
        let uplink = faults.take(self.uplink.validate());
        let v4 = NewSubnet { cidr: self.cidr, on_link: self.on_link, next_hop: self.next_hop };
        let v6 = NewSubnet { cidr: self.cidr6, on_link: self.on_link6, next_hop: self.next_hop6 };
        let subnets = faults.take(v4.validate(Family::V4)).zip(faults.take(v6.validate(Family::V6)));
        if matches!(subnets, Some((None, None))) {
            faults.note(Problem::new(Code::MissingField, "a VPC has cidr, cidr6 or both").at("cidr"));
        }
        if let (Some((_, Some(_))), Some(uplink)) = (&subnets, &uplink) {
            faults.take(uplink.refuse_too_small_for_ipv6());
        }
        // What they have to go together with has to be known.
        let external = subnets.as_ref().zip(uplink.as_ref()).and_then(|((ipv4, ipv6), uplink)| {
            let around = Surroundings {
                ipv4: ipv4.as_ref(),
                ipv6: ipv6.as_ref(),
                taken: taken(ipv4.iter().chain(ipv6), uplink).collect(),
            };
            let reserved = self.reserved_addresses.as_deref().unwrap_or_default();
            faults.take(External::parse(&self.external_addresses, reserved, &around))
        });
        let spec = || {
            let (ipv4, ipv6) = subnets?;
            let External { pool, reserved } = external?;
            Some(VpcSpec {
                name: name?,
                ipv4,
                ipv6,
                external_addresses: pool,
                reserved_addresses: reserved,
                approval: approval?,
                ports: ports?,
                port_blocks,
                unsolicited_syn: unsolicited_syn?,
                uplink: uplink?,
                asked,
            })
        };
        let spec = spec();
        faults.end(spec)
    }
}

fn refuse_no_blocks(ports: &Ports) -> Result<(), Problem> {
    if ports.whole_blocks() > 0 {
        return Ok(());
    }
    let detail = format!(
        "no whole block of {PORT_BLOCK} ports, such as 1024 to 1087, is among the ports; choose more of them, or no blocks"
    );
    Err(Problem::new(Code::InvalidPorts, detail).at("port_blocks"))
}

/// Addresses of the VPC that belong to others than the gateway.
fn taken<'a>(
    subnets: impl Iterator<Item = &'a Subnet>,
    uplink: &UplinkSpec,
) -> impl Iterator<Item = (IpAddr, &'static str)> {
    let next_hops = subnets.filter_map(|subnet| Some((subnet.next_hop?, "next hop")));
    let ends = uplink.addresses().iter().map(|address| (address.addr(), "address of the uplink"));
    next_hops.chain(ends).collect::<Vec<_>>().into_iter()
}

impl VpcSpec {
    /// What it has of each family, IPv4 first.
    pub fn subnets(&self) -> impl Iterator<Item = &Subnet> {
        self.ipv4.iter().chain(&self.ipv6)
    }

    /// Whether this is one of its external addresses, reserved ones included.
    pub fn is_external(&self, address: IpAddr) -> bool {
        self.external_addresses.contains(&address) || self.reserved_addresses.contains(&address)
    }

    /// Addresses of the VPC that belong to others than the gateway, and who has them.
    pub(crate) fn taken(&self) -> impl Iterator<Item = (IpAddr, &'static str)> {
        taken(self.subnets(), &self.uplink)
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
    pub(crate) fn view(&self, revision: u64) -> VpcView {
        let (spec, link) = (&self.spec, self.life.link());
        let cidr = |subnet: &Option<Subnet>| subnet.as_ref().map(|s| s.cidr.to_string());
        let on_link = |subnet: &Option<Subnet>| subnet.as_ref().map(|s| s.on_link.to_string());
        let next_hop = |subnet: &Option<Subnet>| Some(subnet.as_ref()?.next_hop?.to_string());
        VpcView {
            name: spec.name.to_string(),
            cidr: cidr(&spec.ipv4),
            cidr6: cidr(&spec.ipv6),
            external_addresses: spec.external_addresses.iter().map(IpAddr::to_string).collect(),
            reserved_addresses: spec.reserved_addresses.iter().map(IpAddr::to_string).collect(),
            approval: spec.approval,
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
            revision,
        }
    }
}

#[cfg(test)]
mod tests;
