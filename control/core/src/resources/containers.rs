//! Transitions of containers.

use std::collections::BTreeMap;

use super::{Resources, not_found};
use crate::limits::CONTAINERS;
use crate::{AttachmentId, Container, ContainerLink, ContainerSpec, Kind, Life, Name, Refusal, State};

impl Resources {
    pub(crate) fn reserve_container(&mut self, spec: ContainerSpec) -> Result<(), Refusal> {
        if self.containers.contains_key(&spec.name) {
            return Err(Refusal::AlreadyExists { kind: Kind::Container, name: spec.name });
        }
        if self.containers.len() >= CONTAINERS {
            return Err(Refusal::LimitReached { what: "containers", limit: CONTAINERS });
        }
        self.container_creations.begin();
        let name = spec.name.clone();
        self.containers.insert(name, Container { spec, life: Life::Creating, connectors: BTreeMap::new() });
        Ok(())
    }

    pub(crate) fn container_ready(&mut self, name: &Name, link: ContainerLink) {
        let creating = |container: &&mut Container| container.life == Life::Creating;
        let Some(container) = self.containers.get_mut(name).filter(creating) else { return };
        self.attachments.insert(link.attachment, name.clone());
        let gone = self.container_creations.end(Some(link.attachment));
        container.life = if gone { Life::Gone(link) } else { Life::Ready(link) };
    }

    pub(crate) fn delete_container(&mut self, name: &Name) -> Result<(), Refusal> {
        let container =
            self.containers.get_mut(name).ok_or_else(|| not_found(Kind::Container, name.as_str()))?;
        let Some(link) = container.life.link() else {
            return Err(Refusal::NotReady {
                kind: Kind::Container,
                name: name.clone(),
                state: State::Creating,
            });
        };
        container.life = Life::Deleting(link.clone());
        self.part_all_of_container(name);
        Ok(())
    }

    pub(crate) fn forget_container(&mut self, name: &Name) {
        match self.containers.get(name).map(|container| &container.life) {
            Some(Life::Creating) => _ = self.container_creations.end(None),
            Some(Life::Deleting(link)) => _ = self.attachments.remove(&link.attachment),
            _ => return,
        }
        self.containers.remove(name);
    }

    pub(crate) fn attachment_gone(&mut self, attachment: AttachmentId) {
        let Some(name) = self.attachments.get(&attachment).cloned() else {
            return self.container_creations.link_gone(attachment);
        };
        let container = self.containers.get_mut(&name).expect("an attachment's container exists");
        if let Life::Ready(link) = &container.life {
            container.life = Life::Gone(link.clone());
        }
        self.part_all_of_container(&name);
    }
}
