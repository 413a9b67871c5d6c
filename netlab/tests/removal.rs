//! Nothing of a lab stays, whatever ends it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, panic};

use netlab::{Lab, LabError, Namespace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Says to the child below what it is for.
const CHILD: &str = "NETLAB_TEST_CHILD";

fn file(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

fn sleeper(namespace: &Namespace) -> netlab::Process {
    let mut command = Command::new("sleep");
    command.arg("600");
    namespace.spawn(command).unwrap()
}

#[test]
fn a_namespace_appears_to_ip_netns_and_vanishes_with_its_lab() -> Result<(), LabError> {
    let lab = Lab::new("appear")?;
    let namespace = lab.namespace("one")?;
    let shown =
        || String::from_utf8(Command::new("ip").args(["netns", "list"]).output().unwrap().stdout).unwrap();
    assert!(shown().contains(namespace.name()));
    let lo = Command::new("ip").args(["-n", namespace.name(), "-o", "link", "show", "lo"]).output().unwrap();
    assert!(String::from_utf8(lo.stdout).unwrap().contains("LOOPBACK,UP"));
    let name = namespace.name().to_owned();
    drop(lab);
    assert!(!shown().contains(&name));
    assert!(!file(&name).exists());
    Ok(())
}

#[test]
fn equal_names_in_two_labs_do_not_clash() -> Result<(), LabError> {
    let (a, b) = (Lab::new("same")?, Lab::new("same")?);
    let (one, other) = (a.namespace("x")?, b.namespace("x")?);
    assert_ne!(one.name(), other.name());
    drop(a);
    assert!(file(other.name()).exists());
    Ok(())
}

#[test]
fn a_namespace_can_go_before_its_lab() -> Result<(), LabError> {
    let lab = Lab::new("early")?;
    let (gone, stays) = (lab.namespace("gone")?, lab.namespace("stays")?);
    gone.remove();
    assert!(!file(gone.name()).exists());
    assert!(file(stays.name()).exists());
    Ok(())
}

#[test]
fn a_panic_removes_namespaces_and_processes() -> Result<(), LabError> {
    let lab = Lab::new("panic")?;
    let namespace = lab.namespace("one")?;
    let process = sleeper(&namespace);
    let (name, pid) = (namespace.name().to_owned(), process.id());
    assert!(is_running(pid) && file(&name).exists());
    let caught = panic::catch_unwind(move || {
        let _inside = (lab, process);
        panic!("on purpose");
    });
    assert!(caught.is_err());
    assert!(!is_running(pid));
    assert!(!file(&name).exists());
    Ok(())
}

#[test]
fn a_process_is_in_its_namespace_and_ends_with_the_lab() -> Result<(), LabError> {
    let lab = Lab::new("process")?;
    let namespace = lab.namespace("one")?;
    let process = sleeper(&namespace);
    let link = |path: &str| std::fs::read_link(path).unwrap();
    let inside = namespace.run(|| link("/proc/thread-self/ns/net"));
    assert_eq!(link(&format!("/proc/{}/ns/net", process.id())), inside);
    assert_ne!(link("/proc/self/ns/net"), inside);
    drop(lab);
    assert!(!is_running(process.id()));
    Ok(())
}

#[test]
fn signals_remove_the_lab_and_tell_the_shell() -> Result<(), LabError> {
    let _root = Lab::new("root")?;
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let (mut child, name, program) = start_child();
        assert!(file(&name).exists() && is_running(program));
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(status), "{signal}");
        assert!(!file(&name).exists(), "{signal}");
        assert!(!is_running(program), "{signal}");
    }
    Ok(())
}

#[test]
fn sweep_removes_what_a_killed_process_left_and_nothing_else() -> Result<(), LabError> {
    let lab = Lab::new("sweep")?;
    let ours = lab.namespace("ours")?;
    let (mut killed, left, program) = start_child();
    let (mut running, theirs, _) = start_child();
    killed.kill().unwrap();
    assert_eq!(killed.wait().unwrap().signal(), Some(9));
    assert!(file(&left).exists(), "nothing of it could run");
    // Whoever sweeps first; other tests of this machine may.
    netlab::sweep();
    assert!(!file(&left).exists());
    assert!(file(ours.name()).exists() && file(&theirs).exists(), "the living keep theirs");
    // The kernel sends the death signal asynchronously.
    wait_until(|| !is_running(program));
    running.kill().unwrap();
    running.wait().unwrap();
    netlab::sweep();
    assert!(!file(&theirs).exists());
    Ok(())
}

fn wait_until(reached: impl Fn() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < Duration::from_secs(5), "not reached in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts this test program again as a process with a lab of its own; returns the namespace's name and the id of a
/// program inside.
fn start_child() -> (Child, String, u32) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child_with_a_lab", "--ignored", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.map(Result::unwrap).find_map(|line| {
        let (name, pid) = line.split_once("made ")?.1.split_once(' ')?;
        Some((name.to_owned(), pid.parse().unwrap()))
    });
    let (name, pid) = told.expect("the child tells what it made");
    (child, name, pid)
}

/// No test: the process that the tests above end by signals.
#[test]
#[ignore = "started by other tests"]
fn child_with_a_lab() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    netlab::remove_on_signals().unwrap();
    let lab = Lab::new("child").unwrap();
    let namespace = lab.namespace("one").unwrap();
    let process = sleeper(&namespace);
    println!("made {} {}", namespace.name(), process.id());
    std::io::stdout().flush().unwrap();
    // Ends by itself should the test forget it.
    std::thread::sleep(Duration::from_mins(1));
}

#[test]
fn what_is_no_namespace_is_undone_with_the_lab_the_last_first() -> Result<(), LabError> {
    let (sender, undone) = std::sync::mpsc::channel();
    let lab = Lab::new("undo")?;
    for nth in [1, 2] {
        let sender = sender.clone();
        lab.on_removal(move || sender.send(nth).unwrap());
    }
    assert!(undone.try_recv().is_err(), "not before the lab goes");
    drop(lab);
    assert_eq!(undone.try_iter().collect::<Vec<_>>(), [2, 1]);
    Ok(())
}
