//! Filtering: who in a VPC may send to a mapping that a container has made (RFC 4787 §5, RFC 5382 §4).

use serde::Serialize;
use utoipa::ToSchema;

use crate::{Code, Problem};

/// Who may send to a mapping, besides the remote endpoints that it has sessions with. Nobody outside of the connector's
/// destinations may, whatever this says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filtering {
    /// Anybody.
    EndpointIndependent,
    /// Any port of an address that it has a session with.
    #[default]
    AddressDependent,
    /// Nobody else.
    AddressAndPortDependent,
}

impl Filtering {
    /// All of them.
    pub const ALL: [Self; 3] =
        [Self::EndpointIndependent, Self::AddressDependent, Self::AddressAndPortDependent];

    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndpointIndependent => "endpoint_independent",
            Self::AddressDependent => "address_dependent",
            Self::AddressAndPortDependent => "address_and_port_dependent",
        }
    }

    /// Parses what a request has in `field`.
    pub(crate) fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        Self::ALL.into_iter().find(|filtering| filtering.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Problem::new(Code::InvalidPolicy, format!("`{text}` is no filtering; use one of {names}"))
                .at(field)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_read_as_it_is_written_and_no_other_is() {
        for filtering in Filtering::ALL {
            assert_eq!(Filtering::parse("filtering", filtering.as_str()).unwrap(), filtering);
            assert_eq!(serde_json::to_value(filtering).unwrap(), filtering.as_str());
        }
        for text in ["", "eif", "Address_Dependent", "address-dependent"] {
            let problem = Filtering::parse("filtering", text).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidPolicy, Some("filtering")));
        }
    }
}
