//! Everything put together.

use std::future::Future;
use std::path::PathBuf;

use gateway::Lifetime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::App;
use crate::deliveries::Deliveries;
use crate::fleet::Fleet;
use crate::medium::{Medium, MediumError, Redb, Volatile};
use crate::registry::{OpenError, Registry};
use crate::{Functions, Listeners, Settings, events, http, reconcile, server};

/// What is intended, as it was kept: opened before anything is served.
pub struct State {
    registry: Registry,
    lifetime: Lifetime,
    /// Nothing if they cannot be kept.
    deliveries: Option<Deliveries>,
}

/// Why there is no state to begin with. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store could not be opened.
    #[error(transparent)]
    Store(MediumError),
    /// What the store has kept cannot be taken up.
    #[error("{0}")]
    Content(String),
}

impl State {
    /// Opens the store in this directory; without one, nothing outlives the process, devices included.
    pub fn open(directory: Option<&PathBuf>) -> Result<Self, StateError> {
        let (medium, lifetime): (Box<dyn Medium>, _) = match directory {
            Some(directory) => {
                (Box::new(Redb::open(directory).map_err(StateError::Store)?), Lifetime::Lasting)
            }
            None => (Box::new(Volatile), Lifetime::Process),
        };
        match Registry::open(medium) {
            Ok(registry) => Ok(Self { registry, lifetime, deliveries: deliveries(directory) }),
            Err(OpenError::Medium(error)) => Err(StateError::Store(error)),
            Err(error) => Err(StateError::Content(error.to_string())),
        }
    }
}

/// What was accepted by an earlier daemon. Everything else goes on without it.
fn deliveries(directory: Option<&PathBuf>) -> Option<Deliveries> {
    match Deliveries::open(directory.map(PathBuf::as_path)) {
        Ok(deliveries) => Some(deliveries),
        Err(error) => {
            tracing::error!(%error, "no asynchronous invocation is accepted or run");
            None
        }
    }
}

/// Serves the API until `shutdown` ends, then finishes the requests that are under way, within [`Settings::drain`].
///
/// Without what functions need, the API refuses to deploy any.
///
/// The listeners are the caller's to bind and, for the unix socket's file, to remove.
pub async fn serve(
    listeners: Listeners,
    handle: gateway::Handle,
    state: State,
    functions: Option<Functions>,
    shutdown: impl Future<Output = ()>,
    settings: Settings,
) {
    // Subscribed before the first request, so that no loss goes unheard.
    let losses = handle.events();
    let fleet = functions.as_ref().and_then(|functions| functions.sandbox.clone());
    let fleet = fleet.map(|sandbox| Fleet::new(sandbox, handle.clone()));
    let app = App::new(state.registry, handle, state.lifetime, functions);
    app.keep_invocations(state.deliveries);
    if let Some(fleet) = &fleet {
        app.run_functions(fleet);
    }
    let mut background = JoinSet::new();
    background.spawn(events::follow(app.clone(), losses));
    background.spawn(reconcile::run(app.clone(), reconcile::Intended::of(&app)));
    background.spawn(app.clone().sweep_code());
    let router = http::router(app.clone(), &settings.admins);
    let patience = settings.drain;
    let (end, ended) = watch::channel(false);
    let over = async |mut ended: watch::Receiver<bool>| _ = ended.wait_for(|over| *over).await;
    let deliveries = tokio::spawn(app.deliver(over(ended.clone()), patience));
    // Who waits for an environment hears that there will be none while there still is a connection to hear it by.
    let fleet = async {
        if let Some(fleet) = fleet {
            over(ended).await;
            fleet.stop(patience).await;
        }
    };
    let shutdown = async move {
        shutdown.await;
        end.send_replace(true);
    };
    tokio::join!(server::run(listeners, router, shutdown, settings), fleet);
    _ = deliveries.await;
}
