//! What the demo is played on: two VPCs with a web server and a database in each, a daemon, and functions.

use std::net::SocketAddrV4;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use netlab::traffic::Http;
use netlab::{Lab, Namespace};
use serde::Deserialize;
use serde_json::{Value, json};

use super::redis::Redis;
use super::times::{self, Trace};
use crate::demo::api::{Api, Invoked};
use crate::demo::daemon::{Daemon, Serving};
use crate::demo::error::{Claim, DemoError};
use crate::demo::ground::{EXTERNAL, SERVER, VPCS, add_vpc, quiet};
use crate::demo::interrupt::Interrupt;
use crate::output::chart::Span;

/// A language that functions are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    Node,
}

/// All of them.
const LANGUAGES: [Language; 2] = [Language::Python, Language::Node];

/// Whether pools make up for what is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filling {
    On,
    Off,
}

/// A function of the demo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is written in.
    pub(super) language: Language,
    /// Which of the [`VPCS`] its connector leads to.
    pub(super) vpc: usize,
}

/// All functions. Those of a language have the same code.
pub(super) const FUNCTIONS: [Function; 4] = [
    Function { name: "py-orders", language: Language::Python, vpc: 0 },
    Function { name: "py-billing", language: Language::Python, vpc: 1 },
    Function { name: "node-orders", language: Language::Node, vpc: 0 },
    Function { name: "node-billing", language: Language::Node, vpc: 1 },
];

/// The key that functions read.
const KEY: &str = "total";
/// What the key says in each VPC.
const VALUES: [&str; VPCS.len()] = ["1042 orders", "377 invoices"];

/// How long warm containers may take. Their root filesystems are put together before the first ones.
const WARMING: Duration = Duration::from_secs(60);
/// Between two looks at the pools.
const LOOK: Duration = Duration::from_millis(20);

/// Everything that exists. Fields are dropped in this order: servers hold their namespaces, the daemon its containers and devices.
pub(super) struct Stage {
    /// The web servers, as the VPCs are.
    pub(super) webs: Vec<Http>,
    /// The databases, as the VPCs are.
    pub(super) databases: Vec<Redis>,
    /// To ask the daemon.
    pub(super) api: Api,
    daemon: Daemon,
    vpcs: [Namespace; 2],
    _lab: Lab,
}

/// The namespaces, before anything is in them.
pub(super) struct Ground {
    home: Namespace,
    vpcs: [Namespace; 2],
    lab: Lab,
}

/// What a handler answers.
#[derive(Deserialize)]
struct Answer {
    page: Page,
    value: String,
    first_byte_ns: u64,
}

/// What a web server says about itself and its client.
#[derive(Deserialize)]
struct Page {
    server: String,
    client: SocketAddrV4,
}

/// An invocation whose answer is right.
pub(super) struct Run {
    /// Of which function.
    pub(super) function: Function,
    /// What it has read.
    pub(super) value: String,
    /// Whom the web server saw, by its own word.
    pub(super) web_saw: SocketAddrV4,
    /// Whom the database saw, by its own word.
    pub(super) database_saw: SocketAddrV4,
    /// What the daemon says took how long.
    pub(super) trace: Trace,
    /// From the trigger to the answer.
    pub(super) timeline: Vec<Span>,
    /// How long the caller waited.
    pub(super) took: Duration,
}

impl Language {
    /// The runtime's name.
    pub(super) const fn runtime(self) -> &'static str {
        match self {
            Self::Python => "python3",
            Self::Node => "nodejs",
        }
    }

    const fn handler(self) -> &'static str {
        match self {
            Self::Python => "handler.handler",
            Self::Node => "index.handler",
        }
    }

    /// Its file, and what is in it.
    const fn code(self) -> (&'static str, &'static str) {
        match self {
            Self::Python => ("handler.py", include_str!("code/handler.py")),
            Self::Node => ("index.mjs", include_str!("code/index.mjs")),
        }
    }
}

impl Ground {
    /// Makes the namespaces.
    pub(super) fn new() -> Result<Self, DemoError> {
        let lab = Lab::new("demo")?;
        let namespace = |name| lab.namespace(name).map(quiet);
        let [orders, billing] = VPCS;
        Ok(Self { home: namespace("wharf")?, vpcs: [namespace(orders)?, namespace(billing)?], lab })
    }

    /// Starts the daemon.
    pub(super) fn serve(self) -> Result<Stage, DemoError> {
        let (daemon, api) = Daemon::start(&self.home, Serving::Functions)?;
        let Self { vpcs, lab, .. } = self;
        Ok(Stage { webs: Vec::new(), databases: Vec::new(), api, daemon, vpcs, _lab: lab })
    }
}

impl Stage {
    /// Adds the VPCs, a connector to each, and the servers in each.
    pub(super) fn add_vpcs(&mut self) -> Result<(), DemoError> {
        for ((name, namespace), value) in VPCS.into_iter().zip(&self.vpcs).zip(VALUES) {
            self.webs.push(add_vpc(&mut self.api, name, namespace)?);
            self.databases.push(Redis::start(namespace, self.daemon.directory(), (KEY, value))?);
        }
        Ok(())
    }

    /// Asks for warm containers of both languages, one for each function; or for no more than there are.
    pub(super) fn pools(&mut self, filling: Filling) -> Result<(), DemoError> {
        for language in LANGUAGES {
            let count = match filling {
                Filling::On => FUNCTIONS.iter().filter(|function| function.language == language).count(),
                Filling::Off => 0,
            };
            self.api.patch(&format!("/v1/pools/{}", language.runtime()), &json!({ "min_warm": count }))?;
        }
        Ok(())
    }

    /// Waits until both languages have as many warm containers as their pools keep; tells how many those are together.
    pub(super) fn warm(&mut self, interrupt: &Interrupt) -> Result<u64, DemoError> {
        let mut all = 0;
        for language in LANGUAGES {
            let runtime = language.runtime();
            let begun = Instant::now();
            loop {
                interrupt.check()?;
                let pool = self.api.get(&format!("/v1/pools/{runtime}"))?;
                let (wanted, warm) = (pool["min_warm"].as_u64(), pool["counts"]["warm"].as_u64());
                if warm >= wanted {
                    all += warm.unwrap_or_default();
                    break;
                }
                if let Some(reason) = pool["unavailable"].as_str() {
                    return Err(DemoError::Runtime { runtime, reason: reason.to_owned() });
                }
                if begun.elapsed() > WARMING {
                    return Err(DemoError::Cold { runtime, log: self.daemon.log() });
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(all)
    }

    /// Deploys a function; tells how large its code is. Bytes.
    pub(super) fn deploy(&mut self, function: &Function) -> Result<usize, DemoError> {
        let (file, code) = function.language.code();
        let pack = || {
            let folder = tempfile::tempdir_in(self.daemon.directory())?;
            std::fs::write(folder.path().join(file), code)?;
            sandbox::pack(folder.path()).map_err(std::io::Error::other)
        };
        let zip = pack().map_err(DemoError::system("pack code"))?;
        let body = json!({
            "name": function.name,
            "runtime": function.language.runtime(),
            "handler": function.language.handler(),
            "code": { "zip": BASE64_STANDARD.encode(&zip) },
            "environment": { "SERVER": SERVER.to_string() },
            "connectors": [VPCS[function.vpc]],
        });
        self.api.post("/v1/functions", &body)?;
        Ok(zip.len())
    }

    /// Asks a function, without a look at what it answers.
    pub(super) fn ask(&self, function: &Function) -> Result<Invoked, DemoError> {
        Ok(self.api.invoke(function.name, &json!({ "key": KEY }))?)
    }

    /// Asks a function, and compares its answer with what the servers of its VPC say.
    pub(super) fn invoke(&mut self, function: &Function) -> Result<Run, DemoError> {
        let (before, readers) =
            (self.webs[function.vpc].visits().len(), self.readers(function.vpc, 0)?.len());
        let invoked = self.ask(function)?;
        let expected = VPCS[function.vpc];
        let wrong = || Claim::Function { function: function.name, expected, answer: invoked.answer.clone() };
        let answer = serde_json::from_str::<Answer>(&invoked.answer).map_err(|_| wrong())?;
        let right = answer.page.server == expected && answer.value == VALUES[function.vpc];
        if !right || *answer.page.client.ip() != EXTERNAL {
            return Err(wrong().into());
        }
        let visits = self.webs[function.vpc].visits();
        let &[(web_saw, connected)] = &visits[before..] else { return Err(self.crowd(function.vpc).into()) };
        let database = self.readers(function.vpc, readers + 1)?.split_off(readers);
        let [database_saw] = database[..] else { return Err(wrong().into()) };
        if web_saw != answer.page.client || *database_saw.ip() != EXTERNAL {
            return Err(wrong().into());
        }
        let trace = self.trace(function, &invoked)?;
        let timeline = times::timeline(&trace, &invoked, connected, answer.first_byte_ns);
        let took = invoked.took;
        Ok(Run { function: *function, value: answer.value, web_saw, database_saw, trace, timeline, took })
    }

    /// Everybody who has read from a VPC's database; waits for so many.
    pub(super) fn readers(&mut self, vpc: usize, at_least: usize) -> Result<Vec<SocketAddrV4>, DemoError> {
        Ok(self.databases[vpc].readers(at_least)?.to_vec())
    }

    /// What the daemon remembers of an invocation.
    fn trace(&mut self, function: &Function, invoked: &Invoked) -> Result<Trace, DemoError> {
        let path = format!("/v1/functions/{}/invocations/{}", function.name, invoked.id);
        Ok(Trace::of(&self.api.get(&path)?))
    }

    /// A web server was asked by others too.
    fn crowd(&self, vpc: usize) -> Claim {
        let seen = self.webs[vpc].clients();
        let expected = seen.first().copied().unwrap_or(SocketAddrV4::new(EXTERNAL, 0));
        Claim::Clients { server: VPCS[vpc], expected, seen }
    }

    /// The name of the function that each container serves.
    pub(super) fn containers(&mut self) -> Result<Vec<(String, String)>, DemoError> {
        let answer = self.api.get("/v1/containers")?;
        let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
        let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(items.iter().map(|item| (text(item, "name"), text(item, "function"))).collect())
    }

    /// The daemon's socket.
    pub(super) fn socket(&self) -> &Path {
        self.daemon.socket()
    }
}
