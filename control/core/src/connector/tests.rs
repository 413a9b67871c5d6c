use super::*;

fn connector(destinations: Option<Vec<String>>) -> NewConnector {
    NewConnector { name: "orders-db".into(), vpc: "orders".into(), destinations, ..NewConnector::default() }
}

#[test]
fn destinations_are_bounded_and_different() {
    let list = |n: u8| Some((0..n).map(|i| format!("10.{i}.0.0/16")).collect());
    assert_eq!(connector(None).validate().unwrap().destinations, None);
    assert!(connector(list(1)).validate().is_ok());
    assert_eq!(connector(list(64)).validate().unwrap().destinations.unwrap().len(), 64);
    let both_families = Some(vec!["10.0.0.0/8".into(), "::/0".into()]);
    assert!(connector(both_families).validate().is_ok());
    let twice = Some(vec!["10.0.0.0/8".into(), "10.0.0.0/8".into()]);
    for (destinations, field) in [
        (list(0), "destinations"),
        (list(65), "destinations"),
        (twice, "destinations[1]"),
        (Some(vec!["0.0.0.0/0".into(), "127.0.0.0/8".into()]), "destinations[1]"),
        (Some(vec!["::/0".into(), "fe80::/10".into()]), "destinations[1]"),
    ] {
        let problem = connector(destinations).validate().unwrap_err();
        assert_eq!((problem.code(), problem.field()), (Code::InvalidCidr, Some(field)));
    }
}

#[test]
fn both_names_are_checked() {
    let bad_name = NewConnector { name: String::new(), ..connector(None) };
    let bad_vpc = NewConnector { vpc: "a b".into(), ..connector(None) };
    for (connector, field) in [(bad_name, "name"), (bad_vpc, "vpc")] {
        let problem = connector.validate().unwrap_err();
        assert_eq!((problem.code(), problem.field()), (Code::InvalidName, Some(field)));
    }
}

fn new() -> NewConnector {
    connector(None)
}

fn texts(n: usize, text: impl Fn(usize) -> String) -> Vec<String> {
    (0..n).map(text).collect()
}

/// Whether it is valid; if not, it has this one fault.
fn check(new: NewConnector, right: bool, code: Code, field: &str) {
    let told = format!("{new:?}");
    match new.validate() {
        Ok(_) => assert!(right, "{told}"),
        Err(problem) => {
            assert!(!right, "{problem}: {told}");
            assert_eq!((problem.code(), problem.field()), (code, Some(field)));
            assert_eq!(problem.errors().count(), 1, "{problem:?}");
        }
    }
}

#[test]
fn names_end_at_their_length() {
    for (length, right) in [(0, false), (1, true), (63, true), (64, false)] {
        let text = || "a".repeat(length);
        check(NewConnector { name: text(), ..new() }, right, Code::InvalidName, "name");
        check(NewConnector { vpc: text(), ..new() }, right, Code::InvalidName, "vpc");
        check(NewConnector { vpc: format!("{}/v", text()), ..new() }, right, Code::InvalidName, "vpc");
        check(NewConnector { vpc: format!("t/{}", text()), ..new() }, right, Code::InvalidName, "vpc");
    }
    check(NewConnector { vpc: "a/b/c".into(), ..new() }, false, Code::InvalidName, "vpc");
}

#[test]
fn a_vpc_is_the_tenants_own_unless_another_is_named() {
    let tenant = Name::parse("tenant", "acme".into()).unwrap();
    let meant = |text: &str| VpcRef::parse("vpc", text).unwrap().of(&tenant).to_string();
    assert_eq!((meant("v"), meant("acme/v"), meant("b/v")), ("acme/v".into(), "acme/v".into(), "b/v".into()));
}

#[test]
fn users_are_bounded_patterns() {
    for (n, right) in [(0, true), (1, true), (64, true), (65, false)] {
        let users = Some(texts(n, |i| format!("c{i}")));
        check(NewConnector { users, ..new() }, right, Code::InvalidPolicy, "users");
    }
    let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
    let (longest_beginning, too_long_beginning) =
        (format!("{}*", "a".repeat(62)), format!("{}*", "a".repeat(63)));
    for (text, right) in [
        ("a", true),
        ("*", true),
        ("a-*", true),
        ("a*", true),
        (&longest, true),
        (&longest_beginning, true),
        (&too_long, false),
        (&too_long_beginning, false),
        ("", false),
        ("**", false),
        ("*a", false),
        ("a*b", false),
        ("-*", false),
        ("A", false),
    ] {
        let users = Some(vec!["c".into(), text.to_owned()]);
        check(NewConnector { users, ..new() }, right, Code::InvalidName, "users[1]");
    }
}

#[test]
fn own_addresses_are_bounded_and_different() {
    for (n, right) in [(0, false), (1, true), (64, true), (65, false)] {
        let external_addresses = Some(texts(n, |i| format!("10.1.0.{i}")));
        check(
            NewConnector { external_addresses, ..new() },
            right,
            Code::InvalidAddress,
            "external_addresses",
        );
    }
    for (text, code) in [("10.1.0.1", Code::DuplicateAddress), ("10.1.0", Code::InvalidAddress)] {
        let external_addresses = Some(vec!["10.1.0.1".into(), text.into()]);
        check(NewConnector { external_addresses, ..new() }, false, code, "external_addresses[1]");
    }
    let routed =
        NewConnector { translation: Some(false), external_addresses: Some(vec!["10.1.0.1".into()]), ..new() };
    check(routed, false, Code::InvalidPolicy, "external_addresses");
}

#[test]
fn dns_servers_are_as_many_as_a_resolver_asks() {
    for (n, right) in [(0, true), (1, true), (3, true), (4, false)] {
        let dns_servers = Some(texts(n, |i| format!("10.1.0.{i}")));
        check(NewConnector { dns_servers, ..new() }, right, Code::InvalidAddress, "dns_servers");
    }
    let dns_servers = Some(vec!["10.1.0.53".into(), "10.1.0.53".into()]);
    check(NewConnector { dns_servers, ..new() }, false, Code::DuplicateAddress, "dns_servers[1]");
}

#[test]
fn a_linger_ends_within_a_day() {
    assert_eq!(new().validate().unwrap().linger_s, 60);
    for (seconds, right) in [(-1, false), (0, true), (86_400, true), (86_401, false), (i64::MAX, false)] {
        check(NewConnector { linger_s: Some(seconds), ..new() }, right, Code::InvalidPolicy, "linger_s");
    }
}

#[test]
fn quotas_are_counts_that_there_can_be() {
    for (quota, right) in [(-1, false), (0, false), (1, true), (4_294_967_295, true), (4_294_967_296, false)]
    {
        check(NewConnector { port_quota: Some(quota), ..new() }, right, Code::InvalidPolicy, "port_quota");
        let each = NewConnector { port_quota_per_container: Some(quota), ..new() };
        check(each, right, Code::InvalidPolicy, "port_quota_per_container");
    }
}

#[test]
fn rules_publications_and_rates_are_bounded() {
    let rule = NewRule { action: crate::Action::Allow, destination: None, protocol: None, ports: None };
    for (n, right) in [(0, true), (100, true), (101, false)] {
        check(
            NewConnector { rules: Some(vec![rule.clone(); n]), ..new() },
            right,
            Code::InvalidPolicy,
            "rules",
        );
    }
    let publication =
        |i| NewPublication { protocol: "tcp".into(), external_port: i, ..NewPublication::default() };
    for (n, right) in [(0, true), (64, true), (65, false)] {
        let publications = Some((1..=n).map(publication).collect());
        check(NewConnector { publications, ..new() }, right, Code::InvalidPolicy, "publications");
    }
    for (rate, right) in [(0, false), (1, true), (1_000_000_000_000, true), (1_000_000_000_001, false)] {
        let none = NewRates::default;
        for (rates, field) in [
            (NewRates { packets_per_second: Some(rate), ..none() }, "rate_limits.packets_per_second"),
            (NewRates { bits_per_second: Some(rate), ..none() }, "rate_limits.bits_per_second"),
            (NewRates { sessions_per_second: Some(rate), ..none() }, "rate_limits.sessions_per_second"),
        ] {
            check(NewConnector { rate_limits: Some(rates), ..new() }, right, Code::InvalidPolicy, field);
        }
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let wrong = NewConnector {
        name: "A".into(),
        vpc: String::new(),
        users: Some(vec!["B".into()]),
        destinations: Some(vec!["x".into(), "y".into()]),
        external_addresses: Some(vec![]),
        dns_servers: Some(vec!["z".into()]),
        linger_s: Some(-1),
        mapping: Some("none".into()),
        filtering: Some("none".into()),
        publications: Some(vec![NewPublication::default()]),
        ..NewConnector::default()
    };
    let problem = wrong.validate().unwrap_err();
    let mut fields: Vec<_> = problem.errors().map(|error| error.field().unwrap()).collect();
    fields.sort_unstable();
    let expected = [
        "destinations[0]",
        "destinations[1]",
        "dns_servers[0]",
        "external_addresses",
        "filtering",
        "linger_s",
        "mapping",
        "name",
        "publications[0].protocol",
        "users[0]",
        "vpc",
    ];
    assert_eq!(fields, expected);
}
