//! Containers: namespaces that the gateway gives a link.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    AttachmentId, DeviceName, Faults, FullName, Life, MacAddr, Mtu, Name, NetnsSpec, NetnsView, NewNetns,
    Problem, State, address,
};

/// A requested container.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewContainer {
    /// 1 to 63 of a–z, 0–9 and inner hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "c1")]
    pub name: String,
    /// The container's namespace.
    pub netns: NewNetns,
    /// The name that its device gets there; `eth0` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Its address; `169.254.1.2` unless given. Any number of containers may have the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The gateway's address on its link; `169.254.1.1` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Its IPv6 address, not a link-local one; it has no IPv6 unless given. Any number of containers may have the same.
    #[schema(example = "fd00::2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address6: Option<String>,
    /// The gateway's IPv6 address on its link, a link-local one; `fe80::1` unless given. Only together with `address6`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway6: Option<String>,
    /// Its MAC address; a locally administered one unless given.
    #[schema(example = "02:00:5e:10:00:01")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its device's MTU in bytes; 1500 unless given, at least 1280 together with `address6`.
    #[schema(value_type = Option<u16>, minimum = 576, maximum = 65521)]
    #[serde(skip_serializing_if = "Option::is_none")]
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
    /// Its addressing.
    pub ipv4: Addressing<Ipv4Addr>,
    /// Its addressing in IPv6, if it has any.
    pub ipv6: Option<Addressing<Ipv6Addr>>,
    /// Its MAC address; `None` for one that the gateway chooses.
    pub mac: Option<MacAddr>,
    /// Its device's MTU.
    pub mtu: Mtu,
    /// What was asked for, as it is kept.
    pub asked: NewContainer,
}

/// What a container's link has of one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressing<A> {
    /// The container's address.
    pub address: A,
    /// The gateway's.
    pub gateway: A,
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
    /// Intended before a restart; the gateway does not know it yet.
    Attaching,
    /// The gateway has it, or is being told.
    Attached,
}

/// A container as a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name and tenant.
    pub name: FullName,
    /// What was asked for.
    pub spec: Arc<ContainerSpec>,
    /// What became of it.
    pub life: Life<ContainerLink>,
    /// Its connectors, which are of the same tenant.
    pub connectors: BTreeMap<Name, Join>,
    /// Which namespace its name meant when the link was made, and the MAC address that the device got; after a restart the link is
    /// taken again only there, with that address.
    pub origin: Option<Origin>,
    /// The function that it serves. Such a container is the daemon's: not kept, and nobody's to attach, detach or delete.
    pub function: Option<Name>,
}

/// Where a container's link was made, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Origin {
    /// The gateway's text for the identity of the namespace.
    pub namespace: String,
    /// The container's MAC address.
    pub mac: String,
    /// The gateway's MAC address on the link.
    pub gateway_mac: String,
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
    /// Its IPv6 address, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address6: Option<String>,
    /// The gateway's IPv6 address on its link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway6: Option<String>,
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
    /// Connectors that it had before the daemon's restart, and that the gateway does not have yet again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attaching: Vec<String>,
    /// DNS servers of its connectors, in the order of their names, as a resolv.conf may list them.
    pub dns_servers: Vec<String>,
    /// The function that it serves, whose environment it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Counts changes of what was asked for; the resource's ETag.
    pub revision: u64,
}

const DEFAULT_DEVICE: &str = "eth0";
const DEFAULT_ADDRESS: &str = "169.254.1.2";
const DEFAULT_GATEWAY: &str = "169.254.1.1";
const DEFAULT_GATEWAY6: &str = "fe80::1";

impl NewContainer {
    /// Checks everything that can be checked without the machine, and fills in what was left out.
    pub fn validate(self) -> Result<ContainerSpec, Problem> {
        let asked = self.clone();
        let mut faults = Faults::default();
        let name = faults.take(Name::parse("name", self.name));
        let netns = faults.take(NetnsSpec::parse("netns", self.netns));
        let device = self.device.unwrap_or_else(|| DEFAULT_DEVICE.into());
        let device = faults.take(DeviceName::parse("device", device));
        let ipv4 = faults.take(parse_ipv4(self.address.as_deref(), self.gateway.as_deref()));
        let ipv6 = faults.take(parse_ipv6(self.address6.as_deref(), self.gateway6.as_deref()));
        let mac = faults.take(self.mac.map(|text| MacAddr::parse("mac", &text)).transpose());
        let mtu = faults.take(Mtu::parse("mtu", self.mtu));
        if let (Some(Some(_)), Some(mtu)) = (ipv6, mtu) {
            faults.take(mtu.refuse_too_small_for_ipv6("mtu"));
        }
        let spec = || {
            Some(ContainerSpec {
                name: name?,
                netns: netns?,
                device: device?,
                ipv4: ipv4?,
                ipv6: ipv6?,
                mac: mac?,
                mtu: mtu?,
                asked,
            })
        };
        let spec = spec();
        faults.end(spec)
    }
}

fn parse_ipv4(address: Option<&str>, gateway: Option<&str>) -> Result<Addressing<Ipv4Addr>, Problem> {
    let address = address::parse_on_link("address", address.unwrap_or(DEFAULT_ADDRESS))?;
    let gateway = address::parse_on_link("gateway", gateway.unwrap_or(DEFAULT_GATEWAY))?;
    if address == gateway {
        let detail = format!("{gateway} is the container's own address; give the gateway another one");
        return Err(address::invalid("gateway", detail));
    }
    Ok(Addressing { address, gateway })
}

/// No default address, as a kernel with IPv6 would prefer it to IPv4 for names that have both.
fn parse_ipv6(address: Option<&str>, gateway: Option<&str>) -> Result<Option<Addressing<Ipv6Addr>>, Problem> {
    let Some(address) = address else {
        let Some(gateway) = gateway else { return Ok(None) };
        let detail = format!("{gateway} is for a container with IPv6; give address6 too");
        return Err(address::invalid("gateway6", detail));
    };
    let address = address::parse_v6("address6", address)?;
    address::refuse_unroutable("address6", address.into())?;
    let gateway = address::parse_v6("gateway6", gateway.unwrap_or(DEFAULT_GATEWAY6))?;
    // The default route of IPv6 leads to such an address: RFC 4861 §6.1.2.
    if !gateway.is_unicast_link_local() {
        let detail = format!("{gateway} is not link-local; choose one inside fe80::/10, such as fe80::1");
        return Err(address::invalid("gateway6", detail));
    }
    Ok(Some(Addressing { address, gateway }))
}

impl ContainerSpec {
    /// Its address of each family that it has.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v6 = self.ipv6.map(|ipv6| ipv6.address.into());
        std::iter::once(self.ipv4.address.into()).chain(v6)
    }
}

impl Container {
    /// What clients see.
    pub(crate) fn view(&self, dns_servers: Vec<String>, revision: u64) -> ContainerView {
        let (spec, link) = (&self.spec, self.life.link());
        let joined = |wanted: Join| {
            let joins = self.connectors.iter().filter(move |&(_, &join)| join == wanted);
            joins.map(|(name, _)| name.to_string()).collect()
        };
        ContainerView {
            name: spec.name.to_string(),
            netns: spec.netns.view(),
            device: spec.device.to_string(),
            address: spec.ipv4.address.to_string(),
            gateway: spec.ipv4.gateway.to_string(),
            address6: spec.ipv6.map(|ipv6| ipv6.address.to_string()),
            gateway6: spec.ipv6.map(|ipv6| ipv6.gateway.to_string()),
            mac: link.map(|l| l.mac).or(spec.mac).map(|mac| mac.to_string()),
            mtu: spec.mtu.bytes(),
            state: self.life.state(),
            worker: link.map(|l| l.worker),
            offloads: link.map(|l| l.offloads.clone()).unwrap_or_default(),
            connectors: joined(Join::Attached),
            attaching: joined(Join::Attaching),
            dns_servers,
            function: self.function.as_ref().map(ToString::to_string),
            revision,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn container() -> NewContainer {
        NewContainer {
            name: "c1".into(),
            netns: NewNetns { name: Some("c1".into()), ..NewNetns::default() },
            device: None,
            address: None,
            gateway: None,
            address6: None,
            gateway6: None,
            mac: None,
            mtu: None,
        }
    }

    fn with_address(address: &str) -> NewContainer {
        NewContainer { address: Some(address.into()), ..container() }
    }

    fn with_ipv6(address: &str, gateway: Option<&str>) -> NewContainer {
        NewContainer { address6: Some(address.into()), gateway6: gateway.map(Into::into), ..container() }
    }

    fn made(spec: ContainerSpec) -> Container {
        let tenant = Name::parse("tenant", "default".into()).unwrap();
        let (name, connectors) = (FullName::new(&tenant, &spec.name), BTreeMap::new());
        let (life, spec) = (Life::Creating, Arc::new(spec));
        Container { name, spec, life, connectors, origin: None, function: None }
    }

    #[test]
    fn what_was_left_out_is_filled_in() {
        let spec = container().validate().unwrap();
        let json = serde_json::to_value(made(spec).view(vec![], 7)).unwrap();
        let expected = serde_json::json!({
            "name": "c1", "netns": {"name": "c1"}, "device": "eth0", "address": "169.254.1.2", "gateway": "169.254.1.1",
            "mtu": 1500, "state": "creating", "offloads": [], "connectors": [],
            "dns_servers": [], "revision": 7,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn ipv6_is_there_when_it_is_asked_for() {
        for (new, gateway) in [
            (with_ipv6("fd00::2", None), "fe80::1"),
            (with_ipv6("2001:db8::2", Some("fe80::9")), "fe80::9"),
            (NewContainer { mtu: Some(1_280), ..with_ipv6("fd00::2", None) }, "fe80::1"),
        ] {
            let (address6, spec) = (new.address6.clone(), new.validate().unwrap());
            let view = made(spec).view(vec![], 7);
            assert_eq!((view.address6, view.gateway6.as_deref()), (address6, Some(gateway)));
            assert_eq!(view.address, "169.254.1.2", "IPv4 is there all the same");
        }
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
            (with_address("fd00::2"), Code::InvalidAddress, "address"),
            (with_ipv6("10.1.0.5", None), Code::InvalidAddress, "address6"),
            (with_ipv6("fe80::2", None), Code::InvalidAddress, "address6"),
            (with_ipv6("ff02::1", None), Code::InvalidAddress, "address6"),
            (with_ipv6("::1", None), Code::InvalidAddress, "address6"),
            (with_ipv6("::ffff:10.1.0.5", None), Code::InvalidAddress, "address6"),
            (with_ipv6("fd00::2", Some("fd00::1")), Code::InvalidAddress, "gateway6"),
            (with_ipv6("fd00::2", Some("169.254.1.1")), Code::InvalidAddress, "gateway6"),
            (
                NewContainer { gateway6: Some("fe80::1".into()), ..container() },
                Code::InvalidAddress,
                "gateway6",
            ),
            (NewContainer { mtu: Some(1_279), ..with_ipv6("fd00::2", None) }, Code::InvalidMtu, "mtu"),
        ] {
            let problem = container.validate().unwrap_err();
            assert_eq!((problem.code(), problem.field()), (code, Some(field)), "{problem}");
        }
        assert!(with_address("10.1.0.5").validate().is_ok(), "a container may have an address of a VPC");
    }
}
