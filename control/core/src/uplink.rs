//! A VPC's link, as requested and as it is made.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Code, DeviceName, Mtu, NetnsSpec, NetnsView, NewNetns, Problem, address};

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
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewUplink {
    /// What the link is made of.
    pub kind: UplinkKind,
    /// The namespace of the device; the gateway's own unless given.
    pub netns: Option<NewNetns>,
    /// The device's name there.
    #[schema(example = "wharf0")]
    pub device: String,
    /// `tap` only: address and prefix length for the VPC's side of the device. Not together with `bridge`.
    #[schema(example = "10.1.0.1/16")]
    pub address: Option<String>,
    /// `tap` only: a bridge in that namespace to put the device on. Not together with `address`.
    pub bridge: Option<String>,
    /// `tap` only: the device's MTU in bytes; 1500 unless given.
    #[schema(value_type = Option<u16>, minimum = 576, maximum = 65521)]
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
    /// The namespace itself, by this address.
    Address(Ipv4Net),
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
        /// Address of the VPC's side.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<String>,
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
        let device = DeviceName::parse("uplink.device", self.device)?;
        let netns = self.netns.map(|netns| NetnsSpec::parse("uplink.netns", netns)).transpose()?;
        match self.kind {
            UplinkKind::Tap => {
                let end = TapEnd::parse(self.address.as_deref(), self.bridge)?;
                Ok(UplinkSpec::Tap { netns, device, end, mtu: Mtu::parse("uplink.mtu", self.mtu)? })
            }
            UplinkKind::Packet => {
                refuse_tap_only("uplink.address", self.address.is_some())?;
                refuse_tap_only("uplink.bridge", self.bridge.is_some())?;
                refuse_tap_only("uplink.mtu", self.mtu.is_some())?;
                Ok(UplinkSpec::Packet { netns, device })
            }
        }
    }
}

fn refuse_tap_only(field: &str, given: bool) -> Result<(), Problem> {
    let detail =
        "an uplink of kind packet takes over its device as it is; leave this field out, or use kind tap";
    if given { Err(Problem::new(Code::UnknownField, detail).at(field)) } else { Ok(()) }
}

impl TapEnd {
    fn parse(address: Option<&str>, bridge: Option<String>) -> Result<Self, Problem> {
        match (address, bridge) {
            (None, None) => Ok(Self::Bare),
            (Some(text), None) => parse_interface("uplink.address", text).map(Self::Address),
            (None, Some(name)) => DeviceName::parse("uplink.bridge", name).map(Self::Bridge),
            (Some(_), Some(_)) => {
                let detail = "a device on a bridge has no address of its own; give either address or bridge";
                Err(Problem::new(Code::InvalidAddress, detail).at("uplink.address"))
            }
        }
    }
}

/// Reads a host's address with the length of its prefix, blaming `field`.
fn parse_interface(field: &str, text: &str) -> Result<Ipv4Net, Problem> {
    let interface: Ipv4Net = text.parse().map_err(|_| {
        let detail = format!("{text:?} is not an address with its prefix length; write it as 10.1.0.1/16");
        Problem::new(Code::InvalidAddress, detail).at(field)
    })?;
    address::parse_routable(field, &interface.addr().to_string())?;
    address::refuse_edge(field, interface.addr(), interface)?;
    Ok(interface)
}

impl UplinkSpec {
    /// The address of the VPC's side, if the gateway gives it one.
    pub const fn address(&self) -> Option<Ipv4Net> {
        match self {
            Self::Tap { end: TapEnd::Address(address), .. } => Some(*address),
            _ => None,
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
        let (address, bridge) = (self.address(), self.bridge());
        match self {
            Self::Tap { netns, device, mtu, .. } => UplinkView::Tap {
                netns: netns.as_ref().map(NetnsSpec::view),
                device: device.to_string(),
                address: address.map(|a| a.to_string()),
                bridge: bridge.map(DeviceName::to_string),
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
    fn a_tap_has_an_address_or_a_bridge_or_neither() {
        let end = |uplink: NewUplink| match uplink.validate().unwrap() {
            UplinkSpec::Tap { end, mtu, .. } => (end, mtu.bytes()),
            UplinkSpec::Packet { .. } => panic!("a tap was asked for"),
        };
        assert_eq!(end(tap()), (TapEnd::Bare, 1_500));
        let address = NewUplink { address: Some("10.1.0.1/16".into()), mtu: Some(9_000), ..tap() };
        assert_eq!(end(address), (TapEnd::Address("10.1.0.1/16".parse().unwrap()), 9_000));
        let bridge = NewUplink { bridge: Some("br0".into()), ..tap() };
        assert_eq!(end(bridge), (TapEnd::Bridge(DeviceName::parse("b", "br0".into()).unwrap()), 1_500));
        let both = NewUplink { address: Some("10.1.0.1/16".into()), bridge: Some("br0".into()), ..tap() };
        assert_eq!(refused(both), (Code::InvalidAddress, "uplink.address".into()));
    }

    #[test]
    fn wrong_fields_are_blamed_by_their_path() {
        let two_ways = NewNetns { name: Some("a".into()), pid: Some(1), path: None };
        for (uplink, code, field) in [
            (NewUplink { device: "a/b".into(), ..tap() }, Code::InvalidDevice, "uplink.device"),
            (NewUplink { netns: Some(two_ways), ..packet() }, Code::InvalidNetns, "uplink.netns"),
            (NewUplink { bridge: Some("a b".into()), ..tap() }, Code::InvalidDevice, "uplink.bridge"),
            (NewUplink { mtu: Some(575), ..tap() }, Code::InvalidMtu, "uplink.mtu"),
            (NewUplink { mtu: Some(1_500), ..packet() }, Code::UnknownField, "uplink.mtu"),
            (NewUplink { bridge: Some("br0".into()), ..packet() }, Code::UnknownField, "uplink.bridge"),
            (
                NewUplink { address: Some("10.1.0.1/16".into()), ..packet() },
                Code::UnknownField,
                "uplink.address",
            ),
        ] {
            assert_eq!(refused(uplink), (code, field.into()));
        }
    }

    #[test]
    fn the_address_of_the_vpcs_side_is_a_hosts() {
        for good in ["10.1.0.1/16", "10.1.0.0/31", "10.1.0.1/32"] {
            assert!(parse_interface("uplink.address", good).is_ok(), "{good}");
        }
        for bad in
            ["10.1.0.1", "10.1.0.0/16", "10.1.255.255/16", "10.1.0.1/33", "127.0.0.1/8", "224.0.0.1/24", "x"]
        {
            assert_eq!(
                parse_interface("uplink.address", bad).unwrap_err().code(),
                Code::InvalidAddress,
                "{bad}"
            );
        }
    }
}
