//! `wharf stats`: counters of everything.

use std::collections::BTreeMap;

use clap::Args;
use serde::Deserialize;

use super::resource;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format, Table, bytes, cell};

const EXAMPLES: &str = "\
Examples:
  wharf stats
  wharf stats -o json | jq '.containers[] | {name, drops}'
SUPER counts frames that carried more than one segment: segmentation offload at work.
GIVEN UP counts ports that finished connections have left to new ones, as none was free.";

/// `wharf stats`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Stats {}

/// The API's counters.
#[derive(Deserialize)]
struct Counters {
    workers: Vec<Worker>,
    containers: Vec<Link>,
    vpcs: Vec<Link>,
}

#[derive(Deserialize)]
struct Worker {
    index: u16,
    sessions: u64,
    wakeups: u64,
    handed_off: u64,
}

#[derive(Deserialize)]
struct Link {
    name: String,
    sessions: u64,
    received: Traffic,
    sent: Traffic,
    #[serde(default)]
    drops: BTreeMap<String, u64>,
    #[serde(default)]
    ports: Vec<Ports>,
}

#[derive(Deserialize)]
struct Traffic {
    frames: u64,
    bytes: u64,
    super_packets: u64,
}

#[derive(Deserialize)]
struct Ports {
    external: String,
    protocol: String,
    used: u64,
    free: u64,
    #[serde(default)]
    given_up: u64,
}

impl Stats {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let answer = client.get("/v1/stats").await?;
        if format == Format::Json {
            return Ok(output::json(&answer)?);
        }
        let counters: Counters = resource::read(answer)?;
        let sections = [
            workers(&counters.workers),
            links("CONTAINER", &counters.containers),
            links("VPC", &counters.vpcs),
            ports(&counters.vpcs),
        ];
        let sections: Vec<String> = sections.iter().map(Table::text).collect();
        Ok(output::line(sections.join("\n\n"))?)
    }
}

fn workers(workers: &[Worker]) -> Table {
    let mut table = Table::new(["WORKER", "SESSIONS", "WAKEUPS", "HANDED OFF"]);
    for w in workers {
        table.row([cell(w.index), cell(w.sessions), cell(w.wakeups), cell(w.handed_off)]);
    }
    table
}

fn links(heading: &str, links: &[Link]) -> Table {
    let mut table =
        Table::new([heading, "SESSIONS", "RECEIVED", "BYTES", "SUPER", "SENT", "BYTES", "SUPER", "DROPS"]);
    for link in links {
        table.row([
            cell(&link.name),
            cell(link.sessions),
            cell(link.received.frames),
            cell(bytes(link.received.bytes)),
            cell(link.received.super_packets),
            cell(link.sent.frames),
            cell(bytes(link.sent.bytes)),
            cell(link.sent.super_packets),
            output::list(&link.drops.iter().map(|(reason, n)| format!("{reason}={n}")).collect::<Vec<_>>()),
        ]);
    }
    table
}

fn ports(vpcs: &[Link]) -> Table {
    let mut table = Table::new(["VPC", "EXTERNAL", "PROTOCOL", "USED", "FREE", "GIVEN UP"]);
    for vpc in vpcs {
        for p in &vpc.ports {
            table.row([
                cell(&vpc.name),
                cell(&p.external),
                cell(&p.protocol),
                cell(p.used),
                cell(p.free),
                cell(p.given_up),
            ]);
        }
    }
    table
}
