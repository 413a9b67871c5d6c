//! How a publication is written on the command line: `tcp:80`, `tcp:80:8080`, `tcp:10.1.0.10:80:8080`, `tcp:[fd00::10]:80:8080`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// For every `--publish`.
pub(super) const VALUE: &str = "tcp|udp:[ADDRESS:]PORT[:PORT]";

/// An external port that leads to a port of the container, as the API takes and shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Publication {
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_address: Option<String>,
    external_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_port: Option<u16>,
}

impl FromStr for Publication {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str =
            "is not such as tcp:80, tcp:80:8080, tcp:10.1.0.10:80:8080 or tcp:[fd00::10]:80:8080";
        let (protocol, rest) = text.split_once(':').ok_or(WRONG)?;
        let (address, ports) = match (rest.strip_prefix('['), rest.split_once(':')) {
            (Some(bracketed), _) => {
                bracketed.split_once("]:").map(|(a, ports)| (Some(a), ports)).ok_or(WRONG)?
            }
            // No port has a dot.
            (None, Some((address, ports))) if address.contains('.') => (Some(address), ports),
            (None, _) => (None, rest),
        };
        let port = |text: &str| text.parse().map_err(|_| WRONG);
        let (external, container) = match ports.split_once(':') {
            Some((external, container)) => (external, Some(container)),
            None => (ports, None),
        };
        Ok(Self {
            protocol: protocol.to_owned(),
            external_address: address.map(str::to_owned),
            external_port: port(external)?,
            container_port: container.map(port).transpose()?,
        })
    }
}

impl fmt::Display for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.protocol)?;
        match &self.external_address {
            Some(v6) if v6.contains(':') => write!(f, "[{v6}]:")?,
            Some(address) => write!(f, "{address}:")?,
            None => {}
        }
        write!(f, "{}", self.external_port)?;
        self.container_port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_form_is_sent_as_it_is_meant_and_written_as_it_is_read() {
        for (text, body) in [
            ("tcp:80", json!({"protocol": "tcp", "external_port": 80})),
            ("udp:53:5353", json!({"protocol": "udp", "external_port": 53, "container_port": 5353})),
            (
                "tcp:10.1.0.10:80",
                json!({"protocol": "tcp", "external_address": "10.1.0.10", "external_port": 80}),
            ),
            (
                "tcp:[fd00::10]:80:8080",
                json!({
                    "protocol": "tcp", "external_address": "fd00::10", "external_port": 80, "container_port": 8080,
                }),
            ),
        ] {
            let publication: Publication = text.parse().expect(text);
            assert_eq!(serde_json::to_value(&publication).unwrap(), body);
            assert_eq!(publication.to_string(), text);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for wrong in [
            "",
            "tcp",
            "80",
            "tcp:",
            "tcp:http",
            "tcp:80:",
            "tcp:80:80:80",
            "tcp:65536",
            "tcp:10.1.0.10",
            "tcp:10.1.0.10:",
            "tcp:10.1.0.10:80:80:80",
            "tcp:fd00::10:80",
            "tcp:[fd00::10]",
            "tcp:[fd00::10]:",
            "tcp:[fd00::10:80",
        ] {
            assert!(wrong.parse::<Publication>().is_err(), "{wrong}");
        }
    }
}
