//! Warm containers: how many, for whom, for how long.

use std::collections::BTreeSet;
use std::thread;

use serde_json::json;

use crate::faults::environments_of;
use crate::fixture::{ECHO, Scene, groups, patiently};

#[test]
fn a_burst_is_served_by_what_is_warm_and_by_no_more_than_it_takes() {
    let scene = Scene::start("fn-burst");
    scene.warm("python3", 8);
    let before = ids(&scene);
    scene.deployed(
        "sleeps",
        "import time\ndef handler(e, c):\n    time.sleep(0.2)\n    return e\n",
        &json!({}),
    );
    thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let scene = &scene;
                    move || scene.answer("sleeps", &json!(n))
                })
            })
            .collect();
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(call.join().unwrap(), n);
        }
    });
    let used: BTreeSet<_> =
        environments_of(&scene, "sleeps").iter().map(|one| one["id"].to_string()).collect();
    assert!(used.is_subset(&before), "those that were warm: {used:?} of {before:?}");
    // Short ones wait for each other instead.
    scene.deployed("short", ECHO, &json!({}));
    for n in 0..20 {
        scene.answer("short", &json!(n));
    }
    thread::scope(|scope| {
        for n in 0..40 {
            scope.spawn({
                let scene = &scene;
                move || assert_eq!(scene.answer("short", &json!(n)), n)
            });
        }
    });
    let used = environments_of(&scene, "short").len();
    assert!(used <= 8, "{used} environments for forty short invocations");
}

#[test]
fn concurrency_is_a_limit() {
    let scene = Scene::start("fn-limit");
    scene.warm("python3", 4);
    let sleeps = "import time\ndef handler(e, c):\n    time.sleep(0.3)\n    return e\n";
    scene.deployed("two", sleeps, &json!({"concurrency": 2}));
    let statuses: Vec<u16> = thread::scope(|scope| {
        let calls: Vec<_> = (0..30)
            .map(|n| {
                scope.spawn({
                    let scene = &scene;
                    move || scene.invoke("two", &json!(n))
                })
            })
            .collect();
        calls
            .into_iter()
            .map(|call| call.join().unwrap())
            .map(|(status, body)| {
                assert!(status == 200 || body["code"] == "too_many_invocations", "{status} {body}");
                status
            })
            .collect()
    });
    assert!(statuses.contains(&429) && statuses.contains(&200), "{statuses:?}");
    assert!(environments_of(&scene, "two").len() <= 2);
}

#[test]
fn environments_go_when_their_version_does_and_are_never_anybody_elses() {
    let scene = Scene::start("fn-versions");
    scene.deployed("f", "def handler(e, c):\n    return [1, c.function_version]\n", &json!({}));
    assert_eq!(scene.answer("f", &json!({})), json!([1, "1"]));
    let old = environments_of(&scene, "f")[0]["id"].clone();
    let change = json!({"code": {"zip": crate::fixture::zip(&[("handler.py", "def handler(e, c):\n    return [2, c.function_version]\n")])}});
    let (status, body) = scene.patch("/v1/functions/f", &change);
    assert_eq!((status, body["version"].as_u64()), (200, Some(2)), "{body}");
    assert_eq!(scene.answer("f", &json!({})), json!([2, "2"]));
    patiently("the old environment to go", || scene.environments().iter().all(|one| one["id"] != old));
    let (status, body) = scene.api.post("/v1/functions/f/invocations?version=1", &json!({}));
    assert_eq!((status, body), (200, json!([1, "1"])));
    assert_eq!(scene.api.delete("/v1/functions/f").0, 204);
    patiently("all of it to go", || environments_of(&scene, "f").is_empty());
    assert_eq!(scene.invoke("f", &json!({})).0, 404);
}

#[test]
fn every_step_of_an_environment_is_told_with_its_cause() {
    let scene = Scene::start("fn-steps");
    scene.deployed("f", ECHO, &json!({}));
    scene.answer("f", &json!({}));
    let id = environments_of(&scene, "f")[0]["id"].as_str().unwrap().to_owned();
    let detail = scene.api.get(&format!("/v1/environments/{id}")).1;
    let steps: Vec<_> =
        detail["transitions"].as_array().unwrap().iter().map(|step| step["to"].as_str().unwrap()).collect();
    assert_eq!(steps[..5], ["creating", "warm", "init", "idle", "busy"], "{detail}");
    assert!(detail["memory_bytes"].as_u64().unwrap() > 1 << 20, "{detail}");
    assert!(scene.api.delete(&format!("/v1/environments/{id}")).0 < 300);
    patiently("it to go", || scene.environments().iter().all(|one| one["id"] != id.as_str()));
    scene.answer("f", &json!({}));
}

#[test]
fn a_container_that_is_killed_is_replaced_and_a_killed_daemon_leaves_nothing_to_the_next() {
    let mut scene = Scene::start("fn-killed");
    scene.warm("python3", 3);
    let before = groups();
    assert!(!before.is_empty());
    let mine = scene.left();
    let pids: Vec<i32> = mine
        .iter()
        .filter_map(|group| std::fs::read_to_string(group.join("cgroup.procs")).ok())
        .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
        .collect();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pids[0]), nix::sys::signal::Signal::SIGKILL).unwrap();
    scene.warm("python3", 3);
    scene.deployed("f", ECHO, &json!({}));
    scene.answer("f", &json!(1));
    let mine = scene.left();
    scene.daemon.restart();
    assert!(mine.iter().all(|path| !path.exists()), "what the killed one had is gone: {mine:?}");
    assert_eq!(scene.answer("f", &json!(2)), 2);
    scene.warm("python3", 3);
}

fn ids(scene: &Scene) -> BTreeSet<String> {
    scene.environments().iter().map(|one| one["id"].to_string()).collect()
}
