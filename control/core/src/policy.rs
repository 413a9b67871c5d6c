//! What a connector says about the sessions that go through it.

use crate::{
    Code, Faults, Filtering, Mapping, NewConnector, NewRates, OnDetach, Problem, Rates, Rule, UdpRefresh,
};

/// What a connector says about the sessions that go through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How containers appear in the VPC; `None` in routed mode, in which the VPC sees their own addresses (RFC 6888 REQ-6).
    pub translation: Option<Translation>,
    /// Who may send to what a container has opened.
    pub filtering: Filtering,
    /// The same for UDP, if it differs (RFC 7857 §7).
    pub udp_filtering: Option<Filtering>,
    /// Which packets keep a UDP session alive.
    pub udp_refresh: UdpRefresh,
    /// What the ends of a live TCP session hear of a detach.
    pub on_detach: OnDetach,
    /// Which packets it lets through, by the first that matches; all of its destinations' if there are none.
    pub rules: Vec<Rule>,
    /// How much all containers may do together.
    pub rates: Rates,
}

/// How containers appear in a VPC that does not see their own addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Which packets have their external endpoint in common.
    pub mapping: Mapping,
    /// External ports of all containers together (RFC 6888 REQ-4), or sessions where ports serve many; at least one.
    pub port_quota: Option<u32>,
    /// The same of each container; at least one, and no more than of all together.
    pub port_quota_per_container: Option<u32>,
}

impl Policy {
    pub(crate) fn parse(new: &NewConnector) -> Result<Self, Problem> {
        let mut faults = Faults::default();
        let translation = faults.take(Translation::parse(new));
        let mapping = translation.as_ref().and_then(Option::as_ref).map(|t| t.mapping).unwrap_or_default();
        let udp_filtering = new.udp_filtering.as_deref();
        let udp_filtering = udp_filtering.map(|text| parse_filtering("udp_filtering", Some(text), mapping));
        let udp_filtering = faults.take(udp_filtering.transpose());
        let filtering = faults.take(parse_filtering("filtering", new.filtering.as_deref(), mapping));
        let udp_refresh = faults.take(UdpRefresh::parse("udp_refresh", new.udp_refresh.as_deref()));
        let on_detach = faults.take(OnDetach::parse("on_detach", new.on_detach.as_deref()));
        let rules = faults.take(Rule::parse_all(new.rules.as_deref().unwrap_or_default()));
        let rates = faults.take(Rates::parse(new.rate_limits.as_ref().unwrap_or(&NewRates::default())));
        let policy = || {
            Some(Self {
                translation: translation?,
                filtering: filtering?,
                udp_filtering: udp_filtering?,
                udp_refresh: udp_refresh?,
                on_detach: on_detach?,
                rules: rules?,
                rates: rates?,
            })
        };
        let policy = policy();
        faults.end(policy)
    }
}

/// Where an external port serves several containers, only the remote endpoints of their sessions tell them apart, so that nobody
/// else can be let in.
fn parse_filtering(field: &str, text: Option<&str>, mapping: Mapping) -> Result<Filtering, Problem> {
    let filtering = Filtering::parse(field, text)?;
    let only = Filtering::AddressAndPortDependent;
    if mapping != Mapping::AddressAndPortDependent || filtering == only {
        return Ok(filtering);
    }
    if text.is_none() {
        return Ok(only);
    }
    let (mapping, only) = (mapping.as_str(), only.as_str());
    let detail = format!("with the mapping {mapping}, filtering is {only}; leave this field out");
    Err(Problem::new(Code::InvalidPolicy, detail).at(field))
}

impl Translation {
    fn parse(new: &NewConnector) -> Result<Option<Self>, Problem> {
        let translation = Self {
            mapping: Mapping::parse("mapping", new.mapping.as_deref())?,
            port_quota: parse_quota("port_quota", new.port_quota)?,
            port_quota_per_container: parse_quota("port_quota_per_container", new.port_quota_per_container)?,
        };
        if let (Some(all), Some(each)) = (translation.port_quota, translation.port_quota_per_container)
            && each > all
        {
            let detail = format!("one container cannot have {each} ports when all together have {all}");
            return Err(Problem::new(Code::InvalidPolicy, detail).at("port_quota_per_container"));
        }
        if new.translation.unwrap_or(true) {
            return Ok(Some(translation));
        }
        for (field, given) in [
            ("mapping", translation.mapping != Mapping::default()),
            ("port_quota", translation.port_quota.is_some()),
            ("port_quota_per_container", translation.port_quota_per_container.is_some()),
            ("publications", new.publications.as_ref().is_some_and(|list| !list.is_empty())),
            ("external_addresses", new.external_addresses.is_some()),
        ] {
            if given {
                let detail = "without translation there are no external ports; leave this field out";
                return Err(Problem::new(Code::InvalidPolicy, detail).at(field));
            }
        }
        Ok(None)
    }
}

fn parse_quota(field: &str, quota: Option<i64>) -> Result<Option<u32>, Problem> {
    let Some(quota) = quota else { return Ok(None) };
    let number = u32::try_from(quota).ok().filter(|&number| number > 0);
    number.map(Some).ok_or_else(|| {
        let detail = format!("{quota} is no quota; choose a number of ports from 1 up");
        Problem::new(Code::InvalidPolicy, detail).at(field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewPublication;

    fn routed() -> NewConnector {
        NewConnector { translation: Some(false), ..NewConnector::default() }
    }

    #[test]
    fn what_was_left_out_is_filled_in() {
        let expected = Policy {
            translation: Some(Translation {
                mapping: Mapping::EndpointIndependent,
                port_quota: None,
                port_quota_per_container: None,
            }),
            filtering: Filtering::AddressDependent,
            udp_filtering: None,
            udp_refresh: UdpRefresh::Outbound,
            on_detach: OnDetach::Reset,
            rules: vec![],
            rates: Rates::default(),
        };
        assert_eq!(Policy::parse(&NewConnector::default()), Ok(expected));
    }

    #[test]
    fn every_field_is_taken() {
        let policy = Policy::parse(&NewConnector {
            mapping: Some("address_dependent".into()),
            filtering: Some("endpoint_independent".into()),
            udp_filtering: Some("address_and_port_dependent".into()),
            udp_refresh: Some("both".into()),
            on_detach: Some("silent".into()),
            port_quota: Some(100),
            port_quota_per_container: Some(100),
            ..NewConnector::default()
        });
        let translation = Translation {
            mapping: Mapping::AddressDependent,
            port_quota: Some(100),
            port_quota_per_container: Some(100),
        };
        let expected = Policy {
            translation: Some(translation),
            filtering: Filtering::EndpointIndependent,
            udp_filtering: Some(Filtering::AddressAndPortDependent),
            udp_refresh: UdpRefresh::Both,
            on_detach: OnDetach::Silent,
            rules: vec![],
            rates: Rates::default(),
        };
        assert_eq!(policy, Ok(expected));
    }

    #[test]
    fn wrong_fields_are_named() {
        let new = NewConnector::default;
        for (new, field) in [
            (NewConnector { mapping: Some("eim".into()), ..new() }, "mapping"),
            (NewConnector { filtering: Some("none".into()), ..new() }, "filtering"),
            (NewConnector { udp_filtering: Some("none".into()), ..new() }, "udp_filtering"),
            (NewConnector { udp_refresh: Some("inbound".into()), ..new() }, "udp_refresh"),
            (NewConnector { on_detach: Some("rst".into()), ..new() }, "on_detach"),
            (NewConnector { port_quota: Some(0), ..new() }, "port_quota"),
            (NewConnector { port_quota: Some(-1), ..new() }, "port_quota"),
            (NewConnector { port_quota: Some(1 << 32), ..new() }, "port_quota"),
            (NewConnector { port_quota_per_container: Some(0), ..new() }, "port_quota_per_container"),
            (
                NewConnector { port_quota: Some(9), port_quota_per_container: Some(10), ..new() },
                "port_quota_per_container",
            ),
        ] {
            let problem = Policy::parse(&new).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidPolicy, Some(field)));
        }
    }

    #[test]
    fn a_port_of_several_containers_lets_in_only_whom_they_sent_to() {
        let apdm =
            || NewConnector { mapping: Some("address_and_port_dependent".into()), ..NewConnector::default() };
        for new in [
            apdm(),
            NewConnector {
                filtering: Some("address_and_port_dependent".into()),
                udp_filtering: Some("address_and_port_dependent".into()),
                ..apdm()
            },
        ] {
            assert_eq!(Policy::parse(&new).unwrap().filtering, Filtering::AddressAndPortDependent);
        }
        for (new, field) in [
            (NewConnector { filtering: Some("endpoint_independent".into()), ..apdm() }, "filtering"),
            (NewConnector { filtering: Some("address_dependent".into()), ..apdm() }, "filtering"),
            (NewConnector { udp_filtering: Some("address_dependent".into()), ..apdm() }, "udp_filtering"),
        ] {
            let problem = Policy::parse(&new).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidPolicy, Some(field)));
        }
    }

    #[test]
    fn routed_mode_has_nothing_to_do_with_external_ports() {
        for defaults in [
            routed(),
            NewConnector {
                mapping: Some("endpoint_independent".into()),
                publications: Some(vec![]),
                filtering: Some("endpoint_independent".into()),
                udp_refresh: Some("both".into()),
                on_detach: Some("silent".into()),
                ..routed()
            },
        ] {
            assert_eq!(Policy::parse(&defaults).unwrap().translation, None);
        }
        for (new, field) in [
            (NewConnector { mapping: Some("address_dependent".into()), ..routed() }, "mapping"),
            (NewConnector { port_quota: Some(1), ..routed() }, "port_quota"),
            (NewConnector { port_quota_per_container: Some(1), ..routed() }, "port_quota_per_container"),
            (
                NewConnector { publications: Some(vec![NewPublication::default()]), ..routed() },
                "publications",
            ),
        ] {
            let problem = Policy::parse(&new).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidPolicy, Some(field)));
        }
    }
}
