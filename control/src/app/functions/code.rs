//! Code of functions on its way into the store, and out of it again.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use control_core::{Code, CodeHash, NewCode, Problem, StoredCode};
use sandbox::limits::ARCHIVE_BYTES;
use sandbox::{CodeError, CodeId, CodeStore};
use tokio::sync::Notify;

use crate::app::App;
use crate::fleet::Fleet;

/// An archive that was sent. Clones share its bytes.
#[derive(Clone)]
pub(crate) struct Archive {
    bytes: Bytes,
    stored: StoredCode,
}

/// Asks for code to be removed that nobody needs any more.
#[derive(Default)]
pub(crate) struct Sweeping(Notify);

/// What was stored and never needed is spared by the first sweep, as it may be needed in a moment.
const SECOND_SWEEP_AFTER: Duration = Duration::from_secs(60);

impl Archive {
    /// Reads what was sent, and finds out what it is known by.
    pub(crate) async fn read(code: NewCode) -> Result<Self, Problem> {
        blocking(move || {
            let bytes = STANDARD.decode(code.zip.as_bytes()).map_err(|error| {
                let detail = format!("the archive is no base64 (RFC 4648 §4): {error}");
                Problem::new(Code::InvalidCode, detail).at("code.zip")
            })?;
            drop(code);
            let length = bytes.len() as u64;
            if length > ARCHIVE_BYTES {
                let detail = format!("an archive has at most {ARCHIVE_BYTES} bytes, not {length}");
                return Err(Problem::new(Code::CodeTooLarge, detail).at("code.zip"));
            }
            let hash = CodeHash::parse(&CodeId::of(&bytes).to_string()).expect("it is a hash");
            Ok(Self { bytes: bytes.into(), stored: StoredCode { hash, bytes: length } })
        })
        .await
    }

    /// What it will be known by.
    pub(super) const fn stored(&self) -> &StoredCode {
        &self.stored
    }

    /// Puts it into the store. What was there before stays.
    pub(super) async fn store(self, store: &CodeStore) -> Result<(), Problem> {
        let store = store.clone();
        blocking(move || store.add(&self.bytes).map(drop).map_err(|error| of_code(&error))).await
    }
}

impl Sweeping {
    /// Something may not be needed any more. Many who ask at once are one.
    pub(crate) fn ask(&self) {
        self.0.notify_one();
    }
}

impl App {
    /// Removes code from the store that nobody needs, now and whenever there may be some.
    pub(crate) async fn sweep_code(self) {
        let Ok(machine) = self.machine() else { return };
        let store = machine.code.clone();
        loop {
            self.sweep(&store).await;
            tokio::time::sleep(SECOND_SWEEP_AFTER).await;
            self.sweep(&store).await;
            self.0.sweeping.0.notified().await;
        }
    }

    async fn sweep(&self, store: &CodeStore) {
        // What is stored after this look is spared by the store.
        let (store, needed) = (store.clone(), self.needed_code());
        let swept =
            blocking(move || store.retain(|id| needed.contains(&id)).map_err(|error| of_code(&error)));
        match swept.await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "code that nobody needs was removed"),
            Err(error) => tracing::warn!(%error, "code that nobody needs could not be removed"),
        }
    }

    /// Code of all versions of all functions, and of what still runs of others.
    fn needed_code(&self) -> HashSet<CodeId> {
        // In this order: what leaves the resources while this looks is still run.
        let mut needed: HashSet<_> = self.read(|resources| {
            let versions = resources.functions().flat_map(|function| &function.versions);
            versions.filter_map(|version| version.code.hash.as_str().parse().ok()).collect()
        });
        needed.extend(self.fleet().map(Fleet::code_in_use).unwrap_or_default());
        needed
    }

    /// A container has ended that had code of a version that is no more.
    pub(crate) fn code_is_free(&self) {
        self.0.sweeping.ask();
    }
}

/// The store's errors as clients see them.
fn of_code(error: &CodeError) -> Problem {
    let code = match error {
        CodeError::System { .. } | CodeError::Unreadable { .. } => {
            return Problem::new(Code::Internal, format!("the code cannot be stored: {error}"));
        }
        CodeError::TooLarge { .. } => Code::CodeTooLarge,
        _ => Code::InvalidCode,
    };
    Problem::new(code, error.to_string()).at("code.zip")
}

/// Does what would keep others waiting in a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.unwrap_or_else(|error| {
        Err(Problem::new(Code::Internal, format!("the operation broke off: {error}")))
    })
}
