//! A daemon that runs functions, and a lab around it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::Method;
use netlab::{Lab, Namespace};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{Answer, Api, Daemon};

/// A daemon, a client of it, and a lab.
pub(crate) struct Scene {
    pub(crate) api: Api,
    // In this order: the daemon ends before its namespaces do.
    pub(crate) daemon: Daemon,
    pub(crate) lab: Lab,
    _state: TempDir,
}

/// Answers with its event.
pub(crate) const ECHO: &str = "def handler(event, context):\n    return event\n";

/// Fetches the page of a server, as `[address, port]`, and answers with it.
pub(crate) const FETCH: &str = r"
import http.client
def handler(event, context):
    connection = http.client.HTTPConnection(event[0], event[1], timeout=2)
    connection.request('GET', '/')
    return connection.getresponse().read().decode()
";

impl Scene {
    pub(crate) fn start(topic: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        share_roots(state.path());
        let daemon = Daemon::start_with(&["--state", state.path().to_str().unwrap()]);
        Self { api: daemon.api(), daemon, lab: Lab::new(topic).unwrap(), _state: state }
    }

    /// A VPC with an uplink TAP in a namespace of its own, and a connector to all of it; all of one name.
    pub(crate) fn vpc(&self, name: &str) -> Namespace {
        let namespace = self.lab.namespace(name).unwrap();
        self.api.vpc_tap(name, &namespace);
        self.api.connector(name, name);
        namespace
    }

    /// Deploys a Python function of one file, with more settings.
    pub(crate) fn deploy(&self, name: &str, code: &str, more: &Value) -> Answer {
        self.deploy_files(name, &[("handler.py", code)], more)
    }

    /// The same, which has to be accepted.
    pub(crate) fn deployed(&self, name: &str, code: &str, more: &Value) -> Value {
        let (status, body) = self.deploy(name, code, more);
        assert_eq!(status, 201, "{body}");
        body
    }

    pub(crate) fn deploy_files(&self, name: &str, files: &[(&str, &str)], more: &Value) -> Answer {
        let mut body = json!({"name": name, "runtime": "python3", "handler": "handler.handler", "timeout_s": 10, "code": {"zip": zip(files)}});
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
            if value.is_null() {
                body.as_object_mut().unwrap().remove(key);
            }
        }
        self.api.post("/v1/functions", &body)
    }

    /// Invokes a function and waits for its answer.
    pub(crate) fn invoke(&self, name: &str, event: &Value) -> Answer {
        self.api.post(&format!("/v1/functions/{name}/invocations"), event)
    }

    /// The same, which has to succeed.
    pub(crate) fn answer(&self, name: &str, event: &Value) -> Value {
        let (status, body) = self.invoke(name, event);
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Code and function error of an invocation that has to fail.
    pub(crate) fn fault(&self, name: &str, event: &Value) -> (u16, String, Value) {
        let (status, body) = self.invoke(name, event);
        assert!(status >= 400, "{status} {body}");
        (status, body["code"].as_str().unwrap().to_owned(), body["function_error"].clone())
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.api.send(Method::PATCH, path, body.to_string().into()).unwrap()
    }

    /// Environments, those without a function too.
    pub(crate) fn environments(&self) -> Vec<Value> {
        let (status, body) = self.api.get("/v1/environments");
        assert_eq!(status, 200, "{body}");
        body["items"].as_array().unwrap().clone()
    }

    /// Fills the pool with this many warm containers.
    pub(crate) fn warm(&self, runtime: &str, count: u32) {
        let pool = format!("/v1/pools/{runtime}");
        let (status, body) =
            self.patch(&pool, &json!({"min_warm": count, "max_warm": count.max(16), "memory_mb": 16_384}));
        assert_eq!(status, 200, "{body}");
        patiently("the pool to be warm", || {
            self.api.get(&pool).1["counts"]["warm"].as_u64() >= Some(u64::from(count))
        });
    }

    /// What is there of this daemon's containers: control groups and directories.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let mine = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&format!("w{}-", self.daemon.pid()))
        };
        let mut left: Vec<_> = groups().into_iter().filter(|path| mine(path)).collect();
        let run = self.daemon.socket().with_file_name("containers");
        left.extend(children(&run).into_iter().filter(|path| mine(path)));
        left
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !thread::panicking() {
            patiently("ended processes to be collected", || zombies(self.daemon.pid()) == 0);
        }
        // Containers end with a daemon that is asked to stop, and not with one that is killed.
        self.daemon.stop();
        if !thread::panicking() {
            assert_eq!(self.left(), Vec::<PathBuf>::new(), "the daemon leaves nothing");
        }
    }
}

/// Children of a process that have ended, and that nobody has asked how.
fn zombies(parent: u32) -> usize {
    let stats = children(Path::new("/proc")).into_iter();
    let stats = stats.filter_map(|process| fs::read_to_string(process.join("stat")).ok());
    // proc_pid_stat(5): `pid (comm) state ppid …`, where the name may have anything in it.
    let ours = |stat: &String| {
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        after.starts_with(&format!("Z {parent} "))
    };
    stats.filter(ours).count()
}

/// Control groups of all containers of all daemons.
pub(crate) fn groups() -> Vec<PathBuf> {
    let mut roots = children(Path::new("/sys/fs/cgroup"));
    roots.push("/sys/fs/cgroup".into());
    let ours =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("wharf-"));
    let parents = roots.iter().flat_map(|root| children(root)).filter(ours);
    parents.flat_map(|parent| children(&parent)).filter(|path| path.is_dir()).collect()
}

pub(crate) fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).collect()
}

/// An archive in base64.
pub(crate) fn zip(files: &[(&str, &str)]) -> String {
    let code = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = code.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        if *name == "bootstrap" {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    BASE64_STANDARD.encode(sandbox::pack(code.path()).unwrap())
}

/// Waits for a level that takes containers.
pub(crate) fn patiently(what: &str, mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Root filesystems are made once for all tests.
fn share_roots(state: &Path) {
    let test = std::env::current_exe().unwrap();
    let shared = test.ancestors().nth(2).expect("target/PROFILE").join("sandbox-data/rootfs");
    fs::create_dir_all(&shared).unwrap();
    fs::create_dir_all(state.join("functions")).unwrap();
    std::os::unix::fs::symlink(shared, state.join("functions/rootfs")).unwrap();
}
