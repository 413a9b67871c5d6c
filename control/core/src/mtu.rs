//! MTUs of devices that the gateway makes.

use crate::limits::{IPV6_MTU_MIN, MTU_DEFAULT, MTU_MAX, MTU_MIN};
use crate::{Code, Problem};

/// Largest packet on a link. Bytes, without the Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mtu(u16);

impl Mtu {
    /// Checks a requested MTU, blaming `field`; `None` asks for the default.
    pub fn parse(field: &str, bytes: Option<i64>) -> Result<Self, Problem> {
        let Some(bytes) = bytes else { return Ok(Self(MTU_DEFAULT)) };
        match u16::try_from(bytes) {
            Ok(mtu) if (MTU_MIN..=MTU_MAX).contains(&mtu) => Ok(Self(mtu)),
            _ => {
                let detail = format!("{bytes} is not an MTU; choose one from {MTU_MIN} to {MTU_MAX}");
                Err(Problem::new(Code::InvalidMtu, detail).at(field))
            }
        }
    }

    /// Refuses an MTU that IPv6 cannot use, blaming `field`.
    pub(crate) fn refuse_too_small_for_ipv6(self, field: &str) -> Result<(), Problem> {
        if self.0 >= IPV6_MTU_MIN {
            return Ok(());
        }
        let detail = format!("{} is too small for IPv6; choose {IPV6_MTU_MIN} or more", self.0);
        Err(Problem::new(Code::InvalidMtu, detail).at(field))
    }

    /// The number.
    pub const fn bytes(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_ends_where_the_limits_say() {
        for (asked, got) in [(None, 1_500), (Some(576), 576), (Some(9_000), 9_000), (Some(65_521), 65_521)] {
            assert_eq!(Mtu::parse("mtu", asked).unwrap().bytes(), got);
        }
        for bad in [i64::MIN, -1, 0, 575, 65_522, 65_536 + 1_500, i64::MAX] {
            let problem = Mtu::parse("uplink.mtu", Some(bad)).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidMtu, Some("uplink.mtu")), "{bad}");
        }
    }

    #[test]
    fn ipv6_needs_1280_bytes() {
        let check = |bytes| Mtu(bytes).refuse_too_small_for_ipv6("mtu");
        assert_eq!(check(1_280), Ok(()));
        let problem = check(1_279).unwrap_err();
        assert_eq!((problem.code(), problem.field()), (Code::InvalidMtu, Some("mtu")));
    }
}
