//! Containers.

use control_core::{Change, Container, ContainerSpec, ContainerView, Name, NewContainer, Problem};
use gateway::{CallError, CommandError};

use super::reservation::Reservation;
use super::{App, convert, failure};

impl App {
    /// Reserves the name and makes the link. On failure nothing is left.
    pub(crate) async fn create_container(&self, new: NewContainer) -> Result<ContainerView, Problem> {
        let spec = new.validate()?;
        self.carry_out(|app| app.make_container(spec)).await
    }

    /// All containers, by name.
    pub(crate) fn containers(&self) -> Vec<ContainerView> {
        self.read(|resources| resources.containers().map(Container::view).collect())
    }

    /// One container.
    pub(crate) fn container(&self, name: &str) -> Result<ContainerView, Problem> {
        self.read(|resources| Ok(resources.container(name)?.view()))
    }

    /// Ends the container's sessions, detaches its connectors, removes the link and gives the name back.
    pub(crate) async fn delete_container(&self, name: &str) -> Result<(), Problem> {
        let name = self.read(|resources| resources.container(name).map(|c| c.spec.name.clone()))?;
        self.carry_out(|app| app.unmake_container(name)).await
    }

    async fn make_container(self, spec: ContainerSpec) -> Result<ContainerView, Problem> {
        let container = spec.name.clone();
        self.commit(Change::ReserveContainer(spec.clone()))?;
        let reservation = Reservation::of_container(&self, &container);
        let made = self.gateway().add_attachment(convert::attachment_spec(&spec)).await;
        let link = convert::container_link(made.map_err(failure::of_container_link)?);
        let attachment = convert::attachment(link.attachment);
        if let Err(problem) = self.commit(Change::ContainerReady { container: container.clone(), link }) {
            // Whatever this answers, the name is given back and the client hears of the first failure.
            _ = self.gateway().remove_attachment(attachment).await;
            return Err(problem);
        }
        reservation.keep();
        let view = self.container(container.as_str())?;
        // The state can be "gone" already.
        tracing::info!(%container, %attachment, state = %view.state, "container created");
        Ok(view)
    }

    async fn unmake_container(self, container: Name) -> Result<(), Problem> {
        let _turn = self.0.container_turns.take(&container).await;
        self.commit(Change::DeleteContainer(container.clone()))?;
        let link = |c: &Container| c.life.link().map(|link| link.attachment);
        if let Some(attachment) = self.read(|resources| resources.container(container.as_str()).map(link))? {
            match self.gateway().remove_attachment(convert::attachment(attachment)).await {
                // Unknown: it disappeared by itself, which is what we want.
                Ok(_) | Err(CallError::Refused(CommandError::UnknownAttachment(_))) => {}
                Err(error) => return Err(failure::of_call(error)),
            }
        }
        self.commit(Change::ForgetContainer(container.clone()))?;
        tracing::info!(%container, "container deleted");
        Ok(())
    }
}
