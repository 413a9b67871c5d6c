//! `wharf explain`: what would happen to a packet of a container or of a VPC, and why a container's last ones were dropped.

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
  wharf explain c1 10.1.0.1:80 --tcp-flags ack   a segment in the middle of one
  wharf explain c1 10.1.0.1 --payload 1600 --no-df
  wharf explain c1 10.1.0.1 --ip-protocol 132    SCTP
  wharf explain vpc:orders 10.1.0.10:80 --source 10.1.0.1
                                                 a host of the VPC calls
  wharf explain vpc:orders --frame @frame.bin    the bytes of a frame
  wharf explain c1 --drops                       only the last drops
Asking changes nothing. A packet that would be dropped is an answer too: the exit code is 0.
-o json prints {\"explain\": what the API says, \"drops\": [...]}, without drops for a VPC;
with --drops, the array of drops.";

/// `wharf explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// Who sends the packet: a container's name, or vpc: and a VPC's name
    #[arg(value_name = "CONTAINER|vpc:VPC")]
    sender: Sender,
    /// Where the packet goes; a port of ICMP from a VPC is the query id of an echo reply
    #[arg(value_name = "DESTINATION[:PORT]", required_unless_present_any = ["drops", "packet", "frame"])]
    destination: Option<Destination>,
    #[command(flatten)]
    described: Described,
    /// The bytes of an IP packet, in hexadecimal digits or in a file
    #[arg(long, value_name = "HEX|@FILE", conflicts_with_all = ["destination", "Described", "frame"])]
    packet: Option<Bytes>,
    /// The bytes of an Ethernet frame, likewise
    #[arg(long, value_name = "HEX|@FILE", conflicts_with_all = ["destination", "Described"])]
    frame: Option<Bytes>,
    /// Print only the container's last drops
    #[arg(long, conflicts_with_all = ["destination", "Described", "packet", "frame"])]
    drops: bool,
}

/// What a packet is like.
#[derive(Debug, Default, Args)]
struct Described {
    /// Protocol of the packet: tcp with a port and icmp without, unless set
    #[arg(long, value_enum, value_name = "tcp|udp|icmp", hide_possible_values = true)]
    protocol: Option<Protocol>,
    /// Number of any IP protocol, for a packet without a transport header
    #[arg(long, value_name = "NUMBER", conflicts_with = "protocol")]
    ip_protocol: Option<u8>,
    /// Where it comes from; the container's own address unless set
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
    /// Source port (or query id) of the packet; one that no session uses unless set
    #[arg(long, value_name = "PORT")]
    source_port: Option<u16>,
    /// TTL or hop limit
    #[arg(long, value_name = "HOPS")]
    ttl: Option<u8>,
    /// Nobody may fragment it, which is so unless set
    #[arg(long, overrides_with = "no_df")]
    df: bool,
    /// Routers may fragment it
    #[arg(long, overrides_with = "df")]
    no_df: bool,
    /// Flags of a TCP segment, of fin, syn, rst, psh, ack and urg; syn unless set
    #[arg(long, value_name = "FLAG,...", value_delimiter = ',')]
    tcp_flags: Option<Vec<String>>,
    /// Bytes behind the transport header; none unless set
    #[arg(long, value_name = "BYTES")]
    payload: Option<u16>,
}

/// Who sends a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sender {
    Container(String),
    Vpc(String),
}

/// A packet as it is, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bytes(String);

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

impl FromStr for Sender {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A name has no colon.
        let (of_vpc, name) = text.strip_prefix("vpc:").map_or((false, text), |name| (true, name));
        match (of_vpc, name) {
            (_, "") => Err("a name is missing"),
            (true, name) => Ok(Self::Vpc(name.to_owned())),
            (false, name) => Ok(Self::Container(name.to_owned())),
        }
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(file) = text.strip_prefix('@') else { return Ok(Self(text.to_owned())) };
        let bytes = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        let digits = |byte: &u8| {
            [byte >> 4, byte & 0xf].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'))
        };
        Ok(Self(bytes.iter().flat_map(digits).collect()))
    }
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
        let explained = match self.body()? {
            Some(body) => Some(client.ask("/v1/explain", &body).await?),
            None => None,
        };
        let drops = match &self.sender {
            Sender::Container(name) => {
                let path = format!("/v1/containers/{}/drops", escaped(name));
                Some((name, resource::items(client.get(&path).await?)))
            }
            Sender::Vpc(_) if self.drops => {
                return Err(
                    Failure::usage("last drops are a container's").hint("wharf stats counts those of a VPC")
                );
            }
            Sender::Vpc(_) => None,
        };
        match (format, explained) {
            (Format::Json, Some(explained)) => {
                let mut answer = json!({ "explain": explained });
                resource::set(&mut answer, "drops", drops.map(|(_, drops)| drops));
                output::json(&answer)?;
            }
            (Format::Json, None) => output::json(&json!(drops.map(|(_, drops)| drops)))?,
            (Format::Table, explained) => {
                let alone = explained.is_none();
                if let Some(explained) = explained {
                    explanation(&resource::read(explained)?)?;
                }
                if let Some((name, drops)) = drops {
                    if !alone {
                        output::line("\nlast drops:")?;
                    }
                    last_drops(name, resource::read(drops)?)?;
                }
            }
        }
        Ok(())
    }

    /// What the API is asked; `None` if only for drops.
    fn body(&self) -> Result<Option<Value>, Failure> {
        let mut body = match &self.sender {
            Sender::Container(name) => json!({ "container": name }),
            Sender::Vpc(name) => json!({ "vpc": name }),
        };
        if let Some(destination) = self.destination {
            self.describe(&mut body, destination)?;
        } else if let Some(Bytes(digits)) = &self.packet {
            body["packet"] = digits.as_str().into();
        } else if let Some(Bytes(digits)) = &self.frame {
            body["frame"] = digits.as_str().into();
        } else {
            return Ok(None);
        }
        Ok(Some(body))
    }

    fn describe(&self, body: &mut Value, destination: Destination) -> Result<(), Failure> {
        let it = &self.described;
        if it.ip_protocol.is_none() {
            body["protocol"] = self.protocol(destination)?.name().into();
        }
        body["destination"] = destination.address.to_string().into();
        resource::set(body, "ip_protocol", it.ip_protocol);
        resource::set(body, "port", destination.port);
        resource::set(body, "source", it.source.map(|source| source.to_string()));
        resource::set(body, "source_port", it.source_port);
        resource::set(body, "ttl", it.ttl);
        resource::set(body, "dont_fragment", (it.df || it.no_df).then_some(it.df));
        resource::set(body, "tcp_flags", it.tcp_flags.clone());
        resource::set(body, "payload_bytes", it.payload);
        Ok(())
    }

    fn protocol(&self, destination: Destination) -> Result<Protocol, Failure> {
        let default = if destination.port.is_some() { Protocol::Tcp } else { Protocol::Icmp };
        let protocol = self.described.protocol.unwrap_or(default);
        let address = destination.address;
        let of_vpc = matches!(self.sender, Sender::Vpc(_));
        match (protocol, destination.port) {
            (Protocol::Icmp, Some(_)) if !of_vpc => {
                Err(Failure::usage("ICMP has no ports").hint(format_args!("write {address} without a port")))
            }
            (Protocol::Tcp | Protocol::Udp, None) => {
                let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
                Err(Failure::usage(format_args!("{} needs a port", protocol.name()))
                    .hint(format_args!("write {host}:PORT")))
            }
            _ => Ok(protocol),
        }
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
        "hold" => "the packet waits for the answer of its next hop, or for its other fragments",
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

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        explain: Explain,
    }

    fn parsed(line: &str) -> Result<Explain, clap::Error> {
        <Line as clap::Parser>::try_parse_from(["explain"].into_iter().chain(line.split_whitespace()))
            .map(|line| line.explain)
    }

    fn body(line: &str) -> Value {
        parsed(line).unwrap().body().unwrap_or_else(|_| panic!("{line}")).unwrap_or_default()
    }

    #[test]
    fn the_protocol_follows_from_the_port() {
        assert_eq!(body("c1 10.1.0.1:80")["protocol"], "tcp");
        assert_eq!(body("c1 10.1.0.1")["protocol"], "icmp");
        assert_eq!(body("c1 10.1.0.1:53 --protocol udp")["port"], 53);
        assert_eq!(body("c1 [fd00::1]:80")["destination"], "fd00::1");
        assert_eq!(body("c1 fd00::1")["protocol"], "icmp");
        assert!(parsed("c1 10.1.0.1 --protocol tcp").unwrap().body().is_err());
        assert!(parsed("c1 10.1.0.1:80 --protocol icmp").unwrap().body().is_err());
        assert_eq!(body("vpc:v 10.1.0.1:7 --protocol icmp")["port"], 7);
    }

    #[test]
    fn everything_about_a_packet_can_be_said() {
        let line = "vpc:v 10.1.0.10:80 --source 10.1.0.1 --source-port 9 --ttl 0 --no-df --payload 7 --tcp-flags syn,ack";
        let expected = json!({
            "vpc": "v", "protocol": "tcp", "destination": "10.1.0.10", "port": 80, "source": "10.1.0.1",
            "source_port": 9, "ttl": 0, "dont_fragment": false, "payload_bytes": 7, "tcp_flags": ["syn", "ack"],
        });
        assert_eq!(body(line), expected);
        let other = json!({"container": "c1", "destination": "10.1.0.1", "ip_protocol": 132});
        assert_eq!(body("c1 10.1.0.1 --ip-protocol 132"), other);
        assert_eq!(body("c1 10.1.0.1 --no-df --df")["dont_fragment"], true);
        assert_eq!(body("c1 --drops"), Value::Null);
    }

    #[test]
    fn bytes_are_written_or_in_a_file() {
        let file = std::env::temp_dir().join(format!("wharf-explain-{}", std::process::id()));
        std::fs::write(&file, [0x45, 0, 0xff]).unwrap();
        let read = body(&format!("c1 --frame @{}", file.display()));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(read, json!({"container": "c1", "frame": "4500ff"}));
        assert_eq!(body("vpc:v --packet 45FF"), json!({"vpc": "v", "packet": "45FF"}));
        for wrong in [
            "c1",
            "vpc: 10.1.0.1",
            "c1 --packet @/no/such/file",
            "c1 --packet 45 --frame 45",
            "c1 10.1.0.1 --packet 45",
            "c1 --packet 45 --ttl 1",
            "c1 --drops --ttl 1",
            "c1 10.1.0.1 --protocol tcp --ip-protocol 1",
            "c1 10.1.0.1 --ttl 256",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
