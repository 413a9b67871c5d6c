//! Containers: namespaces that the gateway gives a link.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    AttachmentId, Code, DeviceName, Life, MacAddr, Mtu, Name, NetnsSpec, NetnsView, NewNetns, Problem, State,
    address,
};

/// A requested container.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewContainer {
    /// 1 to 63 of a–z, 0–9 and inner hyphens.
    #[schema(example = "c1")]
    pub name: String,
    /// The container's namespace.
    pub netns: NewNetns,
    /// The name that its device gets there; `eth0` unless given.
    pub device: Option<String>,
    /// Its address; `169.254.1.2` unless given. Any number of containers may have the same.
    pub address: Option<String>,
    /// The gateway's address on its link; `169.254.1.1` unless given.
    pub gateway: Option<String>,
    /// Its MAC address; a locally administered one unless given.
    #[schema(example = "02:00:5e:10:00:01")]
    pub mac: Option<String>,
    /// Its device's MTU in bytes; 1500 unless given.
    #[schema(value_type = Option<u16>, minimum = 576, maximum = 65521)]
    pub mtu: Option<i64>,
}

/// A valid container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Its name.
    pub name: Name,
    /// Its namespace.
    pub netns: NetnsSpec,
    /// The name of its device there.
    pub device: DeviceName,
    /// Its address.
    pub address: Ipv4Addr,
    /// The gateway's address on its link.
    pub gateway: Ipv4Addr,
    /// Its MAC address; `None` for one that the gateway chooses.
    pub mac: Option<MacAddr>,
    /// Its device's MTU.
    pub mtu: Mtu,
}

/// A container's link, once it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerLink {
    /// The gateway's number for it.
    pub attachment: AttachmentId,
    /// The container's MAC address.
    pub mac: MacAddr,
    /// The worker that serves it.
    pub worker: u16,
    /// Offloads that the kernel accepted.
    pub offloads: Vec<String>,
}

/// How far a connector's way to a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Intended; the gateway may or may not know it already.
    Attaching,
    /// The gateway has it.
    Attached,
}

/// A container as a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// What was asked for.
    pub spec: ContainerSpec,
    /// What became of it.
    pub life: Life<ContainerLink>,
    /// Its connectors.
    pub connectors: BTreeMap<Name, Join>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub netns: NetnsView,
    /// The name of its device there.
    pub device: String,
    /// Its address.
    pub address: String,
    /// The gateway's address on its link.
    pub gateway: String,
    /// Its MAC address, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its device's MTU in bytes.
    pub mtu: u16,
    /// Where it is in its life.
    pub state: State,
    /// The worker that serves it, once made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<u16>,
    /// Offloads that the kernel accepted.
    pub offloads: Vec<String>,
    /// Attached connectors.
    pub connectors: Vec<String>,
}

const DEFAULT_DEVICE: &str = "eth0";
const DEFAULT_ADDRESS: &str = "169.254.1.2";
const DEFAULT_GATEWAY: &str = "169.254.1.1";

impl NewContainer {
    /// Checks everything that can be checked without the machine, and fills in what was left out.
    pub fn validate(self) -> Result<ContainerSpec, Problem> {
        let name = Name::parse("name", self.name)?;
        let netns = NetnsSpec::parse("netns", self.netns)?;
        let device = DeviceName::parse("device", self.device.unwrap_or_else(|| DEFAULT_DEVICE.into()))?;
        let address = address::parse_on_link("address", self.address.as_deref().unwrap_or(DEFAULT_ADDRESS))?;
        let gateway = address::parse_on_link("gateway", self.gateway.as_deref().unwrap_or(DEFAULT_GATEWAY))?;
        if address == gateway {
            let detail = format!("{gateway} is the container's own address; give the gateway another one");
            return Err(Problem::new(Code::InvalidAddress, detail).at("gateway"));
        }
        let mac = self.mac.map(|text| MacAddr::parse("mac", &text)).transpose()?;
        let mtu = Mtu::parse("mtu", self.mtu)?;
        Ok(ContainerSpec { name, netns, device, address, gateway, mac, mtu })
    }
}

impl Container {
    /// What clients see.
    pub fn view(&self) -> ContainerView {
        let (spec, link) = (&self.spec, self.life.link());
        let attached = self.connectors.iter().filter(|&(_, &join)| join == Join::Attached);
        ContainerView {
            name: spec.name.to_string(),
            netns: spec.netns.view(),
            device: spec.device.to_string(),
            address: spec.address.to_string(),
            gateway: spec.gateway.to_string(),
            mac: link.map(|l| l.mac).or(spec.mac).map(|mac| mac.to_string()),
            mtu: spec.mtu.bytes(),
            state: self.life.state(),
            worker: link.map(|l| l.worker),
            offloads: link.map(|l| l.offloads.clone()).unwrap_or_default(),
            connectors: attached.map(|(name, _)| name.to_string()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> NewContainer {
        NewContainer {
            name: "c1".into(),
            netns: NewNetns { name: Some("c1".into()), ..NewNetns::default() },
            device: None,
            address: None,
            gateway: None,
            mac: None,
            mtu: None,
        }
    }

    fn with_address(address: &str) -> NewContainer {
        NewContainer { address: Some(address.into()), ..container() }
    }

    #[test]
    fn what_was_left_out_is_filled_in() {
        let spec = container().validate().unwrap();
        let container = Container { spec, life: Life::Creating, connectors: BTreeMap::new() };
        let json = serde_json::to_value(container.view()).unwrap();
        let expected = serde_json::json!({
            "name": "c1", "netns": {"name": "c1"}, "device": "eth0", "address": "169.254.1.2", "gateway": "169.254.1.1",
            "mtu": 1500, "state": "creating", "offloads": [], "connectors": [],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn wrong_fields_are_named_with_their_code() {
        for (container, code, field) in [
            (NewContainer { name: "c_1".into(), ..container() }, Code::InvalidName, "name"),
            (NewContainer { netns: NewNetns::default(), ..container() }, Code::InvalidNetns, "netns"),
            (NewContainer { device: Some(String::new()), ..container() }, Code::InvalidDevice, "device"),
            (with_address("10.1.0"), Code::InvalidAddress, "address"),
            (with_address("224.0.0.1"), Code::InvalidAddress, "address"),
            (with_address("255.255.255.255"), Code::InvalidAddress, "address"),
            (with_address("169.254.1.1"), Code::InvalidAddress, "gateway"),
            (
                NewContainer { gateway: Some("0.0.0.0".into()), ..container() },
                Code::InvalidAddress,
                "gateway",
            ),
            (NewContainer { mac: Some("01:00:00:00:00:00".into()), ..container() }, Code::InvalidMac, "mac"),
            (NewContainer { mtu: Some(65_522), ..container() }, Code::InvalidMtu, "mtu"),
        ] {
            let problem = container.validate().unwrap_err();
            assert_eq!((problem.code(), problem.field()), (code, Some(field)), "{problem}");
        }
        assert!(with_address("10.1.0.5").validate().is_ok(), "a container may have an address of a VPC");
    }
}
