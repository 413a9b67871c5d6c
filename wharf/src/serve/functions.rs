//! The sandbox of a daemon: where it keeps what, and how it starts its helper.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use sandbox::Sandbox;

use crate::config::Settings;
use crate::failure::{Exit, Failure};

/// The argument by which this program knows that it is the helper of a daemon.
pub(crate) const CONTAINER_HELPER: &str = "container-helper";

/// Opens the sandbox, if functions are wanted.
pub(super) async fn open(settings: &Settings) -> Result<Option<Sandbox>, Failure> {
    let Some(functions) = &settings.functions else { return Ok(None) };
    let run = settings.socket.parent().unwrap_or(Path::new("/run")).join("containers");
    let data = settings.state.as_ref().map_or_else(|| run.join("data"), |state| state.join("functions"));
    let program = std::env::current_exe();
    let program =
        program.map_err(|e| Failure::new(Exit::Failed, format_args!("this program is gone: {e}")))?;
    let sandbox = sandbox::Settings {
        data,
        cgroup: format!("wharf-{:016x}", hash(&run)),
        run,
        oci: functions.oci.clone(),
        runtimes: functions.runtimes.clone(),
        helper: vec![program.display().to_string(), CONTAINER_HELPER.to_owned()],
    };
    let opened = Sandbox::open(sandbox).await;
    opened.map(Some).map_err(|error| {
        Failure::new(Exit::Failed, format_args!("cannot run functions: {error}"))
            .hint("--functions off starts the daemon without them")
    })
}

/// Daemons beside each other, each with a socket of its own, have control groups of their own.
fn hash(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}
