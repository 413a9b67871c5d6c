//! Tenants: whose a resource is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::NETNS_NAME_BYTES;
use crate::{Code, Faults, Name, NetnsSpec, Problem};

/// A requested tenant.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewTenant {
    /// 1 to 63 of a–z, 0–9 and inner hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "acme")]
    pub name: String,
    /// Which network namespaces its tokens may name, for containers and uplinks: those of `ip netns` whose names begin so; at most 64
    /// bytes, empty for all namespaces there are. None unless given: the local administrator then makes its VPCs and containers.
    #[schema(example = "acme-")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns_prefix: Option<String>,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub name: Name,
    /// What was asked for.
    pub asked: NewTenant,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TenantView {
    /// Its name.
    pub name: String,
    /// Which network namespaces its tokens may name; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns_prefix: Option<String>,
    /// Counts changes; the resource's ETag.
    pub revision: u64,
}

/// The tenant that is always there: the local administrator's, unless it names another.
pub const DEFAULT_TENANT: &str = "default";

/// Bytes of a prefix of namespaces' names.
const PREFIX_BYTES: usize = 64;

impl NewTenant {
    /// Checks everything.
    pub fn validate(self) -> Result<Tenant, Problem> {
        let mut faults = Faults::default();
        let name = faults.take(Name::parse("name", self.name.clone()));
        if let Some(prefix) = &self.netns_prefix
            && (prefix.len() > PREFIX_BYTES.min(NETNS_NAME_BYTES) || prefix.contains(['/', '\0']))
        {
            let detail = format!("a prefix has at most {PREFIX_BYTES} bytes, and no slash");
            faults.note(Problem::new(Code::InvalidNetns, detail).at("netns_prefix"));
        }
        faults.end(name.map(|name| Tenant { name, asked: self }))
    }
}

impl Tenant {
    /// The tenant that is always there. Its tokens may name any namespace.
    pub fn default_tenant() -> Self {
        let asked = NewTenant { name: DEFAULT_TENANT.to_owned(), netns_prefix: Some(String::new()) };
        asked.validate().expect("its name is one")
    }

    /// Whether this tenant's tokens may name the namespace; `None` is the daemon's own.
    pub fn may_name(&self, netns: Option<&NetnsSpec>) -> bool {
        match (&self.asked.netns_prefix, netns) {
            (Some(prefix), _) if prefix.is_empty() => true,
            (Some(prefix), Some(NetnsSpec::Name(name))) => name.starts_with(prefix),
            (None | Some(_), _) => false,
        }
    }

    pub(crate) fn view(&self, revision: u64) -> TenantView {
        TenantView { name: self.name.to_string(), netns_prefix: self.asked.netns_prefix.clone(), revision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_what_names_begin_with_and_nothing_else() {
        let tenant = |prefix: Option<&str>| {
            let new = NewTenant { name: "acme".into(), netns_prefix: prefix.map(Into::into) };
            new.validate().unwrap()
        };
        let name = |name: &str| NetnsSpec::Name(name.into());
        for (prefix, netns, may) in [
            (None, Some(name("acme-1")), false),
            (Some("acme-"), Some(name("acme-1")), true),
            (Some("acme-"), Some(name("acme")), false),
            (Some("acme-"), Some(NetnsSpec::Pid(1)), false),
            (Some("acme-"), Some(NetnsSpec::Path("/run/netns/acme-1".into())), false),
            (Some("acme-"), None, false),
            (Some(""), Some(NetnsSpec::Pid(1)), true),
            (Some(""), None, true),
        ] {
            assert_eq!(tenant(prefix).may_name(netns.as_ref()), may, "{prefix:?} {netns:?}");
        }
    }

    #[test]
    fn prefixes_are_bounded() {
        for (length, right) in [(0, true), (64, true), (65, false)] {
            let new = NewTenant { name: "acme".into(), netns_prefix: Some("a".repeat(length)) };
            assert_eq!(new.validate().is_ok(), right, "{length}");
        }
        let slash = NewTenant { name: "a_b".into(), netns_prefix: Some("a/".into()) };
        assert_eq!(slash.validate().unwrap_err().errors().count(), 2);
    }
}
