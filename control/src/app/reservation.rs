//! A reserved name whose device is being made.

use control_core::{Change, Name};

use super::App;

/// Gives the name back when dropped, however the creation ended, unless it is kept.
pub(super) struct Reservation<'a> {
    app: &'a App,
    forget: Option<Change>,
}

impl<'a> Reservation<'a> {
    /// Reserved by [`Change::ReserveVpc`].
    pub(super) fn of_vpc(app: &'a App, vpc: &Name) -> Self {
        Self { app, forget: Some(Change::ForgetVpc(vpc.clone())) }
    }

    /// Reserved by [`Change::ReserveContainer`].
    pub(super) fn of_container(app: &'a App, container: &Name) -> Self {
        Self { app, forget: Some(Change::ForgetContainer(container.clone())) }
    }

    /// The resource exists.
    pub(super) fn keep(mut self) {
        self.forget = None;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let Some(forget) = self.forget.take() else { return };
        if let Err(problem) = self.app.commit(forget) {
            tracing::error!(%problem, "a reserved name was not given back");
        }
    }
}
