//! What `cargo xtask bench-core` runs: one number a line, `name value`, on standard output.

use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, io};

use benches::instructions::CASES;
use benches::{floor, growth, times};
use gateway_core::limits::SESSIONS;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["times"] => print_times(),
        ["adversary"] => print_adversary(),
        ["growth"] => print_growth(),
        ["growth-calls"] => send_calls(),
        ["cases"] => CASES.iter().for_each(|(name, _)| println!("{name}")),
        ["case", name] => match CASES.iter().find(|(known, _)| *known == name) {
            Some((_, case)) => println!("{name} {}", case.run()),
            None => return usage(),
        },
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: bench-core times | adversary | growth | growth-calls | cases | case NAME");
    ExitCode::FAILURE
}

fn print_times() {
    let [small, large] = times::hits([times::FILL, SESSIONS as u64]);
    println!("translate_hit_64k_ns {small:.1}");
    println!("translate_hit_4m_ns {large:.1}");
    println!("translate_hit_64k_memory_alone_ns {:.1}", floor::hit(times::FILL));
    println!("translate_hit_4m_memory_alone_ns {:.1}", floor::hit(SESSIONS as u64));
    println!("new_session_ns {:.1}", times::growing(1));
    println!("new_session_of_16_to_a_mapping_ns {:.1}", times::growing(16));
    println!("new_session_memory_alone_ns {:.1}", floor::new_session());
    let (opening, ending) = times::churning();
    println!("new_session_churn_ns {opening:.1}");
    println!("expire_ns {ending:.1}");
}

fn print_adversary() {
    for (name, lookup, packet) in times::adversary() {
        println!("adversary_{name}_lookup_ratio {lookup:.2}");
        println!("adversary_{name}_packet_ratio {packet:.2}");
    }
}

/// The slowest call, without what disturbs the machine: which call does what is the same in every run, so of each call the
/// fastest of several runs counts, and of these the slowest. Each run is a process of its own, so that the kernel's part, fresh
/// memory, is in every one of them.
fn print_growth() {
    let mut best: Vec<u64> = Vec::new();
    let start = Instant::now();
    for run in 1..=GROWTHS {
        if run > 3 && start.elapsed() > GROWING {
            break;
        }
        let calls = calls_of_a_process();
        println!("growth_run_{run}_longest_us {:.1}", growth::slowest(&calls).as_secs_f64() * 1e6);
        if best.is_empty() {
            best = calls;
        } else {
            assert_eq!(best.len(), calls.len(), "every run has the same calls");
            best.iter_mut().zip(calls).for_each(|(best, call)| *best = call.min(*best));
        }
    }
    println!("growth_pause_us {:.1}", growth::slowest(&best).as_secs_f64() * 1e6);
    let slowest = best.iter().zip(0_u64..).max().map_or(0, |(_, number)| number);
    println!("growth_slowest_call {slowest}");
    let slow = best.iter().filter(|&&nanos| nanos > 50_000).count();
    println!("growth_calls_over_50_us {slow}");
}

fn calls_of_a_process() -> Vec<u64> {
    let program = env::current_exe().expect("this program has a path");
    let mut child =
        Command::new(program).arg("growth-calls").stdout(Stdio::piped()).spawn().expect("a process");
    let mut bytes = Vec::new();
    child.stdout.take().expect("a pipe").read_to_end(&mut bytes).expect("what the process says");
    assert!(child.wait().expect("the process ends").success(), "the process has not failed");
    bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_ne_bytes(*chunk)).collect()
}

fn send_calls() {
    let bytes: Vec<u8> = growth::calls().iter().flat_map(|nanos| nanos.to_ne_bytes()).collect();
    io::stdout().write_all(&bytes).expect("somebody reads");
}

/// Runs of which the fastest of each call counts.
const GROWTHS: usize = 5;

/// No run begins after this long, but the first three.
const GROWING: Duration = Duration::from_secs(30);
