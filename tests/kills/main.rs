//! A daemon that is killed at random points under a stream of changes. After each start everything that was acknowledged is there, what was
//! under way is there whole or not at all, and the gateway has what is intended.
//!
//! `WHARF_KILLS` is how many times (200 unless set; the long run is 1,000), `WHARF_SEED` repeats a run.

mod client;
mod model;

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netlab::{Lab, Namespace};
use tests::{Daemon, Random, eventually};

use client::Client;

/// Clients that change things at the same time, each its own.
const CLIENTS: usize = 4;

/// Longest time from a start, or from its readiness, to the kill.
const LONGEST: Duration = Duration::from_millis(120);

#[test]
fn a_killed_daemon_has_everything_that_it_acknowledged_and_the_gateway_what_is_intended() {
    let kills: u32 = env::var("WHARF_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let seed = env::var("WHARF_SEED").ok().and_then(|text| text.parse().ok());
    let seed =
        seed.unwrap_or_else(|| Instant::now().elapsed().as_nanos() as u64 ^ u64::from(std::process::id()));
    println!("{kills} kills, seed {seed} (WHARF_SEED)");
    let mut random = Random::new(seed);

    let state = tempfile::tempdir().expect("a directory for the state");
    let mut daemon = Daemon::start_with(&["--state", state.path().to_str().expect("a path of text")]);
    let lab = Lab::new("kills").expect("a lab");
    let vpc = lab.namespace("vpc").expect("a namespace");
    daemon.api().vpc_tap("vpc", &vpc);
    let containers: Vec<Vec<Namespace>> = (0..CLIENTS).map(|client| namespaces(&lab, client)).collect();
    let mut clients: Vec<_> =
        containers.iter().enumerate().map(|(i, own)| Client::new(i, own, random.next())).collect();

    let (mut changes, mut cut_short) = (0, 0);
    for kill in 0..kills {
        // Some kills come while it takes up what the one before has left.
        if random.below(4) == 0 {
            daemon.start_anew();
        }
        let life = LONGEST * random.below(1_000) as u32 / 1_000;
        run(&daemon, &mut clients, life);
        daemon.restart();
        for client in &mut clients {
            cut_short += u32::from(client.is_cut_short());
            let wrong = Mutex::new(String::new());
            eventually_or(&wrong, kill, || client.agrees(&daemon.api()));
            changes += client.take_count();
        }
        the_gateway_has_what_is_intended(&daemon, &clients);
    }
    println!("{changes} changes acknowledged, {cut_short} cut short");
    assert!(changes > kills && cut_short > kills / 20, "the kills came at points that tell something");
}

/// Lets all clients change things until the daemon is killed.
fn run(daemon: &Daemon, clients: &mut [Client], life: Duration) {
    let (api, over) = (daemon.api(), AtomicBool::new(false));
    thread::scope(|scope| {
        for client in clients {
            let (api, over) = (api.clone(), &over);
            scope.spawn(move || client.run(&api, over));
        }
        // The point of the kill is a time, as it is about any instruction at all.
        thread::sleep(life);
        daemon.kill();
        over.store(true, Ordering::SeqCst);
    });
}

/// Waits until `check` finds nothing wrong, and fails with what it found last.
fn eventually_or(wrong: &Mutex<String>, kill: u32, mut check: impl FnMut() -> Result<(), String>) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually("the intent", || match check() {
            Ok(()) => true,
            Err(problem) => {
                *wrong.lock().expect("nobody panics with it") = problem;
                false
            }
        });
    }));
    assert!(outcome.is_ok(), "after kill {kill}: {}", wrong.lock().expect("nobody panics with it"));
}

fn the_gateway_has_what_is_intended(daemon: &Daemon, clients: &[Client]) {
    let stats = daemon.api().stats();
    let links = stats["containers"].as_array().expect("containers");
    let mut in_gateway: Vec<_> =
        links.iter().map(|link| link["name"].as_str().expect("a name").to_owned()).collect();
    let mut intended: Vec<_> = clients.iter().flat_map(Client::containers).collect();
    in_gateway.sort();
    intended.sort();
    assert_eq!(in_gateway, intended);
    for client in clients {
        client.gateway_agrees(&daemon.api());
    }
}

fn namespaces(lab: &Lab, client: usize) -> Vec<Namespace> {
    (0..2).map(|i| lab.namespace(&format!("c{client}{i}")).expect("a namespace")).collect()
}
