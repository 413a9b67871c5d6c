//! Transitions of containers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Resources, not_found};
use crate::limits::CONTAINERS;
use crate::{
    AttachmentId, Container, ContainerLink, ContainerSpec, FullName, Kind, Life, Name, Origin, Refusal, State,
};

impl Resources {
    pub(crate) fn reserve_container(&mut self, tenant: &Name, spec: ContainerSpec) -> Result<(), Refusal> {
        self.tenant(tenant)?;
        let name = FullName::new(tenant, &spec.name);
        if self.containers.find(&name).is_some() {
            return Err(Refusal::AlreadyExists { kind: Kind::Container, name: name.name });
        }
        if self.containers.len() >= CONTAINERS {
            return Err(Refusal::LimitReached { what: "containers", limit: CONTAINERS });
        }
        let (spec, connectors) = (Arc::new(spec), BTreeMap::new());
        let (life, origin, function) = (Life::Creating, None, None);
        let container = Container { name: name.clone(), spec, life, connectors, origin, function };
        self.containers.insert(name, container);
        Ok(())
    }

    pub(crate) fn container_ready(&mut self, name: &FullName, link: ContainerLink, origin: Option<Origin>) {
        let creating = |container: &Container| container.life == Life::Creating;
        if !self.containers.find(name).is_some_and(creating) {
            return;
        }
        let gone = self.lost_attachments.has(&link.attachment);
        let container = self.containers.edit(name).expect("looked up");
        container.life = if gone { Life::Gone(Some(link)) } else { Life::Ready(link) };
        container.origin = origin;
        if gone {
            container.connectors.clear();
        }
    }

    pub(crate) fn delete_container(&mut self, name: &FullName) -> Result<(), Refusal> {
        self.refuse_managed(name)?;
        let container = self.containers.edit(name).ok_or_else(|| not_found(Kind::Container, name))?;
        if container.life == Life::Creating {
            let (name, state) = (name.name.clone(), State::Creating);
            return Err(Refusal::NotReady { kind: Kind::Container, name, state });
        }
        container.life = Life::Deleting(container.life.link().cloned());
        Ok(())
    }

    pub(crate) fn forget_container(&mut self, name: &FullName) {
        let ended = |container: &Container| matches!(container.life, Life::Creating | Life::Deleting(_));
        if self.containers.find(name).is_some_and(ended) {
            self.containers.remove(name);
        }
    }

    pub(crate) fn container_gone(&mut self, name: &FullName) {
        if let Some(container) =
            self.containers.edit(name).filter(|container| container.life == Life::Creating)
        {
            container.life = Life::Gone(None);
            container.connectors.clear();
        }
    }

    pub(crate) fn attachment_gone(&mut self, attachment: AttachmentId) {
        let Some(name) = self.index.attachments.get(&attachment).cloned() else {
            return self.lost_attachments.note(attachment);
        };
        let container = self.containers.edit(&name).expect("an attachment's container exists");
        if let Life::Ready(link) = &container.life {
            container.life = Life::Gone(Some(link.clone()));
            container.connectors.clear();
        }
    }
}
