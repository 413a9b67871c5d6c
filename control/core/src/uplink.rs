//! A VPC's link, as requested and as it is made.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::family::Family;
use crate::{Code, DeviceName, Faults, Mtu, NetnsSpec, NetnsView, NewNetns, Problem, address};

/// The kinds of uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UplinkKind {
    /// A TAP device that the gateway makes and the VPC's side uses as its interface.
    Tap,
    /// A device that exists: NIC, veth, VLAN, vxlan.
    Packet,
}

/// A requested uplink.
///
/// Flat, not an enum: the path of a wrong field inside of a tagged enum is lost while it is read.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewUplink {
    /// What the link is made of.
    pub kind: UplinkKind,
    /// The namespace of the device; the gateway's own unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<NewNetns>,
    /// The device's name there.
    #[schema(example = "wharf0")]
    pub device: String,
    /// `tap` only: address and prefix length for the VPC's side of the device. Not together with `bridge`.
    #[schema(example = "10.1.0.1/16")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The same for IPv6.
    #[schema(example = "fd00::1/64")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address6: Option<String>,
    /// `tap` only: a bridge in that namespace to put the device on. Not together with addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// `tap` only: the device's MTU in bytes; 1500 unless given, at least 1280 if the VPC has IPv6.
    #[schema(value_type = Option<u16>, minimum = 576, maximum = 65521)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i64>,
}

/// A valid uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkSpec {
    /// A TAP device to be made.
    Tap {
        /// Namespace to make it in; `None` for the gateway's own.
        netns: Option<NetnsSpec>,
        /// Its name there.
        device: DeviceName,
        /// What the VPC's side of it is connected to.
        end: TapEnd,
        /// Its MTU.
        mtu: Mtu,
    },
    /// A device that exists.
    Packet {
        /// Namespace that it is in; `None` for the gateway's own.
        netns: Option<NetnsSpec>,
        /// Its name there.
        device: DeviceName,
    },
}

/// The VPC's side of a TAP device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapEnd {
    /// Nothing yet.
    Bare,
    /// The namespace itself, by these addresses: one, or one of each family.
    Addresses(Vec<IpNet>),
    /// The ports of this bridge.
    Bridge(DeviceName),
}

/// A VPC's link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum UplinkView {
    /// A TAP device that the gateway made.
    Tap {
        /// Namespace that it is in; the gateway's own if absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        netns: Option<NetnsView>,
        /// Its name there.
        device: String,
        /// IPv4 address of the VPC's side.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<String>,
        /// IPv6 address of the VPC's side.
        #[serde(skip_serializing_if = "Option::is_none")]
        address6: Option<String>,
        /// Bridge that the device is on.
        #[serde(skip_serializing_if = "Option::is_none")]
        bridge: Option<String>,
        /// Its MTU in bytes.
        mtu: u16,
    },
    /// A device that existed.
    Packet {
        /// Namespace that it is in; the gateway's own if absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        netns: Option<NetnsView>,
        /// Its name there.
        device: String,
    },
}

impl NewUplink {
    /// Checks everything that can be checked without the machine. Fields are blamed below `uplink`.
    pub fn validate(self) -> Result<UplinkSpec, Problem> {
        let mut faults = Faults::default();
        let device = faults.take(DeviceName::parse("uplink.device", self.device));
        let netns = self.netns.map(|netns| NetnsSpec::parse("uplink.netns", netns));
        let netns = faults.take(netns.transpose());
        let spec = match self.kind {
            UplinkKind::Tap => {
                let end = TapEnd::parse(self.address.as_deref(), self.address6.as_deref(), self.bridge);
                let (end, mtu) = (faults.take(end), faults.take(Mtu::parse("uplink.mtu", self.mtu)));
                if let Some(mtu) = mtu.filter(|_| self.address6.is_some()) {
                    faults.take(mtu.refuse_too_small_for_ipv6("uplink.mtu"));
                }
                let all = || Some(UplinkSpec::Tap { netns: netns?, device: device?, end: end?, mtu: mtu? });
                all()
            }
            UplinkKind::Packet => {
                for (field, given) in [
                    ("uplink.address", self.address.is_some()),
                    ("uplink.address6", self.address6.is_some()),
                    ("uplink.bridge", self.bridge.is_some()),
                    ("uplink.mtu", self.mtu.is_some()),
                ] {
                    faults.take(refuse_tap_only(field, given));
                }
                netns.zip(device).map(|(netns, device)| UplinkSpec::Packet { netns, device })
            }
        };
        faults.end(spec)
    }
}

fn refuse_tap_only(field: &str, given: bool) -> Result<(), Problem> {
    let detail =
        "an uplink of kind packet takes over its device as it is; leave this field out, or use kind tap";
    if given { Err(Problem::new(Code::UnknownField, detail).at(field)) } else { Ok(()) }
}

impl TapEnd {
    fn parse(v4: Option<&str>, v6: Option<&str>, bridge: Option<String>) -> Result<Self, Problem> {
        let given = [(Family::V4, v4), (Family::V6, v6)].into_iter();
        let mut given =
            given.filter_map(|(family, text)| Some((family, family.field("uplink.address"), text?)));
        let Some(name) = bridge else {
            let interface =
                |(family, field, text): (Family, String, &str)| parse_interface(family, &field, text);
            let addresses = given.map(interface).collect::<Result<Vec<_>, _>>()?;
            return Ok(if addresses.is_empty() { Self::Bare } else { Self::Addresses(addresses) });
        };
        if let Some((_, field, _)) = given.next() {
            let detail = "a device on a bridge has no address of its own; give either address or bridge";
            return Err(Problem::new(Code::InvalidAddress, detail).at(field));
        }
        DeviceName::parse("uplink.bridge", name).map(Self::Bridge)
    }
}

/// Reads a host's address with the length of its prefix, blaming `field`.
fn parse_interface(family: Family, field: &str, text: &str) -> Result<IpNet, Problem> {
    let (interface, example) = match family {
        Family::V4 => (text.parse::<Ipv4Net>().map(IpNet::V4), "10.1.0.1/16"),
        Family::V6 => (text.parse::<Ipv6Net>().map(IpNet::V6), "fd00::1/64"),
    };
    let interface = interface.map_err(|_| {
        let detail =
            format!("{text:?} is not an {family} address with its prefix length; write it as {example}");
        address::invalid(field, detail)
    })?;
    address::refuse_unroutable(field, interface.addr())?;
    address::refuse_edge(field, interface.addr(), interface)?;
    Ok(interface)
}

impl UplinkSpec {
    /// The namespace of its device; `None` for the gateway's own.
    pub const fn netns(&self) -> Option<&NetnsSpec> {
        match self {
            Self::Tap { netns, .. } | Self::Packet { netns, .. } => netns.as_ref(),
        }
    }

    /// The addresses of the VPC's side, if the gateway gives it any.
    pub fn addresses(&self) -> &[IpNet] {
        match self {
            Self::Tap { end: TapEnd::Addresses(addresses), .. } => addresses,
            _ => &[],
        }
    }

    /// Refuses a link that IPv6 cannot use.
    pub(crate) fn refuse_too_small_for_ipv6(&self) -> Result<(), Problem> {
        match self {
            Self::Tap { mtu, .. } => mtu.refuse_too_small_for_ipv6("uplink.mtu"),
            // What it has is seen when it is opened: `VpcSpec::refuse_unfit`.
            Self::Packet { .. } => Ok(()),
        }
    }

    /// The bridge that the device is put on, if there is one.
    pub const fn bridge(&self) -> Option<&DeviceName> {
        match self {
            Self::Tap { end: TapEnd::Bridge(bridge), .. } => Some(bridge),
            _ => None,
        }
    }

    pub(crate) fn view(&self) -> UplinkView {
        let address = |family| {
            let found = self.addresses().iter().find(|address| Family::of(address.addr()) == family);
            found.map(IpNet::to_string)
        };
        match self {
            Self::Tap { netns, device, mtu, .. } => UplinkView::Tap {
                netns: netns.as_ref().map(NetnsSpec::view),
                device: device.to_string(),
                address: address(Family::V4),
                address6: address(Family::V6),
                bridge: self.bridge().map(DeviceName::to_string),
                mtu: mtu.bytes(),
            },
            Self::Packet { netns, device } => {
                UplinkView::Packet { netns: netns.as_ref().map(NetnsSpec::view), device: device.to_string() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap() -> NewUplink {
        NewUplink {
            kind: UplinkKind::Tap,
            netns: None,
            device: "wharf0".into(),
            address: None,
            address6: None,
            bridge: None,
            mtu: None,
        }
    }

    fn packet() -> NewUplink {
        NewUplink { kind: UplinkKind::Packet, ..tap() }
    }

    fn refused(uplink: NewUplink) -> (Code, String) {
        let problem = uplink.validate().unwrap_err();
        (problem.code(), problem.field().expect("a field is to blame").to_owned())
    }

    #[test]
    fn a_tap_has_addresses_or_a_bridge_or_neither() {
        let end = |uplink: NewUplink| match uplink.validate().unwrap() {
            UplinkSpec::Tap { end, mtu, .. } => (end, mtu.bytes()),
            UplinkSpec::Packet { .. } => panic!("a tap was asked for"),
        };
        assert_eq!(end(tap()), (TapEnd::Bare, 1_500));
        let (v4, v6) = ("10.1.0.1/16", "fd00::1/64");
        let addresses =
            |texts: &[&str]| TapEnd::Addresses(texts.iter().map(|a| a.parse().unwrap()).collect());
        let with_v4 = NewUplink { address: Some(v4.into()), mtu: Some(9_000), ..tap() };
        assert_eq!(end(with_v4.clone()), (addresses(&[v4]), 9_000));
        let with_v6 = NewUplink { address6: Some(v6.into()), ..tap() };
        assert_eq!(end(with_v6.clone()).0, addresses(&[v6]));
        assert_eq!(end(NewUplink { address6: Some(v6.into()), ..with_v4.clone() }).0, addresses(&[v4, v6]));
        let bridged = |uplink: NewUplink| NewUplink { bridge: Some("br0".into()), ..uplink };
        let bridge = DeviceName::parse("b", "br0".into()).unwrap();
        assert_eq!(end(bridged(tap())), (TapEnd::Bridge(bridge), 1_500));
        assert_eq!(refused(bridged(with_v4)), (Code::InvalidAddress, "uplink.address".into()));
        assert_eq!(refused(bridged(with_v6)), (Code::InvalidAddress, "uplink.address6".into()));
    }

    #[test]
    fn a_view_has_a_field_for_each_family() {
        let uplink = NewUplink { address6: Some("fd00::1/64".into()), ..tap() };
        let json = serde_json::to_value(uplink.validate().unwrap().view()).unwrap();
        assert_eq!((json.get("address"), &json["address6"]), (None, &"fd00::1/64".into()));
    }

    #[test]
    fn wrong_fields_are_blamed_by_their_path() {
        let two_ways = NewNetns { name: Some("a".into()), pid: Some(1), path: None };
        for (uplink, code, field) in [
            (NewUplink { device: "a/b".into(), ..tap() }, Code::InvalidDevice, "uplink.device"),
            (NewUplink { netns: Some(two_ways), ..packet() }, Code::InvalidNetns, "uplink.netns"),
            (NewUplink { bridge: Some("a b".into()), ..tap() }, Code::InvalidDevice, "uplink.bridge"),
            (NewUplink { mtu: Some(575), ..tap() }, Code::InvalidMtu, "uplink.mtu"),
            (
                NewUplink { address6: Some("fd00::1/64".into()), mtu: Some(1_279), ..tap() },
                Code::InvalidMtu,
                "uplink.mtu",
            ),
            (NewUplink { mtu: Some(1_500), ..packet() }, Code::UnknownField, "uplink.mtu"),
            (NewUplink { bridge: Some("br0".into()), ..packet() }, Code::UnknownField, "uplink.bridge"),
            (
                NewUplink { address: Some("10.1.0.1/16".into()), ..packet() },
                Code::UnknownField,
                "uplink.address",
            ),
            (
                NewUplink { address6: Some("fd00::1/64".into()), ..packet() },
                Code::UnknownField,
                "uplink.address6",
            ),
            (
                NewUplink { address: Some("fd00::1/64".into()), ..tap() },
                Code::InvalidAddress,
                "uplink.address",
            ),
            (
                NewUplink { address6: Some("10.1.0.1/16".into()), ..tap() },
                Code::InvalidAddress,
                "uplink.address6",
            ),
        ] {
            assert_eq!(refused(uplink), (code, field.into()));
        }
    }

    #[test]
    fn the_address_of_the_vpcs_side_is_a_hosts() {
        let parse = |family, text| parse_interface(family, "uplink.address", text);
        for (family, good) in [
            (Family::V4, "10.1.0.1/16"),
            (Family::V4, "10.1.0.0/31"),
            (Family::V4, "10.1.0.1/32"),
            (Family::V6, "fd00::1/64"),
            (Family::V6, "fd00::/127"),
            (Family::V6, "fd00::ffff:ffff:ffff:ffff/64"),
        ] {
            assert!(parse(family, good).is_ok(), "{good}");
        }
        for (family, bad) in [
            (Family::V4, "10.1.0.1"),
            (Family::V4, "10.1.0.0/16"),
            (Family::V4, "10.1.255.255/16"),
            (Family::V4, "10.1.0.1/33"),
            (Family::V4, "127.0.0.1/8"),
            (Family::V4, "224.0.0.1/24"),
            (Family::V4, "x"),
            (Family::V6, "fd00::1"),
            (Family::V6, "fd00::/64"),
            (Family::V6, "fd00::1/129"),
            (Family::V6, "fe80::1/64"),
            (Family::V6, "ff02::1/16"),
        ] {
            assert_eq!(parse(family, bad).unwrap_err().code(), Code::InvalidAddress, "{bad}");
        }
    }
}
