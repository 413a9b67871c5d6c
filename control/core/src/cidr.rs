//! IPv4 prefixes in CIDR notation.

use ipnet::Ipv4Net;

use crate::{Code, Problem, address};

/// Reads a prefix whose host bits are clear, blaming `field`.
pub(crate) fn parse(field: &str, text: &str) -> Result<Ipv4Net, Problem> {
    let prefix: Ipv4Net = text.parse().map_err(|_| {
        let detail = format!("{text:?} is not an IPv4 prefix; write address and length, such as 10.1.0.0/16");
        invalid(field, detail)
    })?;
    if prefix == prefix.trunc() {
        Ok(prefix)
    } else {
        Err(invalid(field, format!("{prefix} has host bits set; write {}", prefix.trunc())))
    }
}

/// Reads a prefix that can be routed into a VPC, blaming `field`. `0.0.0.0/0` means everything that can.
pub(crate) fn parse_routable(field: &str, text: &str) -> Result<Ipv4Net, Problem> {
    let prefix = parse(field, text)?;
    match address::unroutable_part(prefix).filter(|_| prefix != Ipv4Net::default()) {
        None => Ok(prefix),
        Some(range) => {
            let detail = format!(
                "{prefix} touches {range}, which is not routed into a VPC; use another prefix or 0.0.0.0/0"
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
        let problem = parse("cidr", "10.1.2.3/16").unwrap_err();
        assert_eq!((problem.code(), problem.field()), (Code::InvalidCidr, Some("cidr")));
        assert!(problem.detail().ends_with("write 10.1.0.0/16"), "{}", problem.detail());
    }

    #[test]
    fn text_that_is_no_prefix_is_refused() {
        for good in ["0.0.0.0/0", "10.1.0.0/16", "10.1.0.1/32"] {
            assert_eq!(parse("cidr", good).unwrap().to_string(), good);
        }
        for bad in
            ["", "10.1.0.0", "10.1.0.0/", "10.1.0.0/33", "10.1.0.0/-1", "10.1.0.0/16 ", "fd00::/8", "/16"]
        {
            assert_eq!(parse("cidr", bad).unwrap_err().code(), Code::InvalidCidr, "{bad:?}");
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
        ] {
            assert!(parse_routable("destinations[0]", good).is_ok(), "{good}");
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
            "168.0.0.0/7",
            "192.0.0.0/2",
            "224.0.0.0/4",
            "239.1.0.0/16",
            "240.0.0.0/4",
            "255.255.255.255/32",
        ] {
            let outcome = parse_routable("destinations[0]", bad);
            // 192/2 and 168/7 are wide enough to reach into multicast and link-local space.
            assert_eq!(outcome.unwrap_err().code(), Code::InvalidCidr, "{bad}");
        }
    }
}
