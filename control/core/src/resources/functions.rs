//! Transitions of functions and pools.

use ipnet::IpNet;

use super::{Resources, not_found};
use crate::limits::{FUNCTIONS, POOLS, RESERVED_PERCENT};
use crate::{
    Connector, DEFAULT_TENANT, FullName, Function, FunctionId, FunctionSpec, Kind, Name, Pool, Refusal,
    StoredCode,
};

impl Resources {
    pub(crate) fn add_function(
        &mut self,
        tenant: &Name,
        spec: FunctionSpec,
        code: StoredCode,
        created_s: u64,
    ) -> Result<(), Refusal> {
        self.tenant(tenant)?;
        let name = FullName::new(tenant, &spec.name);
        if self.functions.find(&name).is_some() {
            return Err(Refusal::AlreadyExists { kind: Kind::Function, name: name.name });
        }
        if self.functions.len() >= FUNCTIONS {
            return Err(Refusal::LimitReached { what: "functions", limit: FUNCTIONS });
        }
        let id = FunctionId(self.next_function);
        let function = Function::new(id, name.clone(), spec, code, created_s);
        self.permitted(&function)?;
        self.next_function += 1;
        let runtime = function.latest().spec.runtime.clone();
        self.functions.insert(name, function);
        self.refuse_overbooking(&runtime, "concurrency")
    }

    pub(crate) fn update_function(
        &mut self,
        tenant: &Name,
        spec: FunctionSpec,
        code: Option<StoredCode>,
        created_s: u64,
    ) -> Result<(), Refusal> {
        let name = FullName::new(tenant, &spec.name);
        let function = self.functions.edit(&name).ok_or_else(|| not_found(Kind::Function, &name))?;
        let before = (function.reserved_mb(), function.latest().spec.runtime.clone());
        function.change(spec, code, created_s);
        let after = (function.reserved_mb(), function.latest().spec.runtime.clone());
        self.function_permission(&name)?;
        // Whoever wants no more than before may have it, also of a pool that was overbooked when it was taken up.
        if after.1 == before.1 && after.0 <= before.0 {
            return Ok(());
        }
        self.refuse_overbooking(&after.1, "concurrency")
    }

    pub(crate) fn remove_function(&mut self, name: &FullName) -> Result<(), Refusal> {
        self.function(name)?;
        self.functions.remove(name);
        Ok(())
    }

    pub(crate) fn remove_version(&mut self, name: &FullName, number: u64) -> Result<(), Refusal> {
        let found = self.function(name)?;
        if found.version(number).is_none() {
            return Err(Refusal::NoSuchVersion { function: name.name.clone(), number });
        }
        if found.latest().number == number {
            return Err(Refusal::LatestVersion { function: name.name.clone(), number });
        }
        let function = self.functions.edit(name).expect("looked up");
        function.versions.retain(|version| version.number != number);
        Ok(())
    }

    pub(crate) fn set_pool(&mut self, pool: Pool) -> Result<(), Refusal> {
        let name = Self::pool_name(&pool.runtime);
        let (runtime, before) = (pool.runtime.clone(), self.pool(&pool.runtime).memory_mb);
        let is_smaller = pool.memory_mb < before;
        if let Some(kept) = self.pools.edit(&name) {
            *kept = pool;
        } else if self.pools.len() >= POOLS {
            return Err(Refusal::LimitReached { what: "pools", limit: POOLS });
        } else {
            self.pools.insert(name, pool);
        }
        if is_smaller { self.refuse_overbooking(&runtime, "memory_mb") } else { Ok(()) }
    }

    /// Refuses what would leave too little of a pool's memory for functions that reserve none.
    fn refuse_overbooking(&self, runtime: &Name, field: &'static str) -> Result<(), Refusal> {
        let users = self.functions.iter().filter(|function| function.latest().spec.runtime == *runtime);
        let reserved_mb: u64 = users.map(Function::reserved_mb).sum();
        let memory_mb = self.pool(runtime).memory_mb;
        if reserved_mb * 100 <= u64::from(memory_mb) * RESERVED_PERCENT {
            return Ok(());
        }
        Err(Refusal::Overbooked { runtime: runtime.clone(), memory_mb, field })
    }

    /// What a pool is kept under: it is nobody's, and runtimes have one each.
    pub fn pool_name(runtime: &Name) -> FullName {
        let tenant = Name::parse("tenant", DEFAULT_TENANT.to_owned()).expect("it is a name");
        FullName::new(&tenant, runtime)
    }

    /// The connectors of a function, all of which it may use now: each is there, is approved, and lets this function use it. To be asked
    /// at deploy, and again for each environment.
    pub fn function_permission(&self, function: &FullName) -> Result<Vec<&Connector>, Refusal> {
        self.permitted(self.function(function)?)
    }

    fn permitted(&self, function: &Function) -> Result<Vec<&Connector>, Refusal> {
        let connectors: Vec<_> =
            function.connectors.iter().map(|name| self.usable(function, name)).collect::<Result<_, _>>()?;
        refuse_ties(function, &connectors)?;
        Ok(connectors)
    }

    fn usable(&self, function: &Function, name: &Name) -> Result<&Connector, Refusal> {
        let FullName { tenant, name: function } = &function.name;
        let found = self.connectors.find(&FullName::new(tenant, name));
        let Some(connector) = found else {
            return Err(Refusal::ConnectorMissing { function: function.clone(), connector: name.clone() });
        };
        if connector.fitted.is_none() {
            return Err(Refusal::not_approved(connector));
        }
        if !connector.spec.may_be_used_by_function(function) {
            return Err(Refusal::FunctionMayNotUse { function: function.clone(), connector: name.clone() });
        }
        Ok(connector)
    }

    /// Refuses a function two of whose connectors would claim the same prefix. Those that may not join claim none.
    pub(super) fn refuse_function_ties(&self, function: &Function) -> Result<(), Refusal> {
        let connectors = function.connectors.iter();
        let connectors = connectors.map(|name| FullName::new(&function.name.tenant, name));
        let connectors: Vec<_> = connectors.filter_map(|name| self.connectors.find(&name)).collect();
        refuse_ties(function, &connectors)
    }
}

fn refuse_ties(function: &Function, connectors: &[&Connector]) -> Result<(), Refusal> {
    for (i, one) in connectors.iter().enumerate() {
        for other in &connectors[i + 1..] {
            let theirs = destinations(other);
            if let Some(&prefix) = destinations(one).iter().find(|prefix| theirs.contains(prefix)) {
                let (one, other) = (one.name.name.clone(), other.name.name.clone());
                return Err(Refusal::FunctionTie {
                    function: function.name.name.clone(),
                    one,
                    other,
                    prefix,
                });
            }
        }
    }
    Ok(())
}

fn destinations(connector: &Connector) -> &[IpNet] {
    connector.fitted.as_ref().map_or(&[], |fitted| &fitted.destinations)
}
