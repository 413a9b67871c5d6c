//! `wharf watch`: follows what changes, and goes on where it was after the connection has broken.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::resource;
use crate::client::{Client, ClientError, Event, Problem};
use crate::failure::Failure;
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  wharf watch connectors                    from now on; Ctrl-C ends
  wharf watch containers -o json            an object a line: event, revision and resource
  wharf watch vpcs --since 4711             what has changed after a revision, too
When the connection breaks, it is made again and nothing is missed. What is too far back to be
remembered ends the command with code 1: list again, and watch from there.";

/// `wharf watch`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Watch {
    /// What to follow
    #[arg(value_enum, hide_possible_values = true, value_name = "vpcs|connectors|containers|functions")]
    kind: Kind,
    /// Begin after this revision; what changes from now on unless set
    #[arg(long, value_name = "REVISION")]
    since: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Vpcs,
    Connectors,
    Containers,
    Functions,
}

/// Between two tries to connect again.
const AGAIN: Duration = Duration::from_secs(1);

impl Watch {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let path = self.kind.path();
        // A revision to go on from is needed before the first event brings one.
        let mut reached = match self.since {
            Some(revision) => revision,
            None => revision(client.get(&format!("{path}?limit=1")).await?)?,
        };
        loop {
            let broke = match follow(client, path, &mut reached, format).await? {
                Ended::Broken(error) => error.to_string(),
                Ended::Closed => "the daemon ended the watch".to_owned(),
            };
            output::note(format_args!("{broke}; going on after revision {reached}"));
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// How a watch ended that goes on.
enum Ended {
    Broken(ClientError),
    Closed,
}

/// Prints events for as long as the connection lives. What cannot be mended is an error.
async fn follow(client: &Client, path: &str, reached: &mut u64, format: Format) -> Result<Ended, Failure> {
    let mut events = match client.watch(path, *reached).await {
        Ok(events) => events,
        Err(error) => return mend(error),
    };
    loop {
        let event = match events.next().await {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(Ended::Closed),
            Err(error) => return mend(error),
        };
        if event.name == "error" {
            let problem: Problem = serde_json::from_str(&event.data).unwrap_or_default();
            return Err(ClientError::Refused(Box::new(problem)).into());
        }
        let id = event.id.as_ref().and_then(|id| id.parse().ok());
        print(&event, format)?;
        *reached = id.unwrap_or(*reached);
    }
}

/// Broken connections and daemons that start again are waited for; refusals are not.
fn mend(error: ClientError) -> Result<Ended, Failure> {
    match error {
        ClientError::Unreachable { .. } | ClientError::Broken { .. } | ClientError::Silent(_) => {
            Ok(Ended::Broken(error))
        }
        ClientError::Refused(problem) if matches!(&*problem.code, "shutting_down" | "too_many_watches") => {
            Ok(Ended::Broken(ClientError::Refused(problem)))
        }
        error => Err(error.into()),
    }
}

fn print(event: &Event, format: Format) -> Result<(), Failure> {
    let resource: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
    match format {
        Format::Json => output::line(object(event, &resource))?,
        Format::Table => output::line(sentence(event, &resource))?,
    }
    Ok(())
}

fn object(event: &Event, resource: &Value) -> Value {
    let mut object = json!({ "event": event.name, "resource": resource });
    let revision = event.id.as_ref().and_then(|id| id.parse::<u64>().ok());
    resource::set(&mut object, "revision", revision);
    object
}

fn sentence(event: &Event, resource: &Value) -> String {
    let name = resource["name"].as_str().unwrap_or("-");
    match resource["state"].as_str() {
        Some(state) => format!("{:<8} {name} {state}", event.name),
        None => format!("{:<8} {name}", event.name),
    }
}

fn revision(list: Value) -> Result<u64, Failure> {
    #[derive(serde::Deserialize)]
    struct Revision {
        revision: u64,
    }
    resource::read(list).map(|Revision { revision }| revision)
}

impl Kind {
    const fn path(self) -> &'static str {
        match self {
            Self::Vpcs => "/v1/vpcs",
            Self::Connectors => "/v1/connectors",
            Self::Containers => "/v1/containers",
            Self::Functions => "/v1/functions",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_to_people_and_programs() {
        let event = Event {
            name: "changed".into(),
            data: r#"{"name":"db","state":"idle"}"#.into(),
            id: Some("7".into()),
        };
        let resource: Value = serde_json::from_str(&event.data).unwrap();
        assert_eq!(sentence(&event, &resource), "changed  db idle");
        assert_eq!(
            object(&event, &resource),
            json!({"event": "changed", "revision": 7, "resource": {"name": "db", "state": "idle"}})
        );
        let deleted = Event { name: "deleted".into(), data: String::new(), id: None };
        assert_eq!(sentence(&deleted, &json!({"name": "db"})), "deleted  db");
        assert_eq!(
            object(&deleted, &json!({"name": "db"})),
            json!({"event": "deleted", "resource": {"name": "db"}})
        );
    }
}
