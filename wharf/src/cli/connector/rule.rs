//! How a rule is written on the command line: `allow:tcp:10.1.0.0/24:80-90`, `deny:[fd00::/64]`, `allow:udp:53`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cli::ports::Range;

/// For every `--rule`.
pub(super) const VALUE: &str = "allow|deny[:PROTOCOL][:CIDR][:PORTS]";

/// Which packets go through, as the API takes and shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<Range>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

impl FromStr for Rule {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str =
            "is not such as allow:tcp:10.1.0.0/24:80-90, allow:udp:53, deny:[fd00::/64] or allow";
        let mut rest = parts(text).ok_or(WRONG)?.into_iter().peekable();
        let action = match rest.next() {
            Some("allow") => Action::Allow,
            Some("deny") => Action::Deny,
            _ => return Err(WRONG),
        };
        let protocol = rest.peek().and_then(|part| Protocol::from_name(part));
        if protocol.is_some() {
            rest.next();
        }
        let destination = rest.next_if(|part| part.contains(['.', '[', '/']));
        let destination =
            destination.map(|part| unbracketed(part).map(str::to_owned).ok_or(WRONG)).transpose()?;
        let ports = rest.next().map(|part| part.parse().map_err(|_| WRONG)).transpose()?;
        match rest.next() {
            None => Ok(Self { action, protocol, destination, ports }),
            Some(_) => Err(WRONG),
        }
    }
}

/// What colons separate, but for those in brackets. `None` if a part is empty, or a bracket does not end with its part.
fn parts(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let end =
            if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
        let (part, behind) = text.split_at(end);
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        rest = if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) };
    }
    Some(parts)
}

/// A prefix without its brackets, which those of IPv6 have and no others.
fn unbracketed(part: &str) -> Option<&str> {
    let inner = part.strip_prefix('[').and_then(|part| part.strip_suffix(']'));
    let prefix = inner.unwrap_or(part);
    (prefix.contains(':') == inner.is_some() && !prefix.contains(['[', ']'])).then_some(prefix)
}

impl Protocol {
    fn from_name(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Icmp].into_iter().find(|protocol| protocol.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.action {
            Action::Allow => "allow",
            Action::Deny => "deny",
        })?;
        if let Some(protocol) = self.protocol {
            write!(f, ":{}", protocol.name())?;
        }
        match &self.destination {
            Some(v6) if v6.contains(':') => write!(f, ":[{v6}]")?,
            Some(prefix) => write!(f, ":{prefix}")?,
            None => {}
        }
        self.ports.map_or(Ok(()), |ports| write!(f, ":{ports}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_form_is_sent_as_it_is_meant_and_written_as_it_is_read() {
        for (text, body) in [
            ("allow", json!({"action": "allow"})),
            ("deny:icmp", json!({"action": "deny", "protocol": "icmp"})),
            ("deny:10.1.0.5/32", json!({"action": "deny", "destination": "10.1.0.5/32"})),
            ("deny:[fd00::/64]", json!({"action": "deny", "destination": "fd00::/64"})),
            (
                "allow:udp:53",
                json!({"action": "allow", "protocol": "udp", "ports": {"first": 53, "last": 53}}),
            ),
            ("allow:8000-9000", json!({"action": "allow", "ports": {"first": 8000, "last": 9000}})),
            (
                "allow:tcp:10.1.0.0/24:80-90",
                json!({"action": "allow", "protocol": "tcp", "destination": "10.1.0.0/24",
                    "ports": {"first": 80, "last": 90}}),
            ),
            (
                "allow:tcp:[fd00::/64]:443",
                json!({"action": "allow", "protocol": "tcp", "destination": "fd00::/64",
                    "ports": {"first": 443, "last": 443}}),
            ),
            (
                "allow:[::/0]:443",
                json!({"action": "allow", "destination": "::/0", "ports": {"first": 443, "last": 443}}),
            ),
        ] {
            let rule: Rule = text.parse().expect(text);
            assert_eq!(serde_json::to_value(&rule).unwrap(), body);
            assert_eq!(rule.to_string(), text);
            assert_eq!(serde_json::from_value::<Rule>(body).unwrap(), rule);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for wrong in [
            "",
            "permit",
            "allow:",
            ":allow",
            "allow::80",
            "allow:sctp",
            "tcp:allow",
            "allow:80:tcp",
            "allow:80:10.1.0.0/16",
            "allow:tcp:udp",
            "allow:tcp:10.1.0.0/16:80:81",
            "allow:fd00::/64",
            "allow:[fd00::/64",
            "allow:[fd00::/64]80",
            "allow:tcp:fd00::/64]:80",
            "allow:[]",
            "allow:[10.1.0.0/16]",
            "allow:]:80",
            "allow:[[fd00::/64]]",
            "allow:tcp:90-80",
            "allow:tcp:65536",
        ] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }
}
