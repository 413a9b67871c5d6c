//! `wharf explain`: what would happen to a container's packet, and why its last ones were dropped.

use std::net::IpAddr;
use std::str::FromStr;

use anstyle::AnsiColor;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use super::resource;
use crate::client::{Client, escaped};
use crate::failure::Failure;
use crate::output::{self, Format, Table, cell, seconds};

const EXAMPLES: &str = "\
Examples:
  wharf explain c1 10.1.0.1:80                   a TCP connection
  wharf explain c1 10.1.0.1:53 --protocol udp    a UDP packet
  wharf explain c1 10.1.0.1                      a ping
  wharf explain c1 '[fd00::1]:80'                a TCP connection by IPv6
  wharf explain c1 --drops                       only the last drops
Asking changes nothing. A packet that would be dropped is an answer too: the exit code is 0.
-o json prints {\"explain\": what the API says, \"drops\": [...]};
with --drops, the array of drops.";

/// `wharf explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// The container's name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    container: String,
    /// Where its packet goes
    #[arg(value_name = "DESTINATION[:PORT]", required_unless_present = "drops")]
    destination: Option<Destination>,
    /// Protocol of the packet: tcp with a port and icmp without, unless set
    #[arg(long, value_enum, value_name = "tcp|udp|icmp", hide_possible_values = true)]
    protocol: Option<Protocol>,
    /// Source port (or query id) of the packet; one that no session uses unless set
    #[arg(long, value_name = "PORT")]
    source_port: Option<u16>,
    /// Print only the container's last drops
    #[arg(long, conflicts_with_all = ["destination", "protocol", "source_port"])]
    drops: bool,
}

/// A protocol that the gateway translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo.
    Icmp,
}

impl Protocol {
    /// As the API writes it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

/// An address, with a port where the protocol has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Destination {
    address: IpAddr,
    port: Option<u16>,
}

impl FromStr for Destination {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "is not an IP address, with or without :PORT; IPv6 with a port is [ADDRESS]:PORT";
        if let Ok(address) = text.parse() {
            return Ok(Self { address, port: None });
        }
        let (host, port) = text.rsplit_once(':').ok_or(WRONG)?;
        let address = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host.parse().map(IpAddr::V6),
            None => host.parse().map(IpAddr::V4),
        };
        let address = address.map_err(|_| WRONG)?;
        match port.parse() {
            Ok(port) if port > 0 => Ok(Self { address, port: Some(port) }),
            _ => Err("the port is a number from 1 to 65535"),
        }
    }
}

/// The API's explanation, as far as it is shown.
#[derive(Deserialize)]
struct Explanation {
    verdict: String,
    reason: Option<String>,
    #[serde(rename = "explanation")]
    meaning: Option<String>,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    step: String,
    #[serde(default)]
    detail: String,
}

#[derive(Deserialize)]
struct Dropped {
    ago_s: f64,
    reason: String,
    explanation: String,
    protocol: Option<String>,
    source: Option<String>,
    destination: Option<String>,
    length: u64,
}

impl Explain {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let explained = match self.destination {
            Some(destination) => Some(client.ask("/v1/explain", &self.body(destination)?).await?),
            None => None,
        };
        let path = format!("/v1/containers/{}/drops", escaped(&self.container));
        let drops = resource::items(client.get(&path).await?);
        match (format, explained) {
            (Format::Json, Some(explained)) => {
                output::json(&json!({ "explain": explained, "drops": drops }))?;
            }
            (Format::Json, None) => output::json(&drops)?,
            (Format::Table, explained) => {
                if let Some(explained) = explained {
                    explanation(&resource::read(explained)?)?;
                    output::line("\nlast drops:")?;
                }
                last_drops(&self.container, resource::read(drops)?)?;
            }
        }
        Ok(())
    }

    fn body(&self, destination: Destination) -> Result<Value, Failure> {
        let default = if destination.port.is_some() { Protocol::Tcp } else { Protocol::Icmp };
        let protocol = self.protocol.unwrap_or(default);
        let address = destination.address;
        match (protocol, destination.port) {
            (Protocol::Icmp, Some(_)) => {
                return Err(
                    Failure::usage("ICMP has no ports").hint(format_args!("write {address} without a port"))
                );
            }
            (Protocol::Tcp | Protocol::Udp, None) => {
                let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
                return Err(Failure::usage(format_args!("{} needs a port", protocol.name()))
                    .hint(format_args!("write {host}:PORT")));
            }
            _ => {}
        }
        let mut body = json!({ "container": self.container, "protocol": protocol.name(), "destination": address.to_string() });
        resource::set(&mut body, "port", destination.port);
        resource::set(&mut body, "source_port", self.source_port);
        Ok(body)
    }
}

fn explanation(explained: &Explanation) -> std::io::Result<()> {
    let mut steps = Table::properties();
    for step in &explained.steps {
        steps.property(&step.step, &step.detail);
    }
    let color =
        if explained.verdict == "drop" { AnsiColor::Red } else { AnsiColor::Green }.on_default().bold();
    let reason = explained.reason.as_deref().unwrap_or_else(|| ending(&explained.verdict));
    if !explained.steps.is_empty() {
        steps.print()?;
    }
    output::line(format_args!("{color}{}{color:#}: {reason}", explained.verdict))?;
    match &explained.meaning {
        Some(text) => output::line(format_args!("  {text}")),
        None => Ok(()),
    }
}

/// How a packet ends that is not dropped.
fn ending(verdict: &str) -> &'static str {
    match verdict {
        "respond" => "the gateway answers the packet",
        _ => "the packet passes, by the way that is shown",
    }
}

fn last_drops(container: &str, drops: Vec<Dropped>) -> std::io::Result<()> {
    if drops.is_empty() {
        return output::line(format_args!("no packet of {container} was dropped lately"));
    }
    let mut table =
        Table::new(["AGO", "REASON", "PROTOCOL", "SOURCE", "DESTINATION", "BYTES", "EXPLANATION"]);
    let unknown = || "-".to_owned();
    for drop in drops {
        table.row([
            cell(seconds(drop.ago_s)),
            cell(drop.reason),
            cell(drop.protocol.unwrap_or_else(unknown)),
            cell(drop.source.unwrap_or_else(unknown)),
            cell(drop.destination.unwrap_or_else(unknown)),
            cell(drop.length),
            cell(drop.explanation),
        ]);
    }
    table.print()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let address = IpAddr::from([10, 1, 0, 1]);
        assert_eq!("10.1.0.1".parse(), Ok(Destination { address, port: None }));
        assert_eq!("10.1.0.1:80".parse(), Ok(Destination { address, port: Some(80) }));
        let address = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!("fd00::1".parse(), Ok(Destination { address, port: None }));
        assert_eq!("[fd00::1]:80".parse(), Ok(Destination { address, port: Some(80) }));
        for wrong in [
            "",
            ":80",
            "10.1.0:80",
            "10.1.0.1:",
            "10.1.0.1:0",
            "10.1.0.1:65536",
            "10.1.0.1:80:81",
            "[10.1.0.1]:80",
            "fd00::1]:80",
            "[fd00::1]:",
            "[fd00::1]:0",
            "[fd00::1]:65536",
            "[fe80::1%eth0]:80",
            "orders",
        ] {
            assert!(wrong.parse::<Destination>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_protocol_follows_from_the_port() {
        let body = |text: &str, protocol| {
            let destination = text.parse().unwrap();
            let container = "c1".to_owned();
            let explain = Explain {
                container,
                destination: Some(destination),
                protocol,
                source_port: None,
                drops: false,
            };
            explain.body(destination)
        };
        assert_eq!(body("10.1.0.1:80", None).unwrap()["protocol"], "tcp");
        assert_eq!(body("10.1.0.1", None).unwrap()["protocol"], "icmp");
        assert_eq!(body("10.1.0.1:53", Some(Protocol::Udp)).unwrap()["port"], 53);
        assert_eq!(body("[fd00::1]:80", None).unwrap()["destination"], "fd00::1");
        assert_eq!(body("fd00::1", None).unwrap()["protocol"], "icmp");
        assert!(body("10.1.0.1", Some(Protocol::Tcp)).is_err());
        assert!(body("10.1.0.1:80", Some(Protocol::Icmp)).is_err());
    }
}
