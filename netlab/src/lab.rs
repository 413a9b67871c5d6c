//! Labs, and the promise that nothing of them stays.

use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::{fmt, io, mem};

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::namespace::{self, Namespace, Process, SharedChild};
use crate::{LabError, name};

/// A set of namespaces and processes that is removed as a whole when it is dropped.
#[derive(Debug)]
pub struct Lab {
    live: Arc<Live>,
    prefix: String,
}

impl Lab {
    /// An empty lab. `topic` is part of the namespaces' names, for people; they are unique without it.
    ///
    /// # Panics
    /// If `topic` is anything but small letters, digits and hyphens.
    pub fn new(topic: &str) -> Result<Self, LabError> {
        static SWEPT: Once = Once::new();
        static LABS: AtomicU32 = AtomicU32::new(1);
        assert_is_word(topic);
        if !nix::unistd::geteuid().is_root() {
            return Err(LabError::NotPermitted);
        }
        SWEPT.call_once(|| drop(name::sweep()));
        let live = Arc::new(Live::default());
        let mut registry = lock(&REGISTRY);
        registry.retain(|lab| lab.strong_count() > 0);
        registry.push(Arc::downgrade(&live));
        Ok(Self { live, prefix: name::prefix(LABS.fetch_add(1, Ordering::Relaxed), topic) })
    }

    /// Makes a namespace as `ip netns add` does. Its loopback device is up.
    ///
    /// # Panics
    /// If `name` is anything but small letters, digits and hyphens.
    pub fn namespace(&self, name: &str) -> Result<Namespace, LabError> {
        assert_is_word(name);
        let name = format!("{}-{name}", self.prefix);
        // Made with the lock held: whoever removes the lab sees either nothing or the whole namespace.
        let mut pieces = self.live.lock();
        namespace::create(&name)?;
        pieces.namespaces.push(name.clone());
        drop(pieces);
        let namespace = Namespace::new(name, Arc::clone(&self.live));
        namespace.up("lo")?;
        Ok(namespace)
    }

    /// Does `undo` when the lab is removed, for whatever reason it is: for what is no namespace and no process. The last
    /// one given is the first one done, after the lab's processes have ended.
    pub fn on_removal(&self, undo: impl FnOnce() + Send + 'static) {
        self.live.lock().undos.push(Undo(Box::new(undo)));
    }

    /// Starts a program outside all of the lab's namespaces, which runs until its handle or the lab is dropped.
    pub fn spawn(&self, command: Command) -> Result<Process, LabError> {
        namespace::spawn(command, None, &self.live)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.live.lock().remove();
    }
}

/// Removes every lab of this process, and then exits, when SIGINT, SIGTERM or SIGHUP arrives.
///
/// For programs and tests that want to survive Ctrl-C cleanly; call it once, early. The exit status is
/// 128 + the signal's number, as a shell has it. Another call does nothing.
pub fn remove_on_signals() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = lock(&INSTALLED);
    if !*installed {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let entered = runtime.enter();
        let mut int = signal(SignalKind::interrupt())?;
        let mut term = signal(SignalKind::terminate())?;
        let mut hup = signal(SignalKind::hangup())?;
        drop(entered);
        let arrived = async move {
            tokio::select! {
                _ = int.recv() => Signal::SIGINT,
                _ = term.recv() => Signal::SIGTERM,
                _ = hup.recv() => Signal::SIGHUP,
            }
        };
        thread::Builder::new().name("netlab-signals".into()).spawn(move || {
            let signal = runtime.block_on(arrived);
            remove_all();
            process::exit(128 + signal as i32);
        })?;
        *installed = true;
    }
    Ok(())
}

/// The thread that removes everything before the process ends, once it does.
static ENDING: OnceLock<ThreadId> = OnceLock::new();

/// Whether another thread is removing everything, after which the process ends: whoever would make something must not any more.
pub fn is_ending() -> bool {
    ENDING.get().is_some_and(|ending| *ending != thread::current().id())
}

/// What exists of a lab. Shared by the lab, its namespaces and the registry.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<Pieces>);

/// Names of namespaces and handles of processes that exist.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    namespaces: Vec<String>,
    processes: Vec<SharedChild>,
    undos: Vec<Undo>,
}

/// What somebody wants done at the end.
struct Undo(Box<dyn FnOnce() + Send>);

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Undo")
    }
}

impl Live {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Pieces> {
        lock(&self.0)
    }
}

impl Pieces {
    pub(crate) fn add_process(&mut self, child: SharedChild) {
        self.processes.push(child);
    }

    pub(crate) fn remove_namespace(&mut self, name: &str) {
        self.namespaces.retain(|n| n != name);
        name::remove(name);
    }

    /// Processes first, because they keep namespaces alive.
    fn remove(&mut self) {
        self.processes.drain(..).for_each(|child| child.kill());
        self.undos.drain(..).rev().for_each(|Undo(undo)| undo());
        self.namespaces.drain(..).for_each(|name| name::remove(&name));
    }
}

/// Every lab of this process.
static REGISTRY: Mutex<Vec<Weak<Live>>> = Mutex::new(Vec::new());

/// Removes every lab, the newest first, as it may stand on older ones, and keeps its lock for ever, so that nothing is made while the
/// process ends.
fn remove_all() {
    _ = ENDING.set(thread::current().id());
    let registry = lock(&REGISTRY);
    let labs: Vec<_> = registry.iter().filter_map(Weak::upgrade).collect();
    for lab in labs.iter().rev() {
        let mut pieces = lab.lock();
        pieces.remove();
        mem::forget(pieces);
    }
    mem::forget((labs, registry));
}

/// A test that panicked while it held the lock must not keep its lab from being removed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn assert_is_word(text: &str) {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    assert!(!text.is_empty() && text.bytes().all(fits), "{text:?}: only small letters, digits and hyphens");
}
