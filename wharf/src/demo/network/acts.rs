//! The parts of the demo. Each shows something, and checks it.

use std::net::SocketAddrV4;
use std::time::Duration;

use netlab::traffic::{self, Bulk, Throughput};
use serde::Deserialize;
use serde_json::{Value, json};

use super::stage::{CONTAINER, CONTAINERS, Ground, Stage};
use crate::demo::error::{Claim, DemoError};
use crate::demo::ground::{CIDR, EXTERNAL, SERVER, VPCS, WEB};
use crate::demo::interrupt::Interrupt;
use crate::demo::screen::{Screen, duration};
use crate::output::{Table, cell};

/// How long a fetch may take. The refused one takes as long as its kernel goes on trying.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long bulk data is sent each way.
const TRANSFER: Duration = Duration::from_secs(1);

/// Where the server for bulk data listens.
const BULK: SocketAddrV4 = SocketAddrV4::new(SERVER, 5201);

/// Largest frame of the containers' links without segmentation offload. Bytes.
const FRAME: u64 = 1514;

/// Builds the lab, starts the daemon, adds VPCs and containers.
pub(super) fn build(screen: &Screen, interrupt: &Interrupt) -> Result<Stage, DemoError> {
    screen.heading("Build")?;
    let step = screen.step();
    let ground = Ground::new()?;
    step.done("namespaces for two VPCs, three containers and the daemon")?;
    let step = screen.step();
    let mut stage = ground.serve()?;
    step.done("`wharf serve`, a process of its own; from here on all is REST")?;
    interrupt.check()?;
    let step = screen.step();
    stage.add_vpcs()?;
    let [orders, billing] = VPCS;
    step.done(format_args!("VPCs {orders} and {billing}, both {CIDR}, a web server in each"))?;
    let step = screen.step();
    stage.add_containers()?;
    step.done(format_args!("containers {}, all with address {CONTAINER}", CONTAINERS.join(", ")))?;
    interrupt.check()?;
    Ok(stage)
}

/// Attaches the first container to the first VPC and the second to the second.
pub(super) fn attach(stage: &mut Stage, screen: &Screen) -> Result<(), DemoError> {
    screen.heading("Attach")?;
    for (container, vpc) in CONTAINERS.iter().zip(VPCS) {
        let step = screen.step();
        let answer = stage.api.put(&format!("/v1/containers/{container}/connectors/{vpc}"))?;
        let inside = duration(Duration::from_micros(answer["attached_in_us"].as_u64().unwrap_or_default()));
        step.done(format_args!("{container} → {vpc}: live after {inside}; with the REST round trip"))?;
    }
    screen.text("c3 stays as it is: the same address, a working link, no connector")?;
    Ok(())
}

/// What a web server says about itself and its client.
#[derive(Deserialize)]
struct Answer {
    server: String,
    client: SocketAddrV4,
}

/// Lets the attached containers fetch from the one address, and compares with what the servers saw.
pub(super) fn fetch(stage: &mut Stage, screen: &Screen) -> Result<(), DemoError> {
    screen.heading(&format!("Each container fetches http://{SERVER}/"))?;
    for (i, (container, vpc)) in CONTAINERS.into_iter().zip(VPCS).enumerate() {
        let step = screen.step();
        let body = stage.containers()[i].run(|| traffic::fetch(WEB, PATIENCE));
        let body = body.map_err(DemoError::system("fetch from an attached container"))?;
        let answer = serde_json::from_str::<Answer>(&body)
            .ok()
            .filter(|a| a.server == vpc && *a.client.ip() == EXTERNAL);
        let Some(answer) = answer else {
            return Err(Claim::Server { container, expected: vpc, answer: body }.into());
        };
        only_client(stage, i, answer.client)?;
        step.done(format_args!(
            "{container}, {CONTAINER}, was answered by {vpc}, which saw {}",
            answer.client
        ))?;
    }
    Ok(())
}

/// Checks that the server of a VPC has seen this client and no other.
fn only_client(stage: &Stage, vpc: usize, expected: SocketAddrV4) -> Result<(), Claim> {
    let seen = stage.servers[vpc].clients();
    if seen == [expected] { Ok(()) } else { Err(Claim::Clients { server: VPCS[vpc], expected, seen }) }
}

/// Shows that the third container reaches nobody, and why.
pub(super) fn refused(stage: &mut Stage, screen: &Screen) -> Result<(), DemoError> {
    let [_, _, c3] = CONTAINERS;
    let before: Vec<_> = stage.servers.iter().map(traffic::Http::clients).collect();
    let step = screen.step();
    let error = match stage.containers()[2].run(|| traffic::fetch(WEB, PATIENCE)) {
        Ok(answer) => return Err(Claim::Leaked(answer).into()),
        Err(e) => e,
    };
    let after: Vec<_> = stage.servers.iter().map(traffic::Http::clients).collect();
    if before != after {
        return Err(Claim::Leaked(format!("servers saw {after:?}")).into());
    }
    step.done(format_args!("{c3} was refused: {error}"))?;
    let drops = stage.api.get(&format!("/v1/containers/{c3}/drops"))?;
    let drop = drops["items"].as_array().and_then(|d| d.iter().find(|d| d["reason"] == "no_connector"));
    let Some(drop) = drop else { return Err(Claim::Reason(drops.to_string()).into()) };
    let text = |field: &str| drop[field].as_str().unwrap_or("?").to_owned();
    screen.detail(format_args!(
        "dropped: {} → {}, {}",
        text("source"),
        text("destination"),
        text("reason")
    ))?;
    screen.detail(text("explanation"))?;
    let probe =
        json!({ "container": c3, "protocol": "tcp", "destination": SERVER.to_string(), "port": WEB.port() });
    let explained = stage.api.post("/v1/explain", &probe)?;
    if explained["verdict"] != "drop" || explained["reason"] != "no_connector" {
        return Err(Claim::Reason(explained.to_string()).into());
    }
    Ok(())
}

/// Prints the session table, and checks it against what the servers saw.
pub(super) fn sessions(stage: &mut Stage, screen: &Screen) -> Result<(), DemoError> {
    screen.heading("Sessions")?;
    let answer = stage.api.get("/v1/sessions")?;
    let rows = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut table = Table::new(["CONTAINER", "VPC", "PROTOCOL", "INTERNAL", "EXTERNAL", "REMOTE", "STATE"]);
    for row in rows {
        let text = |field: &str| cell(row[field].as_str().unwrap_or("-"));
        table.row([
            text("container"),
            text("vpc"),
            text("protocol"),
            text("internal"),
            text("external"),
            text("remote"),
            text("state"),
        ]);
    }
    screen.table(&table)?;
    for (i, container) in CONTAINERS.into_iter().take(VPCS.len()).enumerate() {
        for external in stage.servers[i].clients() {
            if !rows.iter().any(|row| shows(row, container, VPCS[i], external)) {
                return Err(Claim::Session { container, external, table: answer.to_string() }.into());
            }
        }
    }
    Ok(())
}

fn shows(row: &Value, container: &str, vpc: &str, external: SocketAddrV4) -> bool {
    row["container"] == container && row["vpc"] == vpc && row["external"] == external.to_string().as_str()
}

/// Measures TCP between the kernels of the first container and the first VPC, through the gateway.
pub(super) fn throughput(stage: &mut Stage, screen: &Screen, interrupt: &Interrupt) -> Result<(), DemoError> {
    screen.heading("TCP throughput, from kernel to kernel")?;
    let ([c1, ..], [orders, _]) = (stage.containers(), stage.vpcs());
    let failed = DemoError::system;
    let server = Bulk::start(orders, BULK).map_err(failed("start the server for bulk data"))?;
    let step = screen.step();
    let up = c1.run(|| traffic::upload(server.address(), TRANSFER)).map_err(failed("send bulk data"))?;
    step.done(format_args!("c1 → orders   {}", rate(up)))?;
    interrupt.check()?;
    let step = screen.step();
    let down =
        c1.run(|| traffic::download(server.address(), TRANSFER)).map_err(failed("receive bulk data"))?;
    step.done(format_args!("orders → c1   {}", rate(down)))?;
    drop(server);
    let stats = stage.api.get("/v1/stats")?;
    if let Some(bytes) = bytes_per_read(&stats, CONTAINERS[0]) {
        let whole = if bytes > FRAME { ": super-packets pass whole" } else { "" };
        screen.detail(format_args!("{bytes} bytes in one read from c1, on average{whole}"))?;
    }
    Ok(())
}

fn rate(throughput: Throughput) -> String {
    format!("{:.1} Gbit/s", throughput.bits_per_second() / 1e9)
}

fn bytes_per_read(stats: &Value, container: &str) -> Option<u64> {
    let all = stats["containers"].as_array()?;
    let received = &all.iter().find(|c| c["name"] == container)?["received"];
    let (frames, bytes) = (received["frames"].as_u64()?, received["bytes"].as_u64()?);
    // Acknowledgements of the download count too, so this is below the size of a full super-packet.
    bytes.checked_div(frames)
}
