//! `wharf demo --network`: containers that are attached to two VPCs, one that is not, and throughput.
//!
//! Two VPCs have the same addresses, three containers have one address, and that address is one of the VPCs' own.
//! So nothing but the attachment can tell which packet belongs where.

mod acts;
mod stage;

use super::error::DemoError;
use super::interrupt::Interrupt;
use super::screen::Screen;
use super::{Flags, clear, introduction};
use stage::Stage;

const TITLE: &str = "Two VPCs with the same addresses, three containers with one address";

pub(super) const PICTURE: &str = "
    c1  10.1.0.5 ──┐   ┌─────────┐   ┌── VPC orders    10.1.0.0/16   10.1.0.1:80
                   │   │         │   │
    c2  10.1.0.5 ──┼───┤  wharf  ├───┤
                   │   │         │   │
    c3  10.1.0.5 ──┘   └─────────┘   └── VPC billing   10.1.0.0/16   10.1.0.1:80";

/// Shows it, act by act.
pub(super) fn show(flags: &Flags, screen: &Screen, interrupt: &Interrupt) -> Result<(), DemoError> {
    screen.picture(TITLE, PICTURE)?;
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
    Ok(clear(stage, screen)?)
}

/// What to try while it is left running.
fn suggestions(stage: &Stage, screen: &Screen) -> std::io::Result<()> {
    let [c1, _, c3] = stage.containers();
    let (c1, c3) = (c1.name(), c3.name());
    screen.heading("It keeps running. In another terminal, as root:")?;
    screen.text(introduction(stage.socket()))?;
    screen.text(format_args!(
        "
wharf container list
wharf sessions --watch
ip netns exec {c1} ping 10.1.0.1
wharf explain c3 10.1.0.1:80
wharf attach c3 billing
ip netns exec {c3} curl http://10.1.0.1/
wharf detach c3 billing
wharf stats
"
    ))?;
    screen.text("Ctrl-C ends it and removes everything.")
}
