//! `wharf demo`: functions in two languages reach a web server and a database, in two VPCs with equal addresses.
//!
//! All functions of a language have the very same code, which asks the very same addresses. So nothing but the connector that a
//! function has can tell which VPC answers it.

mod acts;
mod redis;
mod stage;
mod times;

use super::error::DemoError;
use super::interrupt::Interrupt;
use super::screen::Screen;
use super::{Flags, clear, introduction};
use stage::Stage;

const TITLE: &str = "Functions in warm containers, and two VPCs with the same addresses";

pub(super) const PICTURE: &str = "
    py-orders    ──┐   ┌─────────┐   ┌── VPC orders    10.1.0.1:80 web, 10.1.0.1:6379 Redis
    node-orders  ──┤   │         │   │
                   ├───┤  wharf  ├───┤
    py-billing   ──┤   │         │   │
    node-billing ──┘   └─────────┘   └── VPC billing   10.1.0.1:80 web, 10.1.0.1:6379 Redis";

/// Shows it, act by act.
pub(super) fn show(flags: &Flags, screen: &Screen, interrupt: &Interrupt) -> Result<(), DemoError> {
    // Before anything is made.
    redis::Redis::program()?;
    screen.picture(TITLE, PICTURE)?;
    let mut stage = acts::build(screen, interrupt)?;
    acts::deploy(&mut stage, screen)?;
    interrupt.check()?;
    let first = acts::first(&mut stage, screen, interrupt)?;
    acts::again(&mut stage, screen, interrupt, &first)?;
    acts::sessions(&mut stage, screen)?;
    interrupt.check()?;
    acts::revoke(&mut stage, screen)?;
    if flags.keep {
        suggestions(&stage, screen)?;
        interrupt.wait();
    }
    Ok(clear(stage, screen)?)
}

/// What to try while it is left running.
fn suggestions(stage: &Stage, screen: &Screen) -> std::io::Result<()> {
    screen.heading("It keeps running. In another terminal, as root:")?;
    screen.text(introduction(stage.socket()))?;
    screen.text(
        "
wharf function list
wharf approve orders orders
wharf function invoke py-orders --event '{\"key\": \"total\"}' --timing
wharf function logs py-orders
wharf environment list
wharf pool list
wharf sessions --watch
",
    )?;
    screen.text("Ctrl-C ends it and removes everything.")
}
