//! Many invocations of many functions while containers crash and are killed, and the daemon is killed too.
//!
//! `WHARF_INVOCATIONS` is how many (500 unless set; the long run is 10,000), `WHARF_SEED` repeats a run.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use hyper::Method;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tests::Random;

use crate::fixture::{Scene, groups, patiently};

const FUNCTIONS: usize = 50;

const CLIENTS: usize = 8;

/// One daemon's life, in invocations.
const LIFE: u32 = 250;

/// Answers with its event, and now and then does not.
const MOODY: &str = "import os, random, time\ndef handler(event, context):\n    mood = random.random()\n    if mood < 0.02: os._exit(1)\n    if mood < 0.04: raise ValueError('a bad day')\n    if mood < 0.10: time.sleep(0.05)\n    return event\n";

#[derive(Default)]
struct Counts {
    /// By status and code; 0 for callers that were cut off with the daemon.
    sync: BTreeMap<(u16, String), u32>,
    accepted: Vec<(String, String)>,
    kills: u32,
    restarts: u32,
}

#[test]
fn every_caller_gets_an_answer_or_a_clear_error_and_everything_accepted_ends() {
    let invocations: u32 =
        env::var("WHARF_INVOCATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    let seed = env::var("WHARF_SEED").ok().and_then(|text| text.parse().ok());
    let seed =
        seed.unwrap_or_else(|| u64::from(std::process::id()) ^ Instant::now().elapsed().as_nanos() as u64);
    println!("{invocations} invocations, seed {seed} (WHARF_SEED)");
    let scene = Scene::start("fn-crowd");
    scene.warm("python3", 8);
    for n in 0..FUNCTIONS {
        scene.deployed(&format!("moody-{n}"), MOODY, &json!({"timeout_s": 5, "memory_mb": 64}));
    }
    let (begun, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let counts = Mutex::new(Counts::default());
    let scene = RwLock::new(scene);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS as u64)
            .map(|client| {
                let (scene, begun, counts) = (&scene, &begun, &counts);
                scope.spawn(move || {
                    let mut random = Random::new(seed ^ (client + 1));
                    while begun.fetch_add(1, Ordering::SeqCst) < invocations {
                        let api = scene.read().unwrap().api.clone();
                        call(&api, &mut random, counts);
                    }
                })
            })
            .collect();
        let chaos = scope.spawn(|| chaos(&scene, &begun, &over, &counts, seed));
        let outcomes: Vec<_> = clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::SeqCst);
        chaos.join().unwrap();
        for outcome in outcomes {
            outcome.unwrap();
        }
    });
    let (scene, counts) = (scene.into_inner().unwrap(), counts.into_inner().unwrap());
    println!(
        "{:?}, {} kills, {} restarts, {} accepted",
        counts.sync,
        counts.kills,
        counts.restarts,
        counts.accepted.len()
    );
    let ok = counts.sync.get(&(200, String::new())).copied().unwrap_or_default();
    assert!(ok > invocations / 3, "{:?}", counts.sync);
    assert!(counts.kills > 0 && counts.restarts > 0 && !counts.accepted.is_empty());
    let mut ends = BTreeMap::<String, u32>::new();
    for (function, id) in &counts.accepted {
        let path = format!("/v1/functions/{function}/invocations/{id}");
        patiently(&path, || {
            let (status, body) = scene.api.get(&path);
            assert_eq!(status, 200, "what was accepted is known: {body}");
            let state = body["state"].as_str().unwrap_or_default();
            let is_over = state == "succeeded" || (state == "failed" && !body["fault"].is_null());
            if is_over {
                *ends.entry(state.to_owned()).or_default() += 1;
            }
            is_over
        });
    }
    println!("accepted ones: {ends:?}");
    let pid = scene.daemon.pid();
    let others: Vec<_> = groups_of_others(pid, &scene);
    assert!(others.is_empty(), "of daemons that were killed: {others:?}");
}

/// Groups below this daemon's parent group that are not its own.
fn groups_of_others(pid: u32, scene: &Scene) -> Vec<std::path::PathBuf> {
    let parents: Vec<_> = scene
        .left()
        .iter()
        .filter_map(|path| path.parent().map(Into::into))
        .collect::<Vec<std::path::PathBuf>>();
    let own = format!("w{pid}-");
    let is_ours = |path: &std::path::PathBuf| {
        path.parent().is_some_and(|parent| parents.iter().any(|own| own == parent))
    };
    let is_own = |path: &std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&own))
    };
    groups().into_iter().filter(|path| is_ours(path) && !is_own(path)).collect()
}

fn call(api: &tests::Api, random: &mut Random, counts: &Mutex<Counts>) {
    let function = format!("moody-{}", random.below(FUNCTIONS as u64));
    let event = json!({"n": random.below(1_000)});
    let is_async = random.below(10) < 3;
    let path = format!("/v1/functions/{function}/invocations{}", if is_async { "?mode=async" } else { "" });
    match api.send(Method::POST, &path, event.to_string().into()) {
        Ok((202, body)) if is_async => {
            counts.lock().unwrap().accepted.push((function, body["id"].as_str().unwrap().to_owned()));
        }
        Ok((200, body)) if !is_async => {
            assert_eq!(body, event, "everybody gets his own answer");
            *counts.lock().unwrap().sync.entry((200, String::new())).or_default() += 1;
        }
        Ok((status, body)) => {
            let code = body["code"].as_str().unwrap_or_else(|| panic!("{status} without a code: {body}"));
            assert!(status >= 400 && code != "internal" && code != "not_found", "{status} {body}");
            *counts.lock().unwrap().sync.entry((status, code.to_owned())).or_default() += 1;
        }
        // The daemon was killed under it, or is not there yet.
        Err(error) => {
            assert_ne!(error.kind(), io::ErrorKind::TimedOut, "{path}: a caller who hears nothing");
            *counts.lock().unwrap().sync.entry((0, String::new())).or_default() += 1;
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Kills containers all the time, and the daemon now and then.
fn chaos(scene: &RwLock<Scene>, begun: &AtomicU32, over: &AtomicBool, counts: &Mutex<Counts>, seed: u64) {
    let mut random = Random::new(seed);
    let mut next = LIFE;
    while !over.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(20 + random.below(200)));
        if begun.load(Ordering::SeqCst) >= next {
            next += LIFE;
            scene.write().unwrap().daemon.restart();
            counts.lock().unwrap().restarts += 1;
            continue;
        }
        let groups = scene.read().unwrap().left();
        if groups.is_empty() {
            continue;
        }
        let group = &groups[random.below(groups.len() as u64) as usize];
        let Ok(text) = std::fs::read_to_string(group.join("cgroup.procs")) else { continue };
        if let Some(pid) = text.lines().find_map(|line| line.parse().ok()) {
            _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            counts.lock().unwrap().kills += 1;
        }
    }
}
