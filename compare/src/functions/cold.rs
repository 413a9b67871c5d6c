//! The same trigger without Wharf: it makes a namespace, lets CNI's plugin `bridge` give it a network, and starts a container with the same
//! root filesystem and the same code by `runc`. What can be prepared for all of them, is: bridge, root filesystem, code, bundle.

use std::fs::{self, File};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use netlab::Namespace;
use netlab::traffic::Http;
use serde_json::{Value, json};

use super::ground::{PORT, event};
use super::trigger::Triggered;
use super::{COLD, PACKAGES, code, leftovers};
use crate::packages;
use crate::plugins::Plugins;
use crate::program;
use crate::subject::{SERVER, Site, SubjectError};

/// Everything that is prepared.
#[derive(Debug)]
pub struct Cold {
    _server: Http,
    site: Site,
    /// What each container is like, but for its name and its namespace.
    config: Value,
    /// What the names of containers begin with.
    prefix: String,
    started: usize,
}

/// What runs in the container: the handler and nothing else, with the arguments of Wharf's own bootstrap.
const PROGRAM: [&str; 5] = ["/usr/bin/python3", "-I", "-B", "-c", CALL];

const CALL: &str = "import json, sys
sys.path.insert(0, '/var/task')
import handler
print(json.dumps(handler.fetch(json.loads(sys.argv[1]), None)))";

/// Who it runs as; Wharf's functions are the same one.
const USER: u32 = 1_000;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

impl Cold {
    /// Prepares everything, and starts one that does not count.
    pub fn new(rootfs: &Path) -> Result<Self, SubjectError> {
        packages::check(PACKAGES)?;
        let site = Site::new("functions-cold")?;
        site.join_server()?;
        let server = Http::start(&site.server, SocketAddrV4::new(SERVER, PORT), "server");
        let server = server.map_err(SubjectError::system("start a web server"))?;
        let prefix = format!("wharf-compare-{}-", std::process::id());
        let (state, names) = (site.directory.join(STATE), prefix.clone());
        site.lab.on_removal(move || leftovers::remove(&state, &names));
        let config = prepare(&site, rootfs)?;
        let mut cold = Self { _server: server, site, config, prefix, started: 0 };
        cold.trigger()?;
        Ok(cold)
    }

    /// Starts one, and takes everything away when it has ended.
    pub fn trigger(&mut self) -> Result<Triggered, SubjectError> {
        self.started += 1;
        let name = format!("c{}", self.started);
        let trigger = SystemTime::now();
        let namespace = self.site.lab.namespace(&name)?;
        let plugins = Plugins::new(&self.site, &name, &namespace);
        let answered = plugins.add_bridge().map_err(SubjectError::from).and_then(|_| self.run(&namespace));
        let removed = plugins.remove_bridge();
        namespace.remove();
        let triggered = Triggered::read(trigger, answered?.as_bytes(), None, COLD)?;
        removed?;
        Ok(triggered)
    }

    /// Runs the container to its end. Returns what it printed.
    fn run(&self, namespace: &Namespace) -> Result<String, SubjectError> {
        let id = format!("{}{}", self.prefix, self.started);
        self.bundle(&id, namespace).map_err(SubjectError::system("write config.json"))?;
        let [said, failed] = ["cold.out", "cold.err"].map(|file| self.site.directory.join(file));
        let create = |path: &PathBuf| File::create(path).map_err(SubjectError::system("make a log"));
        let mut command = self.runc();
        command.args(["run", "--bundle"]).arg(self.site.directory.join(BUNDLE)).arg(&id);
        command.stdin(Stdio::null()).stdout(create(&said)?).stderr(create(&failed)?);
        // As a piece of the lab: nothing is started any more when that is removed.
        let process = self.site.lab.spawn(command)?;
        let start = Instant::now();
        let ended = loop {
            let ended = process.try_wait().map_err(SubjectError::system("wait for runc"))?;
            if ended.is_some() || start.elapsed() > PATIENCE {
                break ended;
            }
            thread::sleep(LOOK);
        };
        if ended.is_some_and(|status| status.success()) {
            return fs::read_to_string(said).map_err(SubjectError::system("read what it printed"));
        }
        let _ = program::output(self.runc().args(["delete", "--force", &id]));
        let said = fs::read_to_string(failed).unwrap_or_default();
        let said = said.lines().last().unwrap_or("it does not end").to_owned();
        Err(SubjectError::NotReady { program: "runc", said })
    }

    /// The bundle of the next one.
    fn bundle(&self, id: &str, namespace: &Namespace) -> std::io::Result<()> {
        let mut config = self.config.clone();
        config["linux"]["cgroupsPath"] = format!("/{id}").into();
        for other in config["linux"]["namespaces"].as_array_mut().into_iter().flatten() {
            if other["type"] == "network" {
                other["path"] = format!("/run/netns/{}", namespace.name()).into();
            }
        }
        fs::write(self.site.directory.join(BUNDLE).join("config.json"), config.to_string())
    }

    fn runc(&self) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.site.directory.join(STATE));
        command
    }
}

/// Where `runc` keeps what it knows of containers.
const STATE: &str = "runc";

const BUNDLE: &str = "bundle";

/// Writes the code, and lets `runc` write down what a container is like by default; returns that with what is ours.
fn prepare(site: &Site, rootfs: &Path) -> Result<Value, SubjectError> {
    let [bundle, task] = [BUNDLE, "task"].map(|name| site.directory.join(name));
    for directory in [&bundle, &task] {
        fs::create_dir(directory).map_err(SubjectError::system("make a directory"))?;
    }
    fs::write(task.join(code::FILE), code::source(COLD)).map_err(SubjectError::system("write the code"))?;
    program::output(Command::new("runc").arg("spec").arg("--bundle").arg(&bundle))?;
    let config = fs::read(bundle.join("config.json")).map_err(SubjectError::system("read config.json"))?;
    let config = serde_json::from_slice(&config).map_err(std::io::Error::from);
    let mut config: Value = config.map_err(SubjectError::system("read config.json"))?;
    config["process"]["terminal"] = false.into();
    config["process"]["user"] = json!({"uid": USER, "gid": USER});
    config["process"]["env"] = json!(["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/tmp"]);
    config["process"]["args"] =
        PROGRAM.iter().map(|word| Value::from(*word)).chain([event().to_string().into()]).collect();
    config["root"] = json!({"path": rootfs, "readonly": true});
    let code = json!({
        "destination": "/var/task", "type": "bind", "source": task, "options": ["bind", "ro", "nosuid", "nodev"],
    });
    let tmp = json!({
        "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777", "size=64m"],
    });
    config["mounts"].as_array_mut().into_iter().for_each(|mounts| mounts.extend([code.clone(), tmp.clone()]));
    Ok(config)
}
