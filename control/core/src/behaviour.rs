//! Behaviours that policies choose from: closed lists of words.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{Code, Problem};

/// An enum whose variants are words of the API; `$what` is what a message calls it.
macro_rules! behaviour {
    ($(#[$meta:meta])+ $name:ident, $what:literal: $($(#[$of_variant:meta])+ $variant:ident = $word:literal,)+) => {
        $(#[$meta])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$of_variant])+ $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As the API writes it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Parses what a request has in `field`; the default if it has nothing there.
            pub(crate) fn parse(field: &str, text: Option<&str>) -> Result<Self, Problem> {
                let Some(text) = text else { return Ok(Self::default()) };
                Self::ALL.iter().copied().find(|behaviour| behaviour.as_str() == text).ok_or_else(|| {
                    let words = Self::ALL.iter().map(|behaviour| behaviour.as_str()).collect::<Vec<_>>().join(", ");
                    let detail = format!("`{text}` is no {}; use one of {words}", $what);
                    Problem::new(Code::InvalidPolicy, detail).at(field)
                })
            }
        }
    };
}

behaviour! {
    /// What packets of one internal endpoint have in common: their external endpoint (RFC 4787 §4.1, RFC 5382 §4.1).
    Mapping, "mapping":
    /// EIM: one mapping for all remotes.
    #[default]
    EndpointIndependent = "endpoint_independent",
    /// ADM: one mapping for each remote address.
    AddressDependent = "address_dependent",
    /// APDM: one mapping for each remote endpoint. An external port can serve several remotes (RFC 7857 §3).
    AddressAndPortDependent = "address_and_port_dependent",
}

behaviour! {
    /// Who may send to a mapping, besides the remote endpoints that it has sessions with (RFC 4787 §5, RFC 5382 §4). Nobody
    /// outside of the connector's destinations may, whatever this says.
    Filtering, "filtering":
    /// Anybody.
    EndpointIndependent = "endpoint_independent",
    /// Any port of an address that it has a session with.
    #[default]
    AddressDependent = "address_dependent",
    /// Nobody else.
    AddressAndPortDependent = "address_and_port_dependent",
}

behaviour! {
    /// Which packets keep a UDP session alive (RFC 4787 REQ-6, RFC 7857 §6).
    UdpRefresh, "refresh":
    /// Those of the container.
    #[default]
    Outbound = "outbound",
    /// Those of the remote too.
    Both = "both",
}

behaviour! {
    /// What the ends of a live TCP session hear of a detach.
    OnDetach, "way to end sessions":
    /// A RST each.
    #[default]
    Reset = "reset",
    /// Nothing.
    Silent = "silent",
}

behaviour! {
    /// What becomes of a SYN from a VPC that no mapping takes (RFC 5382 REQ-4).
    UnsolicitedSyn, "answer":
    /// ICMP says after 6 seconds that the port is unreachable.
    #[default]
    Icmp = "icmp",
    /// Nothing is answered.
    Silent = "silent",
}

behaviour! {
    /// Who approves that a connector of the VPC's own tenant may join.
    Approval, "way to approve":
    /// Nobody has to.
    #[default]
    Automatic = "automatic",
    /// Somebody of the tenant, by a call.
    Manual = "manual",
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! each_word_is_read_as_it_is_written {
        ($($name:ident = $default:literal),+) => { $({
            for &behaviour in $name::ALL {
                assert_eq!($name::parse("field", Some(behaviour.as_str())), Ok(behaviour));
                assert_eq!(serde_json::to_value(behaviour).unwrap(), behaviour.as_str());
            }
            assert_eq!($name::parse("field", None).unwrap().as_str(), $default);
            for text in ["", "eif", "Silent", "address-dependent", "none"] {
                let problem = $name::parse("field", Some(text)).unwrap_err();
                assert_eq!((problem.code(), problem.field()), (Code::InvalidPolicy, Some("field")));
                assert!(problem.detail().contains($default), "{}", problem.detail());
            }
        })+ };
    }

    #[test]
    fn each_word_is_read_as_it_is_written_and_no_other_is() {
        each_word_is_read_as_it_is_written!(
            Mapping = "endpoint_independent",
            Filtering = "address_dependent",
            UdpRefresh = "outbound",
            OnDetach = "reset",
            UnsolicitedSyn = "icmp",
            Approval = "automatic"
        );
    }
}
