//! `wharf token`: who may call from anywhere.

use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::mutation::Creation;
use super::resource::{self, Name, Names, Resource, set};
use crate::client::{Client, Run};
use crate::failure::{Exit, Failure};
use crate::output::{self, Format, Table, cell};

const ADD_EXAMPLES: &str = "\
Examples:
  wharf token add ci --role operator --expires-in 90days > ci.token
  wharf --token-file ci.token vpc list
  wharf token add ci --role reader -o json | jq -r .secret
The secret is the only line on standard output, and is shown this once: the daemon has its
hash only. Where the file goes, `umask 077` first keeps others from reading it.";

/// Subcommands of `wharf token`. For admins.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Give out a token, and print its secret
    #[command(after_help = ADD_EXAMPLES)]
    Add(Add),
    /// List tokens, without their secrets
    #[command(after_help = "Example:\n  wharf token list")]
    List,
    /// Show one token, without its secret
    #[command(after_help = "Example:\n  wharf token show ci")]
    Show(Name),
    /// Delete tokens: from now on nobody is let in by them
    #[command(after_help = "Example:\n  wharf token delete ci")]
    Delete(Names),
}

/// A token to be given out.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name: letters a-z, digits and dashes
    name: String,
    /// What it may do: look; create, change and attach too; give out tokens and read the audit log too
    #[arg(long, value_name = "reader|operator|admin", value_parser = ROLES, hide_possible_values = true)]
    role: String,
    /// How long it lives, such as 12h or 90days; for ever unless set
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    creation: Creation,
}

/// As the API writes them.
const ROLES: [&str; 3] = ["reader", "operator", "admin"];

impl Token {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(client, format).await,
            Self::List => resource::list::<Shown>(client, format).await,
            Self::Show(name) => resource::show::<Shown>(client, format, &name).await,
            Self::Delete(names) => resource::delete::<Shown>(client, format, &names).await,
        }
    }
}

impl Add {
    async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let run = self.creation.mutation.run();
        let answer = client.create(Shown::PATH, &self.body(), &self.creation.key()?, run).await?;
        let secret = answer.get("secret").and_then(Value::as_str).map(str::to_owned);
        let Some(secret) = secret.filter(|_| run == Run::Real) else {
            return match run {
                Run::Dry => resource::tell::<Shown>(answer, format, run, "added"),
                Run::Real => Err(lost(&self.name)),
            };
        };
        if format == Format::Json {
            return Ok(output::json(&answer)?);
        }
        let token: Shown = resource::read(answer)?;
        // Before what a script takes, so that whoever reads the end of a terminal finds the secret there.
        output::note(format_args!(
            "token {} added: {}; its secret is shown this once:",
            token.name,
            token.summary()
        ));
        Ok(output::line(secret)?)
    }

    fn body(&self) -> Value {
        let mut body = json!({ "name": self.name, "role": self.role });
        set(&mut body, "expires_in_s", self.expires_in.map(|time| time.as_secs()));
        body
    }
}

/// The daemon has given it out before, in an answer that never arrived or to whoever had the same key.
fn lost(name: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        format_args!("token {name} was added before, and its secret is shown only once"),
    )
    .hint(format_args!("`wharf token delete {name}`, and add it again"))
}

/// A token as the API shows it. Its secret has no place here.
#[derive(Deserialize)]
struct Shown {
    name: String,
    tenant: String,
    role: String,
    created_at: u64,
    expires_at: Option<u64>,
    #[serde(default)]
    expired: bool,
    revision: u64,
}

impl Shown {
    fn expires(&self) -> String {
        match self.expires_at {
            None => "never".to_owned(),
            Some(at) if self.expired => format!("{} (expired)", time(at)),
            Some(at) => time(at),
        }
    }
}

impl Resource for Shown {
    const KIND: &'static str = "token";
    const PATH: &'static str = "/v1/tokens";

    fn table(items: &[Self]) -> Table {
        let mut table = Table::new(["NAME", "TENANT", "ROLE", "CREATED", "EXPIRES"]);
        for token in items {
            table.row([
                cell(&token.name),
                cell(&token.tenant),
                cell(&token.role),
                cell(time(token.created_at)),
                cell(token.expires()),
            ]);
        }
        table
    }

    fn properties(&self) -> Table {
        let mut table = Table::properties();
        table
            .property("name", &self.name)
            .property("tenant", &self.tenant)
            .property("role", &self.role)
            .property("created", time(self.created_at))
            .property("expires", self.expires())
            .property("revision", self.revision);
        table
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> String {
        match self.expires_at {
            None => format!("{} of tenant {}, expires never", self.role, self.tenant),
            Some(at) => format!("{} of tenant {}, expires {}", self.role, self.tenant, time(at)),
        }
    }
}

/// A Unix time in seconds, for people.
fn time(at_s: u64) -> String {
    output::time(UNIX_EPOCH.checked_add(Duration::from_secs(at_s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_what_the_api_counts() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            add: Add,
        }
        let body = |line: &str| {
            let command = <Command as clap::Parser>::try_parse_from(line.split_whitespace())?;
            Ok::<_, clap::Error>(command.add.body())
        };
        assert_eq!(body("add ci --role reader").unwrap(), json!({"name": "ci", "role": "reader"}));
        assert_eq!(body("add ci --role admin --expires-in 90days").unwrap()["expires_in_s"], 90 * 86_400);
        for wrong in ["add ci", "add ci --role root", "add ci --role reader --expires-in soon"] {
            assert!(body(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_has_expired_is_said() {
        let token = |expires_at, expired| Shown {
            name: "ci".into(),
            tenant: "default".into(),
            role: "reader".into(),
            created_at: 0,
            expires_at,
            expired,
            revision: 1,
        };
        assert_eq!(token(None, false).expires(), "never");
        assert_eq!(token(Some(86_400), true).expires(), "1970-01-02T00:00:00Z (expired)");
        assert_eq!(token(Some(86_400), false).expires(), "1970-01-02T00:00:00Z");
    }
}
