//! Everything put together.

use std::future::Future;

use tokio::task::JoinSet;

use crate::app::App;
use crate::store::Memory;
use crate::{Listeners, Settings, events, http, server};

/// Serves the API until `shutdown` ends, then finishes the requests that are under way, within [`Settings::drain`].
///
/// The listeners are the caller's to bind and, for the unix socket's file, to remove.
pub async fn serve(
    listeners: Listeners,
    handle: gateway::Handle,
    shutdown: impl Future<Output = ()>,
    settings: Settings,
) {
    // Subscribed before the first request, so that no loss goes unheard.
    let losses = handle.events();
    let app = App::new(Box::new(Memory::default()), handle);
    let mut background = JoinSet::new();
    background.spawn(events::follow(app.clone(), losses));
    server::run(listeners, http::router(app), shutdown, settings).await;
}
