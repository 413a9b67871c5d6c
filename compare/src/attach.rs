//! How long it takes until a container reaches a server, by Wharf and by the plugins of CNI.
//!
//! Everybody begins with a namespace that there is already, since runtimes make it before they ask for a network:
//!
//! - `cni`: the plugins `bridge` (with `host-local` and masquerade) and `portmap` are run for it as a runtime does;
//! - `wharf`: its container has a link, as Wharf's users have it ready, and is attached;
//! - `wharf-cold`: the link is made as well, which is the same work as that of `cni`.
//!
//! The clock stops at the first byte of a web server's answer.

use std::io::{self, Read, Write};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use netlab::Namespace;
use netlab::traffic::{self, Http};

use crate::contest::turned;
use crate::metric::Metric;
use crate::packages;
use crate::plugins::Plugins;
use crate::result::Results;
use crate::subject::{Daemon, EXTERNAL, Programs, SERVER, Site, SubjectError};

/// How long one attachment may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Wharf, a container that has a link.
    Wharf,
    /// Wharf, a namespace without a link.
    WharfCold,
    /// CNI's plugins, a namespace without a link.
    Cni,
}

/// One way, ready to be used again and again.
#[derive(Debug)]
struct Ground {
    way: Way,
    server: Http,
    /// There unless the way is CNI's.
    daemon: Option<Daemon>,
    site: Site,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wharf, Self::WharfCold, Self::Cni];

    /// As the result has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wharf => "wharf",
            Self::WharfCold => "wharf-cold",
            Self::Cni => "cni",
        }
    }

    fn ready(self, programs: &Programs) -> Result<Ground, SubjectError> {
        if self == Self::Cni {
            packages::check(packages::CNI)?;
        }
        let site = Site::new(&format!("attach-{}", self.name()))?;
        let daemon = match self {
            Self::Cni => site.join_server().map(|()| None)?,
            Self::Wharf | Self::WharfCold => Some(Daemon::start(&site, &programs.wharf)?),
        };
        let server = Http::start(&site.server, SocketAddrV4::new(SERVER, 80), "server");
        let server = server.map_err(SubjectError::system("start a web server"))?;
        Ok(Ground { way: self, server, daemon, site })
    }
}

/// Attaches `runs` times each way, in turns. The first time of each does not count.
pub fn measure(ways: &[Way], programs: &Programs, runs: usize, results: &mut Results) {
    let mut grounds = Vec::new();
    for way in ways {
        match way.ready(programs) {
            Ok(ground) => grounds.push(ground),
            Err(error) => results.absent(way.name(), Some(Metric::AttachToFirstByte), &error),
        }
    }
    let order: Vec<_> = (0..grounds.len()).collect();
    for run in 0..=runs {
        for nth in turned(&order, run) {
            let ground = &mut grounds[*nth];
            let name = ground.way.name();
            match ground.attach(run) {
                Ok(_) if run == 0 => {}
                Ok(took) => results.add(Metric::AttachToFirstByte, name, took.as_secs_f64() * 1e3),
                Err(error) => results.refuse(name, &[Metric::AttachToFirstByte], run, &error),
            }
        }
    }
}

impl Ground {
    /// Attaches a new namespace, and says how long it was until the first byte.
    fn attach(&mut self, run: usize) -> Result<Duration, SubjectError> {
        let name = format!("c{run}");
        let namespace = self.site.namespace(&name)?;
        let took = match &mut self.daemon {
            Some(daemon) => by_wharf(daemon, self.way, &name, &namespace),
            None => by_plugins(&self.site, &name, &namespace),
        };
        let seen = self.server.clients().last().map(|client| *client.ip());
        namespace.remove();
        if took.is_ok() && seen != Some(EXTERNAL) {
            let said = format!("the server saw {seen:?}, not {EXTERNAL}");
            return Err(SubjectError::NotReady { program: self.way.name(), said });
        }
        took
    }
}

fn by_wharf(
    daemon: &mut Daemon,
    way: Way,
    name: &str,
    namespace: &Namespace,
) -> Result<Duration, SubjectError> {
    let mut start = Instant::now();
    daemon.container(name, namespace)?;
    if way == Way::Wharf {
        start = Instant::now();
    }
    daemon.attach(name)?;
    let answered = first_byte(namespace);
    let took = start.elapsed();
    daemon.remove_container(name)?;
    answered.map(|()| took)
}

fn by_plugins(site: &Site, name: &str, namespace: &Namespace) -> Result<Duration, SubjectError> {
    let plugins = Plugins::new(site, name, namespace);
    let start = Instant::now();
    let made = plugins.add_bridge()?;
    plugins.add_port(&made)?;
    let answered = first_byte(namespace);
    let took = start.elapsed();
    plugins.remove_port(&made)?;
    plugins.remove_bridge()?;
    answered.map(|()| took)
}

/// Asks the server for a page, and reads the first byte of it.
fn first_byte(namespace: &Namespace) -> Result<(), SubjectError> {
    let ask = || {
        let mut stream = traffic::tcp_connect(
            (std::net::Ipv4Addr::UNSPECIFIED, 0),
            SocketAddrV4::new(SERVER, 80),
            PATIENCE,
        )?;
        write!(stream, "GET / HTTP/1.1\r\nHost: {SERVER}\r\nConnection: close\r\n\r\n")?;
        stream.read_exact(&mut [0])
    };
    let answered: io::Result<()> = namespace.run(ask);
    answered.map_err(SubjectError::system("ask the server"))
}
