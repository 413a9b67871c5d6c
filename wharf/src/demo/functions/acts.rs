//! The parts of the demo. Each shows something, and checks it.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::stage::{FUNCTIONS, Filling, Function, Ground, Run, Stage};
use super::times::{BEGINNING, FOOTNOTE};
use crate::client::ClientError;
use crate::demo::error::{Claim, DemoError};
use crate::demo::ground::{CIDR, VPCS};
use crate::demo::interrupt::Interrupt;
use crate::demo::screen::{Screen, duration};
use crate::output::chart;
use crate::output::{Table, cell};

/// The functions whose times are shown as bars: one of each language and of each VPC.
const DRAWN: [&str; 2] = ["py-orders", "node-billing"];

/// The VPC whose connector is revoked.
const REVOKED: usize = 0;

/// How long a server may take to hear that a connection has ended.
const HEARING: Duration = Duration::from_secs(2);

/// Builds the lab, starts the daemon, adds VPCs, waits for warm containers.
pub(super) fn build(screen: &Screen, interrupt: &Interrupt) -> Result<Stage, DemoError> {
    screen.heading("Build")?;
    let step = screen.step();
    let ground = Ground::new()?;
    step.done("namespaces for two VPCs and the daemon")?;
    let step = screen.step();
    let mut stage = ground.serve()?;
    step.done("`wharf serve`, a process of its own; from here on all is REST")?;
    interrupt.check()?;
    let step = screen.step();
    stage.add_vpcs()?;
    let [orders, billing] = VPCS;
    step.done(format_args!("VPCs {orders} and {billing}, both {CIDR}, web and Redis in each"))?;
    let step = screen.step();
    stage.pools(Filling::On)?;
    let warm = stage.warm(interrupt)?;
    step.done(format_args!("{warm} warm containers of Python and Node, without code"))?;
    Ok(stage)
}

/// Deploys the functions.
pub(super) fn deploy(stage: &mut Stage, screen: &Screen) -> Result<(), DemoError> {
    screen.heading("Deploy")?;
    for function in &FUNCTIONS {
        let step = screen.step();
        let bytes = stage.deploy(function)?;
        let (name, runtime) = (function.name, function.language.runtime());
        step.done(format_args!("{name}: {runtime}, zip of {bytes} bytes, connector {}", VPCS[function.vpc]))?;
    }
    screen
        .text("The two of a language have the same code, and ask the same addresses")
        .map_err(DemoError::from)
}

/// Invokes each function for the first time, in a container that was warm.
pub(super) fn first(
    stage: &mut Stage,
    screen: &Screen,
    interrupt: &Interrupt,
) -> Result<Vec<Run>, DemoError> {
    screen.heading("Invoke each for the first time")?;
    // What makes up for a container that was taken shall not run beside what is measured.
    stage.pools(Filling::Off)?;
    let mut runs = Vec::new();
    for function in &FUNCTIONS {
        interrupt.check()?;
        let run = stage.invoke(function)?;
        if !BEGINNING.iter().all(|part| run.trace.part(part).is_some()) {
            return Err(unexpected(&run, "of a container that begins").into());
        }
        screen.marked(
            format_args!("{} answers from VPC {}", function.name, VPCS[function.vpc]),
            duration(run.took),
        )?;
        runs.push(run);
    }
    screen.text("No other containers are made meanwhile: the pools are told to wait")?;
    screen.blank()?;
    screen.table(&answers(&runs))?;
    for run in runs.iter().filter(|run| DRAWN.contains(&run.function.name)) {
        screen.heading(&format!("From the trigger to the answer: {}", run.function.name))?;
        screen.chart(&run.timeline)?;
    }
    screen.blank()?;
    for line in FOOTNOTE.lines() {
        screen.aside(line)?;
    }
    Ok(runs)
}

fn answers(runs: &[Run]) -> Table {
    let mut table = Table::new(["FUNCTION", "ANSWERED BY", "READ", "WEB SERVER SAW", "REDIS SAW"]);
    for run in runs {
        table.row([
            cell(run.function.name),
            cell(VPCS[run.function.vpc]),
            cell(&run.value),
            cell(run.web_saw),
            cell(run.database_saw),
        ]);
    }
    table
}

fn unexpected(run: &Run, expected: &'static str) -> Claim {
    Claim::Trace { function: run.function.name, expected, trace: format!("{:?}", run.trace.spans) }
}

/// Invokes each function again, in the container that it has by now.
pub(super) fn again(
    stage: &mut Stage,
    screen: &Screen,
    interrupt: &Interrupt,
    first: &[Run],
) -> Result<(), DemoError> {
    screen.heading("Invoke each again: its container is there, with its code")?;
    stage.pools(Filling::On)?;
    stage.warm(interrupt)?;
    let mut table =
        Table::new(["FUNCTION", "FIRST", "MOUNT", "LOAD", "ATTACH", "AGAIN", "OF THAT THE HANDLER"]);
    for before in first {
        let run = stage.invoke(&before.function)?;
        if BEGINNING.iter().any(|part| run.trace.part(part).is_some()) {
            return Err(unexpected(&run, "of a container that was there").into());
        }
        if run.database_saw != before.database_saw {
            let answer = format!("on another connection, {}", run.database_saw);
            return Err(Claim::Function {
                function: run.function.name,
                expected: VPCS[run.function.vpc],
                answer,
            }
            .into());
        }
        let part = |of: &Run, name| {
            of.trace.part(name).map_or_else(|| "-".to_owned(), |span| chart::duration(span.duration_us))
        };
        let whole = |time: Duration| chart::duration(time.as_micros() as u64);
        let [mount, load, attach] = BEGINNING.map(|name| cell(part(before, name)));
        let handler = cell(part(&run, "handler"));
        table.row([
            cell(run.function.name),
            cell(whole(before.took)),
            mount,
            load,
            attach,
            cell(whole(run.took)),
            handler,
        ]);
    }
    screen.table(&table)?;
    Ok(screen.text("Redis saw the connections that it knew: they outlive the invocation")?)
}

/// Prints the session table, and checks it against what the servers saw.
pub(super) fn sessions(stage: &mut Stage, screen: &Screen) -> Result<(), DemoError> {
    screen.heading("Sessions")?;
    let containers = stage.containers()?;
    let answer = stage.api.get("/v1/sessions")?;
    let rows = items(&answer);
    let mut table = Table::new(["FUNCTION", "VPC", "INTERNAL", "EXTERNAL", "REMOTE", "STATE"]);
    let mut sorted: Vec<_> = rows.iter().map(|row| (function_of(&containers, row), row)).collect();
    sorted.sort_by_key(|(function, row)| (*function, row["remote"].as_str()));
    for (function, row) in sorted {
        let text = |field: &str| cell(row[field].as_str().unwrap_or("-"));
        table.row([
            cell(function),
            text("vpc"),
            text("internal"),
            text("external"),
            text("remote"),
            text("state"),
        ]);
    }
    screen.table(&table)?;
    for function in &FUNCTIONS {
        let shown = |external: &SocketAddrV4| {
            rows.iter().any(|row| {
                row["vpc"] == VPCS[function.vpc]
                    && row["external"] == external.to_string().as_str()
                    && function_of(&containers, row) == function.name
            })
        };
        let readers = stage.readers(function.vpc, 0)?;
        if !readers.iter().any(shown) {
            let external = readers.first().copied().unwrap_or(super::redis::ADDRESS);
            let table = answer.to_string();
            return Err(Claim::Session { container: function.name, external, table }.into());
        }
    }
    Ok(())
}

fn items(answer: &Value) -> &[Value] {
    answer["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn function_of<'a>(containers: &'a [(String, String)], row: &Value) -> &'a str {
    let found = containers.iter().find(|(name, _)| row["container"] == name.as_str());
    found.map_or("-", |(_, function)| function)
}

/// Revokes a connector: what used it ends, and begins no more; the other VPC's functions do not notice.
pub(super) fn revoke(stage: &mut Stage, screen: &Screen) -> Result<(), DemoError> {
    let connector = VPCS[REVOKED];
    screen.heading(&format!("Revoke connector {connector}"))?;
    let before = seen(stage)?;
    let step = screen.step();
    stage.api.delete(&format!("/v1/vpcs/{connector}/connectors/{connector}"))?;
    step.done("revoked; when the call returns, its sessions have ended")?;
    let claim = |seen: String| Claim::Revoked { connector, seen };
    let sessions = stage.api.get("/v1/sessions")?;
    if items(&sessions).iter().any(|row| row["vpc"] == connector) {
        return Err(claim(format!("it has sessions: {sessions}")).into());
    }
    let step = screen.step();
    let connected = deserted(stage)?;
    if !connected.is_empty() {
        return Err(claim(format!("Redis has clients: {connected:?}")).into());
    }
    step.done(format_args!("Redis in {connector} has lost its clients"))?;
    for function in &FUNCTIONS {
        if function.vpc == REVOKED {
            refused(stage, screen, function)?;
        }
    }
    let after = seen(stage)?;
    if after != before {
        return Err(claim(format!("servers saw {after:?}, and {before:?} before")).into());
    }
    screen.detail("its servers saw nothing of that")?;
    for function in FUNCTIONS.iter().filter(|function| function.vpc != REVOKED) {
        let run = stage.invoke(function)?;
        screen.marked(format_args!("{} answers as before", function.name), duration(run.took))?;
    }
    Ok(())
}

/// Everybody whom the servers of the revoked connector's VPC saw.
fn seen(stage: &mut Stage) -> Result<(Vec<SocketAddrV4>, Vec<SocketAddrV4>), DemoError> {
    Ok((stage.webs[REVOKED].clients(), stage.readers(REVOKED, 0)?))
}

/// Waits until nobody from outside is connected to the database of the revoked connector's VPC; tells who is all the same.
fn deserted(stage: &mut Stage) -> Result<Vec<SocketAddrV4>, DemoError> {
    let begun = Instant::now();
    loop {
        let mut connected = stage.databases[REVOKED].connected()?;
        connected.retain(|client| *client.ip() == crate::demo::ground::EXTERNAL);
        if connected.is_empty() || begun.elapsed() > HEARING {
            return Ok(connected);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Invokes a function that has lost its connector.
fn refused(stage: &Stage, screen: &Screen, function: &Function) -> Result<(), DemoError> {
    let step = screen.step();
    let problem = match stage.ask(function) {
        Err(DemoError::Client(ClientError::Refused(problem))) if problem.code == "not_approved" => problem,
        Err(DemoError::Client(ClientError::Refused(problem))) => return Err(still(&problem.to_string())),
        Ok(invoked) => return Err(still(&invoked.answer)),
        Err(error) => return Err(error),
    };
    step.done(format_args!("{} is refused: {} {}", function.name, problem.status, problem.code))?;
    Ok(screen.detail(&problem.detail)?)
}

fn still(answer: &str) -> DemoError {
    Claim::Revoked { connector: VPCS[REVOKED], seen: format!("its function answered: {answer}") }.into()
}
