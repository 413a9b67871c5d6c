//! Links whose descriptors keep their namespaces alive: noticing that the namespace's name does not mean it any more.
//!
//! The kernel tells of a name that is deleted (inotify) and of a process that ends (pidfd). It does not tell of the rest: a
//! name without its mount, a process that goes elsewhere, a device under a packet socket. So there are looks, too, each
//! at so few names that the processor does not notice, however many there are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use crate::Link;
use crate::identity::Home;
use crate::io::Device;

/// Between two looks at the packet uplinks, of which there are few.
const INTERVAL: Duration = Duration::from_millis(500);

/// Between two looks at TAP devices, of which there are many.
const LONG_INTERVAL: Duration = Duration::from_secs(2);

/// TAP devices that one look is for; the next one is for the next of them.
const SOME: usize = 64;

/// A link to watch.
pub(crate) struct Watched {
    pub(crate) link: Link,
    /// Closed when the link is removed, which ends the watching.
    pub(crate) device: Weak<Device>,
    /// Its namespace, if that has a name.
    pub(crate) home: Option<Home>,
}

/// All links that are watched.
pub(super) struct Watch {
    epoll: Arc<Epoll>,
    /// `None` if the kernel gives us none: then looks have to do.
    inotify: Option<Inotify>,
    /// Which links a name in a directory is for.
    names: BTreeMap<Name, Vec<u64>>,
    /// Names in a directory that is watched.
    directories: BTreeMap<WatchDescriptor, usize>,
    sockets: Ring,
    taps: Ring,
    next: u64,
}

type Name = (WatchDescriptor, OsString);

/// Links in the order in which they came, and where the last look ended.
struct Ring {
    entries: BTreeMap<u64, (Watched, Option<Name>)>,
    cursor: u64,
    looked: Instant,
}

/// The place of the names in the set that is waited for.
const NAMES: u64 = 1;
/// The place of the first link's process.
const FIRST: u64 = 2;

impl Watch {
    pub(super) fn new(epoll: Arc<Epoll>) -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
            .and_then(|inotify| {
                epoll.add(&inotify, EpollEvent::new(EpollFlags::EPOLLIN, NAMES)).map(|()| inotify)
            })
            .inspect_err(|error| tracing::warn!(%error, "deleted namespaces are noticed late"))
            .ok();
        let (names, directories) = Default::default();
        Self { epoll, inotify, names, directories, sockets: Ring::new(), taps: Ring::new(), next: FIRST }
    }

    /// Watches a link from now on; returns it if it is gone already.
    pub(super) fn add(&mut self, watched: Watched) -> Option<Link> {
        let device = watched.device.upgrade()?;
        let token = self.next;
        self.next += 1;
        let name = watched.home.as_ref().and_then(|home| self.watch_name(home, token));
        if let Some(process) = watched.home.as_ref().and_then(|home| home.process.as_ref()) {
            // If that fails, the looks have to do.
            let _ = self.epoll.add(process, EpollEvent::new(EpollFlags::EPOLLIN, token));
        }
        let ring = if matches!(*device, Device::Packet(_)) { &mut self.sockets } else { &mut self.taps };
        if ring.entries.is_empty() {
            ring.looked = Instant::now();
        }
        ring.entries.insert(token, (watched, name));
        // What happened before the kernel was asked, it does not tell.
        self.check(token)
    }

    /// How long to wait for an event. Without anything to look at, forever.
    pub(super) fn timeout(&self) -> EpollTimeout {
        let sockets = self.sockets.due(INTERVAL);
        let Some(due) = sockets.into_iter().chain(self.taps.due(LONG_INTERVAL)).min() else {
            return EpollTimeout::NONE;
        };
        // A part of a millisecond is waited for, too: without it, there would be nothing to do yet.
        let wait = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::MAX)
    }

    /// Looks at those whose turn it is; returns what is gone.
    pub(super) fn look(&mut self) -> Vec<Link> {
        let mut due = Vec::new();
        for (ring, interval, count) in
            [(&mut self.sockets, INTERVAL, usize::MAX), (&mut self.taps, LONG_INTERVAL, SOME)]
        {
            if ring.due(interval).is_some_and(|due| due <= Instant::now()) {
                due.extend(ring.turn(count));
            }
        }
        self.check_all(due)
    }

    /// Looks at what the kernel has told of; returns what is gone.
    pub(super) fn handle_event(&mut self, token: u64) -> Vec<Link> {
        if token != NAMES {
            // A process has ended, and nobody but its name can have changed.
            return self.end(token).into_iter().collect();
        }
        let mut gone = Vec::new();
        while let Some(events) = self.inotify.as_ref().and_then(|inotify| inotify.read_events().ok()) {
            for event in events {
                let tokens = if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    // Any of them.
                    self.names.values().flatten().copied().collect()
                } else {
                    let name = event.name.map(|name| (event.wd, name));
                    name.and_then(|name| self.names.get(&name)).cloned().unwrap_or_default()
                };
                gone.extend(self.check_all(tokens));
            }
        }
        gone
    }

    fn check_all(&mut self, tokens: Vec<u64>) -> Vec<Link> {
        tokens.into_iter().filter_map(|token| self.check(token)).collect()
    }

    /// Looks at one link, and ends its watching if there is no reason for more.
    fn check(&mut self, token: u64) -> Option<Link> {
        let (watched, _) = self.sockets.entries.get(&token).or_else(|| self.taps.entries.get(&token))?;
        if watched.is_there() { None } else { self.end(token) }
    }

    /// Watches a link no longer; returns it if nobody has removed it.
    fn end(&mut self, token: u64) -> Option<Link> {
        let (watched, name) =
            self.sockets.entries.remove(&token).or_else(|| self.taps.entries.remove(&token))?;
        if let Some(name) = name {
            self.forget_name(&name, token);
        }
        // With its process's descriptor, it also leaves the set that is waited for.
        (watched.device.strong_count() > 0).then_some(watched.link)
    }

    /// Asks the kernel to tell when the name goes.
    fn watch_name(&mut self, home: &Home, token: u64) -> Option<Name> {
        let path = home.netns.path();
        let (directory, file) = (path.parent()?, path.file_name()?);
        let events = AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE | AddWatchFlags::IN_ONLYDIR;
        // The same directory has the same descriptor, however often and by whatever path it is asked for.
        let directory = self.inotify.as_ref()?.add_watch(directory, events).ok()?;
        let name = (directory, file.to_owned());
        let tokens = self.names.entry(name.clone()).or_default();
        if tokens.is_empty() {
            *self.directories.entry(directory).or_default() += 1;
        }
        tokens.push(token);
        Some(name)
    }

    fn forget_name(&mut self, name: &Name, token: u64) {
        let Some(tokens) = self.names.get_mut(name) else { return };
        tokens.retain(|&other| other != token);
        if !tokens.is_empty() {
            return;
        }
        self.names.remove(name);
        if let Some(count) = self.directories.get_mut(&name.0) {
            *count -= 1;
            if *count == 0 {
                self.directories.remove(&name.0);
                // A directory that was deleted is not watched any more.
                let _ = self.inotify.as_ref().map(|inotify| inotify.rm_watch(name.0));
            }
        }
    }
}

impl Ring {
    fn new() -> Self {
        Self { entries: BTreeMap::new(), cursor: 0, looked: Instant::now() }
    }

    /// When the next look is; `None` if there is nothing to look at.
    fn due(&self, interval: Duration) -> Option<Instant> {
        (!self.entries.is_empty()).then(|| self.looked + interval)
    }

    /// The next ones.
    fn turn(&mut self, count: usize) -> Vec<u64> {
        self.looked = Instant::now();
        let after = self.entries.range((Excluded(self.cursor), Unbounded));
        let turn: Vec<_> =
            after.chain(self.entries.range(..=self.cursor)).take(count).map(|(&t, _)| t).collect();
        self.cursor = turn.last().copied().unwrap_or(0);
        turn
    }
}

impl Watched {
    /// Whether there is still something to look at: device, namespace, and a link that uses them.
    fn is_there(&self) -> bool {
        self.home.as_ref().is_none_or(Home::is_there)
            && self.device.upgrade().is_some_and(|device| !device.has_gone())
    }
}
