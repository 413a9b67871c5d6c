//! Rules: which packets a connector lets through. The first that matches decides; where there are any, what none matches is denied.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::RULES;
use crate::{Code, Faults, NewPortRange, PortRange, PortRangeView, Problem, Protocol, cidr};

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The packet goes through.
    Allow,
    /// The packet ends; its sender is told.
    Deny,
}

/// A requested rule.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewRule {
    /// What it says.
    pub action: Action,
    /// Remote addresses that it is about; all unless given.
    #[schema(example = "10.1.0.0/24")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The protocol that it is about; all unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Remote ports that it is about, with TCP or UDP; all unless given. A rule with ports says nothing about remotes that call in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<NewPortRange>,
}

/// A valid rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it says.
    pub action: Action,
    /// Remote addresses; `None` for all.
    pub destination: Option<IpNet>,
    /// The protocol; `None` for all.
    pub protocol: Option<Protocol>,
    /// Remote ports; `None` for all.
    pub ports: Option<PortRange>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleView {
    /// What it says.
    pub action: Action,
    /// Remote addresses that it is about; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The protocol that it is about; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Remote ports that it is about; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortRangeView>,
}

impl Rule {
    pub(crate) fn parse_all(rules: &[NewRule]) -> Result<Vec<Self>, Problem> {
        if rules.len() > RULES {
            let detail = format!("a connector has at most {RULES} rules, not {}", rules.len());
            return Err(Problem::new(Code::InvalidPolicy, detail).at("rules"));
        }
        let mut faults = Faults::default();
        let parsed: Vec<_> =
            rules.iter().enumerate().filter_map(|(i, new)| Self::parse(&mut faults, i, new)).collect();
        faults.end(Some(parsed))
    }

    fn parse(faults: &mut Faults, index: usize, new: &NewRule) -> Option<Self> {
        let below = |name: &str| format!("rules[{index}].{name}");
        let destination = new.destination.as_deref().map(|text| cidr::parse(&below("destination"), text));
        let destination = faults.take(destination.transpose());
        let ports = faults.take(new.ports.map(|range| PortRange::parse(&below("ports"), range)).transpose());
        if new.ports.is_some() && new.protocol == Some(Protocol::Icmp) {
            faults.note(
                Problem::new(Code::InvalidPolicy, "ICMP has no ports; leave this field out")
                    .at(below("ports")),
            );
        }
        let (destination, ports) = (destination?, ports?);
        Some(Self { action: new.action, destination, protocol: new.protocol, ports })
    }

    pub(crate) fn view(&self) -> RuleView {
        RuleView {
            action: self.action,
            destination: self.destination.map(|prefix| prefix.to_string()),
            protocol: self.protocol,
            ports: self.ports.map(PortRange::view),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> NewRule {
        NewRule { action: Action::Allow, destination: None, protocol: None, ports: None }
    }

    #[test]
    fn rules_are_bounded() {
        assert_eq!(Rule::parse_all(&vec![rule(); 100]).unwrap().len(), 100);
        let problem = Rule::parse_all(&vec![rule(); 101]).unwrap_err();
        assert_eq!((problem.code(), problem.field()), (Code::InvalidPolicy, Some("rules")));
    }

    #[test]
    fn all_wrong_fields_of_all_rules_are_named() {
        let wrong = NewRule {
            destination: Some("10.1.0.1/16".into()),
            ports: Some(NewPortRange { first: 0, last: 1 }),
            ..rule()
        };
        let icmp = NewRule {
            protocol: Some(Protocol::Icmp),
            ports: Some(NewPortRange { first: 1, last: 1 }),
            ..rule()
        };
        let problem = Rule::parse_all(&[rule(), wrong, icmp]).unwrap_err();
        let fields: Vec<_> = problem.errors().map(|error| error.field().unwrap()).collect();
        assert_eq!(fields, ["rules[1].destination", "rules[1].ports.first", "rules[2].ports"]);
    }
}
