//! Counters as Prometheus reads them. Labels are those of what there can only be so many of: VPCs, external addresses, reasons, workers. A
//! container has none: there can be any number over time.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use control_core::fleet::{PoolCounts, PoolSettings};
use control_core::{AttachmentId, Caller, FullName, Life, Name, Problem, Resources, UplinkId};
use gateway::{DropCounts, Link, Stats, Traffic};

use super::{App, failure};
use crate::fleet::Fleet;

/// Metrics in the making: families are told in the order in which they are begun.
#[derive(Default)]
struct Exposition(String);

/// Sums over links.
#[derive(Default)]
struct Sum {
    received: Traffic,
    sent: Traffic,
    drops: BTreeMap<&'static str, u64>,
    sessions: u64,
    links: u64,
}

type Labels<'a> = &'a [(&'a str, &'a dyn Display)];

impl App {
    /// Everything that the caller may see, in Prometheus' text format.
    pub(crate) async fn metrics(&self, caller: &Caller) -> Result<String, Problem> {
        let stats = self.gateway().stats().await.map_err(failure::of_call)?;
        let mut out = Exposition::default();
        self.read(|resources| {
            let sees = |name: &FullName| Self::sees(caller, &name.tenant);
            out.links(&sums(resources, &stats, sees));
            out.ports(resources, &stats, sees);
            out.resources(resources, sees);
        });
        if caller.is_local() {
            out.workers(&stats);
            out.attaches(self.attach_times());
            out.pools(&self.fleet().map(Fleet::pools).unwrap_or_default());
            let failing = u64::from(self.registry().is_failing());
            out.family(
                "wharf_store_failing",
                "gauge",
                "Whether the store could not be written the last time.",
            );
            out.sample("wharf_store_failing", &[], failing);
            out.family("wharf_revision", "counter", "The latest revision of the resources.");
            out.sample("wharf_revision", &[], self.registry().changes().latest());
        }
        Ok(out.0)
    }
}

/// By tenant and VPC; all containers of a tenant together have no VPC.
fn sums(
    resources: &Resources,
    stats: &Stats,
    sees: impl Fn(&FullName) -> bool,
) -> BTreeMap<(String, Option<String>), Sum> {
    let mut sums: BTreeMap<_, Sum> = BTreeMap::new();
    for report in &stats.links {
        let key = match report.link {
            Link::Attachment(id) => {
                let name = resources.container_of(AttachmentId(id.0)).filter(|name| sees(name));
                name.map(|name| (name.tenant.to_string(), None))
            }
            Link::Uplink(id) => {
                let name = resources.vpc_of(UplinkId(id.0)).filter(|name| sees(name));
                name.map(|name| (name.tenant.to_string(), Some(name.name.to_string())))
            }
        };
        let Some(key) = key else { continue };
        let sum = sums.entry(key).or_default();
        add(&mut sum.received, report.counters.received);
        add(&mut sum.sent, report.counters.sent);
        for (reason, count) in DropCounts::iter(&report.counters.drops) {
            *sum.drops.entry(reason.code()).or_default() += count;
        }
        sum.sessions += report.sessions;
        sum.links += 1;
    }
    sums
}

const fn add(sum: &mut Traffic, part: Traffic) {
    sum.frames += part.frames;
    sum.bytes += part.bytes;
    sum.super_packets += part.super_packets;
}

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            // Names, addresses and codes: none has a quote, a backslash or a line's end.
            _ = write!(self.0, "{}{label}=\"{text}\"", if i == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        _ = writeln!(self.0, " {value}");
    }

    /// One sample for each sum: links of containers together, and of each VPC.
    fn each(
        &mut self,
        name: &str,
        sums: &BTreeMap<(String, Option<String>), Sum>,
        value: impl Fn(&Sum) -> u64,
    ) {
        for ((tenant, vpc), sum) in sums {
            let side = if vpc.is_some() { "vpc" } else { "containers" };
            let vpc = vpc.as_deref().unwrap_or_default();
            self.sample(name, &[("tenant", tenant), ("side", &side), ("vpc", &vpc)], value(sum));
        }
    }

    fn links(&mut self, sums: &BTreeMap<(String, Option<String>), Sum>) {
        type Value = fn(&Sum) -> u64;
        let counters: [(&str, &str, Value); 6] = [
            ("wharf_received_frames_total", "Frames read from links; a super-packet is one.", |s| {
                s.received.frames
            }),
            ("wharf_received_bytes_total", "Bytes read from links, Ethernet headers included.", |s| {
                s.received.bytes
            }),
            ("wharf_received_super_packets_total", "Of the frames read, those of several segments.", |s| {
                s.received.super_packets
            }),
            ("wharf_sent_frames_total", "Frames written to links.", |s| s.sent.frames),
            ("wharf_sent_bytes_total", "Bytes written to links, Ethernet headers included.", |s| {
                s.sent.bytes
            }),
            ("wharf_sent_super_packets_total", "Of the frames written, those of several segments.", |s| {
                s.sent.super_packets
            }),
        ];
        for (name, help, value) in counters {
            self.family(name, "counter", help);
            self.each(name, sums, value);
        }
        self.family("wharf_sessions", "gauge", "Live sessions.");
        self.each("wharf_sessions", sums, |sum| sum.sessions);
        self.family("wharf_links", "gauge", "Links that the gateway has.");
        self.each("wharf_links", sums, |sum| sum.links);
        let name = "wharf_drops_total";
        self.family(
            name,
            "counter",
            "Packets that ended, by reason; those of devices begin with egress_ and ingress_.",
        );
        for ((tenant, vpc), sum) in sums {
            let side = if vpc.is_some() { "vpc" } else { "containers" };
            let vpc = vpc.as_deref().unwrap_or_default();
            for (reason, count) in &sum.drops {
                self.sample(
                    name,
                    &[("tenant", tenant), ("side", &side), ("vpc", &vpc), ("reason", reason)],
                    count,
                );
            }
        }
        let name = "wharf_allocation_failures_total";
        self.family(
            name,
            "counter",
            "Sessions that could not be made for want of ports, quota or room, by reason.",
        );
        for ((tenant, _), sum) in sums {
            let failures = sum.drops.iter().filter(|(reason, _)| ALLOCATION.contains(reason));
            for (reason, count) in failures {
                self.sample(name, &[("tenant", tenant), ("reason", reason)], count);
            }
        }
    }

    fn ports(&mut self, resources: &Resources, stats: &Stats, sees: impl Fn(&FullName) -> bool) {
        type Value = fn(&gateway::PortUse) -> u64;
        let families: [(&str, &str, &str, Value); 3] = [
            ("wharf_ports_used", "gauge", "External ports in use.", |port| port.used.into()),
            ("wharf_ports_free", "gauge", "External ports that nobody has.", |port| port.free.into()),
            (
                "wharf_ports_given_up_total",
                "counter",
                "Ports that finished sessions have given up for new ones.",
                |port| port.given_up,
            ),
        ];
        for (name, kind, help, value) in families {
            self.family(name, kind, help);
            for port in &stats.ports {
                let Some(vpc) = resources.vpc_of(UplinkId(port.uplink.0)).filter(|vpc| sees(vpc)) else {
                    continue;
                };
                let labels: Labels<'_> = &[
                    ("tenant", &vpc.tenant),
                    ("vpc", &vpc.name),
                    ("address", &port.external),
                    ("protocol", &port.protocol),
                ];
                self.sample(name, labels, value(port));
            }
        }
    }

    fn resources(&mut self, resources: &Resources, sees: impl Fn(&FullName) -> bool) {
        let mut counts: BTreeMap<(String, &str, String), u64> = BTreeMap::new();
        let mut count = |name: &FullName, kind, state: String| {
            if sees(name) {
                *counts.entry((name.tenant.to_string(), kind, state)).or_default() += 1;
            }
        };
        resources.vpcs().for_each(|vpc| count(&vpc.name, "vpc", Life::state(&vpc.life).to_string()));
        resources.connectors().for_each(|c| count(&c.name, "connector", c.state().to_string()));
        resources.containers().for_each(|c| count(&c.name, "container", c.life.state().to_string()));
        self.family("wharf_resources", "gauge", "Resources, by kind and state.");
        for ((tenant, kind, state), count) in counts {
            self.sample("wharf_resources", &[("tenant", &tenant), ("kind", &kind), ("state", &state)], count);
        }
    }

    /// Environments by runtime, of which there are only so many.
    fn pools(&mut self, pools: &[(Name, PoolSettings, PoolCounts)]) {
        self.family("wharf_environments", "gauge", "Environments that serve nothing, by what they wait for.");
        for (runtime, _, counts) in pools {
            let states = [("creating", counts.creating), ("warm", counts.warm), ("idle", counts.idle)];
            for (state, count) in states {
                let labels: Labels = &[("runtime", runtime), ("state", &state)];
                self.sample("wharf_environments", labels, count as u64);
            }
        }
        let help = "What the environments of a runtime may use, in MiB.";
        self.family("wharf_pool_memory_mb", "gauge", help);
        for (runtime, _, counts) in pools {
            self.sample("wharf_pool_memory_mb", &[("runtime", runtime)], counts.used_mb);
        }
        let help = "Containers of a runtime that could not be made since the last that could.";
        self.family("wharf_pool_failures", "gauge", help);
        for (runtime, _, counts) in pools {
            self.sample("wharf_pool_failures", &[("runtime", runtime)], u64::from(counts.failures));
        }
    }

    fn workers(&mut self, stats: &Stats) {
        type Value = fn(&gateway::WorkerReport) -> u64;
        let families: [(&str, &str, &str, Value); 3] = [
            ("wharf_worker_sessions", "gauge", "Sessions in a worker's table.", |w| w.sessions),
            ("wharf_worker_wakeups_total", "counter", "Times that a worker woke up.", |w| w.wakeups),
            ("wharf_worker_handed_off_total", "counter", "Frames handed to another worker.", |w| {
                w.handed_off
            }),
        ];
        for (name, kind, help, value) in families {
            self.family(name, kind, help);
            for worker in &stats.workers {
                self.sample(name, &[("worker", &worker.index)], value(worker));
            }
        }
        let name = "wharf_worker_busy_seconds_total";
        self.family(name, "counter", "Processor time of a worker's thread.");
        for worker in &stats.workers {
            self.sample(name, &[("worker", &worker.index)], worker.busy.as_secs_f64());
        }
    }

    fn attaches(&mut self, times: &super::times::Times) {
        let name = "wharf_attach_duration_seconds";
        self.family(name, "histogram", "From an attach's arrival until the worker has it.");
        let (buckets, sum, count) = times.read();
        for (bound, below) in buckets {
            self.sample("wharf_attach_duration_seconds_bucket", &[("le", &bound)], below);
        }
        self.sample("wharf_attach_duration_seconds_bucket", &[("le", &"+Inf")], count);
        self.sample("wharf_attach_duration_seconds_sum", &[], sum);
        self.sample("wharf_attach_duration_seconds_count", &[], count);
    }
}

/// Reasons that say that something finite ran out.
const ALLOCATION: [&str; 5] =
    ["ports_exhausted", "quota_reached", "sessions_exhausted", "no_external_address", "session_rate"];
