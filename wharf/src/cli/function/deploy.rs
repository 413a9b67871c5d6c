//! `wharf function deploy`

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::shown::Shown;
use super::source::Source;
use crate::cli::mutation::Creation;
use crate::cli::resource::{self, Resource, set, set_list};
use crate::client::{Client, ClientError, Run};
use crate::failure::Failure;
use crate::output::Format;

pub(super) const EXAMPLES: &str = "\
Examples:
  A directory with handler.py, which defines handler(event, context):
    wharf function deploy ./users --connector orders-db --timeout 10
  One file of Node, under a name of its own:
    wharf function deploy index.mjs --name thumbs --env SIZE=200 --env QUALITY=80
  An archive that was made before:
    wharf function deploy users.zip --runtime python3 --handler app.lambda_handler
  An executable named `bootstrap`, as AWS custom runtimes have it:
    wharf function deploy ./build --runtime provided --memory 256
  A program of its own that speaks the runtime API:
    wharf function deploy ./server --command /var/task/server --command --quiet
  What would be, and without the variables that there were:
    wharf function deploy ./users --clear env --dry-run
The function is added if there is none of this name. Otherwise it gets a version with this code;
what no flag says stays as it is, and --env is added to the variables that there are.";

/// Code to be deployed.
#[derive(Debug, Args)]
pub(in crate::cli) struct Deploy {
    /// Its code: a directory, a file, or a zip archive
    #[arg(value_name = "DIR|FILE|ZIP")]
    path: PathBuf,
    /// The function's name; that of the directory or file unless set
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// Flag whose effect is taken back, such as env. Can be given several times
    #[arg(long, value_enum, value_name = "FLAG", value_delimiter = ',')]
    clear: Vec<Field>,
    #[command(flatten)]
    creation: Creation,
}

/// What a function is, beside its name and code.
#[derive(Debug, Default, Args)]
struct Settings {
    /// What it runs in: python3, nodejs, provided or one of the operator's; what the code looks like unless set
    #[arg(long, value_name = "RUNTIME")]
    runtime: Option<String>,
    /// What is called for each event; what the code looks like unless set
    #[arg(long, value_name = "MODULE.FUNCTION")]
    handler: Option<String>,
    /// Environment variable. Can be given several times
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// Connector that it has, in place of those that it had. Can be given several times
    #[arg(long = "connector", value_name = "NAME", value_delimiter = ',')]
    connectors: Vec<String>,
    /// How long an invocation may take, in seconds; 3 unless set
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Memory of each environment, its /tmp included, in MiB; 128 unless set
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// Most environments at once, which are reserved for it; as many as there is room for unless set
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// How long an environment waits for the next event, in seconds; 300 unless set
    #[arg(long, value_name = "SECONDS")]
    keep_alive: Option<u32>,
    /// What is started in place of the language's own bootstrap: the program, and each of its arguments, by a flag of its own
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    command: Vec<String>,
}

/// A flag whose effect can be taken back, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Field {
    Handler,
    Env,
    Connector,
    Timeout,
    Memory,
    Concurrency,
    KeepAlive,
    Command,
}

impl Deploy {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let source = Source::read(&self.path)?;
        let name = match self.name.clone() {
            Some(name) => name,
            None => source.name()?,
        };
        let mut body = self.patch()?;
        let run = self.creation.mutation.run();
        let path = resource::path::<Shown>(&name);
        let is_there = match client.get(&path).await {
            Ok(_) => true,
            Err(ClientError::Refused(problem)) if problem.code == "not_found" => false,
            Err(error) => return Err(error.into()),
        };
        body["code"] = json!({ "zip": STANDARD.encode(source.archive()?) });
        if is_there {
            // What another has changed in the meantime stays: only what is in the body changes.
            let changed = client.change(&path, &body, None, run).await?;
            return tell(changed, format, run, "deployed");
        }
        body["name"] = name.into();
        self.settings.infer(&source, &mut body)?;
        let made = client.create(Shown::PATH, &body, &self.creation.key()?, run).await?;
        tell(made, format, run, "added")
    }

    /// What the flags say.
    fn patch(&self) -> Result<Value, Failure> {
        let mut body = json!({});
        self.settings.write(&mut body);
        for field in &self.clear {
            if body.get(field.name()).is_some_and(|value| !value.is_null()) {
                return Err(Failure::usage("what is set cannot be cleared as well"));
            }
            body[field.name()] = Value::Null;
        }
        Ok(body)
    }
}

fn tell(answer: Value, format: Format, run: Run, participle: &str) -> Result<(), Failure> {
    resource::tell::<Shown>(answer, format, run, participle)
}

impl Settings {
    /// Adds what was set to a body; the rest is left to the daemon.
    fn write(&self, body: &mut Value) {
        set(body, "runtime", self.runtime.as_ref());
        set(body, "handler", self.handler.as_ref());
        let variables: Map<_, _> =
            self.environment.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        set(body, "environment", Some(variables).filter(|variables| !variables.is_empty()));
        set_list(body, "connectors", &self.connectors);
        set(body, "timeout_s", self.timeout);
        set(body, "memory_mb", self.memory);
        set(body, "concurrency", self.concurrency);
        set(body, "keep_alive_s", self.keep_alive);
        set_list(body, "command", &self.command);
    }

    /// Adds to the body of a new function what its code looks like.
    fn infer(&self, source: &Source, body: &mut Value) -> Result<(), Failure> {
        let found = source.language();
        if self.runtime.is_none() {
            let Some(found) = &found else {
                return Err(Failure::usage("the code does not look like any language that is known")
                    .hint("say what it runs in with --runtime, and what is called with --handler"));
            };
            body["runtime"] = found.runtime.into();
        }
        let fits = found.filter(|found| body["runtime"] == found.runtime);
        if self.handler.is_none() && self.command.is_empty() {
            set(body, "handler", fits.and_then(|found| found.handler));
        }
        Ok(())
    }
}

impl Field {
    /// Its name in the API.
    const fn name(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Env => "environment",
            Self::Connector => "connectors",
            Self::Timeout => "timeout_s",
            Self::Memory => "memory_mb",
            Self::Concurrency => "concurrency",
            Self::KeepAlive => "keep_alive_s",
            Self::Command => "command",
        }
    }
}

fn variable(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("is not NAME=VALUE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        deploy: Deploy,
    }

    fn deploy(line: &str) -> Deploy {
        <Command as clap::Parser>::try_parse_from(line.split_whitespace()).unwrap().deploy
    }

    #[test]
    fn only_what_was_set_is_asked_for() {
        assert_eq!(deploy("deploy .").patch().unwrap(), json!({}));
        let all = "deploy . --runtime nodejs --handler a.b --env A=b=c --env C= --connector k,l --timeout 9 --memory 256 \
                   --concurrency 2 --keep-alive 0 --command /bin/x --command -v";
        let expected = json!({
            "runtime": "nodejs", "handler": "a.b", "environment": {"A": "b=c", "C": ""}, "connectors": ["k", "l"],
            "timeout_s": 9, "memory_mb": 256, "concurrency": 2, "keep_alive_s": 0, "command": ["/bin/x", "-v"],
        });
        assert_eq!(deploy(all).patch().unwrap(), expected);
    }

    #[test]
    fn what_is_cleared_is_null_and_not_set_as_well() {
        let cleared = deploy("deploy . --clear env,concurrency --timeout 9").patch().unwrap();
        assert_eq!(cleared, json!({"environment": null, "concurrency": null, "timeout_s": 9}));
        assert!(deploy("deploy . --clear env --env A=b").patch().is_err());
    }

    #[test]
    fn a_new_function_is_what_its_code_looks_like_unless_flags_say_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("app.py"), "def lambda_handler(event, context): pass").unwrap();
        let source = Source::read(folder.path()).unwrap();
        let body = |line: &str| {
            let (deploy, mut body) = (deploy(line), json!({}));
            deploy.settings.write(&mut body);
            deploy.settings.infer(&source, &mut body).map(|()| body)
        };
        let found = json!({"runtime": "python3", "handler": "app.lambda_handler"});
        assert_eq!(body("deploy .").unwrap(), found);
        assert_eq!(body("deploy . --handler x.y").unwrap()["handler"], "x.y");
        assert_eq!(body("deploy . --runtime nodejs").unwrap(), json!({"runtime": "nodejs"}));
        assert_eq!(body("deploy . --runtime provided").unwrap(), json!({"runtime": "provided"}));
        let own = json!({"runtime": "python3", "command": ["/x"]});
        assert_eq!(body("deploy . --command /x").unwrap(), own);
    }
}
