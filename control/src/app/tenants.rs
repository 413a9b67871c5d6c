//! Tenants.

use control_core::{Caller, Change, FullName, Kind, Name, NewTenant, Problem, Resources, TenantView};

use super::{App, Call, Page, Slice};

impl App {
    /// Adds a tenant.
    pub(crate) async fn create_tenant(&self, call: Call, new: NewTenant) -> Result<TenantView, Problem> {
        let tenant = new.validate()?;
        let name = FullName::new(&tenant.name, &tenant.name);
        let view =
            |resources: &Resources| resources.tenant(&name.name).map(|tenant| resources.tenant_view(tenant));
        if self.repeated(&call, Kind::Tenant)?.is_some() {
            return self.look_again(|resources| view(resources).ok());
        }
        let change = Change::AddTenant(tenant);
        if call.dry_run {
            return Ok(self.registry().try_out(change, None, view)??);
        }
        self.registry().commit(call.creation("create_tenant", Kind::Tenant, &name, change)).await?;
        tracing::info!(tenant = %name.name, "tenant created");
        Ok(self.read(view)?)
    }

    /// A page of tenants, by name.
    pub(crate) fn tenants(&self, page: &Page) -> Slice<TenantView> {
        let revision = self.registry().changes().latest();
        self.read(|resources| {
            let all = resources.tenants_after(page.after.as_ref());
            page.of(revision, all, |view: &TenantView| &view.name, |tenant| resources.tenant_view(tenant))
        })
    }

    /// One tenant.
    pub(crate) fn tenant(&self, name: &str) -> Result<TenantView, Problem> {
        self.read(|resources| {
            let tenant = tenant_name(name)?;
            Ok(resources.tenant_view(resources.tenant(&tenant)?))
        })
    }

    /// Removes a tenant, and its tokens. Refused while it has anything else.
    pub(crate) async fn delete_tenant(&self, call: Call, name: &str) -> Result<(), Problem> {
        let tenant = tenant_name(name)?;
        let full = FullName::new(&tenant, &tenant);
        let change = Change::RemoveTenant(tenant);
        let request = call.request("delete_tenant", Kind::Tenant, &full, change.clone());
        if call.dry_run {
            return Ok(self.registry().try_out(change, request.expected.as_ref(), |_| ())?);
        }
        self.registry().commit(request).await?;
        tracing::info!(tenant = name, "tenant deleted");
        Ok(())
    }

    /// Whether there is such a tenant. Only for the local administrator, as others are not to know.
    pub(crate) fn has_tenant(&self, tenant: &Name) -> bool {
        self.read(|resources| resources.tenant(tenant).is_ok())
    }

    /// The tenant's resources that the caller sees are its own, unless it is the local administrator.
    pub(crate) fn sees(caller: &Caller, tenant: &Name) -> bool {
        caller.is_local() || caller.tenant == *tenant
    }
}

fn tenant_name(name: &str) -> Result<Name, control_core::Refusal> {
    let missing = |_| control_core::Refusal::NotFound { kind: Kind::Tenant, name: name.to_owned() };
    Name::parse("name", name.to_owned()).map_err(missing)
}
