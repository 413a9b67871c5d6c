//! Containers.

use control_core::{
    Caller, Change, Container, ContainerSpec, ContainerView, FullName, Kind, Life, NewContainer, Origin,
    Problem, Resources,
};
use gateway::{CallError, CommandError};

use super::call::named;
use super::reservation::Reservation;
use super::{App, Call, Page, Slice, convert, failure};
use crate::registry::Request;

impl App {
    /// Reserves the name and makes the link. On failure nothing is left.
    pub(crate) async fn create_container(
        &self,
        call: Call,
        new: NewContainer,
    ) -> Result<ContainerView, Problem> {
        let spec = new.validate()?;
        call.may_name(self, Some(&spec.netns), "netns")?;
        if let Some(container) = self.repeated(&call, Kind::Container)? {
            return self.look_again(|resources| {
                let made = |container: &&Container| container.life != Life::Creating;
                let found = resources.container(&container).ok().filter(made);
                found.map(|container| resources.container_view(container))
            });
        }
        let container = FullName::new(call.tenant(), &spec.name);
        if call.dry_run {
            let change = Change::ReserveContainer { tenant: container.tenant.clone(), spec };
            let view = |resources: &Resources| {
                resources.container(&container).map(|container| resources.container_view(container))
            };
            return Ok(self.registry().try_out(change, None, view)??);
        }
        self.carry_out(|app| app.make_container(call, container, spec)).await
    }

    /// A page of a tenant's containers, by name.
    pub(crate) fn containers(&self, caller: &Caller, page: &Page) -> Slice<ContainerView> {
        let revision = self.registry().changes().latest();
        self.read(|resources| {
            let all = resources.containers_of(&caller.tenant, page.after.as_ref());
            page.of(
                revision,
                all,
                |view: &ContainerView| &view.name,
                |container| resources.container_view(container),
            )
        })
    }

    /// One container.
    pub(crate) fn container(&self, caller: &Caller, name: &str) -> Result<ContainerView, Problem> {
        let container = named(&caller.tenant, name, Kind::Container)?;
        self.read(|resources| Ok(resources.container_view(resources.container(&container)?)))
    }

    /// Ends the container's sessions, detaches its connectors, removes the link and gives the name back.
    pub(crate) async fn delete_container(&self, call: Call, name: &str) -> Result<(), Problem> {
        let container = call.named(name, Kind::Container)?;
        self.read(|resources| resources.container(&container).map(drop))?;
        if call.dry_run {
            let change = Change::DeleteContainer(container.clone());
            let expected =
                call.request("delete_container", Kind::Container, &container, change.clone()).expected;
            return Ok(self.registry().try_out(change, expected.as_ref(), |_| ())?);
        }
        self.carry_out(|app| app.unmake_container(call, container)).await
    }

    async fn make_container(
        self,
        call: Call,
        container: FullName,
        spec: ContainerSpec,
    ) -> Result<ContainerView, Problem> {
        let change = Change::ReserveContainer { tenant: container.tenant.clone(), spec: spec.clone() };
        self.registry()
            .commit(call.creation("create_container", Kind::Container, &container, change))
            .await?;
        let reservation =
            Reservation::new(&self, call.failed_creation(Change::ForgetContainer(container.clone())));
        if let Err(problem) = self.link_container(&container, &spec, None).await {
            reservation.give_back().await;
            return Err(problem);
        }
        reservation.keep();
        let view = self.container(&call.caller, container.name.as_str())?;
        // The state can be "gone" already.
        tracing::info!(%container, state = %view.state, "container created");
        Ok(view)
    }

    /// Makes the link of a container whose name is reserved; as it was before, if it was.
    pub(crate) async fn link_container(
        &self,
        container: &FullName,
        spec: &ContainerSpec,
        before: Option<&Origin>,
    ) -> Result<(), Problem> {
        let asked = convert::attachment_spec(spec, before, self.0.lifetime);
        let namespace = asked.netns.identity();
        let made = self.gateway().add_attachment(asked).await.map_err(failure::of_container_link)?;
        let gateway_mac = made.gateway_mac.to_string();
        let link = convert::container_link(made);
        let attachment = convert::attachment(link.attachment);
        let (mac, namespace) = (link.mac.to_string(), namespace.map(|namespace| namespace.to_string()));
        let origin = namespace.map(|namespace| Origin { namespace, mac, gateway_mac });
        let ready = Change::ContainerReady { container: container.clone(), link, origin };
        let ready = self.commit(ready).await.map_err(Problem::from);
        if ready.is_err() {
            // Whatever this answers, the client hears of the first failure.
            _ = self.gateway().remove_attachment(attachment).await;
        }
        ready
    }

    /// Whether the namespace that the container names is the one in which its link was made.
    pub(crate) fn is_where_it_was(spec: &ContainerSpec, before: Option<&Origin>) -> bool {
        let Some(before) = before else { return true };
        let now = convert::netns_of(&spec.netns).identity();
        now.is_some_and(|now| now.to_string() == before.namespace)
    }

    async fn unmake_container(self, call: Call, container: FullName) -> Result<(), Problem> {
        let _turn = self.0.container_turns.take(&container).await;
        let change = Change::DeleteContainer(container.clone());
        let mut deletion = call.request("delete_container", Kind::Container, &container, change);
        let entry = deletion.audit.take();
        self.registry().commit(deletion).await?;
        let (link, connectors) = self.read(|resources| {
            let found = resources.container(&container)?;
            let connectors: Vec<_> = found.connectors.keys().cloned().collect();
            Ok::<_, Problem>((found.life.link().map(|link| link.attachment), connectors))
        })?;
        if let Some(attachment) = link {
            match self.gateway().remove_attachment(convert::attachment(attachment)).await {
                // Unknown: it disappeared by itself, which is what we want.
                Ok(_) | Err(CallError::Refused(CommandError::UnknownAttachment(_))) => {}
                Err(error) => return Err(failure::of_call(error)),
            }
        }
        let end = Request { audit: entry, ..Request::of(Change::ForgetContainer(container.clone())) };
        self.registry().commit(end).await?;
        for connector in connectors {
            self.linger(FullName::new(&container.tenant, &connector));
        }
        tracing::info!(%container, "container deleted");
        Ok(())
    }
}
