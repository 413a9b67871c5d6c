//! Random operations on engines and model alike, compared after each step.

mod compare;
mod config;
mod oddities;
mod packets;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gateway_core::{
    AddressSpace, AttachmentId, ConnectorId, Filtering, Instant, Link, MappingMode, PortQuota, Protocol,
    UplinkId,
};

use crate::frame::Body;
use crate::model::{Flow, Key, Model};
use crate::tcp::Connection;
use crate::world::World;
use tests::Random;

/// What a run is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) mapping: MappingMode,
    pub(crate) filtering: Filtering,
    pub(crate) workers: u16,
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    /// Few ports, and time that jumps over timers; or many, and time that goes on evenly.
    pub(crate) pace: Pace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Few ports; most steps take no time, some leap over timers.
    Leaps,
    /// Many ports; every step takes as long as makes an hour of all of them.
    AnHour,
}

pub(crate) struct Driver {
    settings: Settings,
    random: Random,
    world: World,
    model: Model,
    /// Of each TCP session: its connection, and which end of it the container is.
    tcp: HashMap<Key, (u64, usize)>,
    connections: HashMap<u64, Connection>,
    /// Sessions that live, or lived a while ago.
    recent: Vec<(UplinkId, Key, SocketAddr)>,
    spaces: HashMap<UplinkId, AddressSpace>,
    quotas: HashMap<ConnectorId, (u32, Option<u32>, PortQuota)>,
    frame: Vec<u8>,
    log: VecDeque<(u64, Op)>,
    /// Next identities.
    containers: u32,
    uplinks: u32,
    numbers: u64,
    pub(crate) tally: Tally,
}

/// How often what happened, so that a run that tests nothing is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) hairpins: u64,
    pub(crate) opened: u64,
    pub(crate) entered: u64,
    pub(crate) came: u64,
    pub(crate) finished: u64,
    pub(crate) exhausted: u64,
    pub(crate) quota: u64,
    pub(crate) filtered: u64,
    pub(crate) denied: u64,
    /// Changes of a policy that ended sessions.
    pub(crate) revised: u64,
    pub(crate) gave_up: u64,
    pub(crate) errors: u64,
    pub(crate) whole: u64,
    pub(crate) pieces: u64,
    pub(crate) attached: u64,
    pub(crate) refused: u64,
    pub(crate) hand_offs: u64,
    pub(crate) strays: u64,
}

/// One step, for the log.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "read by people, when a run has failed")]
pub(crate) enum Op {
    Out(Key, Body),
    In(UplinkId, Flow, Body),
    ErrorOut(Key),
    ErrorIn(UplinkId, Flow),
    Pieces(Link, (SocketAddr, SocketAddr), u8),
    Wait(Duration),
    Control(String),
}

/// A difference, or the engine's own panic: what led to it.
impl Drop for Driver {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{:?}", self.settings);
            self.log.iter().for_each(|(at, op)| println!("{at} ms: {op:?}"));
        }
    }
}

/// What is wrong. The step ends.
pub(crate) type Checked = Result<(), String>;

impl Driver {
    pub(crate) fn new(settings: Settings) -> Self {
        let model = Model {
            now: Instant::ZERO,
            workers: settings.workers.into(),
            containers: std::collections::BTreeMap::new(),
            uplinks: std::collections::BTreeMap::new(),
            mappings: std::collections::BTreeMap::new(),
            sessions: std::collections::BTreeMap::new(),
            made: 0,
        };
        Self {
            settings,
            random: Random::new(settings.seed),
            world: World::new(settings.workers, settings.seed),
            model,
            tcp: HashMap::new(),
            connections: HashMap::new(),
            recent: Vec::new(),
            spaces: HashMap::new(),
            quotas: HashMap::new(),
            frame: Vec::new(),
            log: VecDeque::new(),
            containers: 0,
            uplinks: 0,
            numbers: 0,
            tally: Tally::default(),
        }
    }

    /// All steps, and the end of everything.
    pub(crate) fn run(mut self) -> Tally {
        // Somebody has to be there first.
        let prologue = (0..100).try_for_each(|_| self.change_configuration());
        if let Err(difference) = prologue {
            panic!("{difference}\nbefore the first step");
        }
        for step in 0..self.settings.steps {
            if let Err(difference) = self.step(step) {
                panic!("{difference}\nstep {step}");
            }
        }
        if let Err(difference) = self.remove_everything() {
            panic!("{difference}\nafter the last step");
        }
        Tally { hand_offs: self.world.hand_offs, ..self.tally }
    }

    fn note(&mut self, op: Op) {
        if self.log.len() == 24 {
            self.log.pop_front();
        }
        self.log.push_back((self.model.now.as_nanos() / 1_000_000, op));
    }

    fn step(&mut self, step: u64) -> Checked {
        self.pass_time()?;
        // In an hour there is less change than in a run with leaps.
        let what = self.random.below(if self.settings.pace == Pace::Leaps { 1000 } else { 962 });
        match what {
            0..400 => self.container_speaks()?,
            400..850 => self.vpc_speaks()?,
            850..920 => self.router_complains()?,
            920..960 => self.speaks_in_pieces()?,
            _ => self.change_configuration()?,
        }
        self.compare_counts()?;
        if step.is_multiple_of(61) {
            self.compare_all()?;
        }
        Ok(())
    }

    /// A moment, or longer than one of the timers.
    fn pass_time(&mut self) -> Checked {
        const TIMERS: [u64; 8] = [3, 30, 59, 61, 119, 121, 239, 299];
        let wait = match (self.settings.pace, self.random.below(2000)) {
            (Pace::AnHour, _) => {
                Duration::from_nanos(self.random.below(2 * 3_600_000_000_000 / self.settings.steps))
            }
            (Pace::Leaps, 0) => Duration::from_secs(7_439 + self.random.below(3)),
            (Pace::Leaps, 1..12) => Duration::from_secs(self.random.pick(&TIMERS)),
            (Pace::Leaps, 12..100) => Duration::from_millis(self.random.below(3000)),
            (Pace::Leaps, _) => Duration::from_nanos(1 + self.random.below(1000)),
        };
        if wait > Duration::from_millis(1) && self.settings.pace == Pace::Leaps {
            self.note(Op::Wait(wait));
        }
        let now = self.model.now + wait;
        let before = self.model.sessions.len();
        self.model.advance(now);
        let ended = self.world.advance(now);
        if ended == before - self.model.sessions.len() {
            Ok(())
        } else {
            Err(format!("{ended} sessions ended, {} were to", before - self.model.sessions.len()))
        }
    }

    fn container(&mut self) -> Option<AttachmentId> {
        let n = self.model.containers.len() as u64;
        let at = if n == 0 { return None } else { self.random.below(n) as usize };
        self.model.containers.keys().nth(at).copied()
    }

    fn uplink(&mut self) -> Option<UplinkId> {
        let n = self.model.uplinks.len() as u64;
        let at = if n == 0 { return None } else { self.random.below(n) as usize };
        self.model.uplinks.keys().nth(at).copied()
    }

    fn some_recent(&mut self) -> Option<(UplinkId, Key, SocketAddr)> {
        let n = self.recent.len() as u64;
        (n > 0).then(|| self.recent[self.random.below(n) as usize])
    }

    fn remember(&mut self, uplink: UplinkId, key: Key, external: SocketAddr) {
        let enough = if self.settings.pace == Pace::Leaps { 96 } else { 4096 };
        if self.recent.len() < enough {
            self.recent.push((uplink, key, external));
        } else {
            let at = self.random.below(enough as u64) as usize;
            self.recent[at] = (uplink, key, external);
        }
    }

    /// Somebody in a VPC, or in none.
    fn remote(&mut self, v4: bool, protocol: Protocol) -> SocketAddr {
        const V4: [[u8; 4]; 4] = [[10, 1, 0, 20], [10, 1, 0, 21], [192, 0, 2, 7], [198, 51, 100, 1]];
        const V6: [&str; 4] = ["fd01::20", "fd01::21", "2001:db8::7", "fd77::1"];
        let which = [0, 0, 0, 1, 1, 2, 2, 3][self.random.below(8) as usize];
        let address = if v4 { IpAddr::from(V4[which]) } else { V6[which].parse().expect("an address") };
        let port = if protocol == Protocol::Icmp { 0 } else { self.random.pick(&[53, 80, 80, 443]) };
        SocketAddr::new(address, port)
    }

    fn port(&mut self) -> u16 {
        let many = if self.settings.pace == Pace::Leaps { 5 } else { 400 };
        4000 + self.random.below(many) as u16
    }

    /// Whether the VPC's link brings a packet to this address back inside.
    fn is_inside(&self, uplink: UplinkId, address: IpAddr) -> bool {
        self.model.uplinks[&uplink].0.contains(&address)
            || self.model.containers.values().any(|c| c.is_routed(uplink, address))
    }
}
