//! Which sessions are asked for.

use std::net::IpAddr;

use serde::Deserialize;
use utoipa::IntoParams;

use crate::limits::{PAGE_DEFAULT, PAGE_MAX};
use crate::{Code, Problem, Protocol};

/// Which sessions, and where to go on.
///
/// All text, as a query has no types of its own.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SessionParams {
    /// Only this container's.
    pub container: Option<String>,
    /// Only through this connector.
    pub connector: Option<String>,
    /// Only through this VPC.
    pub vpc: Option<String>,
    /// Only this protocol: `tcp`, `udp` or `icmp`.
    #[param(value_type = Option<Protocol>, inline)]
    pub protocol: Option<String>,
    /// Only with this remote address.
    pub remote: Option<String>,
    /// At most this many; 100 unless given.
    #[param(value_type = Option<usize>, minimum = 1, maximum = 1000)]
    pub limit: Option<String>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Which sessions, and where to go on. Names are as they were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFilter {
    /// Only this container's.
    pub container: Option<String>,
    /// Only through this connector.
    pub connector: Option<String>,
    /// Only through this VPC.
    pub vpc: Option<String>,
    /// Only this protocol.
    pub protocol: Option<Protocol>,
    /// Only with this remote address.
    pub remote: Option<IpAddr>,
    /// At most this many, at least one.
    pub limit: usize,
    /// The gateway's cursor; 0 at first.
    pub cursor: u64,
}

impl SessionParams {
    /// Checks every parameter and fills in what was left out.
    pub fn validate(self) -> Result<SessionFilter, Problem> {
        let protocol = |text: String| {
            Protocol::from_name(&text).ok_or_else(|| invalid("protocol", "choose tcp, udp or icmp".into()))
        };
        let remote = |text: String| {
            text.parse().map_err(|_| invalid("remote", format!("{text:?} is not an IP address")))
        };
        Ok(SessionFilter {
            container: self.container,
            connector: self.connector,
            vpc: self.vpc,
            protocol: self.protocol.map(protocol).transpose()?,
            remote: self.remote.map(remote).transpose()?,
            limit: self.limit.map_or(Ok(PAGE_DEFAULT), |text| parse_limit(&text))?,
            cursor: self.cursor.map_or(Ok(0), |text| parse_cursor(&text))?,
        })
    }
}

impl SessionFilter {
    /// The opaque text for the gateway's cursor, as [`SessionParams::cursor`] takes it.
    pub fn cursor_text(cursor: u64) -> String {
        format!("{cursor:016x}")
    }
}

fn parse_limit(text: &str) -> Result<usize, Problem> {
    text.parse()
        .ok()
        .filter(|limit| (1..=PAGE_MAX).contains(limit))
        .ok_or_else(|| invalid("limit", format!("{text:?} is not a number from 1 to {PAGE_MAX}")))
}

fn parse_cursor(text: &str) -> Result<u64, Problem> {
    let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let cursor = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
    cursor.ok_or_else(|| invalid("cursor", "give the next_cursor of the page before, unchanged".into()))
}

fn invalid(parameter: &str, detail: String) -> Problem {
    Problem::new(Code::InvalidQuery, detail).at(parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_filled_in() {
        let filter = SessionParams::default().validate().unwrap();
        assert_eq!((filter.limit, filter.cursor), (100, 0));
    }

    #[test]
    fn remotes_are_of_either_family() {
        for text in ["10.1.0.1", "fd00::1"] {
            let params = SessionParams { remote: Some(text.into()), ..SessionParams::default() };
            assert_eq!(params.validate().unwrap().remote.unwrap().to_string(), text);
        }
    }

    #[test]
    fn cursors_round_trip() {
        for cursor in [0, 1, u64::MAX] {
            assert_eq!(parse_cursor(&SessionFilter::cursor_text(cursor)), Ok(cursor));
        }
    }

    #[test]
    fn wrong_parameters_are_named() {
        let limit = |text: &str| SessionParams { limit: Some(text.into()), ..SessionParams::default() };
        let cursor = |text: &str| SessionParams { cursor: Some(text.into()), ..SessionParams::default() };
        for good in ["1", "1000"] {
            assert!(limit(good).validate().is_ok());
        }
        for (params, field) in [
            (limit("0"), "limit"),
            (limit("1001"), "limit"),
            (limit("-1"), "limit"),
            (limit(""), "limit"),
            (cursor(""), "cursor"),
            (cursor("1"), "cursor"),
            (cursor("+000000000000001"), "cursor"),
            (SessionParams { protocol: Some("sctp".into()), ..SessionParams::default() }, "protocol"),
            (SessionParams { remote: Some("10.1".into()), ..SessionParams::default() }, "remote"),
            (SessionParams { remote: Some("[fd00::1]".into()), ..SessionParams::default() }, "remote"),
        ] {
            let problem = params.validate().unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidQuery, Some(field)));
        }
    }
}
