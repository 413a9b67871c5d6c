//! Resources as they were kept, at the start of the process. Links are yet to be made.

use std::sync::Arc;

use super::Resources;
use crate::record::names;
use crate::{
    Code, Connector, ConnectorId, Container, Fitted, FullName, Function, FunctionId, FunctionSpec,
    FunctionVersion, Initialised, Join, Kind, Life, MacAddr, MayJoin, Problem, Record, Refusal, RestoreError,
    Stored, Vpc,
};

impl Resources {
    /// Takes a resource up as it was kept. VPCs come before connectors, those before containers and
    /// functions.
    pub fn restore(&mut self, name: &FullName, stored: Stored) -> Result<(), RestoreError> {
        let kind = stored.record.kind();
        self.take_up(name, stored).map_err(|problem| RestoreError::Invalid {
            kind,
            name: name.clone(),
            detail: problem.to_string(),
        })
    }

    /// What is to be kept of a resource now; `None` if it is not there.
    pub fn record(&self, kind: Kind, name: &FullName) -> Option<Stored> {
        let (revision, record) = match kind {
            Kind::Tenant => {
                let spec = self.tenants.find(name)?.asked.clone();
                (self.tenants.stamp(name), Record::Tenant { spec })
            }
            Kind::Token => {
                (self.tokens.stamp(name), Record::Token { token: self.tokens.find(name)?.clone() })
            }
            Kind::Vpc => {
                let vpc = self.vpcs.find(name)?;
                let (spec, mac) = (vpc.spec.asked.clone(), vpc.mac.map(|mac| mac.to_string()));
                (self.vpcs.stamp(name), Record::Vpc { spec, mac })
            }
            Kind::Connector => {
                let connector = self.connectors.find(name)?;
                let (spec, may_join) = (connector.spec.asked.clone(), connector.may_join);
                (self.connectors.stamp(name), Record::Connector { spec, may_join })
            }
            Kind::Container => {
                let Container { spec, connectors, origin, .. } =
                    self.containers.find(name).filter(|container| container.function.is_none())?;
                let connectors = connectors.keys().map(ToString::to_string).collect();
                let (spec, origin) = (spec.asked.clone(), origin.clone());
                (self.containers.stamp(name), Record::Container { spec, connectors, origin })
            }
            Kind::Function => {
                let function = self.functions.find(name)?;
                let versions = function.versions.iter().map(|version| (**version).clone()).collect();
                (self.functions.stamp(name), Record::Function { spec: function.asked.clone(), versions })
            }
            Kind::Pool => {
                let spec = self.pools.find(name)?.asked.clone();
                (self.pools.stamp(name), Record::Pool { spec })
            }
        };
        Some(Stored { revision: revision.asked, record })
    }

    fn take_up(&mut self, name: &FullName, Stored { revision, record }: Stored) -> Result<(), Problem> {
        match record {
            Record::Tenant { spec } => self.tenants.restore(name.clone(), spec.validate()?, revision),
            Record::Token { token } => self.tokens.restore(name.clone(), token, revision),
            Record::Vpc { spec, mac } => {
                let mac = mac.map(|mac| MacAddr::parse("mac", &mac)).transpose()?;
                let (spec, life) = (Arc::new(spec.validate()?), Life::Creating);
                let vpc = Vpc { name: name.clone(), spec, life, mac };
                self.index.vpc(None, Some(&vpc));
                self.vpcs.restore(name.clone(), vpc, revision);
            }
            Record::Connector { spec, may_join } => {
                let connector = self.connector_again(name, spec.validate()?, may_join)?;
                self.index.connector(None, Some(&connector));
                self.connectors.restore(name.clone(), connector, revision);
            }
            Record::Container { spec, connectors, origin } => {
                let spec = Arc::new(spec.validate()?);
                let known = |connector: &crate::Name| {
                    let connector = self.connectors.find(&FullName::new(&name.tenant, connector));
                    connector.is_some_and(|connector| connector.fitted.is_some())
                };
                let joins = names(&connectors).filter(known).map(|name| (name, Join::Attaching));
                let connectors = joins.collect();
                let (name, life, function) = (name.clone(), Life::Creating, None);
                let container = Container { name, spec, life, connectors, origin, function };
                self.index.container(None, Some(&container));
                self.containers.restore(container.name.clone(), container, revision);
            }
            Record::Function { spec, versions } => {
                let function = self.function_again(name, spec.validate()?, versions)?;
                self.index.function(None, Some(&function));
                self.functions.restore(name.clone(), function, revision);
            }
            Record::Pool { spec } => {
                let pool = spec.validate(name.name.clone())?;
                self.pools.restore(name.clone(), pool, revision);
            }
        }
        Ok(())
    }

    fn connector_again(
        &mut self,
        name: &FullName,
        spec: crate::ConnectorSpec,
        may_join: MayJoin,
    ) -> Result<Connector, Refusal> {
        let vpc = spec.vpc.of(&name.tenant);
        let fitted = match may_join {
            MayJoin::Approved => Some(Arc::new(Fitted::new(&spec, &self.vpc(&vpc)?.spec)?)),
            MayJoin::Requested | MayJoin::Revoked => None,
        };
        let id = ConnectorId(self.next_connector);
        self.next_connector += 1;
        let (spec, initialised) = (Arc::new(spec), Initialised::Not);
        Ok(Connector { id, name: name.clone(), vpc, spec, may_join, fitted, initialised })
    }
}

impl Resources {
    fn function_again(
        &mut self,
        name: &FullName,
        spec: FunctionSpec,
        versions: Vec<FunctionVersion>,
    ) -> Result<Function, Problem> {
        if versions.is_empty() || !versions.is_sorted_by(|a, b| a.number < b.number) {
            let detail = "a function has versions, in the order of their numbers";
            return Err(Problem::new(Code::InvalidNumber, detail).at("versions"));
        }
        let id = FunctionId(self.next_function);
        self.next_function += 1;
        let FunctionSpec { concurrency, connectors, keep_alive_s, asked, .. } = spec;
        let versions = versions.into_iter().map(Arc::new).collect();
        Ok(Function { id, name: name.clone(), concurrency, connectors, keep_alive_s, versions, asked })
    }
}

impl Record {
    /// Of which kind of resource it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Tenant { .. } => Kind::Tenant,
            Self::Token { .. } => Kind::Token,
            Self::Vpc { .. } => Kind::Vpc,
            Self::Connector { .. } => Kind::Connector,
            Self::Container { .. } => Kind::Container,
            Self::Function { .. } => Kind::Function,
            Self::Pool { .. } => Kind::Pool,
        }
    }
}
