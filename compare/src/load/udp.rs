//! Packets on one flow: as many as the sender can make, or at a rate.

mod device;
mod sieve;
mod sink;
mod source;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use netlab::Namespace;

use self::device::{Device, Received};
use self::sieve::Sieve;
use self::sink::Sink;
use super::LoadError;
use super::cpu::CpuTime;
use super::pattern::{PacketPattern, SEALED};
use super::socket;
use super::window::{Control, Counted, Timing};

/// Payload of an IPv4 packet in the smallest Ethernet frame: 64 bytes with headers (14 + 20 + 8) and check sequence (4).
pub const PAYLOAD_64: usize = 18;

/// Payload of the large packets. Bytes; their frames have 1,442.
pub const PAYLOAD_1400: usize = 1400;

/// Where delivered packets are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// At the server's device of this name; its socket takes a sample only, which is checked.
    Device(String),
    /// At the server's socket, which takes and checks all.
    Socket,
}

/// What to send.
#[derive(Clone, Debug)]
pub struct UdpPlan {
    /// Where the client sends to.
    pub remote: SocketAddr,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Bytes of each packet after its UDP header.
    pub payload: usize,
    /// Where delivered packets are counted.
    pub at: At,
    /// Packets per second that the client sends, evenly; `None` for as many as it can.
    pub rate: Option<u32>,
    /// Time before the window.
    pub warm_up: Duration,
    /// Length of the window.
    pub duration: Duration,
}

/// What was delivered.
#[derive(Clone, Debug)]
pub struct Flood {
    /// Packets that the client's kernel took within the window.
    pub sent: u64,
    /// Packets that were counted within the window.
    pub delivered: u64,
    /// The window as it was.
    pub window: Duration,
    /// What the machine worked within the window.
    pub cpu: CpuTime,
    /// Whom the server saw.
    pub peer: SocketAddr,
}

impl Flood {
    /// Delivered packets per second.
    pub fn pps(&self) -> f64 {
        self.delivered as f64 / self.window.as_secs_f64()
    }

    /// Seconds of processor time per million packets delivered.
    pub fn cpu_s_per_mpkt(&self) -> f64 {
        self.cpu.busy / (self.delivered as f64 / 1e6)
    }
}

/// Sends on one flow, and returns what was delivered within the window.
///
/// At [`At::Device`] a rule behind the counters drops all but one packet of 256, chosen at random: no route, no socket,
/// no wake-up and no ICMP error, the same little work for every subject. The sample is checked like the packets at
/// [`At::Socket`]: every byte, and that no packet comes twice.
pub fn flood(client: &Namespace, server: &Namespace, plan: &UdpPlan) -> Result<Flood, LoadError> {
    if plan.payload < SEALED {
        return Err(LoadError::Plan("a packet needs a payload of 16 bytes at least"));
    }
    let device = match &plan.at {
        At::Device(name) => Some(Device::open(server, name)?),
        At::Socket => None,
    };
    let sink = Sink::open(server, plan.listen)?;
    let _sieve = match &plan.at {
        At::Device(name) => Some(Sieve::set(server, name, plan.listen)?),
        At::Socket => None,
    };
    let source = socket::udp_source(client, plan.remote)?;
    let pattern = PacketPattern::new(plan.payload);
    let (sent, taken, control) = (AtomicU64::new(0), AtomicU64::new(0), Control::default());
    let (window, peer) = thread::scope(|scope| {
        let peer = scope.spawn(|| control.guard(|| sink.take(&pattern, &control, &taken)));
        scope.spawn(|| control.guard(|| source::send(&source, &pattern, plan.rate, &control, &sent)));
        let read = || {
            let traffic = match &device {
                Some(device) => device.received()?,
                None => Received { packets: taken.load(Ordering::Relaxed), bytes: 0 },
            };
            Ok([traffic.packets, traffic.bytes, sent.load(Ordering::Relaxed)])
        };
        let noise = if device.is_some() { NOISE } else { 0 };
        let timing = Timing { warm_up: plan.warm_up, duration: plan.duration };
        let window = control.measure(timing, &Counted { what: WHAT, read, noise, may_stall: false });
        (window, peer.join().expect("the sink does not panic"))
    });
    let (window, peer) = control.finish(window.zip(peer))?;
    let [delivered, bytes, sent] = window.grown;
    if let Some(device) = device {
        device.check_size(delivered, bytes, frame(plan))?;
    }
    Ok(Flood { sent, delivered, window: window.span, cpu: window.cpu, peer })
}

/// Length of a frame as devices count it: without check sequence.
fn frame(plan: &UdpPlan) -> u64 {
    let ip = if plan.listen.is_ipv4() { 20 } else { 40 };
    14 + ip + 8 + plan.payload as u64
}

/// For errors.
const WHAT: &str = "the UDP flow";

/// Packets of other protocols that may come to the server's device within a tenth of a second.
const NOISE: u64 = 20;
