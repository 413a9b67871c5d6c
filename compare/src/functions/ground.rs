//! A daemon with functions, a web server in its VPC, and nothing else in its pools than Python.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use netlab::Lab;
use netlab::traffic::Http;
use serde::Deserialize;
use serde_json::{Value, json};

use super::code;
use crate::control::client::Client;
use crate::rest::{Rest, RestError};
use crate::subject::{Daemon, NAME, Programs, SERVER, Site, SubjectError};

/// What functions are made of.
pub const RUNTIME: &str = "python3";

/// What a pool makes a second at most unless asked for.
pub const REFILL: u32 = 20;

/// The server's port.
pub const PORT: u16 = 80;

/// What pools may count: no limit for what is measured. MiB.
const POOL_MB: u32 = 65_536;

/// How long a pool may take to become what it shall be.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at the environments, each of which reads files of all of them.
const LOOK: Duration = Duration::from_millis(20);

/// The daemon ends a connection that is not used for ten seconds.
const IDLE: Duration = Duration::from_secs(5);

/// A daemon that runs functions. Dropped, it ends by itself first, and takes its containers away.
#[derive(Debug)]
pub struct Ground {
    // In this order: it ends, then goes what it was in.
    _last: Lab,
    daemon: Daemon,
    _server: Http,
    _site: Site,
    state: PathBuf,
    heard: Instant,
}

/// An environment, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
pub struct Environment {
    /// What it is made of.
    pub runtime: String,
    /// Where it is in its life.
    pub state: String,
    /// Since when. Unix time, milliseconds.
    pub since_ms: u64,
    /// The function that it serves.
    pub function: Option<String>,
    /// What its control group counts. Bytes.
    pub memory_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Pool {
    runtime: String,
    unavailable: Option<String>,
}

impl Ground {
    /// No containers yet.
    pub fn new(programs: &Programs) -> Result<Self, SubjectError> {
        let site = Site::new("functions")?;
        // Newer than the site's, so that it is removed before that.
        let last = Lab::new("compare-functions-last")?;
        let state = site.directory.join("state");
        let daemon = Daemon::with_functions(&site, &programs.wharf, &state, &last)?;
        let server = Http::start(&site.server, std::net::SocketAddrV4::new(SERVER, PORT), "server");
        let server = server.map_err(SubjectError::system("start a web server"))?;
        let mut ground =
            Self { _last: last, daemon, _server: server, _site: site, state, heard: Instant::now() };
        ground.empty_pools()?;
        Ok(ground)
    }

    /// Makes the pool of Python one of so many containers, and waits until these are warm and nothing else happens.
    pub fn set_pool(&mut self, warm: usize, refill_per_s: u32) -> Result<(), SubjectError> {
        self.ask_pool(warm, refill_per_s)?;
        self.quiet(warm).map(drop)
    }

    /// Asks for the same without waiting.
    pub fn ask_pool(&mut self, warm: usize, refill_per_s: u32) -> Result<(), SubjectError> {
        let pool = json!({
            "min_warm": warm, "max_warm": warm, "refill_per_s": refill_per_s, "memory_mb": POOL_MB,
        });
        self.rest()?.patch(&format!("/v1/pools/{RUNTIME}"), &pool)?;
        Ok(())
    }

    /// Waits until so many containers are warm, and no other is on its way to be or to go. Returns all environments.
    pub fn quiet(&mut self, warm: usize) -> Result<Vec<Environment>, SubjectError> {
        let start = Instant::now();
        loop {
            let all = self.environments()?;
            let in_state = |state: &str| all.iter().filter(|one| one.state == state).count();
            if in_state("warm") == warm && warm + in_state("idle") == all.len() {
                return Ok(all);
            }
            if start.elapsed() > PATIENCE {
                let said = format!(
                    "{} warm containers instead of {warm}, and {} environments, after {PATIENCE:?}",
                    in_state("warm"),
                    all.len()
                );
                return Err(SubjectError::NotReady { program: "wharf", said });
            }
            thread::sleep(LOOK);
        }
    }

    /// All environments that there are now.
    pub fn environments(&mut self) -> Result<Vec<Environment>, SubjectError> {
        let listed = self.rest()?.get("/v1/environments")?;
        Ok(items(listed)?)
    }

    /// Deploys a function with the connector to the server. Its code differs from that of every other name.
    pub fn deploy(&mut self, name: &str, handler: &str, terms: &Value) -> Result<(), SubjectError> {
        let zip = code::zip(name).map_err(SubjectError::system("pack the code"))?;
        let mut function = json!({
            "name": name, "runtime": RUNTIME, "handler": format!("handler.{handler}"), "code": {"zip": zip},
            "connectors": [NAME], "timeout_s": 20,
        });
        for (field, value) in terms.as_object().into_iter().flatten() {
            function[field.as_str()] = value.clone();
        }
        self.rest()?.post("/v1/functions", &function)?;
        Ok(())
    }

    /// Removes a function, and what runs of it.
    pub fn delete(&mut self, name: &str) -> Result<(), SubjectError> {
        self.rest()?.delete(&format!("/v1/functions/{name}"))?;
        Ok(())
    }

    /// A connection, to be used within ten seconds.
    pub fn client(&self) -> Result<Client, SubjectError> {
        Ok(Client::connect(self.socket()).map_err(RestError::from)?)
    }

    /// Where the daemon listens.
    pub fn socket(&self) -> &Path {
        self.daemon.socket()
    }

    /// The daemon's process.
    pub fn pid(&self) -> u32 {
        self.daemon.process.id()
    }

    /// The root filesystem that the daemon has made for Python's containers; there is one as soon as one was warm.
    pub fn rootfs(&self) -> Result<PathBuf, SubjectError> {
        let all = self.state.join("functions/rootfs");
        let found = all.read_dir().and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let found = found.map_err(SubjectError::system("look for a root filesystem"))?;
        let is_pythons = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(RUNTIME))
        };
        let said = || format!("no root filesystem of {RUNTIME} in {}", all.display());
        let found = found.into_iter().map(|entry| entry.path()).find(is_pythons);
        found.ok_or_else(|| SubjectError::NotReady { program: "wharf", said: said() })
    }

    /// Containers of other runtimes would only be in the way.
    fn empty_pools(&mut self) -> Result<(), SubjectError> {
        let listed = self.rest()?.get("/v1/pools")?;
        for Pool { runtime, unavailable } in items(listed)? {
            if runtime == RUNTIME {
                let cannot = |said| SubjectError::NotReady { program: "wharf", said };
                unavailable.map_or(Ok(()), |why| Err(cannot(why)))?;
            } else {
                let none = json!({"min_warm": 0, "max_warm": 0});
                self.rest()?.patch(&format!("/v1/pools/{runtime}"), &none)?;
            }
        }
        Ok(())
    }

    /// The connection, or another one if the daemon may have ended it.
    fn rest(&mut self) -> Result<&mut Rest, RestError> {
        if self.heard.elapsed() > IDLE {
            self.daemon.rest = Rest::connect(self.daemon.socket())?;
        }
        self.heard = Instant::now();
        Ok(&mut self.daemon.rest)
    }
}

/// The event of a function that fetches from the server.
pub fn event() -> Value {
    json!({"host": SERVER.to_string(), "port": PORT})
}

/// Everything of a list.
fn items<T: for<'de> Deserialize<'de>>(listed: Value) -> Result<Vec<T>, RestError> {
    let Items { items } = serde_json::from_value(listed).map_err(io::Error::from)?;
    Ok(items)
}
