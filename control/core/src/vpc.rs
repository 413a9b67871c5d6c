//! VPCs: private networks that the gateway has a link to.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::EXTERNAL_ADDRESSES;
use crate::{
    Code, Life, MacAddr, Name, NewPortRange, NewUplink, PortRange, PortRangeView, Problem, State, UplinkId,
    UplinkSpec, UplinkView, address, cidr,
};

/// A requested VPC.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewVpc {
    /// 1 to 63 of a–z, 0–9 and inner hyphens.
    #[schema(example = "orders")]
    pub name: String,
    /// The VPC's addresses. Other VPCs may have the same.
    #[schema(example = "10.1.0.0/16")]
    pub cidr: String,
    /// Addresses inside `cidr` that containers appear as; 1 to 64.
    #[schema(example = json!(["10.1.0.10"]))]
    pub external_addresses: Vec<String>,
    /// The prefix that is resolved by ARP on the link; `cidr` unless given.
    pub on_link: Option<String>,
    /// The router for everything else, inside `on_link`.
    pub next_hop: Option<String>,
    /// External ports that mappings are made from; 1024 to 65535 unless given.
    pub ports: Option<NewPortRange>,
    /// The link.
    pub uplink: NewUplink,
}

/// A valid VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcSpec {
    /// Its name.
    pub name: Name,
    /// Its addresses.
    pub cidr: Ipv4Net,
    /// Addresses that containers appear as; at least one, all different.
    pub external_addresses: Vec<Ipv4Addr>,
    /// The prefix that is resolved by ARP.
    pub on_link: Ipv4Net,
    /// The router for everything else, if there is one.
    pub next_hop: Option<Ipv4Addr>,
    /// External ports that mappings are made from.
    pub ports: PortRange,
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
    /// Its addresses.
    pub cidr: String,
    /// Addresses that containers appear as.
    pub external_addresses: Vec<String>,
    /// The prefix that is resolved by ARP.
    pub on_link: String,
    /// The router for everything else, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<String>,
    /// External ports that mappings are made from.
    pub ports: PortRangeView,
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
        let cidr = cidr::parse_routable("cidr", &self.cidr)?;
        let on_link = match self.on_link {
            Some(text) => cidr::parse_routable("on_link", &text)?,
            None => cidr,
        };
        let next_hop = self.next_hop.map(|text| parse_next_hop(&text, on_link)).transpose()?;
        let ports = self.ports.map_or(Ok(PortRange::DEFAULT), |range| PortRange::parse("ports", range))?;
        let uplink = self.uplink.validate()?;
        let external_addresses = parse_external(&self.external_addresses, cidr)?;
        for (i, &external) in external_addresses.iter().enumerate() {
            refuse_taken(i, external, "next hop", next_hop)?;
            refuse_taken(i, external, "address of the uplink", uplink.address().map(|a| a.addr()))?;
        }
        Ok(VpcSpec { name, cidr, external_addresses, on_link, next_hop, ports, uplink })
    }
}

fn parse_next_hop(text: &str, on_link: Ipv4Net) -> Result<Ipv4Addr, Problem> {
    let next_hop = address::parse_routable("next_hop", text)?;
    address::refuse_edge("next_hop", next_hop, on_link)?;
    if on_link.contains(&next_hop) {
        return Ok(next_hop);
    }
    let detail = format!(
        "{next_hop} is not inside on_link {on_link}, so ARP cannot find it; choose a router on the link"
    );
    Err(Problem::new(Code::InvalidAddress, detail).at("next_hop"))
}

fn parse_external(texts: &[String], cidr: Ipv4Net) -> Result<Vec<Ipv4Addr>, Problem> {
    if !(1..=EXTERNAL_ADDRESSES).contains(&texts.len()) {
        let detail = format!("a VPC has 1 to {EXTERNAL_ADDRESSES} external addresses, not {}", texts.len());
        return Err(Problem::new(Code::InvalidAddress, detail).at("external_addresses"));
    }
    let mut addresses = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        let field = external_field(i);
        let external = address::parse_routable(&field, text)?;
        if !cidr.contains(&external) {
            let detail = format!(
                "{external} is not inside the VPC's cidr {cidr}; choose an unused address of the VPC"
            );
            return Err(Problem::new(Code::AddressOutsideVpc, detail).at(field));
        }
        address::refuse_edge(&field, external, cidr)?;
        if addresses.contains(&external) {
            let detail = format!("{external} is listed twice; list each address once");
            return Err(Problem::new(Code::DuplicateAddress, detail).at(field));
        }
        addresses.push(external);
    }
    Ok(addresses)
}

fn refuse_taken(i: usize, external: Ipv4Addr, role: &str, taken: Option<Ipv4Addr>) -> Result<(), Problem> {
    if taken != Some(external) {
        return Ok(());
    }
    let detail = format!("{external} is the {role}; an external address belongs to the gateway alone");
    Err(Problem::new(Code::InvalidAddress, detail).at(external_field(i)))
}

fn external_field(i: usize) -> String {
    format!("external_addresses[{i}]")
}

impl Vpc {
    /// What clients see.
    pub fn view(&self) -> VpcView {
        let (spec, link) = (&self.spec, self.life.link());
        VpcView {
            name: spec.name.to_string(),
            cidr: spec.cidr.to_string(),
            external_addresses: spec.external_addresses.iter().map(Ipv4Addr::to_string).collect(),
            on_link: spec.on_link.to_string(),
            next_hop: spec.next_hop.map(|a| a.to_string()),
            ports: spec.ports.view(),
            uplink: spec.uplink.view(),
            state: self.life.state(),
            mac: link.map(|l| l.mac.to_string()),
            mtu: link.map(|l| l.mtu),
            offloads: link.map(|l| l.offloads.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UplinkKind;

    fn vpc() -> NewVpc {
        NewVpc {
            name: "orders".into(),
            cidr: "10.1.0.0/16".into(),
            external_addresses: vec!["10.1.0.10".into()],
            on_link: None,
            next_hop: None,
            ports: None,
            uplink: NewUplink {
                kind: UplinkKind::Tap,
                netns: None,
                device: "wharf0".into(),
                address: Some("10.1.0.1/16".into()),
                bridge: None,
                mtu: None,
            },
        }
    }

    fn external(addresses: &[&str]) -> NewVpc {
        NewVpc { external_addresses: addresses.iter().map(ToString::to_string).collect(), ..vpc() }
    }

    #[test]
    fn what_was_left_out_is_filled_in() {
        let spec = vpc().validate().unwrap();
        assert_eq!(spec.on_link, spec.cidr);
        assert_eq!(spec.ports, PortRange::DEFAULT);
        assert_eq!(spec.next_hop, None);
    }

    #[test]
    fn wrong_fields_are_named_with_their_code() {
        let table = [
            (NewVpc { name: "Orders".into(), ..vpc() }, Code::InvalidName, "name"),
            (NewVpc { cidr: "10.1.0.1/16".into(), ..vpc() }, Code::InvalidCidr, "cidr"),
            (NewVpc { cidr: "169.254.0.0/16".into(), ..vpc() }, Code::InvalidCidr, "cidr"),
            (NewVpc { on_link: Some("10.1.0.1/24".into()), ..vpc() }, Code::InvalidCidr, "on_link"),
            (NewVpc { next_hop: Some("10.2.0.1".into()), ..vpc() }, Code::InvalidAddress, "next_hop"),
            (NewVpc { next_hop: Some("10.1.0.0".into()), ..vpc() }, Code::InvalidAddress, "next_hop"),
            (
                NewVpc { next_hop: Some("10.1.0.10".into()), ..vpc() },
                Code::InvalidAddress,
                "external_addresses[0]",
            ),
            (
                NewVpc { ports: Some(NewPortRange { first: 2, last: 1 }), ..vpc() },
                Code::InvalidPorts,
                "ports",
            ),
            (external(&[]), Code::InvalidAddress, "external_addresses"),
            (external(&["10.1.0.256"]), Code::InvalidAddress, "external_addresses[0]"),
            (external(&["10.1.0.10", "10.2.0.0"]), Code::AddressOutsideVpc, "external_addresses[1]"),
            (external(&["10.1.0.0"]), Code::InvalidAddress, "external_addresses[0]"),
            (external(&["10.1.255.255"]), Code::InvalidAddress, "external_addresses[0]"),
            (external(&["10.1.0.1"]), Code::InvalidAddress, "external_addresses[0]"),
            (external(&["10.1.0.5", "10.1.0.5"]), Code::DuplicateAddress, "external_addresses[1]"),
        ];
        for (vpc, code, field) in table {
            let problem = vpc.validate().unwrap_err();
            assert_eq!((problem.code(), problem.field()), (code, Some(field)), "{problem}");
        }
    }

    #[test]
    fn external_addresses_are_bounded() {
        let list = |n: u8| (0..n).map(|i| format!("10.1.1.{i}")).collect::<Vec<_>>();
        assert!(NewVpc { external_addresses: list(64), ..vpc() }.validate().is_ok());
        let problem = NewVpc { external_addresses: list(65), ..vpc() }.validate().unwrap_err();
        assert_eq!((problem.code(), problem.field()), (Code::InvalidAddress, Some("external_addresses")));
    }

    #[test]
    fn addresses_beside_the_edges_of_the_prefix_are_taken() {
        for good in ["10.1.0.2", "10.1.255.254"] {
            assert!(external(&[good]).validate().is_ok(), "{good}");
        }
    }

    #[test]
    fn a_view_shows_the_link_once_it_is_made() {
        let spec = vpc().validate().unwrap();
        let mut vpc = Vpc { spec, life: Life::Creating, connectors: BTreeSet::new() };
        let json = serde_json::to_value(vpc.view()).unwrap();
        assert_eq!(json["state"], "creating");
        assert_eq!(json["uplink"]["kind"], "tap");
        assert_eq!(json["uplink"]["address"], "10.1.0.1/16");
        assert!(json.get("mac").is_none() && json.get("next_hop").is_none());

        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        vpc.life =
            Life::Ready(VpcLink { uplink: UplinkId(1), mac, mtu: 9_000, offloads: vec!["csum".into()] });
        let json = serde_json::to_value(vpc.view()).unwrap();
        assert_eq!(json["state"], "ready");
        assert_eq!(json["mac"], "02:00:00:00:00:01");
        assert_eq!(json["mtu"], 9_000);
        assert_eq!(json["offloads"][0], "csum");
    }
}
