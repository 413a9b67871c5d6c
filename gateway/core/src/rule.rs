//! Rules: which of the packets to a connector's destinations may pass. The first one that matches decides.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::{ConnectorConfig, Protocol};

/// One line of a connector's list. It is asked when a session begins, and never about the packets of one that there is.
///
/// A session that a remote opens is another matter than one to that remote: the port that it calls from says nothing about the
/// service that it offers. So of the rules only those without ports count for callers, by address and protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// What becomes of the packets that match.
    pub action: Action,
    /// Remotes that it is about.
    pub destination: IpNet,
    /// Only of this protocol.
    pub protocol: Option<Protocol>,
    /// Only to these ports of the remote, and so only TCP and UDP.
    pub ports: Option<RangeInclusive<u16>>,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The session may begin.
    Allow,
    /// It may not.
    Deny,
}

/// What the rules of a connector say about one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The rule that decided; `None`: none matched, and the default did.
    pub(crate) index: Option<usize>,
    pub(crate) action: Action,
}

impl Rule {
    fn is_about(&self, protocol: Protocol, remote: IpAddr) -> bool {
        self.protocol.is_none_or(|only| only == protocol) && self.destination.contains(&remote)
    }

    /// Whether it matches a session that a container opens.
    fn matches(&self, protocol: Protocol, remote: SocketAddr) -> bool {
        let has_port = |ports: &RangeInclusive<u16>| {
            matches!(protocol, Protocol::Tcp | Protocol::Udp) && ports.contains(&remote.port())
        };
        self.ports.as_ref().is_none_or(has_port) && self.is_about(protocol, remote.ip())
    }
}

impl ConnectorConfig {
    /// What the rules say about a session that a container would like to open.
    pub(crate) fn decide(&self, protocol: Protocol, remote: SocketAddr) -> Decision {
        self.decide_by(|rule| rule.matches(protocol, remote))
    }

    /// Whether the rules let a remote open a session.
    pub(crate) fn allows_caller(&self, protocol: Protocol, remote: IpAddr) -> bool {
        let decision = self.decide_by(|rule| rule.ports.is_none() && rule.is_about(protocol, remote));
        decision.action == Action::Allow
    }

    fn decide_by(&self, matches: impl Fn(&Rule) -> bool) -> Decision {
        match self.rules.iter().position(matches) {
            Some(index) => Decision { index: Some(index), action: self.rules[index].action },
            // Who has no rules allows every destination; who has some, only what they say.
            None if self.rules.is_empty() => Decision { index: None, action: Action::Allow },
            None => Decision { index: None, action: Action::Deny },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConnectorId, UplinkId};

    fn connector(rules: Vec<Rule>) -> ConnectorConfig {
        ConnectorConfig { rules, ..ConnectorConfig::new(ConnectorId(1), UplinkId(1), Vec::new()) }
    }

    fn rule(action: Action, destination: &str) -> Rule {
        Rule { action, destination: destination.parse().expect("a prefix"), protocol: None, ports: None }
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_a_list_without_one_denies() {
        use Action::{Allow, Deny};
        let connector = connector(vec![
            Rule { protocol: Some(Protocol::Tcp), ports: Some(443..=444), ..rule(Allow, "10.0.0.0/8") },
            Rule { ports: Some(53..=53), ..rule(Allow, "10.0.0.0/24") },
            Rule { protocol: Some(Protocol::Icmp), ..rule(Deny, "10.0.0.1/32") },
            rule(Allow, "10.0.0.0/31"),
            rule(Deny, "fd00::1/128"),
            rule(Allow, "fd00::/64"),
        ]);
        for (protocol, remote, index, action) in [
            (Protocol::Tcp, "10.9.0.1:443", Some(0), Allow),
            (Protocol::Tcp, "10.9.0.1:445", None, Deny),
            (Protocol::Udp, "10.9.0.1:443", None, Deny),
            (Protocol::Udp, "10.0.0.9:53", Some(1), Allow),
            (Protocol::Tcp, "10.0.0.9:53", Some(1), Allow),
            // A query has no port, whatever stands in its place.
            (Protocol::Icmp, "10.0.0.9:53", None, Deny),
            (Protocol::Icmp, "10.0.0.1:0", Some(2), Deny),
            (Protocol::Icmp, "10.0.0.0:0", Some(3), Allow),
            (Protocol::Udp, "10.0.0.1:1", Some(3), Allow),
            (Protocol::Udp, "[fd00::1]:1", Some(4), Deny),
            (Protocol::Udp, "[fd00::2]:1", Some(5), Allow),
            (Protocol::Udp, "[fd01::2]:1", None, Deny),
        ] {
            let decision = connector.decide(protocol, remote.parse().expect("an endpoint"));
            assert_eq!(decision, Decision { index, action }, "{protocol} {remote}");
        }
    }

    #[test]
    fn who_has_no_rules_allows_everybody() {
        let connector = connector(Vec::new());
        let decision = connector.decide(Protocol::Udp, ([192, 0, 2, 1], 53).into());
        assert_eq!(decision, Decision { index: None, action: Action::Allow });
        assert!(connector.allows_caller(Protocol::Tcp, [192, 0, 2, 1].into()));
    }

    #[test]
    fn rules_with_ports_say_nothing_about_callers() {
        let ports = Some(0..=u16::MAX);
        let connector = connector(vec![
            Rule { ports: ports.clone(), ..rule(Action::Deny, "10.0.0.0/8") },
            Rule { protocol: Some(Protocol::Tcp), ..rule(Action::Deny, "10.0.0.1/32") },
            rule(Action::Allow, "10.0.0.0/24"),
            Rule { ports, ..rule(Action::Allow, "192.0.2.0/24") },
        ]);
        let calls = |protocol, address: [u8; 4]| connector.allows_caller(protocol, address.into());
        assert!(calls(Protocol::Udp, [10, 0, 0, 1]) && calls(Protocol::Icmp, [10, 0, 0, 1]));
        assert!(!calls(Protocol::Tcp, [10, 0, 0, 1]), "by address and protocol");
        assert!(!calls(Protocol::Udp, [10, 0, 1, 1]), "no rule without ports is about it");
        assert!(!calls(Protocol::Tcp, [192, 0, 2, 1]), "nor about this one");
    }
}
