//! What clients see, and what they see after what.

use super::{Resources, Stamp};
use crate::{
    Connector, ConnectorId, ConnectorView, Container, ContainerView, FullName, Function, FunctionView, Join,
    Kind, Name, Pool, PoolView, Refusal, Tenant, TenantView, Token, TokenView, Vpc, VpcView,
};

impl Resources {
    /// When a resource last changed.
    pub fn stamp(&self, kind: Kind, name: &FullName) -> Stamp {
        match kind {
            Kind::Tenant => self.tenants.stamp(name),
            Kind::Token => self.tokens.stamp(name),
            Kind::Vpc => self.vpcs.stamp(name),
            Kind::Connector => self.connectors.stamp(name),
            Kind::Container => self.containers.stamp(name),
            Kind::Function => self.functions.stamp(name),
            Kind::Pool => self.pools.stamp(name),
        }
    }

    /// What clients see of a tenant.
    pub fn tenant_view(&self, tenant: &Tenant) -> TenantView {
        tenant.view(self.tenants.stamp(&FullName::new(&tenant.name, &tenant.name)).asked)
    }

    /// What clients see of a token at this time.
    pub fn token_view(&self, name: &FullName, token: &Token, now_s: u64) -> TokenView {
        TokenView {
            name: name.name.to_string(),
            tenant: name.tenant.to_string(),
            role: token.role,
            created_at: token.created_at,
            expires_at: token.expires_at,
            expired: token.has_expired(now_s),
            revision: self.tokens.stamp(name).asked,
        }
    }

    /// What clients see of a VPC.
    pub fn vpc_view(&self, vpc: &Vpc) -> VpcView {
        vpc.view(self.vpcs.stamp(&vpc.name).asked)
    }

    /// What clients see of a connector whose containers have as many external ports as `ports_used` says.
    pub fn connector_view(
        &self,
        connector: &Connector,
        ports_used: impl Fn(ConnectorId) -> u32,
    ) -> ConnectorView {
        let attached = |container: &&FullName| {
            let joins = self.containers.find(container).map(|c| &c.connectors);
            joins.and_then(|joins| joins.get(&connector.name.name)) == Some(&Join::Attached)
        };
        let containers = self.index.attached(&connector.name).filter(attached).map(|c| c.name.to_string());
        let revision = self.connectors.stamp(&connector.name).asked;
        connector.view(containers.collect(), ports_used(connector.id), revision)
    }

    /// What clients see of a container.
    pub fn container_view(&self, container: &Container) -> ContainerView {
        let connectors = container.connectors.keys();
        let connectors =
            connectors.filter_map(|name| self.connectors.find(&FullName::new(&container.name.tenant, name)));
        let servers = connectors.flat_map(|connector| &connector.spec.dns_servers).map(ToString::to_string);
        container.view(servers.collect(), self.containers.stamp(&container.name).asked)
    }

    /// What clients see of a function.
    pub fn function_view(&self, function: &Function) -> FunctionView {
        function.view(self.functions.stamp(&function.name).asked)
    }

    /// What clients see of a runtime's pool.
    pub fn pool_view(&self, runtime: &Name) -> PoolView {
        self.pool(runtime).view(self.pools.stamp(&Self::pool_name(runtime)).asked)
    }

    /// A runtime's pool: as somebody has asked for it, or as it is unless somebody does.
    pub fn pool(&self, runtime: &Name) -> Pool {
        let found = self.pools.find(&Self::pool_name(runtime)).cloned();
        found.unwrap_or_else(|| Pool::of(runtime.clone()))
    }

    /// Tenants by name, after a name if one is given.
    pub fn tenants_after<'a>(&'a self, after: Option<&Name>) -> impl Iterator<Item = &'a Tenant> {
        let after = after.cloned();
        self.tenants.iter().filter(move |tenant| after.as_ref().is_none_or(|after| tenant.name > *after))
    }

    /// A tenant's tokens by name, after a name if one is given.
    pub fn tokens_of(&self, tenant: &Name, after: Option<&Name>) -> impl Iterator<Item = (FullName, &Token)> {
        let after = after.cloned();
        let names = self.tokens.names_of(tenant);
        let names = names.filter(move |name| after.as_ref().is_none_or(|after| name.name > *after));
        names.filter_map(|name| self.tokens.find(&name).map(|token| (name, token)))
    }

    /// A tenant's VPCs by name, after a name if one is given.
    pub fn vpcs_of<'a>(&'a self, tenant: &'a Name, after: Option<&Name>) -> impl Iterator<Item = &'a Vpc> {
        self.vpcs.of_tenant(tenant, after)
    }

    /// A tenant's connectors by name, after a name if one is given.
    pub fn connectors_of<'a>(
        &'a self,
        tenant: &'a Name,
        after: Option<&Name>,
    ) -> impl Iterator<Item = &'a Connector> {
        self.connectors.of_tenant(tenant, after)
    }

    /// A tenant's containers by name, after a name if one is given.
    pub fn containers_of<'a>(
        &'a self,
        tenant: &'a Name,
        after: Option<&Name>,
    ) -> impl Iterator<Item = &'a Container> {
        self.containers.of_tenant(tenant, after)
    }

    /// A tenant's functions by name, after a name if one is given.
    pub fn functions_of<'a>(
        &'a self,
        tenant: &'a Name,
        after: Option<&Name>,
    ) -> impl Iterator<Item = &'a Function> {
        self.functions.of_tenant(tenant, after)
    }

    /// Connectors of whichever tenant that want to join a VPC.
    pub fn joining<'a>(&'a self, vpc: &'a FullName) -> impl Iterator<Item = &'a Connector> {
        self.index.joining(vpc).filter_map(|name| self.connectors.find(name))
    }

    /// The connector that wants to join this VPC.
    pub fn connector_joining(&self, vpc: &FullName, connector: &FullName) -> Result<&Connector, Refusal> {
        let found = self.connectors.find(connector).filter(|connector| connector.vpc == *vpc);
        let name = connector.seen_by(&vpc.tenant);
        found.ok_or(Refusal::NotFound { kind: Kind::Connector, name })
    }
}
