//! The scripts of netlab/scenarios, as they stand.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};
use tests::Daemon;

/// For one script. Seconds.
const LIMIT: &str = "100";

macro_rules! scenarios {
    ($($test:ident: $script:literal;)+) => {
        const SCRIPTS: &[&str] = &[$($script),+];
        $(
            #[test]
            fn $test() {
                run($script);
            }
        )+
    };
}

scenarios! {
    one_container: "01-one-container.sh";
    equal_addresses: "02-equal-addresses.sh";
    hundred_containers: "03-hundred-containers.sh";
    bridge: "04-bridge.sh";
    vxlan: "05-vxlan.sh";
    dual_stack: "06-dual-stack.sh";
}

#[test]
fn every_script_has_a_test() {
    let entries = fs::read_dir(directory()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let scripts: BTreeSet<_> = names.filter(|name| name.starts_with(|c: char| c.is_ascii_digit())).collect();
    assert_eq!(scripts, SCRIPTS.iter().map(ToString::to_string).collect());
    assert!(scripts.len() >= 6);
}

/// Runs a script against a daemon, which has nothing left of it afterwards.
fn run(script: &str) {
    let _alone = alone();
    let daemon = Daemon::start();
    let before = named_namespaces();
    // Asked to end before it is killed, so that it can remove its namespaces.
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", LIMIT]).arg(directory().join(script));
    command.env("WHARF_SOCKET", daemon.socket()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {}\n{said}", output.status);
    assert!(said.contains("  ok: "), "{script} showed nothing:\n{said}");
    for collection in ["vpcs", "connectors", "containers"] {
        assert_eq!(daemon.api().names(collection), Vec::<String>::new(), "left by {script}");
    }
    assert_eq!(named_namespaces(), before, "left by {script}");
}

/// The scripts' namespaces have names that all of this machine share, so that one script runs at a time.
fn alone() -> Flock<File> {
    let file = File::create(std::env::temp_dir().join("wharf-scenarios.lock")).unwrap();
    Flock::lock(file, FlockArg::LockExclusive).unwrap_or_else(|(_, e)| panic!("{e}"))
}

/// Namespaces with such names.
fn named_namespaces() -> BTreeSet<String> {
    let entries = fs::read_dir(gateway::io::netns::NAMED).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let ours =
        |name: &String| name.strip_prefix('w').is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()));
    names.filter(ours).collect()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../netlab/scenarios")
}
