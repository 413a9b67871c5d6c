//! What containers come from.

mod leftovers;
mod prepared;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
pub(crate) use prepared::Directory;
pub use prepared::{Namespace, Prepared};
use tokio::sync::OnceCell;

use crate::cgroup::{Group, Hierarchies};
use crate::limits::KILL_TIME;
use crate::mounting::Mounter;
use crate::slots::Slots;
use crate::{CodeStore, Language, Oci, Runtime, Settings, bootstrap, rootfs};

/// Makes containers. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Sandbox(pub(crate) Arc<Shared>);

/// What all containers have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) code: CodeStore,
    pub(crate) mounter: Mounter,
    pub(crate) slots: Slots,
    pub(crate) bootstraps: PathBuf,
    hierarchies: Hierarchies,
    /// Runtimes by their names.
    runtimes: BTreeMap<String, Known>,
    next: AtomicU64,
    /// Held as long as the directory is ours.
    _lock: Flock<File>,
}

/// A runtime, and its root filesystem once somebody has asked for it.
#[derive(Debug)]
struct Known {
    runtime: Runtime,
    root: OnceCell<Root>,
}

/// What containers of a runtime are made of.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) path: PathBuf,
    pub(crate) language: Language,
}

/// Why the sandbox cannot be used. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The machine lacks a controller of control groups. Mount it.
    #[error("no control group hierarchy has the controller {0}; mount it, or delegate it")]
    ControllerMissing(&'static str),
    /// Another daemon uses the directory. End it, or choose another.
    #[error("{0} is another daemon's")]
    InUse(PathBuf),
    /// The OCI runtime cannot make our containers. Choose another, or none.
    #[error("OCI runtime {program}: {problem}")]
    Oci {
        /// As it is set.
        program: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The store of code cannot be used.
    #[error("the store of code: {0}")]
    Code(#[from] crate::CodeError),
    /// A system call failed.
    #[error("{step}: {source}")]
    System {
        /// What was being done.
        step: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Why there is no container. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// No runtime has this name.
    #[error("there is no runtime named {0}")]
    UnknownRuntime(String),
    /// The runtime cannot be used on this machine.
    #[error("runtime {runtime} is not available: {detail}")]
    Unavailable {
        /// Which one.
        runtime: String,
        /// What is missing.
        detail: String,
    },
    /// There are as many containers as there may be.
    #[error("there are as many containers as there may be")]
    Full,
    /// The OCI runtime refused.
    #[error("the OCI runtime failed: {0}")]
    Oci(String),
    /// The first process ended, or did not become warm in time.
    #[error("the container did not become warm: {0}")]
    NotWarm(String),
    /// A system call failed.
    #[error("{step}: {source}")]
    System {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Sandbox {
    /// Opens the sandbox. Whatever an earlier process has left in its directories and control groups is removed first.
    ///
    /// This process becomes the parent of orphaned descendants (`PR_SET_CHILD_SUBREAPER`), so that it hears how containers end.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        let opened = tokio::task::spawn_blocking(|| Shared::open(settings)).await;
        opened
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
            .map(|it| Self(Arc::new(it)))
    }

    /// Names of its runtimes, and why one cannot be used on this machine.
    pub fn runtimes(&self) -> Vec<(String, Result<(), String>)> {
        let runtimes = self.0.runtimes.iter();
        runtimes
            .map(|(name, known)| (name.clone(), rootfs::check(&known.runtime).map_err(|e| e.to_string())))
            .collect()
    }

    /// Its store of code.
    pub fn code(&self) -> &CodeStore {
        &self.0.code
    }

    /// Removes what is of all containers together, once there is none any more. The code and the root filesystems stay.
    pub fn close(&self) {
        let group = self.0.hierarchies.group(&self.0.settings.cgroup);
        if let Err(error) = group.remove() {
            tracing::warn!(group = self.0.settings.cgroup, %error, "the containers' control group stays");
        }
        // It may never have been made.
        _ = fs::remove_dir(self.0.oci_state());
    }

    /// Makes the namespaces of a new container of this runtime, and its runtime API's listener in there.
    pub async fn prepare(&self, runtime: &str) -> Result<Prepared, CreateError> {
        let known = self.0.runtimes.get(runtime);
        let known = known.ok_or_else(|| CreateError::UnknownRuntime(runtime.to_owned()))?;
        let root = known.root.get_or_try_init(|| self.make_root(&known.runtime)).await?;
        Prepared::new(&self.0, runtime, root.clone()).await
    }

    /// The first container of a runtime pays for its root filesystem.
    async fn make_root(&self, runtime: &Runtime) -> Result<Root, CreateError> {
        let (name, language) = (runtime.name.clone(), runtime.language);
        let (runtime, data) = (runtime.clone(), self.0.settings.data.clone());
        let made = tokio::task::spawn_blocking(move || rootfs::prepare(&runtime, &data)).await;
        let made = made.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        let path =
            made.map_err(|error| CreateError::Unavailable { runtime: name, detail: error.to_string() })?;
        Ok(Root { path, language })
    }
}

impl Shared {
    fn open(settings: Settings) -> Result<Self, OpenError> {
        let made = |directory: &Path| {
            fs::create_dir_all(directory).map_err(step(format!("make {}", directory.display())))
        };
        made(&settings.data)?;
        made(&settings.run)?;
        // What is in there is none of other users' business; what is mounted from there has permissions of its own.
        for directory in [&settings.data, &settings.run] {
            let private = fs::Permissions::from_mode(0o700);
            fs::set_permissions(directory, private)
                .map_err(step(format!("close {}", directory.display())))?;
        }
        let lock = lock(&settings.run)?;
        check(&settings.oci)?;
        let hierarchies = Hierarchies::find().map_err(step("look for control groups".to_owned()))?;
        let hierarchies = hierarchies.map_err(OpenError::ControllerMissing)?;
        leftovers::remove(&settings, &hierarchies)?;
        hierarchies.make_parent(&settings.cgroup).map_err(step("make a control group".to_owned()))?;
        nix::sys::prctl::set_child_subreaper(true)
            .map_err(|error| step("become a subreaper".to_owned())(error.into()))?;
        let code = CodeStore::open(&settings.data.join("code"))?;
        let bootstraps = write_bootstraps(&settings.data).map_err(step("write the bootstraps".to_owned()))?;
        let mounter = Mounter::start().map_err(step("start the thread that mounts".to_owned()))?;
        let known = |runtime: &Runtime| Known { runtime: runtime.clone(), root: OnceCell::new() };
        let runtimes =
            settings.runtimes.iter().map(|runtime| (runtime.name.clone(), known(runtime))).collect();
        let (slots, next) = Default::default();
        Ok(Self { settings, code, mounter, slots, bootstraps, hierarchies, runtimes, next, _lock: lock })
    }

    /// An id that no container has had in this process.
    pub(crate) fn new_id(&self) -> String {
        format!("w{}-{}", std::process::id(), self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn group(&self, id: &str) -> Group {
        self.hierarchies.group(&format!("{}/{id}", self.settings.cgroup))
    }

    /// Removes what outlives a container's processes; ends those that are left. The log says what stays.
    pub(crate) async fn clear(&self, id: &str, group: &Group) {
        let removed = tokio::time::timeout(KILL_TIME, async {
            while group.remove().is_err() {
                group.kill();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        if removed.await.is_err() {
            tracing::error!(?group, "a container's control groups stay: processes in them do not end");
        }
        let state = self.oci_state().join(id);
        if let Err(error) = fs::remove_dir_all(&state)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(path = %state.display(), %error, "what the OCI runtime knows of a container stays");
        }
    }

    /// What is of one container only.
    pub(crate) fn directory(&self, id: &str) -> PathBuf {
        self.settings.run.join(id)
    }

    /// What the OCI runtime knows of its containers.
    pub(crate) fn oci_state(&self) -> PathBuf {
        self.settings.run.join("oci")
    }
}

/// What containers are started with finds programs there.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn check(oci: &Oci) -> Result<(), OpenError> {
    let Oci::Program(program) = oci else { return Ok(()) };
    let refused = |problem| Err(OpenError::Oci { program: program.clone(), problem });
    if program.file_name().is_some_and(|name| name == "runsc") {
        return refused(
            "its containers do not see mounts that come later, nor the loopback of their namespace",
        );
    }
    let is_there = match program.components().count() {
        1 => PATH.split(':').any(|directory| Path::new(directory).join(program).is_file()),
        _ => program.is_file(),
    };
    if is_there { Ok(()) } else { refused("there is no such program; install it, or leave the setting out") }
}

fn lock(run: &Path) -> Result<Flock<File>, OpenError> {
    let path = run.join("lock");
    let file = File::create(&path).map_err(step(format!("make {}", path.display())))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| OpenError::InUse(run.to_owned()))
}

/// The bootstraps as files that containers can read; under another name once they are others.
fn write_bootstraps(data: &Path) -> io::Result<PathBuf> {
    let directory = data.join("bootstraps");
    fs::create_dir_all(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
    for file in bootstrap::files() {
        let path = directory.join(file.name);
        // Containers of an earlier process may have it open: they keep the file that they know.
        let mut new = tempfile::NamedTempFile::new_in(&directory)?;
        new.write_all(file.bytes)?;
        new.as_file().set_permissions(fs::Permissions::from_mode(file.mode))?;
        new.persist(path)?;
    }
    Ok(directory)
}

fn step(step: String) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::System { step, source }
}
