//! Transitions of tenants and of their tokens.

use super::{Resources, not_found};
use crate::limits::{TENANTS, TOKENS_PER_TENANT};
use crate::tenant::DEFAULT_TENANT;
use crate::{FullName, Kind, Name, Refusal, Tenant, Token};

impl Resources {
    pub(crate) fn add_tenant(&mut self, tenant: Tenant) -> Result<(), Refusal> {
        let name = FullName::new(&tenant.name, &tenant.name);
        if self.tenants.find(&name).is_some() {
            return Err(Refusal::AlreadyExists { kind: Kind::Tenant, name: name.name });
        }
        if self.tenants.len() >= TENANTS {
            return Err(Refusal::LimitReached { what: "tenants", limit: TENANTS });
        }
        self.refuse_overlap(&tenant)?;
        self.tenants.insert(name, tenant);
        Ok(())
    }

    /// The empty prefix is for those who may name all namespaces, which is meant.
    fn refuse_overlap(&self, tenant: &Tenant) -> Result<(), Refusal> {
        let Some(prefix) = tenant.asked.netns_prefix.as_ref().filter(|prefix| !prefix.is_empty()) else {
            return Ok(());
        };
        let overlaps = |other: &&Tenant| {
            let theirs = other.asked.netns_prefix.as_ref().filter(|theirs| !theirs.is_empty());
            theirs.is_some_and(|theirs| theirs.starts_with(prefix) || prefix.starts_with(theirs.as_str()))
        };
        match self.tenants.iter().find(overlaps) {
            None => Ok(()),
            Some(other) => Err(Refusal::PrefixOverlaps { prefix: prefix.clone(), other: other.name.clone() }),
        }
    }

    pub(crate) fn remove_tenant(&mut self, name: &Name) -> Result<(), Refusal> {
        self.tenant(name)?;
        if name.as_str() == DEFAULT_TENANT {
            return Err(Refusal::DefaultTenant);
        }
        let first = |kind: Kind, names: Vec<String>| (!names.is_empty()).then_some((kind, names));
        let functions = self.functions.of_tenant(name, None).map(|f| f.name.name.to_string()).collect();
        let containers = self.containers.of_tenant(name, None).map(|c| c.name.name.to_string()).collect();
        let connectors = self.connectors.of_tenant(name, None).map(|c| c.name.name.to_string()).collect();
        let vpcs = self.vpcs.of_tenant(name, None).map(|v| v.name.name.to_string()).collect();
        let used = first(Kind::Function, functions)
            .or_else(|| first(Kind::Container, containers))
            .or_else(|| first(Kind::Connector, connectors))
            .or_else(|| first(Kind::Vpc, vpcs));
        if let Some((by, names)) = used {
            return Err(Refusal::InUse { kind: Kind::Tenant, name: name.clone(), by, names });
        }
        // Its tokens are nothing that anybody depends on: they end with it.
        let tokens: Vec<_> = self.tokens.names_of(name).collect();
        for token in tokens {
            self.tokens.remove(&token);
        }
        self.tenants.remove(&FullName::new(name, name));
        Ok(())
    }

    pub(crate) fn add_token(&mut self, name: FullName, token: Token) -> Result<(), Refusal> {
        self.tenant(&name.tenant)?;
        if self.tokens.find(&name).is_some() {
            return Err(Refusal::AlreadyExists { kind: Kind::Token, name: name.name });
        }
        if self.tokens.names_of(&name.tenant).count() >= TOKENS_PER_TENANT {
            return Err(Refusal::LimitReached { what: "tokens", limit: TOKENS_PER_TENANT });
        }
        self.tokens.insert(name, token);
        Ok(())
    }

    pub(crate) fn remove_token(&mut self, name: &FullName) -> Result<(), Refusal> {
        self.tokens.find(name).ok_or_else(|| not_found(Kind::Token, name))?;
        self.tokens.remove(name);
        Ok(())
    }

    pub(super) fn restore_default_tenant(&mut self) {
        let tenant = Tenant::default_tenant();
        self.tenants.restore(FullName::new(&tenant.name, &tenant.name), tenant, 0);
    }
}
