//! Transitions of connectors.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::joins::refuse_stranger;
use super::{Resources, not_found};
use crate::limits::CONNECTORS;
use crate::{
    Approval, Connector, ConnectorId, ConnectorSpec, Container, Fitted, FullName, Initialised, Kind, MayJoin,
    Name, Refusal, Vpc,
};

impl Resources {
    pub(crate) fn add_connector(&mut self, tenant: &Name, spec: ConnectorSpec) -> Result<(), Refusal> {
        self.tenant(tenant)?;
        let name = FullName::new(tenant, &spec.name);
        if self.connectors.find(&name).is_some() {
            return Err(Refusal::AlreadyExists { kind: Kind::Connector, name: name.name });
        }
        if self.connectors.len() >= CONNECTORS {
            return Err(Refusal::LimitReached { what: "connectors", limit: CONNECTORS });
        }
        let vpc = spec.vpc.of(tenant);
        let (may_join, fitted) = self.may_join_at_once(tenant, &vpc, &spec)?;
        let id = ConnectorId(self.next_connector);
        self.next_connector += 1;
        let (spec, initialised) = (Arc::new(spec), Initialised::Not);
        let connector = Connector { id, name: name.clone(), vpc, spec, may_join, fitted, initialised };
        self.connectors.insert(name, connector);
        Ok(())
    }

    /// What can be said without the owner of the VPC. Of another tenant's, not even whether it exists.
    fn may_join_at_once(
        &self,
        tenant: &Name,
        vpc: &FullName,
        spec: &ConnectorSpec,
    ) -> Result<(MayJoin, Option<Arc<Fitted>>), Refusal> {
        if vpc.tenant != *tenant {
            return Ok((MayJoin::Requested, None));
        }
        let Some(vpc) = self.vpcs.find(vpc) else { return Err(Refusal::VpcMissing(vpc.name.clone())) };
        refuse_not_ready(vpc)?;
        let fitted = Arc::new(Fitted::new(spec, &vpc.spec)?);
        match vpc.spec.approval {
            Approval::Automatic => Ok((MayJoin::Approved, Some(fitted))),
            Approval::Manual => Ok((MayJoin::Requested, None)),
        }
    }

    pub(crate) fn update_connector(&mut self, tenant: &Name, spec: ConnectorSpec) -> Result<(), Refusal> {
        let name = FullName::new(tenant, &spec.name);
        let connector = self.connector(&name)?;
        if spec.vpc.of(tenant) != connector.vpc {
            return Err(Refusal::Immutable { field: "vpc" });
        }
        // What somebody else has approved stays what it was.
        let approved = connector.vpc.tenant != *tenant && connector.may_join == MayJoin::Approved;
        if approved && !spec.asked.is_alike(&connector.spec.asked) {
            return Err(Refusal::ApprovedElsewhere { name: name.name, vpc: connector.vpc.to_string() });
        }
        let containers: Vec<_> = self.index.attached(&name).cloned().collect();
        let banned = |function: &Name| !spec.may_be_used_by_function(function);
        self.refuse_used_by_functions(&name, banned)?;
        self.refuse_used_by_containers(&name, |container| refuse_stranger(&spec, container).is_err())?;
        let fitted = match connector.may_join {
            MayJoin::Approved => Some(Arc::new(Fitted::new(&spec, &self.vpc(&connector.vpc)?.spec)?)),
            MayJoin::Requested | MayJoin::Revoked => None,
        };
        let connector = self.connectors.edit(&name).expect("looked up");
        (connector.spec, connector.fitted) = (Arc::new(spec), fitted);
        for container in containers {
            self.refuse_misfit(&container, &name)?;
        }
        for function in self.index.using(&name) {
            self.refuse_function_ties(self.function(function)?)?;
        }
        // Who does not use its addresses may share them with who does.
        if self.has_addresses(&name) { self.refuse_external_of_others(&name) } else { Ok(()) }
    }

    pub(crate) fn approve_connector(&mut self, name: &FullName) -> Result<(), Refusal> {
        let connector = self.connector(name)?;
        if connector.may_join == MayJoin::Approved {
            return Ok(());
        }
        let vpc = self.vpc(&connector.vpc)?;
        // One that is being made or removed may be no more in a moment.
        refuse_not_ready(vpc)?;
        let fitted = Fitted::new(&connector.spec, &vpc.spec)?;
        let connector = self.connectors.edit(name).expect("looked up");
        (connector.may_join, connector.fitted) = (MayJoin::Approved, Some(Arc::new(fitted)));
        Ok(())
    }

    pub(crate) fn revoke_connector(&mut self, name: &FullName) -> Result<(), Refusal> {
        self.connector(name)?;
        self.part_all_of_connector(name);
        let connector = self.connectors.edit(name).expect("looked up");
        (connector.may_join, connector.fitted) = (MayJoin::Revoked, None);
        connector.initialised = Initialised::Not;
        Ok(())
    }

    pub(crate) fn connector_failed(&mut self, name: &FullName, detail: String) {
        // One that works for others is no failure for not working for one.
        if self.index.attached(name).next().is_none()
            && let Some(connector) = self.connectors.edit(name)
        {
            connector.initialised = Initialised::Failed { detail };
        }
    }

    pub(crate) fn connector_idle(&mut self, name: &FullName) {
        if self.index.attached(name).next().is_none()
            && let Some(connector) = self.connectors.edit(name)
            && connector.initialised == Initialised::Ready
        {
            connector.initialised = Initialised::Idle;
        }
    }

    pub(crate) fn remove_connector(&mut self, name: &FullName) -> Result<(), Refusal> {
        self.connectors.find(name).ok_or_else(|| not_found(Kind::Connector, name))?;
        self.refuse_used_by_functions(name, |_| true)?;
        self.refuse_used_by_containers(name, |_| true)?;
        self.connectors.remove(name);
        Ok(())
    }

    /// Refuses what functions would lose that name the connector, or that have it in a container.
    fn refuse_used_by_functions(
        &self,
        name: &FullName,
        would_lose: impl Fn(&Name) -> bool,
    ) -> Result<(), Refusal> {
        let attached = self.index.attached(name).filter_map(|container| self.containers.find(container));
        let serving = attached.filter_map(|container| container.function.as_ref());
        let using = self.index.using(name).map(|function| &function.name).chain(serving);
        let names: BTreeSet<_> = using.filter(|function| would_lose(function)).collect();
        in_use(name, Kind::Function, names.into_iter().map(ToString::to_string).collect())
    }

    fn refuse_used_by_containers(
        &self,
        name: &FullName,
        would_lose: impl Fn(&Container) -> bool,
    ) -> Result<(), Refusal> {
        let attached = self.index.attached(name).filter_map(|container| self.containers.find(container));
        let losing = attached.filter(|container| would_lose(container));
        in_use(name, Kind::Container, losing.map(|container| container.name.name.to_string()).collect())
    }
}

/// Refuses what would take a connector away from these.
fn in_use(connector: &FullName, by: Kind, names: Vec<String>) -> Result<(), Refusal> {
    if names.is_empty() {
        return Ok(());
    }
    Err(Refusal::InUse { kind: Kind::Connector, name: connector.name.clone(), by, names })
}

fn refuse_not_ready(vpc: &Vpc) -> Result<(), Refusal> {
    if vpc.life.ready().is_some() {
        return Ok(());
    }
    let (name, state) = (vpc.name.name.clone(), vpc.life.state());
    Err(Refusal::NotReady { kind: Kind::Vpc, name, state })
}
