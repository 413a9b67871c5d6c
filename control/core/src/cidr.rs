//! Prefixes in CIDR notation.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::family::Family;
use crate::{Code, Problem, address};

/// Reads a prefix of one family that can be routed into a VPC, blaming `field`. The prefix of length 0 means everything that can.
pub(crate) fn parse_of(family: Family, field: &str, text: &str) -> Result<IpNet, Problem> {
    let prefix = match family {
        Family::V4 => text.parse::<Ipv4Net>().map(IpNet::V4),
        Family::V6 => text.parse::<Ipv6Net>().map(IpNet::V6),
    };
    let prefix = prefix.map_err(|_| {
        let example = family.prefix();
        let detail =
            format!("{text:?} is not an {family} prefix; write address and length, such as {example}");
        invalid(field, detail)
    })?;
    routable(field, prefix)
}

/// Reads a prefix of either family that can be routed into a VPC, blaming `field`. See [`parse_of`].
pub(crate) fn parse(field: &str, text: &str) -> Result<IpNet, Problem> {
    let prefix = text.parse().map_err(|_| {
        let (v4, v6) = (Family::V4.prefix(), Family::V6.prefix());
        let detail = format!("{text:?} is not a prefix; write address and length, such as {v4} or {v6}");
        invalid(field, detail)
    })?;
    routable(field, prefix)
}

fn routable(field: &str, prefix: IpNet) -> Result<IpNet, Problem> {
    if prefix != prefix.trunc() {
        return Err(invalid(field, format!("{prefix} has host bits set; write {}", prefix.trunc())));
    }
    match address::unroutable_part(prefix).filter(|_| prefix.prefix_len() > 0) {
        None => Ok(prefix),
        Some(range) => {
            let all = if prefix.addr().is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            let detail = format!(
                "{prefix} touches {range}, which is not routed into a VPC; use another prefix or {all}"
            );
            Err(invalid(field, detail))
        }
    }
}

pub(crate) fn invalid(field: &str, detail: String) -> Problem {
    Problem::new(Code::InvalidCidr, detail).at(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_refused_with_the_corrected_value() {
        for (text, corrected) in [("10.1.2.3/16", "10.1.0.0/16"), ("fd00::3/64", "fd00::/64")] {
            let problem = parse("cidr", text).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidCidr, Some("cidr")));
            assert!(problem.detail().ends_with(&format!("write {corrected}")), "{}", problem.detail());
        }
    }

    #[test]
    fn text_that_is_no_prefix_is_refused() {
        for good in ["0.0.0.0/0", "10.1.0.0/16", "10.1.0.1/32", "::/0", "fd00::/8", "fd00::1/128"] {
            assert_eq!(parse("cidr", good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "10.1.0.0",
            "10.1.0.0/",
            "10.1.0.0/33",
            "10.1.0.0/-1",
            "10.1.0.0/16 ",
            "/16",
            "fd00::",
            "fd00::/129",
            "[fd00::]/8",
        ] {
            assert_eq!(parse("cidr", bad).unwrap_err().code(), Code::InvalidCidr, "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_of_the_other_family_is_refused_where_the_family_is_fixed() {
        for (family, good, bad) in
            [(Family::V4, "10.1.0.0/16", "fd00::/64"), (Family::V6, "fd00::/64", "10.1.0.0/16")]
        {
            assert!(parse_of(family, "cidr", good).is_ok());
            let problem = parse_of(family, "cidr", bad).unwrap_err();
            assert_eq!(problem.code(), Code::InvalidCidr);
            assert!(problem.detail().contains(&format!("not an {family} prefix")), "{}", problem.detail());
        }
    }

    #[test]
    fn destinations_touch_no_special_range_from_either_side() {
        for good in [
            "0.0.0.0/0",
            "1.0.0.0/8",
            "8.0.0.0/5",
            "128.0.0.0/3",
            "168.0.0.0/8",
            "192.0.0.0/3",
            "10.0.0.1/32",
            "::/0",
            "2000::/3",
            "64:ff9b::/96",
            "fc00::/7",
            "fd00::1/128",
        ] {
            assert!(parse("destinations[0]", good).is_ok(), "{good}");
        }
        for bad in [
            "0.0.0.0/1",
            "0.0.0.0/8",
            "0.1.0.0/16",
            "127.0.0.1/32",
            "126.0.0.0/7",
            "128.0.0.0/1",
            "169.254.0.0/16",
            "169.254.169.254/32",
            // Wide enough to reach into multicast and link-local space.
            "168.0.0.0/7",
            "192.0.0.0/2",
            "224.0.0.0/4",
            "239.1.0.0/16",
            "240.0.0.0/4",
            "255.255.255.255/32",
            "::/1",
            "::/8",
            "::/128",
            "::1/128",
            "::ffff:0:0/96",
            "::ffff:10.1.0.0/112",
            "8000::/1",
            "fe80::/10",
            "fe80::1/128",
            "fe00::/7",
            "ff00::/8",
            "ff02::/16",
        ] {
            let outcome = parse("destinations[0]", bad);
            assert_eq!(outcome.unwrap_err().code(), Code::InvalidCidr, "{bad}");
        }
    }
}
