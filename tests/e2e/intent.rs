//! What is intended outlives the daemon: containers are taken again with their devices, and what has gone meanwhile is said to be gone.

use std::process::Command;

use netlab::Namespace;
use netlab::traffic::{Bulk, UdpEcho, udp_exchange, upload};
use serde_json::json;
use tests::{Daemon, PATIENCE, SERVER, eventually};

use crate::fixture::{SHORT, Scene, any_port};

/// A daemon that keeps its state, and where.
fn keeping() -> (tempfile::TempDir, Daemon) {
    let state = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_with(&["--state", state.path().to_str().unwrap()]);
    (state, daemon)
}

fn ip(namespace: &Namespace, arguments: &[&str]) -> String {
    let output = Command::new("ip").args(["-n", namespace.name()]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_killed_daemon_takes_its_containers_again_with_their_devices() {
    let (_state, daemon) = keeping();
    let mut scene = Scene::with(daemon, "taken-again");
    let (vpc, c1) = (scene.vpc("orders"), scene.container("c1", "orders"));
    let udp = UdpEcho::start(&vpc, SERVER, "orders").unwrap();
    let exchange = || c1.run(|| udp_exchange(any_port(), udp.address(), b"x", PATIENCE));
    exchange().unwrap();
    // Something of the user's own.
    ip(&c1, &["route", "add", "10.77.0.0/16", "via", "169.254.1.1"]);
    let link = |namespace: &Namespace| {
        let text = ip(namespace, &["-o", "link", "show", "type", "tun"]);
        text.split(':').next().unwrap().to_owned()
    };
    let before = [link(&c1), link(&vpc)];
    let (_, shown) = scene.api.get("/v1/containers/c1");

    scene.daemon.kill();
    scene.daemon.restart();
    eventually("the container", || scene.state("containers", "c1") == "ready");
    eventually("its connector", || scene.api.get("/v1/containers/c1").1["connectors"] == json!(["orders"]));
    assert_eq!([link(&c1), link(&vpc)], before, "the very same devices");
    assert!(ip(&c1, &["route"]).contains("10.77.0.0/16"), "what the user added is there");
    let (_, again) = scene.api.get("/v1/containers/c1");
    assert_eq!((&shown["mac"], &shown["revision"]), (&again["mac"], &again["revision"]));
    exchange().unwrap();
    let bulk = Bulk::start(&vpc, SERVER).unwrap();
    assert!(c1.run(|| upload(bulk.address(), SHORT)).unwrap().bytes > 0);

    // A stop leaves them too; a deletion does not.
    scene.daemon.stop();
    scene.daemon.restart();
    eventually("the container", || scene.state("containers", "c1") == "ready");
    assert_eq!([link(&c1), link(&vpc)], before);
    scene.delete("containers", "c1");
    assert!(!ip(&c1, &["-o", "link"]).contains("eth0"));
    scene.daemon.kill();
    scene.daemon.restart();
    assert_eq!(scene.api.names("containers"), Vec::<String>::new());
}

#[test]
fn what_has_gone_while_the_daemon_was_away_is_said_to_be_gone() {
    let (_state, daemon) = keeping();
    let mut scene = Scene::with(daemon, "gone-meanwhile");
    let _vpc = scene.vpc("orders");
    let (gone, other) = (scene.container("gone", "orders"), scene.container("other", "orders"));
    let name = other.name().to_owned();
    scene.daemon.kill();
    gone.remove();
    // Another namespace of the same name is another container's.
    other.remove();
    let again = netlab::Lab::new("again").unwrap();
    let renamed = again.namespace("other").unwrap();
    let link = format!("/run/netns/{name}");
    std::os::unix::fs::symlink(format!("/run/netns/{}", renamed.name()), &link).unwrap();
    scene.daemon.restart();
    for container in ["gone", "other"] {
        eventually(container, || scene.state("containers", container) == "gone");
    }
    assert!(!ip(&renamed, &["-o", "link"]).contains("eth0"), "nothing was made in the stranger's namespace");
    std::fs::remove_file(link).unwrap();
    for container in ["gone", "other"] {
        scene.delete("containers", container);
    }
}

#[test]
fn two_daemons_cannot_have_one_state() {
    let (state, daemon) = keeping();
    let socket = state.path().join("second.sock");
    let second = daemon.wharf(&[
        "serve",
        "--state",
        state.path().to_str().unwrap(),
        "--socket",
        socket.to_str().unwrap(),
    ]);
    let output = { second }.output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("another process has the store"), "{said}");
}
