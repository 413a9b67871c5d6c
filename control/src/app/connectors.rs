//! Connectors.

use control_core::{
    Caller, Change, Code, Connector, ConnectorSpec, ConnectorView, FullName, Kind, Name, NewConnector,
    Problem, Resources, VpcRef,
};

use super::call::named;
use super::{App, Call, Page, Slice};
use crate::registry::{Expected, Request};

impl App {
    /// Adds a connector. It has no device, so that it is there at once.
    pub(crate) async fn create_connector(
        &self,
        call: Call,
        new: NewConnector,
    ) -> Result<ConnectorView, Problem> {
        let spec = new.validate()?;
        if let Some(connector) = self.repeated(&call, Kind::Connector)? {
            return self.look_again(|resources| {
                resources.connector(&connector).ok().map(|found| self.connector_view(resources, found))
            });
        }
        let connector = FullName::new(call.tenant(), &spec.name);
        let change = Change::AddConnector { tenant: connector.tenant.clone(), spec };
        if call.dry_run {
            let view = |resources: &Resources| self.view_of(resources, &connector);
            return self.registry().try_out(change, None, view)?;
        }
        self.registry()
            .commit(call.creation("create_connector", Kind::Connector, &connector, change))
            .await?;
        let view = self.read(|resources| self.view_of(resources, &connector))?;
        tracing::info!(%connector, state = %view.state, "connector created");
        Ok(view)
    }

    /// A page of a tenant's connectors, by name.
    pub(crate) fn connectors(&self, caller: &Caller, page: &Page) -> Slice<ConnectorView> {
        let revision = self.registry().changes().latest();
        self.read(|resources| {
            let all = resources.connectors_of(&caller.tenant, page.after.as_ref());
            page.of(
                revision,
                all,
                |view: &ConnectorView| &view.name,
                |connector| self.connector_view(resources, connector),
            )
        })
    }

    /// One connector.
    pub(crate) fn connector(&self, caller: &Caller, name: &str) -> Result<ConnectorView, Problem> {
        let connector = named(&caller.tenant, name, Kind::Connector)?;
        self.read(|resources| self.view_of(resources, &connector))
    }

    /// What was asked for when a connector was created or last changed, and its ETag.
    pub(crate) fn asked_connector(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<(NewConnector, u64), Problem> {
        let connector = named(&caller.tenant, name, Kind::Connector)?;
        self.read(|resources| {
            let asked = resources.connector(&connector)?.spec.asked.clone();
            Ok((asked, resources.stamp(Kind::Connector, &connector).asked))
        })
    }

    /// Gives a connector another policy. Live sessions that it does not allow have ended when this returns.
    pub(crate) async fn update_connector(
        &self,
        call: Call,
        name: &str,
        new: NewConnector,
    ) -> Result<ConnectorView, Problem> {
        let connector = call.named(name, Kind::Connector)?;
        let spec = new.validate()?;
        if spec.name != connector.name {
            let detail = "a connector's name cannot be changed; create another connector";
            return Err(Problem::new(control_core::Code::ImmutableField, detail).at("name"));
        }
        if call.dry_run {
            let change = Change::UpdateConnector { tenant: connector.tenant.clone(), spec };
            let expected =
                call.request("update_connector", Kind::Connector, &connector, change.clone()).expected;
            let view = |resources: &Resources| self.view_of(resources, &connector);
            return self.registry().try_out(change, expected.as_ref(), view)?;
        }
        self.carry_out(|app| app.change_policy(call, connector, spec)).await
    }

    /// The owner of a VPC lets a connector join it, as it is at the time.
    pub(crate) async fn approve(
        &self,
        call: Call,
        vpc: &str,
        connector: &str,
    ) -> Result<ConnectorView, Problem> {
        let seen = self.joining(&call, vpc, connector)?;
        let change = Change::ApproveConnector(seen.name.clone());
        if call.dry_run {
            let view = |resources: &Resources| self.view_for(call.tenant(), resources, &seen.name);
            return self.registry().try_out(change, Some(&seen), view)?;
        }
        let request = ruling(&call, "approve", vpc, seen.clone(), change);
        self.registry().commit(request).await?;
        tracing::info!(connector = %seen.name, vpc, "connector approved");
        self.read(|resources| self.view_for(call.tenant(), resources, &seen.name))
    }

    /// The owner of a VPC lets a connector join no more. All of its sessions have ended when this returns.
    pub(crate) async fn revoke(
        &self,
        call: Call,
        vpc: &str,
        connector: &str,
    ) -> Result<ConnectorView, Problem> {
        loop {
            let seen = self.joining(&call, vpc, connector)?;
            let (full, change) = (seen.name.clone(), Change::RevokeConnector(seen.name.clone()));
            if call.dry_run {
                let view = |resources: &Resources| self.view_for(call.tenant(), resources, &full);
                return self.registry().try_out(change, Some(&seen), view)?;
            }
            let request = ruling(&call, "revoke", vpc, seen, change);
            let owner = call.tenant().clone();
            match self.carry_out(|app| app.withdraw(owner, request, full)).await {
                // Its owner cannot keep it by changing it: whatever it is by now is revoked.
                Err(problem) if problem.code() == Code::Changed => {}
                outcome => return outcome,
            }
        }
    }

    /// Removes a connector. Refused while it is attached.
    pub(crate) async fn delete_connector(&self, call: Call, name: &str) -> Result<(), Problem> {
        let connector = call.named(name, Kind::Connector)?;
        let id = self.read(|resources| resources.connector(&connector).map(|found| found.id))?;
        let change = Change::RemoveConnector(connector.clone());
        let request = call.request("delete_connector", Kind::Connector, &connector, change.clone());
        if call.dry_run {
            return Ok(self.registry().try_out(change, request.expected.as_ref(), |_| ())?);
        }
        self.registry().commit(request).await?;
        self.0.allowances.forget(id);
        self.0.lingering.forget(&connector);
        tracing::info!(%connector, "connector deleted");
        Ok(())
    }

    /// The connector, written as `name` or `tenant/name`, that wants to join this VPC of the caller, as it is now: one of the same name
    /// that comes after it can want another VPC.
    fn joining(&self, call: &Call, vpc: &str, connector: &str) -> Result<Expected, Problem> {
        let vpc = call.named(vpc, Kind::Vpc)?;
        let missing =
            || control_core::Refusal::NotFound { kind: Kind::Connector, name: connector.to_owned() };
        let connector = VpcRef::parse("connector", connector).map_err(|_| missing())?.of(call.tenant());
        self.read(|resources| {
            resources.vpc(&vpc)?;
            let (kind, name) = (Kind::Connector, resources.connector_joining(&vpc, &connector)?.name.clone());
            let revision = resources.stamp(kind, &name).asked;
            Ok(Expected { kind, name, revision })
        })
    }

    fn view_of(&self, resources: &Resources, connector: &FullName) -> Result<ConnectorView, Problem> {
        Ok(self.connector_view(resources, resources.connector(connector)?))
    }

    /// What the owner of the VPC sees.
    fn view_for(
        &self,
        owner: &Name,
        resources: &Resources,
        connector: &FullName,
    ) -> Result<ConnectorView, Problem> {
        Ok(self.seen_by(owner, resources, resources.connector(connector)?))
    }

    /// What a tenant sees of a connector that may be another's: which containers that has is nobody's business but its own.
    pub(super) fn seen_by(
        &self,
        tenant: &Name,
        resources: &Resources,
        connector: &Connector,
    ) -> ConnectorView {
        let mut view = self.connector_view(resources, connector);
        if connector.name.tenant != *tenant {
            view.containers.clear();
            view.users = None;
            view.functions = None;
        }
        view
    }

    pub(crate) fn connector_view(&self, resources: &Resources, connector: &Connector) -> ConnectorView {
        resources.connector_view(connector, |id| self.0.allowances.used(id))
    }

    async fn withdraw(
        self,
        owner: Name,
        request: Request,
        connector: FullName,
    ) -> Result<ConnectorView, Problem> {
        let _turn = self.0.connector_turns.take(&connector).await;
        // In this order: nobody can attach it any more, then those that have it lose it.
        let attached = self.read(|resources| Self::attached(resources, &connector));
        self.registry().commit(request).await?;
        let sessions_ended = self.cut_off(&attached).await?;
        tracing::info!(%connector, sessions_ended, "connector revoked");
        self.read(|resources| self.view_for(&owner, resources, &connector))
    }

    async fn change_policy(
        self,
        call: Call,
        connector: FullName,
        spec: ConnectorSpec,
    ) -> Result<ConnectorView, Problem> {
        let _turn = self.0.connector_turns.take(&connector).await;
        let before =
            self.read(|resources| resources.connector(&connector).map(|found| found.spec.clone()))?;
        let change = Change::UpdateConnector { tenant: connector.tenant.clone(), spec };
        let request = call.request("update_connector", Kind::Connector, &connector, change);
        self.registry().commit(request).await?;
        let outcome = self.tell_all(&connector).await;
        let Err(problem) = outcome else {
            return self.read(|resources| self.view_of(resources, &connector));
        };
        // The gateway did not take it: everything is as it was.
        let change = Change::UpdateConnector { tenant: connector.tenant.clone(), spec: (*before).clone() };
        let taken_back = match self.registry().commit(Request::of(change)).await {
            Ok(_) => self.tell_all(&connector).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = taken_back {
            tracing::error!(%connector, %error, "the old policy was not taken back everywhere");
        }
        Err(problem)
    }
}

/// What the owner of a VPC says about a connector, in its own audit log.
fn ruling(call: &Call, action: &str, vpc: &str, seen: Expected, change: Change) -> Request {
    let mut request = call.request(action, Kind::Connector, &seen.name, change);
    if let Some(entry) = &mut request.audit {
        entry.tenant = call.tenant().to_string();
        entry.target = format!("/v1/vpcs/{vpc}/connectors/{}", seen.name.seen_by(call.tenant()));
    }
    request.expected = Some(seen);
    request
}
