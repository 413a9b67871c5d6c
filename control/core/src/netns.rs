//! How requests name network namespaces.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::{NETNS_NAME_BYTES, NETNS_PATH_BYTES, PID};
use crate::{Code, Problem};

/// A network namespace: exactly one of name, path and pid.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewNetns {
    /// As `ip netns` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The absolute path of any file that is a network namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The namespace that this process is in.
    #[schema(value_type = Option<u32>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i64>,
}

/// A network namespace, named in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetnsSpec {
    /// As `ip netns` names it: a file name.
    Name(String),
    /// An absolute path.
    Path(String),
    /// A process.
    Pid(u32),
}

/// A network namespace: one of name, path and pid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetnsView {
    /// As `ip netns` names it.
    Name(String),
    /// The path of its file.
    Path(String),
    /// The namespace that this process is in.
    Pid(u32),
}

impl NetnsSpec {
    /// Checks a request's namespace, blaming `field`. Whether the namespace exists is for the gateway to find out.
    pub fn parse(field: &str, netns: NewNetns) -> Result<Self, Problem> {
        let parsed = match (netns.name, netns.path, netns.pid) {
            (Some(name), None, None) => name_rule(&name).map(|()| Self::Name(name)),
            (None, Some(path), None) => path_rule(&path).map(|()| Self::Path(path)),
            (None, None, Some(pid)) => parse_pid(pid).map(Self::Pid),
            _ => Err("give exactly one of name, path and pid".into()),
        };
        parsed.map_err(|detail| Problem::new(Code::InvalidNetns, detail).at(field))
    }

    pub(crate) fn view(&self) -> NetnsView {
        match self {
            Self::Name(name) => NetnsView::Name(name.clone()),
            Self::Path(path) => NetnsView::Path(path.clone()),
            Self::Pid(pid) => NetnsView::Pid(*pid),
        }
    }
}

fn name_rule(name: &str) -> Result<(), String> {
    let right = (1..=NETNS_NAME_BYTES).contains(&name.len())
        && !name.bytes().any(|b| b == b'/' || b.is_ascii_control())
        && name != "."
        && name != "..";
    right.then_some(()).ok_or_else(|| "a namespace's name is a file name, as `ip netns list` shows it".into())
}

fn path_rule(path: &str) -> Result<(), String> {
    let right = path.starts_with('/')
        && path.len() <= NETNS_PATH_BYTES
        && !path.bytes().any(|b| b.is_ascii_control());
    right.then_some(()).ok_or_else(|| "a namespace's path is absolute, such as /proc/1234/ns/net".into())
}

fn parse_pid(pid: i64) -> Result<u32, String> {
    u32::try_from(pid)
        .ok()
        .filter(|pid| (1..=PID).contains(pid))
        .ok_or_else(|| format!("{pid} is not a process id; they go from 1 to {PID}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> NewNetns {
        NewNetns { name: Some(name.into()), ..NewNetns::default() }
    }

    fn path(path: &str) -> NewNetns {
        NewNetns { path: Some(path.into()), ..NewNetns::default() }
    }

    fn pid(pid: i64) -> NewNetns {
        NewNetns { pid: Some(pid), ..NewNetns::default() }
    }

    #[test]
    fn each_way_to_name_a_namespace_is_taken() {
        for (netns, spec) in [
            (name("vpc-orders"), NetnsSpec::Name("vpc-orders".into())),
            (name(&"n".repeat(255)), NetnsSpec::Name("n".repeat(255))),
            (path("/run/netns/x"), NetnsSpec::Path("/run/netns/x".into())),
            (pid(1), NetnsSpec::Pid(1)),
            (pid(4_194_304), NetnsSpec::Pid(4_194_304)),
        ] {
            assert_eq!(NetnsSpec::parse("netns", netns), Ok(spec));
        }
    }

    #[test]
    fn none_two_and_wrong_ones_are_refused() {
        let two = NewNetns { pid: Some(1), ..name("x") };
        let bad = [NewNetns::default(), two, name(""), name("."), name(".."), name("a/b"), name("a\0b")];
        let long = [name(&"n".repeat(256)), path(&format!("/{}", "p".repeat(4_095)))];
        let more =
            [path("run/netns/x"), path(""), path("/a\0b"), pid(0), pid(-1), pid(4_194_305), pid(i64::MAX)];
        for netns in bad.into_iter().chain(long).chain(more) {
            let shown = format!("{netns:?}");
            let problem = NetnsSpec::parse("uplink.netns", netns).unwrap_err();
            assert_eq!(
                (problem.code(), problem.field()),
                (Code::InvalidNetns, Some("uplink.netns")),
                "{shown}"
            );
        }
    }
}
