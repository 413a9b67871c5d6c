//! Counters, by the names of what they count for.

use std::collections::BTreeMap;

use control_core::{AttachmentId, Caller, FullName, Problem, Protocol, Resources, UplinkId};
use gateway::{Link, LinkReport, PortUse, Traffic, WorkerReport};
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, convert, failure};

/// Counters of everything. Each worker's part is consistent in itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatsView {
    workers: Vec<WorkerStats>,
    containers: Vec<LinkStats>,
    vpcs: Vec<VpcStats>,
}

/// A worker's own numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerStats {
    index: u16,
    /// Sessions in its table.
    sessions: u64,
    /// Times it woke up.
    wakeups: u64,
    /// Frames handed to another worker.
    handed_off: u64,
}

/// Counters of one link.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LinkStats {
    /// Of the container or VPC.
    name: String,
    /// Live sessions.
    sessions: u64,
    /// What the gateway read from the link.
    received: TrafficStats,
    /// What the gateway wrote to the link.
    sent: TrafficStats,
    /// Packets that ended, by reason. Reasons that did not occur are left out.
    drops: BTreeMap<&'static str, u64>,
}

/// Counters of a VPC.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VpcStats {
    #[serde(flatten)]
    link: LinkStats,
    /// Use of its external addresses.
    ports: Vec<PortStats>,
}

/// Frames that crossed a link one way.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrafficStats {
    /// Frames; a super-packet is one.
    frames: u64,
    /// Bytes, Ethernet headers included.
    bytes: u64,
    /// Of the frames, those that carried more than one segment.
    super_packets: u64,
}

/// Use of one external address.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PortStats {
    external: String,
    protocol: Protocol,
    /// Ports in use now: leased, shared by several remotes, resting, or in a container's block.
    used: u32,
    /// Ports that nobody has now.
    free: u32,
    /// Ports that finished sessions have given up for new ones, ever.
    given_up: u64,
}

impl App {
    /// Counters of all that is the caller's; those of workers for the local administrator.
    pub(crate) async fn stats(&self, caller: &Caller) -> Result<StatsView, Problem> {
        let stats = self.gateway().stats().await.map_err(failure::of_call)?;
        let mut view = StatsView {
            workers: if caller.is_local() {
                stats.workers.iter().map(WorkerStats::new).collect()
            } else {
                Vec::new()
            },
            containers: Vec::new(),
            vpcs: Vec::new(),
        };
        self.read(|resources| {
            for report in &stats.links {
                view.add(resources, caller, report, &stats.ports);
            }
        });
        view.containers.sort_by(|a, b| a.name.cmp(&b.name));
        view.vpcs.sort_by(|a, b| a.link.name.cmp(&b.link.name));
        Ok(view)
    }
}

impl StatsView {
    /// Links whose resource was deleted since are left out.
    fn add(&mut self, resources: &Resources, caller: &Caller, report: &LinkReport, ports: &[PortUse]) {
        let ours = |name: &&FullName| name.tenant == caller.tenant;
        match report.link {
            Link::Attachment(id) => {
                let name = resources.container_of(AttachmentId(id.0)).filter(ours);
                self.containers.extend(name.map(|name| LinkStats::new(name.name.to_string(), report)));
            }
            Link::Uplink(id) => {
                let Some(name) = resources.vpc_of(UplinkId(id.0)).filter(ours) else { return };
                let ports = ports.iter().filter(|port| port.uplink == id).map(PortStats::new).collect();
                self.vpcs.push(VpcStats { link: LinkStats::new(name.name.to_string(), report), ports });
            }
        }
    }
}

impl LinkStats {
    fn new(name: String, report: &LinkReport) -> Self {
        Self {
            name,
            sessions: report.sessions,
            received: TrafficStats::new(report.counters.received),
            sent: TrafficStats::new(report.counters.sent),
            drops: report.counters.drops.iter().map(|(reason, count)| (reason.code(), count)).collect(),
        }
    }
}

impl TrafficStats {
    const fn new(traffic: Traffic) -> Self {
        Self { frames: traffic.frames, bytes: traffic.bytes, super_packets: traffic.super_packets }
    }
}

impl WorkerStats {
    const fn new(worker: &WorkerReport) -> Self {
        Self {
            index: worker.index,
            sessions: worker.sessions,
            wakeups: worker.wakeups,
            handed_off: worker.handed_off,
        }
    }
}

impl PortStats {
    fn new(port: &PortUse) -> Self {
        let (external, protocol) = (port.external.to_string(), convert::protocol_back(port.protocol));
        Self { external, protocol, used: port.used, free: port.free, given_up: port.given_up }
    }
}
