//! The gateway's errors as clients see them. Here and nowhere else.

use control_core::{Code, Problem, UplinkSpec};
use gateway::{CallError, CommandError, LinkError};

/// A container's link could not be made.
pub(super) fn of_container_link(error: LinkError) -> Problem {
    of_link(error, &Fields { netns: "netns", device: "device", bridge: None })
}

/// A VPC's link could not be made.
pub(super) fn of_vpc_link(error: LinkError, uplink: &UplinkSpec) -> Problem {
    let bridge = uplink.bridge().map(control_core::DeviceName::as_str);
    of_link(error, &Fields { netns: "uplink.netns", device: "uplink.device", bridge })
}

/// A call to the workers failed.
pub(super) fn of_call(error: CallError) -> Problem {
    match error {
        CallError::Refused(refused) => of_command(refused),
        CallError::Stopped => stopped(),
    }
}

/// Where a request says what a link is made of.
struct Fields<'a> {
    netns: &'static str,
    device: &'static str,
    bridge: Option<&'a str>,
}

impl Fields<'_> {
    /// The field that named this device.
    fn naming(&self, device: &str) -> &'static str {
        if self.bridge == Some(device) { "uplink.bridge" } else { self.device }
    }
}

fn of_link(error: LinkError, fields: &Fields<'_>) -> Problem {
    let detail = error.to_string();
    match error {
        LinkError::NetnsMissing(path) => {
            let detail = match process_of(&path) {
                Some(pid) => format!("process {pid} does not exist or has ended"),
                None => format!("{detail}; make it first"),
            };
            Problem::new(Code::NetnsMissing, detail).at(fields.netns)
        }
        LinkError::NetnsInvalid(_) => Problem::new(Code::NetnsInvalid, detail).at(fields.netns),
        LinkError::DeviceTaken(_) => {
            let detail = format!("{detail}; choose another name or delete that device");
            Problem::new(Code::DeviceTaken, detail).at(fields.device)
        }
        LinkError::DeviceMissing(device) => {
            let detail = format!("{detail}; make it first, or look for its name with `ip link`");
            Problem::new(Code::DeviceMissing, detail).at(fields.naming(&device))
        }
        LinkError::NotABridge(_) => Problem::new(Code::NotABridge, detail).at("uplink.bridge"),
        LinkError::NotEthernet(_) => Problem::new(Code::NotEthernet, detail).at(fields.device),
        LinkError::AddressInUse(_) => {
            let detail =
                format!("{detail}, so that its kernel would answer in the gateway's place; remove it there");
            Problem::new(Code::AddressInUse, detail).at("external_addresses")
        }
        LinkError::DefaultRouteTaken => {
            let detail = format!("{detail}; delete it, or use a namespace without one");
            Problem::new(Code::RouteTaken, detail).at(fields.netns)
        }
        LinkError::Disappeared => Problem::new(Code::NotReady, format!("{detail}; try again")),
        LinkError::NotPermitted(_) => Problem::new(Code::NotPermitted, detail),
        LinkError::System { .. } => Problem::new(Code::Internal, detail),
        LinkError::Refused(refused) => of_command(refused),
        LinkError::Stopped => stopped(),
    }
}

/// The process whose namespace this path is.
fn process_of(path: &str) -> Option<u32> {
    path.strip_prefix("/proc/")?.strip_suffix("/ns/net")?.parse().ok()
}

fn of_command(error: CommandError) -> Problem {
    let detail = error.to_string();
    match error {
        // The resources said that it is there, so it disappeared a moment ago and the report is on its way.
        CommandError::UnknownAttachment(_) => {
            Problem::new(Code::NotReady, "the container's device has just disappeared")
        }
        CommandError::UnknownUplink(_) => {
            Problem::new(Code::NotReady, "the VPC's device has just disappeared")
        }
        CommandError::NotAttached(..) => Problem::new(Code::NotAttached, detail),
        CommandError::DestinationTie { .. } => Problem::new(Code::DestinationTie, detail),
        CommandError::PublicationTaken { protocol, external } => {
            let detail = format!(
                "{protocol} {external} is another publication's, a mapping's or in another container's port block, or it still rests; publish a port outside of the VPC's `ports`, or try again later"
            );
            Problem::new(Code::PublicationTaken, detail)
        }
        CommandError::PublicationUnreachable(external) => {
            let (family, field) = if external.is_ipv6() { ("IPv6", "address6") } else { ("IPv4", "address") };
            let detail = format!(
                "{external} is published, but the container has no {family}; create it with {field}, or publish an address of its own family"
            );
            Problem::new(Code::PublicationUnreachable, detail)
        }
        CommandError::AddressTaken(address) => {
            let detail = format!(
                "another container of this VPC has {address} and no translation; give this one another address, or detach that one"
            );
            Problem::new(Code::AddressTaken, detail)
        }
        CommandError::AddressIsExternal(address) => {
            let detail = format!(
                "translation is off and {address} is an external address of the VPC, which is the gateway's own; create the container with another address"
            );
            Problem::new(Code::AddressTaken, detail)
        }
        CommandError::AddressNotRoutable(address) => {
            let detail = format!(
                "translation is off and {address} is not routable, so that the VPC cannot see it; create the container with another address"
            );
            Problem::new(Code::AddressNotRoutable, detail)
        }
        // The resources have refused these already.
        CommandError::NotExternalAddress(_) => Problem::new(Code::InvalidPolicy, detail),
        CommandError::BlocksWithSharedPorts => Problem::new(Code::InvalidPolicy, detail).at("mapping"),
        CommandError::NoPorts => Problem::new(Code::InvalidPorts, detail).at("ports"),
        CommandError::TableFull { .. } => Problem::new(Code::LimitReached, detail),
    }
}

fn stopped() -> Problem {
    Problem::new(Code::ShuttingDown, "the gateway is shutting down; try again when it is back")
}

#[cfg(test)]
mod tests {
    use std::io;

    use control_core::{NewUplink, UplinkKind};

    use super::*;

    #[test]
    fn the_field_to_blame_is_the_one_that_named_the_device() {
        let uplink = NewUplink {
            kind: UplinkKind::Tap,
            netns: None,
            device: "wharf0".into(),
            address: None,
            address6: None,
            bridge: Some("br0".into()),
            mtu: None,
        };
        let uplink = uplink.validate().unwrap();
        let missing = |device: &str| LinkError::DeviceMissing(device.into());
        for (problem, code, field) in [
            (of_vpc_link(missing("br0"), &uplink), Code::DeviceMissing, "uplink.bridge"),
            (of_vpc_link(missing("wharf0"), &uplink), Code::DeviceMissing, "uplink.device"),
            (of_vpc_link(LinkError::NotABridge("br0".into()), &uplink), Code::NotABridge, "uplink.bridge"),
            (of_vpc_link(LinkError::NetnsMissing("x".into()), &uplink), Code::NetnsMissing, "uplink.netns"),
            (of_container_link(LinkError::NetnsMissing("x".into())), Code::NetnsMissing, "netns"),
            (of_container_link(LinkError::DeviceTaken("eth0".into())), Code::DeviceTaken, "device"),
        ] {
            assert_eq!((problem.code(), problem.field()), (code, Some(field)));
        }
    }

    #[test]
    fn what_is_taken_is_named() {
        let external = |text: &str| text.parse().unwrap();
        let taken = |text| CommandError::PublicationTaken {
            protocol: gateway::Protocol::Tcp,
            external: external(text),
        };
        for (error, code, said) in [
            (taken("10.1.0.10:80"), Code::PublicationTaken, "tcp 10.1.0.10:80 "),
            (taken("[fd00::10]:80"), Code::PublicationTaken, "tcp [fd00::10]:80 "),
            (
                CommandError::PublicationUnreachable(external("[fd00::10]:80")),
                Code::PublicationUnreachable,
                "with address6",
            ),
            (taken("10.1.0.10:80"), Code::PublicationTaken, "still rests"),
            (
                CommandError::AddressTaken([10, 1, 0, 5].into()),
                Code::AddressTaken,
                "another container of this VPC has 10.1.0.5 ",
            ),
            (
                CommandError::AddressIsExternal([10, 1, 0, 10].into()),
                Code::AddressTaken,
                "10.1.0.10 is an external address",
            ),
            (
                CommandError::AddressNotRoutable([169, 254, 1, 2].into()),
                Code::AddressNotRoutable,
                "169.254.1.2 is not routable",
            ),
        ] {
            let problem = of_command(error);
            assert_eq!((problem.code(), problem.code().status()), (code, 409));
            assert!(problem.detail().contains(said), "{}", problem.detail());
        }
    }

    #[test]
    fn a_missing_namespace_is_named_as_it_was_asked_for() {
        let said = |path: &str| of_container_link(LinkError::NetnsMissing(path.into())).detail().to_owned();
        assert_eq!(said("/proc/3548/ns/net"), "process 3548 does not exist or has ended");
        assert_eq!(said("/run/netns/c1"), "network namespace /run/netns/c1 does not exist; make it first");
        assert!(said("/proc/self/fd/3").contains("/proc/self/fd/3"));
    }

    #[test]
    fn a_failed_system_call_says_which_step_and_what_the_kernel_said() {
        let source = io::Error::from_raw_os_error(28);
        let problem = of_container_link(LinkError::System { step: "make the TAP device", source });
        assert_eq!(problem.code(), Code::Internal);
        assert!(problem.detail().starts_with("make the TAP device: No space left"), "{}", problem.detail());
    }
}
