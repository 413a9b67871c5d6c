//! `wharf demo`: a lab of network namespaces, a real daemon, real kernels on both sides, and every claim checked.
//!
//! [`functions`] shows functions that reach their own of two VPCs with equal addresses; [`network`] shows the same of containers
//! that somebody attaches.

mod api;
mod daemon;
mod directory;
mod error;
mod functions;
mod ground;
mod interrupt;
mod network;
mod screen;

use crate::failure::Failure;
use interrupt::Interrupt;
use screen::Screen;

const EXAMPLES: &str = "\
Examples:
  sudo wharf demo            functions in two VPCs; ends with 0 if everything is as it says
  sudo wharf demo --network  containers in place of functions, with throughput; needs no other program
  sudo wharf demo --keep     leaves the lab running, and says what to try in it

It makes its own namespaces and its own daemon, and removes them however it ends. Functions need
Python, Node and Redis (on Debian: python3, nodejs, redis-tools).";

/// `wharf demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Flags {
    /// Show containers and their links, without functions
    #[arg(long)]
    network: bool,
    /// Leave it running until Ctrl-C, and print what to try
    #[arg(long)]
    keep: bool,
}

/// Shows it all; ends with a failure if any of the demo's claims does not hold.
pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let screen = Screen::of_stdout();
    if flags.network {
        network::show(flags, &screen, &interrupt)?;
    } else {
        functions::show(flags, &screen, &interrupt)?;
    }
    Ok(())
}

/// How to talk to the demo's daemon from another terminal.
fn introduction(socket: &std::path::Path) -> String {
    let wharf = std::env::current_exe().unwrap_or_else(|_| "wharf".into());
    format!("export WHARF_SOCKET={}\nalias wharf={}\n", socket.display(), wharf.display())
}

/// Removes what was built, and says so.
fn clear(stage: impl Sized, screen: &Screen) -> std::io::Result<()> {
    screen.heading("The end")?;
    let clearing = screen.step();
    drop(stage);
    clearing.done("daemon, devices and namespaces removed")
}
