//! `wharf`: the daemon that attaches containers to private networks, and the command line that steers it.
//!
//! The daemon is [`serve`]; every other command is a client of its REST API and needs no rights of its own beyond the
//! socket's. Nothing here decides about packets or resources: the gateway and the control plane do.

#![forbid(unsafe_code)]

mod cli;
mod client;
mod config;
#[cfg(feature = "demo")]
mod demo;
mod failure;
mod output;
mod serve;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(serve::CONTAINER_HELPER) {
        // Not a command of anybody's: the daemon starts it, and it must have no other thread.
        return sandbox::container_helper(&arguments.collect::<Vec<_>>());
    }
    let cli = cli::Cli::parse();
    cli.global.color.apply();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
