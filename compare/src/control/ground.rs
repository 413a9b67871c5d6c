//! A daemon with a durable store, and containers with a namespace and a link each.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::client::{Client, Request};
use super::swarm::Swarm;
use crate::end::MTU;
use crate::rest::RestError;
use crate::subject::{Daemon, NAME, Programs, Site, SubjectError};

/// Links that are made at a time. The kernel makes one after the other; so it has always one to make.
const MAKERS: usize = 8;

/// Connections on which everything is attached at once.
const ATTACHERS: usize = 64;

/// How long a daemon may take to come back.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon that keeps what it is told, with one VPC and a connector to it.
#[derive(Debug)]
pub struct Ground {
    daemon: Daemon,
    site: Site,
    program: PathBuf,
    state: PathBuf,
    /// Names of the containers' namespaces.
    namespaces: Vec<String>,
}

/// How long a daemon that was started again took.
#[derive(Clone, Copy, Debug)]
pub struct Return {
    /// Until it said that it is ready.
    pub ready: Duration,
    /// Until all containers had their connector.
    pub live: Duration,
}

#[derive(Deserialize)]
struct ConnectorView {
    containers: Vec<String>,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<ContainerView>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct ContainerView {
    state: String,
    connectors: Vec<String>,
}

impl Ground {
    /// No containers yet.
    pub fn new(topic: &str, programs: &Programs) -> Result<Self, SubjectError> {
        let site = Site::new(topic)?;
        let state = site.directory.join("state");
        let daemon = Daemon::keeping(&site, &programs.wharf, &state)?;
        Ok(Self { daemon, site, program: programs.wharf.clone(), state, namespaces: Vec::new() })
    }

    /// Makes containers, until there are so many. Each has a namespace of its own.
    pub fn grow(&mut self, containers: usize) -> Result<(), SubjectError> {
        let had = self.namespaces.len();
        self.namespaces.extend(make_namespaces(&self.site, had..containers)?);
        let new = self.namespaces.iter().enumerate().skip(had);
        let requests = new.map(|(nth, namespace)| {
            let container = json!({"name": name(nth), "netns": {"name": namespace}, "mtu": MTU});
            Request::post("/v1/containers", &container)
        });
        self.swarm(MAKERS)?.all(&requests.collect::<Vec<_>>())?;
        Ok(())
    }

    /// Attaches the connector to all containers.
    pub fn attach_all(&self) -> Result<(), RestError> {
        self.swarm(ATTACHERS)?.all(&self.attachments()).map(drop)
    }

    /// Requests that attach the connector to each container.
    pub fn attachments(&self) -> Vec<Request> {
        self.paths().map(Request::put).collect()
    }

    /// Requests that detach it again.
    pub fn detachments(&self) -> Vec<Request> {
        self.paths().map(Request::delete).collect()
    }

    /// Requests that show each container.
    pub fn looks(&self) -> Vec<Request> {
        (0..self.namespaces.len()).map(|nth| Request::get(format!("/v1/containers/{}", name(nth)))).collect()
    }

    /// A connection. The daemon ends it when it is not used for ten seconds.
    pub fn client(&self) -> Result<Client, RestError> {
        Ok(Client::connect(self.daemon.socket())?)
    }

    /// Several connections, with the same end.
    pub fn swarm(&self, connections: usize) -> Result<Swarm, RestError> {
        Swarm::connect(self.daemon.socket(), connections)
    }

    /// The directory that the daemon keeps things in.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The daemon's process.
    pub fn pid(&self) -> u32 {
        self.daemon.process.id()
    }

    /// Kills the daemon and starts it again, with the connector attached to all containers.
    pub fn restart(&mut self) -> Result<Return, SubjectError> {
        self.daemon.process.kill();
        let start = Instant::now();
        self.daemon.start_again(&self.site, &self.program, &self.state)?;
        let mut client = wait(LOOK, || {
            let mut client = self.client().ok()?;
            client.send(&Request::get("/readyz")).is_ok().then_some(client)
        })?;
        let ready = start.elapsed();
        let look = Request::get(format!("/v1/connectors/{NAME}"));
        wait(LOOK_AT_ALL, || {
            let view: ConnectorView = serde_json::from_slice(client.send(&look).ok()?).ok()?;
            (view.containers.len() == self.namespaces.len()).then_some(())
        })?;
        let live = start.elapsed();
        // It may have waited long enough for the daemon to close the connection.
        let mut client = self.client()?;
        self.check(&mut client)?;
        Ok(Return { ready, live })
    }

    /// All containers say that they are ready, and have their connector.
    fn check(&self, client: &mut Client) -> Result<(), SubjectError> {
        let (mut live, mut cursor) = (0, String::new());
        loop {
            let body = client.send(&Request::get(format!("/v1/containers?limit=1000{cursor}")))?;
            let page: Page =
                serde_json::from_slice(body).map_err(|error| RestError::from(std::io::Error::from(error)))?;
            live += page.items.iter().filter(|c| c.state == "ready" && c.connectors == [NAME]).count();
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let all = self.namespaces.len();
        let said = format!("{live} of {all} containers are as they were");
        if live == all { Ok(()) } else { Err(SubjectError::NotReady { program: "wharf", said }) }
    }

    fn paths(&self) -> impl Iterator<Item = String> {
        (0..self.namespaces.len()).map(|nth| format!("/v1/containers/{}/connectors/{NAME}", name(nth)))
    }
}

/// Tries until it is so.
fn wait<T>(pause: Duration, mut tried: impl FnMut() -> Option<T>) -> Result<T, SubjectError> {
    let start = Instant::now();
    loop {
        if let Some(found) = tried() {
            return Ok(found);
        }
        if start.elapsed() > PATIENCE {
            let said = format!("not as it was after {PATIENCE:?}");
            return Err(SubjectError::NotReady { program: "wharf", said });
        }
        thread::sleep(pause);
    }
}

/// Between two looks whether the daemon is back.
const LOOK: Duration = Duration::from_millis(1);

/// Between two looks at what it has, which cost it something.
const LOOK_AT_ALL: Duration = Duration::from_millis(5);

/// Two threads: while one waits for the kernel's lock, the other enters its namespace.
fn make_namespaces(site: &Site, numbers: Range<usize>) -> Result<Vec<String>, SubjectError> {
    let one = |nth| Ok(site.lab.namespace(&name(nth))?.name().to_owned());
    let (near, far) = (
        numbers.start..numbers.start.midpoint(numbers.end),
        numbers.start.midpoint(numbers.end)..numbers.end,
    );
    thread::scope(|scope| {
        let others = scope.spawn(move || far.map(one).collect::<Result<Vec<_>, SubjectError>>());
        let mut made = near.map(one).collect::<Result<Vec<_>, SubjectError>>()?;
        made.extend(others.join().expect("it does not panic")?);
        Ok(made)
    })
}

fn name(nth: usize) -> String {
    format!("c{nth}")
}
