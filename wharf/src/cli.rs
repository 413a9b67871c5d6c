//! The command line: what can be asked for, and which file answers. One file per resource.

mod attach;
mod audit;
mod connector;
mod container;
mod environment;
mod explain;
mod function;
mod global;
mod join;
mod metrics;
mod mutation;
mod netns;
mod pool;
mod ports;
mod resource;
mod sessions;
mod stats;
mod store;
mod tenant;
mod token;
mod vpc;
mod watch;

use std::io::Write;

pub(crate) use store::medium_failed;

use clap::{CommandFactory, Parser, Subcommand};

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::serve;
use global::Global;

const EXAMPLES: &str = "\
Examples:
  sudo wharf serve                         run the daemon
  wharf vpc add orders --help              how to add a private network
  wharf connector add db --vpc orders      who may reach what
  wharf container add c1 --netns c1        a link for a warm container
  wharf attach c1 db                       from now on c1 reaches the VPC
  wharf function deploy ./users            code that reaches it when it is invoked
  wharf explain c1 10.1.0.1:80             what would happen to this packet
  wharf sessions --watch                   what lives
  wharf token add ci --role operator       who else may do what

Exit codes:
  0  done
  1  the daemon refused the request, or something failed
  2  the command line or the config file is wrong
  3  no daemon answers
  4  the resource does not exist, or is not attached";

/// Attaches containers to private networks (VPCs).
#[derive(Debug, Parser)]
#[command(name = "wharf", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Serve(serve::Flags),
    #[command(flatten)]
    Request(Request),
    /// Back up and restore what a daemon keeps; needs no daemon
    #[command(subcommand)]
    Store(store::Store),
    /// Build a lab of namespaces, attach containers to VPCs, and show what happens
    #[cfg(feature = "demo")]
    Demo(crate::demo::Flags),
    /// Print the API's OpenAPI document; needs no daemon
    #[command(after_help = "Example:\n  wharf openapi > wharf.openapi.json")]
    Openapi,
    /// Print completions for a shell
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// bash, elvish, fish, powershell or zsh
        #[arg(hide_possible_values = true)]
        shell: clap_complete::Shell,
    },
}

/// The commands that ask a daemon.
#[derive(Debug, Subcommand)]
enum Request {
    /// Private networks and the uplinks to them
    #[command(subcommand)]
    Vpc(vpc::Vpc),
    /// Permissions that join containers to VPCs
    #[command(subcommand)]
    Connector(connector::Connector),
    /// Containers and their links
    #[command(subcommand)]
    Container(container::Container),
    /// Code that runs when somebody asks for it
    #[command(subcommand)]
    Function(function::Function),
    /// Containers that serve functions
    #[command(subcommand)]
    Environment(environment::Environment),
    /// Containers that wait for functions
    #[command(subcommand)]
    Pool(pool::Pool),
    /// Let a connector join a VPC
    Approve(join::Approve),
    /// Let it join no more: all of its sessions end
    Revoke(join::Revoke),
    /// Let a container use a connector
    Attach(attach::Attach),
    /// End that, and every session of the pair
    Detach(attach::Detach),
    /// Show live sessions
    Sessions(sessions::Sessions),
    /// Say what would happen to a container's packet, and why its last ones were dropped
    Explain(explain::Explain),
    /// Show counters of workers, containers, VPCs and ports
    Stats(stats::Stats),
    /// Print what Prometheus is told
    Metrics(metrics::Metrics),
    /// Follow what changes
    Watch(watch::Watch),
    /// Those whom resources belong to
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Who may call from anywhere
    #[command(subcommand)]
    Token(token::Token),
    /// Show who changed what
    Audit(audit::Audit),
}

const COMPLETIONS: &str = "\
Examples:
  wharf completions bash > /etc/bash_completion.d/wharf
  wharf completions zsh  > \"${fpath[1]}/_wharf\"
  wharf completions fish > ~/.config/fish/completions/wharf.fish";

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Serve(flags) => serve::run(flags, self.global.socket),
            Command::Request(request) => runtime()?.block_on(request.run(&self.global)),
            Command::Store(store) => store.run(self.global.output),
            #[cfg(feature = "demo")]
            Command::Demo(flags) => crate::demo::run(&flags),
            Command::Openapi => openapi(),
            Command::Completions { shell } => completions(shell),
        }
    }
}

impl Request {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let format = global.output;
        let client = &mut Client::connect(global.access()?).await?;
        match self {
            Self::Vpc(vpc) => vpc.run(client, format).await,
            Self::Connector(connector) => connector.run(client, format).await,
            Self::Container(container) => container.run(client, format).await,
            Self::Function(function) => function.run(client, format).await,
            Self::Environment(environment) => environment.run(client, format).await,
            Self::Pool(pool) => pool.run(client, format).await,
            Self::Approve(approve) => approve.run(client, format).await,
            Self::Revoke(revoke) => revoke.run(client, format).await,
            Self::Attach(attach) => attach.run(client, format).await,
            Self::Detach(detach) => detach.run(client, format).await,
            Self::Sessions(sessions) => sessions.run(client, format).await,
            Self::Explain(explain) => explain.run(client, format).await,
            Self::Stats(stats) => stats.run(client, format).await,
            Self::Metrics(metrics) => metrics.run(client, format).await,
            Self::Watch(watch) => watch.run(client, format).await,
            Self::Tenant(tenant) => tenant.run(client, format).await,
            Self::Token(token) => token.run(client, format).await,
            Self::Audit(audit) => audit.run(client, format).await,
        }
    }
}

/// The runtime of a client: one thread is plenty for one request at a time.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Failed, format_args!("cannot start the async runtime: {e}")))
}

fn openapi() -> Result<(), Failure> {
    let document = control::openapi().to_pretty_json();
    let document =
        document.map_err(|e| Failure::new(Exit::Failed, format_args!("cannot print the document: {e}")))?;
    Ok(output::line(document)?)
}

/// Written in one piece, because the generator panics when its writer fails.
fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wharf", &mut script);
    Ok(std::io::stdout().lock().write_all(&script)?)
}

#[cfg(test)]
mod tests;
