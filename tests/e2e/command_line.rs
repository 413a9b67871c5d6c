//! The command line against a daemon: everything that REST does, by `wharf`, with its exit codes.

use netlab::Namespace;
use netlab::traffic::{UdpEcho, udp_exchange};
use serde_json::{Value, json};
use tests::{CIDR, Daemon, EXTERNAL, PATIENCE, SERVER};

use crate::fixture::{INTERNAL, SHORT, Scene, port};

#[test]
fn a_container_gets_to_a_vpc_and_back_by_commands_alone() {
    let scene = Scene::start("cli");
    let cli = Cli(&scene.daemon);
    let (vpc, c1) = (scene.namespace("vpc"), scene.namespace("c1"));
    add_all(&cli, &vpc, &c1);

    let echo = UdpEcho::start(&vpc, SERVER, "orders").unwrap();
    let ask = || c1.run(|| udp_exchange(port(4000), echo.address(), b"x", SHORT));
    assert!(ask().is_err(), "it is not attached yet");
    let explained = cli.json(&["explain", "c1", "10.1.0.1:80"]);
    assert_eq!(explained["explain"]["reason"], "no_connector");
    assert_eq!(explained["drops"][0]["reason"], "no_connector");
    assert_eq!(explained["drops"][0]["protocol"], "udp");

    assert!(cli.ok(&["attach", "c1", "db"]).starts_with("c1 attached to db in "));
    assert_eq!(ask().unwrap(), "orders");
    let shown = cli.json(&["connector", "show", "db"]);
    assert_eq!((&shown["containers"], &shown["ports_used"]), (&json!(["c1"]), &json!(1)));
    let explained = cli.json(&[
        "explain",
        "c1",
        &echo.address().to_string(),
        "--protocol",
        "udp",
        "--source-port",
        "4000",
    ]);
    assert_eq!(explained["explain"]["verdict"], "forward");

    let sessions = cli.json(&["sessions"]);
    assert_eq!(sessions.as_array().unwrap().len(), 1, "{sessions}");
    assert_eq!(sessions[0]["internal"], format!("{INTERNAL}:4000"));
    assert_eq!(sessions[0]["external"], echo.peers()[0].to_string());
    assert_eq!(cli.json(&["sessions", "--protocol", "tcp"]), json!([]));
    let stats = cli.json(&["stats"]);
    assert_eq!(stats["containers"][0]["sessions"], 1);
    // Tables say the same, to people.
    assert!(cli.ok(&["sessions"]).contains(&format!("{INTERNAL}:4000")));
    assert!(cli.ok(&["stats"]).contains("no_connector=1"));
    assert!(cli.ok(&["explain", "c1", "10.1.0.1"]).contains("forward"));

    let detached = cli.json(&["detach", "c1", "db"]);
    assert_eq!(detached["sessions_ended"], 1);
    assert!(ask().is_err());
    cli.ok(&["container", "delete", "c1"]);
    cli.ok(&["connector", "delete", "db"]);
    cli.ok(&["vpc", "delete", "orders"]);
    for kind in ["vpc", "connector", "container"] {
        assert_eq!(cli.json(&[kind, "list"]), json!([]));
    }
}

#[test]
fn what_is_refused_has_an_exit_code_and_a_reason() {
    let scene = Scene::start("cli-refused");
    let cli = Cli(&scene.daemon);
    let (vpc, c1) = (scene.namespace("vpc"), scene.namespace("c1"));
    add_all(&cli, &vpc, &c1);
    cli.ok(&["attach", "c1", "db"]);
    for (arguments, code, said) in [
        (&["vpc", "delete", "orders"][..], 1, "db"),
        (&["connector", "delete", "db"], 1, "c1"),
        (&["container", "add", "c1", "--netns", c1.name()], 1, "c1"),
        (&["container", "add", "c2", "--netns", "no-such"], 1, "no-such"),
        (&["container", "add", "c2", "--netns", c1.name()], 1, "eth0"),
        (&["connector", "add", "x", "--vpc", "orders", "--destination", "10.1.0.1/16"], 1, "10.1.0.0/16"),
        (&["connector", "add", "x", "--vpc", "orders", "--port-quota", "64513"], 1, "port_quota"),
        (
            &["connector", "add", "x", "--vpc", "orders", "--publish", "sctp:80"],
            1,
            "publications[0].protocol",
        ),
        (&["connector", "add", "x", "--vpc", "orders", "--publish", "tcp"], 2, "tcp:80:8080"),
        (&["vpc", "show", "no-such"], 4, "no-such"),
        (&["attach", "c1", "no-such"], 4, "no-such"),
        (&["attach", "c1"], 2, "CONNECTOR"),
        (&["explain", "c1", "nowhere"], 2, "nowhere"),
    ] {
        let (got, stdout, stderr) = cli.run(arguments);
        assert_eq!((got, stdout.as_str()), (code, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    cli.ok(&["detach", "c1", "db"]);
    let (code, _, stderr) = cli.run(&["detach", "c1", "db"]);
    assert_eq!(code, 4, "not attached any more: {stderr}");
    scene.daemon.stop();
    assert_eq!(cli.run(&["vpc", "list"]).0, 3, "nobody answers");
}

#[test]
fn what_is_chosen_is_shown() {
    let scene = Scene::start("cli-policy");
    let cli = Cli(&scene.daemon);
    let (vpc, c1, c2) = (scene.namespace("vpc"), scene.namespace("c1"), scene.namespace("c2"));
    let external = format!("{EXTERNAL},fd00::10");
    let prefixes = ["--cidr", CIDR, "--cidr6", "fd00::/64", "--external", &external];
    let uplink = ["--uplink", "tap", "--netns", vpc.name(), "--device", "wharf0", "--address6", "fd00::1/64"];
    let ports = ["--exclude-ports", "8000-8100,9000", "--port-blocks", "--unsolicited-syn", "silent"];
    let added = cli.ok(&[&["vpc", "add", "dual"][..], &prefixes, &uplink, &ports].concat());
    assert!(added.contains("10.1.0.0/16,fd00::/64"), "{added}");
    let shown = cli.ok(&["vpc", "show", "dual"]);
    for said in ["fd00::/64", "1024-65535 without 8000-8100,9000", "port blocks", "silent", "fd00::1/64"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }

    let policy = ["--mapping", "address_dependent", "--port-quota", "100", "--on-detach", "silent"];
    let publish = ["--publish", "tcp:80:8080", "--publish", "udp:[fd00::10]:53"];
    cli.ok(&[&["connector", "add", "web", "--vpc", "dual"][..], &policy, &publish].concat());
    for text in [cli.ok(&["connector", "list"]), cli.ok(&["connector", "show", "web"])] {
        for said in ["address_dependent", "100", "silent", "tcp:10.1.0.10:80:8080", "udp:[fd00::10]:53:53"] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    for (name, namespace) in [("c1", &c1), ("c2", &c2)] {
        cli.ok(&["container", "add", name, "--netns", namespace.name(), "--address6", "fd00:1::2"]);
    }
    assert_eq!(cli.json(&["container", "show", "c1"])["gateway6"], "fe80::1");
    cli.ok(&["attach", "c1", "web"]);
    assert_eq!(cli.json(&["connector", "show", "web"])["ports_used"], 0, "publications do not count");
    let explained = cli.json(&["explain", "c1", "[fd00::1]:80"]);
    assert_eq!(explained["explain"]["verdict"], "hold", "{explained}");
    assert_eq!(explained["explain"]["steps"][0]["prefix"], "fd00::/64");
    assert_eq!(cli.json(&["sessions", "--remote", "fd00::1"]), json!([]));
    let (code, _, stderr) = cli.run(&["attach", "c2", "web"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("publication_taken") && stderr.contains("10.1.0.10:80"), "{stderr}");
}

#[test]
fn a_policy_is_changed_while_it_is_in_use_and_revoked() {
    let scene = Scene::start("cli-live");
    let cli = Cli(&scene.daemon);
    let (vpc, c1) = (scene.namespace("vpc"), scene.namespace("c1"));
    add_all(&cli, &vpc, &c1);
    let added = cli.ok(&["connector", "add", "dry", "--vpc", "orders", "--dry-run"]);
    assert!(added.starts_with("connector dry would be added: "), "{added}");
    assert_eq!(cli.json(&["connector", "list"]).as_array().unwrap().len(), 1);
    cli.ok(&["attach", "c1", "db"]);
    let echo = UdpEcho::start(&vpc, SERVER, "orders").unwrap();
    let ask = || c1.run(|| udp_exchange(port(4000), echo.address(), b"x", SHORT));
    assert_eq!(ask().unwrap(), "orders");

    let revision = cli.json(&["connector", "show", "db"])["revision"].to_string();
    cli.ok(&["connector", "set", "db", "--rule", "allow:tcp", "--bits-per-second", "100M"]);
    assert!(ask().is_err(), "no rule lets it through any more");
    let shown = cli.ok(&["connector", "show", "db"]);
    assert!(shown.contains("allow:tcp") && shown.contains("100M"), "{shown}");
    let (code, _, stderr) = cli.run(&["connector", "set", "db", "--clear", "rule", "--if-match", &revision]);
    assert_eq!(code, 1);
    assert!(stderr.contains("[changed"), "{stderr}");
    cli.ok(&["connector", "set", "db", "--clear", "rule,bits-per-second"]);
    assert_eq!(ask().unwrap(), "orders");

    cli.ok(&["revoke", "orders", "db"]);
    assert!(ask().is_err());
    assert_eq!(cli.json(&["vpc", "connectors", "orders"])[0]["state"], "revoked");
    cli.ok(&["approve", "orders", "default/db"]);
    cli.ok(&["attach", "c1", "db"]);
    assert_eq!(ask().unwrap(), "orders");
    assert!(cli.ok(&["audit"]).contains("revoke"));
    assert!(cli.ok(&["metrics"]).contains("# TYPE "));
}

#[test]
fn tenants_and_tokens_are_made_and_used() {
    let scene = Scene::start("cli-tenants");
    let cli = Cli(&scene.daemon);
    cli.ok(&["tenant", "add", "acme", "--netns-prefix", "acme-"]);
    assert!(cli.ok(&["tenant", "show", "acme"]).contains("acme-*"));
    let (code, secret, said) = cli.run(&["--tenant", "acme", "token", "add", "ci", "--role", "reader"]);
    assert_eq!((code, secret.lines().count()), (0, 1), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, &secret).unwrap();
    let as_ci = ["--token-file", file.to_str().unwrap()];
    assert_eq!(cli.json(&[&as_ci[..], &["connector", "list"]].concat()), json!([]));
    let (code, _, stderr) = cli.run(&[&as_ci[..], &["connector", "add", "k", "--vpc", "v"]].concat());
    assert_eq!(code, 1);
    assert!(stderr.contains("[forbidden"), "{stderr}");
    let shown = cli.ok(&["--tenant", "acme", "token", "show", "ci", "-o", "json"]);
    assert!(!shown.contains(secret.trim()), "{shown}");
    cli.ok(&["--tenant", "acme", "token", "delete", "ci"]);
    let (_, _, stderr) = cli.run(&[&as_ci[..], &["connector", "list"]].concat());
    assert!(stderr.contains("[unauthenticated"), "{stderr}");
    cli.ok(&["tenant", "delete", "acme"]);
    assert_eq!(cli.run(&["tenant", "show", "acme"]).0, 4);
}

/// A VPC `orders`, a connector `db` and a container `c1`, each seen by `list` and `show`.
fn add_all(cli: &Cli<'_>, vpc: &Namespace, c1: &Namespace) {
    let (external, address) = (EXTERNAL.to_string(), format!("{}/16", SERVER.ip()));
    let uplink = ["--uplink", "tap", "--netns", vpc.name(), "--device", "wharf0", "--address", &address];
    cli.ok(&[&["vpc", "add", "orders", "--cidr", CIDR, "--external", &external], &uplink[..]].concat());
    cli.ok(&["connector", "add", "db", "--vpc", "orders"]);
    cli.ok(&["container", "add", "c1", "--netns", c1.name()]);
    for (kind, name) in [("vpc", "orders"), ("connector", "db"), ("container", "c1")] {
        let listed = cli.json(&[kind, "list"]);
        assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
        assert_eq!(listed[0], cli.json(&[kind, "show", name]));
        assert!(cli.ok(&[kind, "list"]).contains(name));
        assert!(cli.ok(&[kind, "show", name]).contains(name));
    }
    assert_eq!(cli.json(&["container", "show", "c1"])["state"], "ready");
    c1.run(|| netlab::traffic::ping("169.254.1.1".parse().unwrap(), 1, 1, PATIENCE)).unwrap();
}

struct Cli<'a>(&'a Daemon);

impl Cli<'_> {
    /// Exit code, standard output and standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.0.wharf(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
    }

    /// Standard output of what has to succeed.
    fn ok(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(arguments);
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
        stdout
    }

    /// The same for programs.
    fn json(&self, arguments: &[&str]) -> Value {
        let stdout = self.ok(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {stdout}"))
    }
}
