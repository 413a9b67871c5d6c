//! A reserved name whose device is being made.

use super::App;
use crate::registry::Request;

/// Gives the name back when dropped, however the creation ended, unless it is kept.
pub(super) struct Reservation<'a> {
    app: &'a App,
    forget: Option<Request>,
}

impl<'a> Reservation<'a> {
    /// A name that this request gives back.
    pub(super) fn new(app: &'a App, forget: Request) -> Self {
        Self { app, forget: Some(forget) }
    }

    /// The resource exists.
    pub(super) fn keep(mut self) {
        self.forget = None;
    }

    /// Gives the name back before whoever asked is answered.
    pub(super) async fn give_back(mut self) {
        let Some(forget) = self.forget.take() else { return };
        if let Err(error) = self.app.registry().commit(forget).await {
            tracing::error!(%error, "a reserved name was not given back");
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(forget) = self.forget.take() {
            self.app.registry().commit_later(forget);
        }
    }
}
