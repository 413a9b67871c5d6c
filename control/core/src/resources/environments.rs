//! Containers that serve functions: made and removed by the daemon, and not kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Resources, not_found};
use crate::limits::CONTAINERS;
use crate::{Container, ContainerLink, ContainerSpec, FullName, Kind, Life, Name, Refusal};

impl Resources {
    pub(crate) fn adopt_environment(
        &mut self,
        name: &FullName,
        spec: ContainerSpec,
        link: ContainerLink,
        function: Name,
    ) -> Result<(), Refusal> {
        self.function(&FullName::new(&name.tenant, &function))?;
        if self.containers.find(name).is_some() {
            return Err(Refusal::AlreadyExists { kind: Kind::Container, name: name.name.clone() });
        }
        if self.containers.len() >= CONTAINERS {
            return Err(Refusal::LimitReached { what: "containers", limit: CONTAINERS });
        }
        let gone = self.lost_attachments.has(&link.attachment);
        let life = if gone { Life::Gone(Some(link)) } else { Life::Ready(link) };
        let (spec, connectors, function) = (Arc::new(spec), BTreeMap::new(), Some(function));
        let container = Container { name: name.clone(), spec, life, connectors, origin: None, function };
        self.containers.insert(name.clone(), container);
        Ok(())
    }

    pub(crate) fn forget_environment(&mut self, name: &FullName) {
        if self.containers.find(name).is_some_and(|container| container.function.is_some()) {
            self.containers.remove(name);
        }
    }

    /// Refuses to change a container that serves a function: it is the daemon's. For whatever a client asks.
    pub fn refuse_managed(&self, container: &FullName) -> Result<(), Refusal> {
        let found = self.containers.find(container).ok_or_else(|| not_found(Kind::Container, container))?;
        match &found.function {
            None => Ok(()),
            Some(function) => {
                let (container, function) = (container.name.clone(), function.clone());
                Err(Refusal::Managed { container, function })
            }
        }
    }
}
