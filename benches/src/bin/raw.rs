//! A forwarder that only moves frames between two TAP devices: the limit that the gateway is compared with.
//!
//! The devices are made, and read and written, by the gateway's own code: same flags and offloads, same batches, same
//! loop. Nothing is looked at or changed, so a frame needs the other end's MAC address, and ARP passes like everything else.
//!
//! `raw --left client:eth0 --right server:eth0` prints `ready` when both devices are up. It ends on SIGINT and SIGTERM,
//! and its devices with it.

use std::io;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use gateway::io::{Batch, Device, Failure, Staging};
use gateway::{Netns, Spin, Spinning, open_bare_tap};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};

/// Moves frames between two new TAP devices, unchanged.
#[derive(Debug, Parser)]
struct Flags {
    /// One device
    #[arg(long, value_name = "NETNS:DEVICE")]
    left: Place,
    /// The other one
    #[arg(long, value_name = "NETNS:DEVICE")]
    right: Place,
    /// MTU of both
    #[arg(long, value_name = "BYTES", default_value_t = 1500)]
    mtu: u16,
    /// Threads: one for both directions, or one for each
    #[arg(long, value_name = "1|2", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=2))]
    workers: u8,
    /// Look for more frames for this long before sleeping, as the gateway does; its default unless set
    #[arg(long, value_name = "MICROSECONDS")]
    spin: Option<u64>,
}

/// A device's name, and that of the namespace that it shall be in.
#[derive(Clone, Debug)]
struct Place {
    netns: Netns,
    device: String,
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (netns, device) = text.split_once(':').ok_or("is not NETNS:DEVICE")?;
        Ok(Self { netns: Netns::Name(netns.into()), device: device.into() })
    }
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raw: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Forwards until a signal arrives. The devices go when the process ends, as their descriptors do.
fn run(flags: &Flags) -> Result<(), Box<dyn std::error::Error>> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    // Inherited by the threads, so that the signals wait for us.
    signals.thread_block()?;
    let staging = Staging::new()?;
    let open = |place: &Place| open_bare_tap(&staging, &place.netns, &place.device, flags.mtu).map(Arc::new);
    let (left, right) = (open(&flags.left)?, open(&flags.right)?);
    let there = (Arc::clone(&left), Arc::clone(&right));
    let back = (right, left);
    let spinning = match flags.spin {
        None => Spinning::default(),
        Some(micros) => Spinning::up_to(Duration::from_micros(micros)).ok_or("--spin is at most 1000")?,
    };
    if flags.workers == 1 {
        start(vec![there, back], spinning)?;
    } else {
        start(vec![there], spinning)?;
        start(vec![back], spinning)?;
    }
    println!("ready");
    signals.wait()?;
    Ok(())
}

/// A device that is read, and the one that its frames go to.
type Way = (Arc<Device>, Arc<Device>);

/// Starts a thread that serves these ways for as long as the process lives.
fn start(ways: Vec<Way>, spinning: Spinning) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (index, (from, _)) in ways.iter().enumerate() {
        epoll.add(from, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
    }
    std::thread::Builder::new().name("raw-worker".into()).spawn(move || serve(&epoll, &ways, spinning))?;
    Ok(())
}

fn serve(epoll: &Epoll, ways: &[Way], spinning: Spinning) {
    let mut ready = [EpollEvent::empty(); 2];
    let mut batch = Batch::new();
    let mut all = Vec::new();
    let mut spin = Spin::new(spinning);
    let start = Instant::now();
    let now = || gateway_core::Instant::from_nanos(start.elapsed().as_nanos() as u64);
    loop {
        let timeout = if spin.goes_on(now()) {
            std::thread::yield_now();
            EpollTimeout::ZERO
        } else {
            EpollTimeout::NONE
        };
        let count = match epoll.wait(&mut ready, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => panic!("epoll_wait: {errno}"),
        };
        for event in &ready[..count] {
            let (from, to) = &ways[event.data() as usize];
            if move_batch(from, to, &mut batch, &mut all) == Err(Failure::Gone) {
                let _ = epoll.delete(from);
            }
        }
        if count > 0 {
            spin.work(now());
        }
    }
}

/// Reads a batch, and writes its frames in order. What the other device does not take is lost.
/// `all` has the numbers from zero on.
fn move_batch(from: &Device, to: &Device, batch: &mut Batch, all: &mut Vec<usize>) -> Result<(), Failure> {
    let outcome = batch.read(from, |_| {});
    all.extend(all.len()..batch.len());
    batch.write(to, &all[..batch.len()], |_, _| {});
    outcome
}
