//! `wharf demo`: a lab of network namespaces, a real daemon, real kernels on both sides, and every claim checked.
//!
//! Two VPCs have the same addresses, three containers have one address, and that address is one of the VPCs' own.
//! So nothing but the attachment can tell which packet belongs where.

mod acts;
mod api;
mod daemon;
mod directory;
mod error;
mod interrupt;
mod screen;
mod stage;

use std::path::Path;

use crate::failure::Failure;
use error::DemoError;
use interrupt::Interrupt;
use screen::Screen;
use stage::Stage;

const EXAMPLES: &str = "\
Examples:
  sudo wharf demo            a few seconds; ends with 0 if everything is as it says
  sudo wharf demo --keep     leaves the lab running, and says what to try in it

It makes its own namespaces and its own daemon, and removes them however it ends.";

/// `wharf demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Flags {
    /// Leave it running until Ctrl-C, and print what to try
    #[arg(long)]
    keep: bool,
}

/// Shows it all; ends with a failure if any of the demo's claims does not hold.
pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let screen = Screen::of_stdout();
    show(flags, &screen, &interrupt)?;
    Ok(())
}

fn show(flags: &Flags, screen: &Screen, interrupt: &Interrupt) -> Result<(), DemoError> {
    screen.picture()?;
    let mut stage = acts::build(screen, interrupt)?;
    acts::attach(&mut stage, screen)?;
    interrupt.check()?;
    acts::fetch(&mut stage, screen)?;
    interrupt.check()?;
    acts::refused(&mut stage, screen)?;
    acts::sessions(&mut stage, screen)?;
    interrupt.check()?;
    acts::throughput(&mut stage, screen, interrupt)?;
    if flags.keep {
        suggestions(&stage, screen)?;
        interrupt.wait();
    }
    screen.heading("The end")?;
    let clearing = screen.step();
    drop(stage);
    clearing.done("daemon, devices and namespaces removed")?;
    Ok(())
}

/// What to try while it is left running.
fn suggestions(stage: &Stage, screen: &Screen) -> std::io::Result<()> {
    let wharf = std::env::current_exe().unwrap_or_else(|_| "wharf".into());
    let wharf = wharf.display();
    let [c1, _, c3] = stage.containers();
    let (c1, c3) = (c1.name(), c3.name());
    let socket: &Path = stage.socket();
    screen.heading("It keeps running. In another terminal, as root:")?;
    screen.text(format_args!(
        "export WHARF_SOCKET={socket}
alias wharf={wharf}

wharf container list
wharf sessions --watch
ip netns exec {c1} ping 10.1.0.1
wharf explain c3 10.1.0.1:80
wharf attach c3 billing
ip netns exec {c3} curl http://10.1.0.1/
wharf detach c3 billing
wharf stats
",
        socket = socket.display(),
    ))?;
    screen.text("Ctrl-C ends it and removes everything.")
}
