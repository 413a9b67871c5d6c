//! The two address families, and the fields that a request has for each.

use std::fmt;
use std::net::IpAddr;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The name of a field that each family has one of, such as `cidr` and `cidr6`.
    pub(crate) fn field(self, name: &str) -> String {
        match self {
            Self::V4 => name.to_owned(),
            Self::V6 => format!("{name}6"),
        }
    }

    /// How an address is written.
    pub(crate) const fn address(self) -> &'static str {
        match self {
            Self::V4 => "10.1.0.10",
            Self::V6 => "fd00::10",
        }
    }

    /// How a prefix is written.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::V4 => "10.1.0.0/16",
            Self::V6 => "fd00::/64",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}
