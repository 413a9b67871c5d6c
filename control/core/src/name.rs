//! Names of resources and of devices.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{DEVICE_NAME_BYTES, NAME_BYTES};
use crate::{Code, Problem};

/// A resource's name: letters a to z, digits and inner hyphens, so that it fits URLs, file names and labels of domain names.
/// Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// Checks `text`, blaming `field`.
    pub fn parse(field: &str, text: String) -> Result<Self, Problem> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let right = (1..=NAME_BYTES).contains(&text.len())
            && text.bytes().all(allowed)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if right {
            Ok(Self(text.into()))
        } else {
            Err(Problem::new(Code::InvalidName, name_rules()).at(field))
        }
    }

    /// Comes before all others: no resource is called so.
    pub(crate) fn before_all() -> Self {
        Self("".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A resource's name and whose it is: names of one tenant mean nothing to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FullName {
    /// The tenant that the resource belongs to.
    pub tenant: Name,
    /// Its name there.
    pub name: Name,
}

impl FullName {
    /// Comes before all others: no tenant and no resource is called so.
    pub(crate) fn before_all() -> Self {
        Self { tenant: Name::before_all(), name: Name::before_all() }
    }

    /// The resource called `name` of this tenant.
    pub fn new(tenant: &Name, name: &Name) -> Self {
        Self { tenant: tenant.clone(), name: name.clone() }
    }

    /// The same name where it is written from `tenant`'s point of view: its own resources need no tenant.
    pub fn seen_by(&self, tenant: &Name) -> String {
        if self.tenant == *tenant { self.name.to_string() } else { self.to_string() }
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.name)
    }
}

/// The name of a network device, by Linux' rules (`dev_valid_name` in net/core/dev.c).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceName(String);

impl DeviceName {
    /// Checks `text`, blaming `field`.
    ///
    /// Stricter than Linux in two things: control characters, which no tool prints well, and `%`, which the kernel takes as the
    /// pattern of a name that it chooses itself.
    pub fn parse(field: &str, text: String) -> Result<Self, Problem> {
        // The kernel looks at bytes, and its isspace() counts 0xa0.
        let forbidden = |b: u8| matches!(b, b'/' | b':' | b'%' | b' ' | 0xa0) || b.is_ascii_control();
        let right = (1..=DEVICE_NAME_BYTES).contains(&text.len())
            && !text.bytes().any(forbidden)
            && ![".", ".."].contains(&&*text)
            && !SYSCTL_DIRECTORIES.contains(&&*text);
        if right { Ok(Self(text)) } else { Err(Problem::new(Code::InvalidDevice, device_rules()).at(field)) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// In `/proc/sys/net/*/conf`, settings of all devices and of those to come, beside the directory of each device. The kernel
/// gives devices of these names no IPv4 (`sysctl_dev_name_is_allowed`).
const SYSCTL_DIRECTORIES: [&str; 2] = ["all", "default"];

fn name_rules() -> String {
    format!(
        "a name is 1 to {NAME_BYTES} letters a to z, digits or hyphens, and neither starts nor ends with a hyphen"
    )
}

fn device_rules() -> String {
    let [all, default] = SYSCTL_DIRECTORIES;
    format!(
        "a device name is 1 to {DEVICE_NAME_BYTES} bytes without slash, colon, percent sign, white space and control \
         characters, and not \".\", \"..\", \"{all}\" or \"{default}\""
    )
}

impl TryFrom<String> for Name {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self, Problem> {
        Self::parse("name", text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_below_and_above_every_limit() {
        let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
        for good in ["a", "0", "a-b", "orders-db-2", "9-9", &longest] {
            assert_eq!(Name::parse("name", good.into()).unwrap().as_str(), good);
        }
        for bad in ["", "-", "-a", "a-", "A", "a_b", "a.b", "a b", "ä", "a/b", "a\0", &too_long] {
            let problem = Name::parse("vpc", bad.into()).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidName, Some("vpc")), "{bad:?}");
        }
    }

    #[test]
    fn device_names_are_checked_by_the_rules_of_linux() {
        for good in ["e", "eth0", "eth0.100", "veth@x", "...", "ABCDEFGHIJKLMNO", "éé", "all0", "All"] {
            assert_eq!(DeviceName::parse("device", good.into()).unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "tap%d",
            "a b",
            "a\tb",
            "a\x0bb",
            "a\0",
            "ABCDEFGHIJKLMNOP",
            "à",
            "all",
            "default",
        ] {
            let problem = DeviceName::parse("uplink.device", bad.into()).unwrap_err();
            assert_eq!(
                (problem.code(), problem.field()),
                (Code::InvalidDevice, Some("uplink.device")),
                "{bad:?}"
            );
        }
    }
}
