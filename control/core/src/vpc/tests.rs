use super::*;
use crate::{NewPortRange, UplinkKind};

fn vpc() -> NewVpc {
    NewVpc {
        name: "orders".into(),
        cidr: Some("10.1.0.0/16".into()),
        cidr6: None,
        external_addresses: vec!["10.1.0.10".into()],
        on_link: None,
        on_link6: None,
        next_hop: None,
        next_hop6: None,
        ports: None,
        port_blocks: None,
        reserved_addresses: None,
        approval: None,
        unsolicited_syn: None,
        uplink: NewUplink {
            kind: UplinkKind::Tap,
            netns: None,
            device: "wharf0".into(),
            address: Some("10.1.0.1/16".into()),
            address6: None,
            bridge: None,
            mtu: None,
        },
    }
}

/// One with both families and an external address of each.
fn dual() -> NewVpc {
    NewVpc { cidr6: Some("fd00::/64".into()), ..external(&["10.1.0.10", "fd00::10"]) }
}

fn external(addresses: &[&str]) -> NewVpc {
    NewVpc { external_addresses: addresses.iter().map(ToString::to_string).collect(), ..vpc() }
}

fn dual_external(addresses: &[&str]) -> NewVpc {
    NewVpc { external_addresses: external(addresses).external_addresses, ..dual() }
}

fn made(new: NewVpc) -> Vpc {
    let spec = Arc::new(new.validate().unwrap());
    let tenant = Name::parse("tenant", "default".into()).unwrap();
    Vpc { name: FullName::new(&tenant, &spec.name), spec, life: Life::Creating, mac: None }
}

fn with_mtu(vpc: NewVpc, mtu: i64) -> NewVpc {
    NewVpc { uplink: NewUplink { mtu: Some(mtu), ..vpc.uplink }, ..vpc }
}

#[test]
fn what_was_left_out_is_filled_in() {
    let spec = dual().validate().unwrap();
    for subnet in spec.subnets() {
        assert_eq!((subnet.on_link, subnet.next_hop), (subnet.cidr, None));
    }
    assert_eq!(spec.subnets().count(), 2);
    assert_eq!((spec.ports, spec.port_blocks), (Ports::default(), false));
    assert_eq!(spec.unsolicited_syn, UnsolicitedSyn::Icmp);
}

#[test]
fn a_vpc_has_either_family_or_both() {
    assert!(vpc().validate().unwrap().ipv6.is_none());
    let only_v6 = NewVpc { cidr: None, ..dual_external(&["fd00::10"]) };
    let spec = only_v6.validate().unwrap();
    assert!(spec.ipv4.is_none() && spec.ipv6.is_some());
    for addresses in [&["10.1.0.10"][..], &["fd00::10"], &["fd00::10", "10.1.0.10", "fd00::11"]] {
        assert!(dual_external(addresses).validate().is_ok(), "{addresses:?}");
    }
    let neither = NewVpc { cidr: None, ..vpc() }.validate().unwrap_err();
    assert_eq!((neither.code(), neither.field()), (Code::MissingField, Some("cidr")));
}

#[test]
fn wrong_fields_are_named_with_their_code() {
    let ports = |first, last| Some(NewPorts { first: Some(first), last: Some(last), exclude: None });
    let excluded =
        NewPorts { exclude: Some(vec![NewPortRange { first: 1, last: 65_535 }]), ..NewPorts::default() };
    let next_hop = |text: &str| NewVpc { next_hop: Some(text.into()), ..vpc() };
    let table = vec![
        (NewVpc { name: "Orders".into(), ..vpc() }, Code::InvalidName, "name"),
        (NewVpc { cidr: Some("10.1.0.1/16".into()), ..vpc() }, Code::InvalidCidr, "cidr"),
        (NewVpc { cidr: Some("169.254.0.0/16".into()), ..vpc() }, Code::InvalidCidr, "cidr"),
        (NewVpc { cidr: Some("fd00::/64".into()), ..vpc() }, Code::InvalidCidr, "cidr"),
        (NewVpc { cidr6: Some("10.1.0.0/16".into()), ..vpc() }, Code::InvalidCidr, "cidr6"),
        (NewVpc { cidr6: Some("fe80::/64".into()), ..vpc() }, Code::InvalidCidr, "cidr6"),
        (NewVpc { on_link: Some("10.1.0.1/24".into()), ..vpc() }, Code::InvalidCidr, "on_link"),
        (NewVpc { on_link6: Some("fd00::/64".into()), ..vpc() }, Code::InvalidCidr, "on_link6"),
        (NewVpc { on_link6: Some("10.1.0.0/16".into()), ..dual() }, Code::InvalidCidr, "on_link6"),
        (next_hop("10.2.0.1"), Code::InvalidAddress, "next_hop"),
        (next_hop("10.1.0.0"), Code::InvalidAddress, "next_hop"),
        (next_hop("10.1.0.10"), Code::InvalidAddress, "external_addresses[0]"),
        (NewVpc { next_hop6: Some("fd00::1".into()), ..vpc() }, Code::InvalidAddress, "next_hop6"),
        (
            NewVpc { next_hop6: Some("fd00::10".into()), ..dual() },
            Code::InvalidAddress,
            "external_addresses[1]",
        ),
        (NewVpc { ports: ports(2, 1), ..vpc() }, Code::InvalidPorts, "ports"),
        (NewVpc { ports: Some(excluded), ..vpc() }, Code::InvalidPorts, "ports.exclude"),
        (
            NewVpc { ports: ports(40_001, 40_063), port_blocks: Some(true), ..vpc() },
            Code::InvalidPorts,
            "port_blocks",
        ),
        (NewVpc { unsolicited_syn: Some("rst".into()), ..vpc() }, Code::InvalidPolicy, "unsolicited_syn"),
        (with_mtu(dual(), 1_279), Code::InvalidMtu, "uplink.mtu"),
        (external(&[]), Code::InvalidAddress, "external_addresses"),
        (external(&["10.1.0.256"]), Code::InvalidAddress, "external_addresses[0]"),
        (external(&["10.1.0.10", "10.2.0.0"]), Code::AddressOutsideVpc, "external_addresses[1]"),
        (external(&["10.1.0.10", "fd00::10"]), Code::AddressOutsideVpc, "external_addresses[1]"),
        (external(&["10.1.0.0"]), Code::InvalidAddress, "external_addresses[0]"),
        (external(&["10.1.255.255"]), Code::InvalidAddress, "external_addresses[0]"),
        (external(&["10.1.0.1"]), Code::InvalidAddress, "external_addresses[0]"),
        (external(&["10.1.0.5", "10.1.0.5"]), Code::DuplicateAddress, "external_addresses[1]"),
        (dual_external(&["fd01::10"]), Code::AddressOutsideVpc, "external_addresses[0]"),
        (dual_external(&["fd00::"]), Code::InvalidAddress, "external_addresses[0]"),
        (dual_external(&["fe80::10"]), Code::InvalidAddress, "external_addresses[0]"),
        (dual_external(&["::ffff:10.1.0.10"]), Code::InvalidAddress, "external_addresses[0]"),
        (dual_external(&["fd00::10", "fd00:0::10"]), Code::DuplicateAddress, "external_addresses[1]"),
    ];
    for (vpc, code, field) in table {
        let problem = vpc.validate().unwrap_err();
        assert_eq!((problem.code(), problem.field()), (code, Some(field)), "{problem}");
    }
}

#[test]
fn ipv6_needs_its_smallest_mtu_only_where_it_is() {
    assert!(with_mtu(vpc(), 576).validate().is_ok());
    assert!(with_mtu(dual(), 1_280).validate().is_ok());
}

#[test]
fn an_address_of_the_vpcs_side_is_no_external_address() {
    let v6 = NewVpc { uplink: NewUplink { address6: Some("fd00::10/64".into()), ..vpc().uplink }, ..dual() };
    let problem = v6.validate().unwrap_err();
    assert_eq!((problem.code(), problem.field()), (Code::InvalidAddress, Some("external_addresses[1]")));
}

#[test]
fn external_addresses_are_bounded() {
    let list = |n: u8| (0..n).map(|i| format!("10.1.1.{i}")).collect::<Vec<_>>();
    assert!(NewVpc { external_addresses: list(64), ..vpc() }.validate().is_ok());
    let problem = NewVpc { external_addresses: list(65), ..vpc() }.validate().unwrap_err();
    assert_eq!((problem.code(), problem.field()), (Code::InvalidAddress, Some("external_addresses")));
}

#[test]
fn reserved_addresses_count_with_the_others() {
    let list = |from: u8, n: u8| (from..from + n).map(|i| format!("10.1.1.{i}")).collect::<Vec<_>>();
    let vpc_of = |pool: u8, reserved: u8| NewVpc {
        external_addresses: list(0, pool),
        reserved_addresses: Some(list(pool, reserved)),
        ..vpc()
    };
    for (pool, reserved, right) in
        [(1, 0, true), (1, 63, true), (63, 1, true), (1, 64, false), (64, 1, false), (0, 1, false)]
    {
        match vpc_of(pool, reserved).validate() {
            Ok(spec) => assert!(right && spec.reserved_addresses.len() == usize::from(reserved)),
            Err(problem) => {
                assert!(!right, "{problem}");
                assert_eq!(
                    (problem.code(), problem.field()),
                    (Code::InvalidAddress, Some("external_addresses"))
                );
            }
        }
    }
    for (reserved, code) in [
        ("10.1.0.10", Code::DuplicateAddress),
        ("10.2.0.1", Code::AddressOutsideVpc),
        ("10.1.0.1", Code::InvalidAddress),
        ("x", Code::InvalidAddress),
    ] {
        let new = NewVpc { reserved_addresses: Some(vec!["10.1.0.20".into(), reserved.into()]), ..vpc() };
        let problem = new.validate().unwrap_err();
        assert_eq!((problem.code(), problem.field()), (code, Some("reserved_addresses[1]")), "{reserved}");
    }
    let spec = vpc_of(1, 1).validate().unwrap();
    assert_eq!(spec.port_count(), 64_512, "the pool's only");
    assert!(spec.is_external("10.1.1.1".parse().unwrap()), "but external it is");
}

#[test]
fn approval_is_automatic_or_manual() {
    assert_eq!(vpc().validate().unwrap().approval, Approval::Automatic);
    for (text, right) in [("automatic", true), ("manual", true), ("Manual", false), ("", false)] {
        let parsed = NewVpc { approval: Some(text.into()), ..vpc() }.validate();
        assert_eq!(parsed.is_ok(), right, "{text}");
        if let Err(problem) = parsed {
            assert_eq!((problem.code(), problem.field()), (Code::InvalidPolicy, Some("approval")));
        }
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let wrong = NewVpc {
        name: String::new(),
        approval: Some("no".into()),
        unsolicited_syn: Some("no".into()),
        ports: Some(NewPorts { first: Some(0), last: Some(1), exclude: None }),
        external_addresses: vec!["10.2.0.1".into(), "x".into()],
        reserved_addresses: Some(vec!["y".into()]),
        ..vpc()
    };
    let problem = wrong.validate().unwrap_err();
    let fields: Vec<_> = problem.errors().map(|error| error.field().unwrap()).collect();
    let addresses = ["external_addresses[0]", "external_addresses[1]", "reserved_addresses[0]"];
    assert_eq!(fields[..4], ["name", "approval", "unsolicited_syn", "ports.first"]);
    assert_eq!(fields[4..], addresses);
}

#[test]
fn addresses_beside_the_edges_of_the_prefix_are_taken() {
    for good in ["10.1.0.2", "10.1.255.254", "fd00::1", "fd00::ffff:ffff:ffff:ffff"] {
        assert!(dual_external(&[good]).validate().is_ok(), "{good}");
    }
}

#[test]
fn ports_are_counted_for_the_family_with_more_addresses() {
    for (addresses, count) in [
        (&["10.1.0.10"][..], 64_512),
        (&["fd00::10"], 64_512),
        (&["10.1.0.10", "fd00::10"], 64_512),
        (&["10.1.0.10", "fd00::10", "fd00::11", "fd00::12"], 3 * 64_512),
    ] {
        assert_eq!(dual_external(addresses).validate().unwrap().port_count(), count, "{addresses:?}");
    }
}

#[test]
fn port_blocks_need_one_whole_block_and_count_no_other_ports() {
    let blocks = |first, last| {
        let ports = Some(NewPorts { first: Some(first), last: Some(last), exclude: None });
        NewVpc { ports, port_blocks: Some(true), ..external(&["10.1.0.10", "10.1.0.11"]) }
    };
    for (first, last, count) in [(1_024, 1_087, 128), (1_023, 1_150, 128), (1_024, 1_151, 256)] {
        assert_eq!(blocks(first, last).validate().unwrap().port_count(), count, "{first} to {last}");
    }
    for (first, last) in [(1_024, 1_086), (1_025, 1_150)] {
        let problem = blocks(first, last).validate().unwrap_err();
        assert_eq!((problem.code(), problem.field()), (Code::InvalidPorts, Some("port_blocks")));
        let single = NewVpc { port_blocks: None, ..blocks(first, last) };
        assert_eq!(i64::from(single.validate().unwrap().port_count()), 2 * (last - first + 1));
    }
}

#[test]
fn a_device_that_existed_has_to_be_large_enough_for_ipv6_only_where_it_is() {
    let link = |mtu| VpcLink { uplink: UplinkId(1), mac: MacAddr([2; 6]), mtu, offloads: vec![] };
    for (new, mtu) in [(vpc(), 576), (dual(), 1_280), (dual(), 1_281)] {
        assert_eq!(new.validate().unwrap().refuse_unfit(&link(mtu)), Ok(()), "{mtu}");
    }
    let problem = dual().validate().unwrap().refuse_unfit(&link(1_279)).unwrap_err();
    assert_eq!((problem.code(), problem.field()), (Code::InvalidMtu, Some("uplink.device")));
}

#[test]
fn a_view_shows_the_link_once_it_is_made() {
    let mut vpc = made(vpc());
    let json = serde_json::to_value(vpc.view(7)).unwrap();
    assert_eq!(json["state"], "creating");
    assert_eq!(json["uplink"]["kind"], "tap");
    assert_eq!(json["uplink"]["address"], "10.1.0.1/16");
    assert!(json.get("mac").is_none() && json.get("next_hop").is_none());

    let mac = MacAddr([2, 0, 0, 0, 0, 1]);
    vpc.life = Life::Ready(VpcLink { uplink: UplinkId(1), mac, mtu: 9_000, offloads: vec!["csum".into()] });
    let json = serde_json::to_value(vpc.view(7)).unwrap();
    assert_eq!(json["state"], "ready");
    assert_eq!(json["mac"], "02:00:00:00:00:01");
    assert_eq!(json["mtu"], 9_000);
    assert_eq!(json["offloads"][0], "csum");
}

#[test]
fn a_view_has_fields_for_the_families_that_there_are() {
    let view = |new: NewVpc| serde_json::to_value(made(new).view(7)).unwrap();
    let v6 = view(NewVpc {
        cidr: None,
        next_hop6: Some("fe80::1".into()),
        port_blocks: Some(true),
        unsolicited_syn: Some("silent".into()),
        ports: Some(NewPorts {
            exclude: Some(vec![NewPortRange { first: 8_000, last: 8_100 }]),
            ..NewPorts::default()
        }),
        ..dual_external(&["fd00::10"])
    });
    assert_eq!((&v6["cidr6"], &v6["on_link6"]), (&"fd00::/64".into(), &"fd00::/64".into()));
    assert_eq!((&v6["next_hop6"], &v6["external_addresses"][0]), (&"fe80::1".into(), &"fd00::10".into()));
    assert_eq!((&v6["port_blocks"], &v6["unsolicited_syn"]), (&true.into(), &"silent".into()));
    let ports = serde_json::json!({"first": 1024, "last": 65535, "exclude": [{"first": 8000, "last": 8100}]});
    assert_eq!(v6["ports"], ports);
    assert!(v6.get("cidr").is_none() && v6.get("on_link").is_none());
    let v4 = view(vpc());
    assert_eq!(v4["ports"], serde_json::json!({"first": 1024, "last": 65535}));
    assert!(v4.get("cidr6").is_none() && v4.get("on_link6").is_none());
}
