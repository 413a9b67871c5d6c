//! Pools of warm containers: one for each runtime.

use control_core::{Caller, Change, Kind, Name, NewPool, PoolView, Problem, Refusal, Resources};

use super::{App, Call};
use crate::functions::Functions;

impl App {
    /// All pools, in the order of the runtimes.
    pub(crate) fn pools(&self, caller: &Caller) -> Result<Vec<PoolView>, Problem> {
        let machine = self.machine()?;
        let runtimes = machine.runtimes.iter();
        let names: Vec<_> = runtimes.filter_map(|(name, _)| name_of(name).ok()).collect();
        let view = |resources: &Resources, name| self.pool_view(resources, machine, name, caller);
        Ok(self.read(|resources| names.iter().map(|name| view(resources, name)).collect()))
    }

    /// One pool.
    pub(crate) fn pool(&self, caller: &Caller, runtime: &str) -> Result<PoolView, Problem> {
        let (machine, runtime) = (self.machine()?, self.runtime(runtime)?);
        Ok(self.read(|resources| self.pool_view(resources, machine, &runtime, caller)))
    }

    /// What was asked for of a pool, and its ETag.
    pub(crate) fn asked_pool(&self, runtime: &str) -> Result<(NewPool, u64), Problem> {
        let runtime = self.runtime(runtime)?;
        Ok(self.read(|resources| {
            let revision = resources.stamp(Kind::Pool, &Resources::pool_name(&runtime)).asked;
            (resources.pool(&runtime).asked, revision)
        }))
    }

    /// Makes a pool another.
    pub(crate) async fn update_pool(
        &self,
        call: Call,
        runtime: &str,
        new: NewPool,
    ) -> Result<PoolView, Problem> {
        let (machine, runtime) = (self.machine()?, self.runtime(runtime)?);
        let name = Resources::pool_name(&runtime);
        let change = Change::SetPool(new.validate(runtime.clone())?);
        let request = call.request("update_pool", Kind::Pool, &name, change.clone());
        let caller = call.caller.clone();
        let view = |resources: &Resources| self.pool_view(resources, machine, &runtime, &caller);
        if call.dry_run {
            return Ok(self.registry().try_out(change, request.expected.as_ref(), view)?);
        }
        let changed = runtime.clone();
        self.carry_out(|app| async move {
            app.registry().commit(request).await?;
            app.pool_changed(&changed);
            tracing::info!(runtime = %changed, "pool changed");
            Ok(())
        })
        .await?;
        Ok(self.read(view))
    }

    /// A pool is to be another: there may be too many or too few warm containers.
    pub(crate) fn pool_changed(&self, runtime: &Name) {
        if let Some(fleet) = self.fleet() {
            fleet.follow_pool(runtime);
        }
    }

    /// How much all tenants together use is none of a tenant's business.
    fn pool_view(
        &self,
        resources: &Resources,
        machine: &Functions,
        runtime: &Name,
        caller: &Caller,
    ) -> PoolView {
        let known = machine.runtimes.iter().find(|(name, _)| name == runtime.as_str());
        let unavailable = known.and_then(|(_, usable)| usable.clone().err());
        let fleet = self.fleet().filter(|_| caller.is_local());
        let counts = fleet.and_then(|fleet| fleet.pool(runtime));
        PoolView { unavailable, counts, ..resources.pool_view(runtime) }
    }

    /// A runtime that there is.
    fn runtime(&self, runtime: &str) -> Result<Name, Problem> {
        let known = self.machine()?.runtimes.iter().any(|(name, _)| name == runtime);
        let missing = || Refusal::NotFound { kind: Kind::Pool, name: runtime.to_owned() };
        if known { name_of(runtime).map_err(|_| missing().into()) } else { Err(missing().into()) }
    }
}

fn name_of(runtime: &str) -> Result<Name, Problem> {
    Name::parse("runtime", runtime.to_owned())
}
