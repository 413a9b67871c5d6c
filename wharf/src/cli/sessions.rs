//! `wharf sessions`: the live session table.

use std::io::IsTerminal;
use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::explain::Protocol;
use super::resource;
use crate::client::{Client, ClientError, escaped};
use crate::failure::Failure;
use crate::output::{self, Format, Table, cell, picture, seconds};

const EXAMPLES: &str = "\
Examples:
  wharf sessions                               all of them
  wharf sessions --vpc orders --protocol tcp   those of one VPC
  wharf sessions --remote fd00::1              those with one peer
  wharf sessions --container c1 --watch        follow one; Ctrl-C ends
  wharf sessions -o json | jq length           how many there are
  wharf sessions --watch -o json >> log        an array a line, each interval";

/// Largest page that the API gives.
const PAGE: usize = 1000;

/// `wharf sessions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Sessions {
    #[command(flatten)]
    filters: Filters,
    /// At most this many; all unless set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Show them again and again: redraws what fits on a terminal, appends otherwise
    #[arg(long)]
    watch: bool,
    /// Time between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval, requires = "watch")]
    interval: Duration,
}

#[derive(Debug, Args)]
struct Filters {
    /// Only this container's
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// Only through this connector
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// Only of this VPC
    #[arg(long, value_name = "NAME")]
    vpc: Option<String>,
    /// Only of this protocol
    #[arg(long, value_enum, value_name = "tcp|udp|icmp", hide_possible_values = true)]
    protocol: Option<Protocol>,
    /// Only with this peer in the VPC
    #[arg(long, value_name = "ADDRESS")]
    remote: Option<IpAddr>,
}

/// A session as the API shows it.
#[derive(Deserialize)]
struct Session {
    container: String,
    connector: String,
    vpc: String,
    protocol: String,
    internal: String,
    external: String,
    remote: String,
    state: String,
    age_s: f64,
    expires_in_s: f64,
}

impl Sessions {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        if !self.watch {
            let items = self.all(client).await?;
            match format {
                Format::Json => output::json(&items)?,
                Format::Table => table(items)?.print()?,
            }
            return Ok(());
        }
        let redraw = std::io::stdout().is_terminal();
        loop {
            let items = self.all(client).await?;
            match format {
                Format::Json => output::line(items)?,
                Format::Table if redraw => picture::draw(&table(items)?)?,
                Format::Table => output::line(format_args!("{}\n", table(items)?.text()))?,
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Follows the pages to the end, or to the limit.
    async fn all(&self, client: &mut Client) -> Result<Value, ClientError> {
        let limit = self.limit.map_or(usize::MAX, |l| usize::try_from(l).unwrap_or(usize::MAX));
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let page = PAGE.min(limit - all.len());
            let mut body = client.get(&self.filters.path(page, cursor.as_deref())).await?;
            if let Some(Value::Array(items)) = body.get_mut("items") {
                all.append(items);
            }
            cursor = body["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || all.len() >= limit {
                return Ok(all.into());
            }
        }
    }
}

impl Filters {
    fn path(&self, page: usize, cursor: Option<&str>) -> String {
        let mut path = format!("/v1/sessions?limit={page}");
        let remote = self.remote.map(|r| r.to_string());
        let parameters = [
            ("container", self.container.as_deref()),
            ("connector", self.connector.as_deref()),
            ("vpc", self.vpc.as_deref()),
            ("protocol", self.protocol.map(Protocol::name)),
            ("remote", remote.as_deref()),
            ("cursor", cursor),
        ];
        for (name, value) in parameters {
            if let Some(value) = value {
                path.extend(["&", name, "=", &escaped(value)]);
            }
        }
        path
    }
}

fn table(items: Value) -> Result<Table, Failure> {
    let mut table = Table::new([
        "CONTAINER",
        "CONNECTOR",
        "VPC",
        "PROTOCOL",
        "INTERNAL",
        "EXTERNAL",
        "REMOTE",
        "STATE",
        "AGE",
        "EXPIRES",
    ]);
    for s in resource::read::<Vec<Session>>(items)? {
        table.row([
            cell(s.container),
            cell(s.connector),
            cell(s.vpc),
            cell(s.protocol),
            cell(s.internal),
            cell(s.external),
            cell(s.remote),
            cell(s.state),
            cell(seconds(s.age_s)),
            cell(seconds(s.expires_in_s)),
        ]);
    }
    Ok(table)
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    match text.parse::<f64>() {
        Ok(s) if (0.1..=3600.0).contains(&s) => Ok(Duration::from_secs_f64(s)),
        _ => Err("is not a number of seconds from 0.1 to 3600"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_become_a_query() {
        let filters = Filters {
            container: Some("a b&c".into()),
            connector: None,
            vpc: None,
            protocol: Some(Protocol::Udp),
            remote: Some(IpAddr::from([10, 1, 0, 1])),
        };
        let path = filters.path(7, Some("x/y="));
        assert_eq!(
            path,
            "/v1/sessions?limit=7&container=a%20b%26c&protocol=udp&remote=10.1.0.1&cursor=x%2Fy%3D"
        );
    }

    #[test]
    fn intervals_have_bounds() {
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["", "0", "-1", "nan", "inf", "1e9", "2s"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
