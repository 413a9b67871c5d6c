//! Memory of sessions, everything counted: what the allocator was asked for while an engine got a million UDP sessions, sixteen
//! for each mapping, as a million has them behind one external address; and with a mapping and a port for each. One number a line,
//! `name value`.
//!
//! It is a program of its own because counting slows the allocator down.

use std::fs;

use benches::network::Family;
use benches::population::{Kind, Population};
use benches::statistics::ratio;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn main() {
    measure("bytes_per_session", Population::sharing(Family::V4, Kind::Udp, REMOTES));
    measure("bytes_per_session_and_mapping", Population::new(Family::V4, Kind::Udp));
    measure("bytes_per_tcp_session", Population::sharing(Family::V4, Kind::Tcp, REMOTES));
}

/// Lets sessions begin, and says what each of them takes.
fn measure(name: &str, mut population: Population) {
    let (heap, resident) = (ALLOCATOR.current_usage(), resident());
    ALLOCATOR.reset_peak_usage();
    population.grow_to(SESSIONS);
    let grown = |to: usize, from: usize| ratio(to.saturating_sub(from) as u64, SESSIONS);
    println!("{name} {:.1}", grown(ALLOCATOR.current_usage(), heap));
    println!("{name}_peak {:.1}", grown(ALLOCATOR.peak_usage(), heap));
    println!("{name}_resident {:.1}", grown(self::resident(), resident));
}

/// Bytes of memory that the process has.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident size");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// Sessions that memory is counted of.
const SESSIONS: u64 = 1_000_000;

/// Sessions of each mapping: a million over the 64,512 ports of an address.
const REMOTES: u64 = 16;
