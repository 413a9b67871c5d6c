//! The program as a whole: what it writes, and that nothing of it stays.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use compare::metric::Metric;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// The comparison, with a directory for all its temporary files.
fn compare(directory: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    command.args(words).env("TMPDIR", directory.path()).stdin(Stdio::null());
    command
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Names of the namespaces that the process made.
fn namespaces(pid: u32) -> Vec<String> {
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&format!("wl-{pid}-"))).collect()
}

/// Processes that the process started, which run.
fn children(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|child| stat(*child).is_some_and(|(state, parent)| parent == pid && state != "Z")).collect()
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Processes in the control groups of the containers that a daemon has made.
fn containers(daemon: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let named = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/cgroup"))
            .is_ok_and(|text| text.contains(&format!("/w{daemon}-")))
    };
    pids.filter(named).collect()
}

/// Control groups of containers that the process has started with runc, in any hierarchy.
fn control_groups(pid: u32) -> Vec<String> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let roots = hierarchies.map(|entry| entry.path()).chain([Path::new("/sys/fs/cgroup").to_owned()]);
    let entries = roots.flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten());
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&format!("wharf-compare-{pid}-"))).collect()
}

fn is_empty(directory: &Path) -> bool {
    left(directory).is_empty()
}

/// Everything below a directory.
fn left(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.flat_map(|entry| [vec![entry.path()], left(&entry.path())].concat()).collect()
}

#[test]
fn a_quick_metric_of_three_subjects_is_written_in_the_agreed_form() {
    let (directory, files) = (directory(), directory());
    let (json, out) = (files.path().join("f.json"), files.path().join("out"));
    let words = ["--only", "direct,nft,wharf,tcp_up_gbps", "--runs", "2", "--seconds", "0.5"];
    let mut command = compare(&directory, &words);
    let output = command.arg("--json").arg(&json).arg("--out").arg(&out).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let written: Value = serde_json::from_str(&fs::read_to_string(json).expect("a file")).expect("JSON");
    let metrics = written["metrics"].as_object().expect("an object");
    assert_eq!(metrics.keys().collect::<Vec<_>>(), ["tcp_up_gbps"], "{said}");
    let metric = metrics["tcp_up_gbps"].as_object().expect("an object");
    assert_eq!(metric["better"], "higher");
    assert_eq!(metric.len(), 4, "{metric:?}");
    for subject in ["direct", "nft", "wharf"] {
        let values = metric[subject].as_array().unwrap_or_else(|| panic!("{subject}: {said}"));
        assert_eq!(values.len(), 2, "{subject}: {said}");
        assert!(values.iter().all(|value| value.as_f64().is_some_and(|value| value > 0.0)), "{values:?}");
    }
    let settings = &written["settings"];
    assert_eq!(settings["mtu"], 1500);
    assert_eq!((&settings["absent"], &settings["refused"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    for name in ["pinning", "machine", "versions", "date", "command"] {
        assert!(!settings[name].is_null(), "{name}");
    }
    let device = &settings["devices"]["wharf"]["client eth0"];
    assert_eq!(device["offloads"]["tcp-segmentation-offload"], true, "{device}");
    assert!(device["txqueuelen"].is_u64(), "{device}");
    for file in ["results.md", "results.svg", "results.json"] {
        assert!(out.join(file).exists(), "{file}");
    }
    assert!(is_empty(directory.path()));
}

#[test]
fn a_peer_that_cannot_run_is_listed_with_its_reason() {
    let (directory, files) = (directory(), directory());
    let json = files.path().join("f.json");
    let words =
        ["--only", "direct,raw,tcp_up_gbps", "--runs", "1", "--seconds", "0.3", "--raw", "/no/such/raw"];
    let output = compare(&directory, &words).arg("--json").arg(&json).output().expect("it runs");
    let written: Value = serde_json::from_str(&fs::read_to_string(json).expect("a file")).expect("JSON");
    let absent = &written["settings"]["absent"][0];
    assert_eq!(absent["subject"], "raw");
    assert!(absent["reason"].as_str().expect("a text").contains("/no/such/raw"), "{absent}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("| raw |"), "the table has its column");
}

#[test]
fn the_control_plane_has_all_its_numbers_and_leaves_nothing() {
    let directory = directory();
    let words = ["--quick", "--only", "control", "--runs", "1", "--seconds", "0.1"];
    let ended = Ended::of(&directory, &words, Metric::CONTROL);
    // The machine may be without the plugin, but then it says so.
    ended.has_or_says_why("attach_p50_us", "cni");
    let value = |name: &str| ended.written["metrics"][name]["wharf"][0].as_f64().expect("it was checked");
    assert!(value("attach_p50_us") <= value("attach_durable_p50_us"), "{}", ended.written["metrics"]);
    assert!(value("restart_ready_ms") <= value("restart_live_ms"), "{}", ended.written["metrics"]);
    assert_eq!(namespaces(ended.pid), Vec::<String>::new());
    assert!(is_empty(directory.path()));
}

#[test]
fn functions_have_all_their_numbers_and_leave_nothing() {
    let directory = directory();
    let words = ["--quick", "--only", "functions", "--runs", "1"];
    let ended = Ended::of(&directory, &words, Metric::FUNCTIONS);
    // The machine may be without runc or the plugin, but then it says so.
    ended.has_or_says_why("trigger_to_first_byte_p50_ms", "cold");
    let triggers = &ended.written["settings"]["functions"]["triggers"]["wharf"]["first_byte_ms"];
    assert_eq!(triggers.as_array().map(Vec::len), Some(20), "{triggers}");
    assert!(ended.shown.contains("| target |"), "the targets have their table");
    assert_eq!(namespaces(ended.pid), Vec::<String>::new());
    assert_eq!(control_groups(ended.pid), Vec::<String>::new());
    assert!(is_empty(directory.path()));
}

/// A comparison that has ended well: what it was, said, showed and wrote.
struct Ended {
    pid: u32,
    said: String,
    shown: String,
    written: Value,
}

impl Ended {
    /// One with one value of Wharf's for each of these metrics, and no others; nothing was refused.
    fn of(directory: &TempDir, words: &[&str], metrics: &[Metric]) -> Self {
        let files = self::directory();
        let json = files.path().join("f.json");
        let mut command = compare(directory, words);
        command.arg("--json").arg(&json).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("it runs");
        let pid = child.id();
        let output = child.wait_with_output().expect("our own child");
        let [said, shown] =
            [&output.stderr, &output.stdout].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(output.status.success(), "{said}");
        let written: Value = serde_json::from_str(&fs::read_to_string(json).expect("a file")).expect("JSON");
        let found = written["metrics"].as_object().expect("an object");
        let names: Vec<_> = metrics.iter().map(|metric| metric.name()).collect();
        assert!(names.iter().all(|name| found.contains_key(*name)) && found.len() == names.len(), "{said}");
        for (name, metric) in found {
            let value = metric["wharf"][0].as_f64().unwrap_or_else(|| panic!("{name}: {said}"));
            assert!(value > 0.0 && metric["wharf"][1].is_null(), "{name}: {metric}");
        }
        assert_eq!(written["settings"]["refused"], Value::Array(vec![]));
        Self { pid, said, shown, written }
    }

    fn has_or_says_why(&self, metric: &str, subject: &str) {
        let absent = self.written["settings"]["absent"].as_array().expect("a list");
        let value = &self.written["metrics"][metric][subject][0];
        assert!(value.is_f64() || absent.iter().any(|absent| absent["subject"] == subject), "{}", self.said);
    }
}

#[test]
fn nothing_is_left_of_functions_that_are_interrupted() {
    let directory = directory();
    let mut command = compare(&directory, &["--only", "functions"]);
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program of this package");
    let pid = child.id();
    let mut said = BufReader::new(child.stderr.take().expect("it was piped")).lines();
    let running = said.find(|line| line.as_ref().is_ok_and(|line| line.contains("deploying")));
    assert!(running.is_some(), "it ended before the first run");
    std::thread::spawn(move || said.for_each(drop));
    let daemons = children(pid);
    assert!(daemons.iter().any(|daemon| !containers(*daemon).is_empty()), "there are warm containers");
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGINT).expect("it runs");
    assert_eq!(child.wait().expect("our own child").code(), Some(130));
    for daemon in daemons {
        assert_eq!(containers(daemon), Vec::<u32>::new());
    }
    assert_eq!(namespaces(pid), Vec::<String>::new());
    assert_eq!(control_groups(pid), Vec::<String>::new());
    assert_eq!(left(directory.path()), Vec::<PathBuf>::new());
}

#[test]
fn nothing_is_left_of_a_comparison_that_is_interrupted() {
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let directory = directory();
        let mut child = start(&directory);
        let pid = child.id();
        let started = children(pid);
        assert!(!namespaces(pid).is_empty() && !started.is_empty() && !is_empty(directory.path()));
        kill(Pid::from_raw(pid.cast_signed()), signal).expect("it runs");
        let ended = child.wait().expect("our own child");
        assert_eq!(ended.code(), Some(status), "{signal}");
        assert_eq!(namespaces(pid), Vec::<String>::new(), "{signal}");
        for process in started {
            assert!(stat(process).is_none_or(|(state, _)| state == "Z"), "{signal}: {process} runs");
        }
        assert!(is_empty(directory.path()), "{signal}: temporary files");
    }
}

/// A comparison that is in the middle of it.
fn start(directory: &TempDir) -> Child {
    let words = ["--only", "direct,nft,wharf,tcp_up_gbps", "--runs", "100", "--seconds", "0.3"];
    let mut child = compare(directory, &words)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program of this package");
    let mut said = BufReader::new(child.stderr.take().expect("it was piped")).lines();
    let first = said.find(|line| line.as_ref().is_ok_and(|line| line.contains("tcp_up_gbps")));
    assert!(first.is_some(), "it ended before the first run");
    // Whoever reads no more must not stop it from writing.
    std::thread::spawn(move || said.for_each(drop));
    child
}
