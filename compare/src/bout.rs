//! One run: one kind of traffic through one subject, and all that must hold for it to count.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::end::Offloads;
use crate::load::crr::{self, CrrPlan};
use crate::load::rtt::{self, Bulk, Protocol, RttPlan};
use crate::load::tcp::{self, Direction, TcpPlan};
use crate::load::udp::{self, At, UdpPlan};
use crate::metric::{Metric, Traffic};
use crate::refusal::Refusal;
use crate::subject::{SERVER, Stand};

/// How long and how much.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Lengths {
    /// Before the window of every run. Seconds.
    #[serde(serialize_with = "seconds")]
    pub warm_up: Duration,
    /// The window of every run. Seconds.
    #[serde(serialize_with = "seconds")]
    pub window: Duration,
}

/// Streams of the metric with several.
pub const STREAMS: usize = 4;

/// Packets per second that are sent where the cost of a packet is measured.
pub const PACED: u32 = 50_000;

/// Threads of the client and of the server for connections, and connections that each keeps under way.
pub const CONNECTORS: (usize, usize) = (1, 16);

/// What a run found out.
pub type Values = Vec<(Metric, f64)>;

/// What went through.
struct Carried {
    values: Values,
    /// Whom the server saw.
    peers: Vec<SocketAddr>,
    /// Payload. Bytes.
    bytes: u64,
}

/// Sends the traffic through the subject, whose programs run only meanwhile.
pub fn run(stand: &Stand, traffic: Traffic, lengths: Lengths) -> Result<Values, Refusal> {
    stand.resume();
    let outcome = checked(stand, traffic, lengths);
    stand.pause();
    outcome
}

fn checked(stand: &Stand, traffic: Traffic, lengths: Lengths) -> Result<Values, Refusal> {
    if traffic != Traffic::TcpUpNoOffload {
        return counted(stand, traffic, lengths, Offloads::Used);
    }
    stand.set(Offloads::Unused)?;
    let outcome = counted(stand, traffic, lengths, Offloads::Unused);
    stand.set(Offloads::Used)?;
    outcome
}

fn counted(stand: &Stand, traffic: Traffic, lengths: Lengths, offloads: Offloads) -> Result<Values, Refusal> {
    let before = stand.check(offloads)?;
    let carried = carry(stand, traffic, lengths)?;
    let after = stand.check(offloads)?;
    for (end, (before, after)) in stand.ends().zip(before.into_iter().zip(after)) {
        let counted = after.saturating_sub(before);
        if counted < carried.bytes {
            let (at, device, carried) = (end.at, end.device.clone(), carried.bytes);
            return Err(Refusal::Bypassed { at, device, counted, carried });
        }
    }
    let other = carried.peers.iter().map(SocketAddr::ip).find(|peer| *peer != IpAddr::V4(stand.seen));
    match other {
        Some(found) => Err(Refusal::Peer { found, expected: stand.seen }),
        None => Ok(carried.values),
    }
}

fn carry(stand: &Stand, traffic: Traffic, lengths: Lengths) -> Result<Carried, Refusal> {
    match traffic {
        Traffic::TcpUp | Traffic::TcpUpNoOffload => stream(stand, traffic, lengths, Direction::Up, 1),
        Traffic::TcpDown => stream(stand, traffic, lengths, Direction::Down, 1),
        Traffic::TcpFour => stream(stand, traffic, lengths, Direction::Up, STREAMS),
        Traffic::UdpSmall | Traffic::UdpLarge | Traffic::UdpSmallSocket | Traffic::UdpPaced => {
            packets(stand, traffic, lengths)
        }
        Traffic::Crr => connections(stand, lengths),
        Traffic::Rtt | Traffic::RttLoaded => requests(stand, traffic, lengths),
    }
}

fn stream(
    stand: &Stand,
    traffic: Traffic,
    Lengths { warm_up, window }: Lengths,
    direction: Direction,
    streams: usize,
) -> Result<Carried, Refusal> {
    let (remote, listen) = addresses();
    let plan = TcpPlan { remote, listen, direction, streams, warm_up, duration: window };
    let done = tcp::transfer(&stand.site.client, &stand.site.server, &plan)?;
    let metrics = traffic.metrics().iter();
    let values = metrics.map(|metric| match metric {
        Metric::CpuPerGigabyte => (*metric, done.cpu_s_per_gb()),
        _ => (*metric, done.gbps()),
    });
    Ok(Carried { values: values.collect(), bytes: done.bytes, peers: done.peers })
}

fn packets(
    stand: &Stand,
    traffic: Traffic,
    Lengths { warm_up, window }: Lengths,
) -> Result<Carried, Refusal> {
    let (remote, listen) = addresses();
    let payload = if traffic == Traffic::UdpLarge { udp::PAYLOAD_1400 } else { udp::PAYLOAD_64 };
    let at = match traffic {
        Traffic::UdpSmallSocket => At::Socket,
        _ => At::Device(stand.server.device.clone()),
    };
    let rate = (traffic == Traffic::UdpPaced).then_some(PACED);
    let plan = UdpPlan { remote, listen, payload, at, rate, warm_up, duration: window };
    let done = udp::flood(&stand.site.client, &stand.site.server, &plan)?;
    let metrics = traffic.metrics().iter();
    let values = metrics.map(|metric| match metric {
        Metric::CpuPerMillionPackets => (*metric, done.cpu_s_per_mpkt()),
        _ => (*metric, done.pps()),
    });
    let bytes = done.delivered * payload as u64;
    Ok(Carried { values: values.collect(), bytes, peers: vec![done.peer] })
}

fn connections(stand: &Stand, Lengths { warm_up, window }: Lengths) -> Result<Carried, Refusal> {
    let (remote, listen) = addresses();
    let (threads, concurrent) = CONNECTORS;
    let plan = CrrPlan { remote, listen, threads, concurrent, warm_up, duration: window };
    let done = crr::run(&stand.site.client, &stand.site.server, &plan)?;
    Ok(Carried {
        values: vec![(Metric::Crr, done.per_second())],
        bytes: done.completed,
        peers: vec![done.peer],
    })
}

fn requests(
    stand: &Stand,
    traffic: Traffic,
    Lengths { warm_up, window }: Lengths,
) -> Result<Carried, Refusal> {
    let (remote, listen) = addresses();
    let plan = RttPlan { remote, listen, protocol: Protocol::Udp, warm_up, duration: window };
    let (client, server) = (&stand.site.client, &stand.site.server);
    let values = if traffic == Traffic::RttLoaded {
        let (remote, listen) = addresses();
        let done = rtt::loaded(client, server, &plan, &Bulk { remote, listen, direction: Direction::Up })?;
        vec![(Metric::RttLoadedTail, done.p99_us)]
    } else {
        let done = rtt::run(client, server, &plan)?;
        vec![(Metric::RttMedian, done.p50_us), (Metric::RttTail, done.p99_us)]
    };
    Ok(Carried { values, bytes: 0, peers: Vec::new() })
}

/// Where the client sends to and the server listens: a new port for every run, so that nothing of an earlier one is met.
fn addresses() -> (SocketAddr, SocketAddr) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Below the ports that clients are given; those are counted by the kernel of another namespace.
    let port = 5_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 20_000;
    let address = SocketAddr::from((SERVER, port));
    (address, address)
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
