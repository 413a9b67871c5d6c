//! A policy that changes while sessions live: those that it does not allow any more end, the others go on untouched.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::Engine;
use super::inbound::callee;
use super::links::{Attached, Attachment};
use crate::mapping::{Mapping, Scope};
use crate::{Action, AttachmentId, ConnectorConfig, Filtering, Instant, Protocol};

impl Engine {
    /// Ends the sessions of a container's connector that its policy does not allow, now that it is no longer the `old` one. Returns
    /// how many they were.
    pub(super) fn enforce(
        &mut self,
        now: Instant,
        id: AttachmentId,
        connector: &ConnectorConfig,
        old: &ConnectorConfig,
    ) -> usize {
        let Some(attachment) = self.attachments.get(&id) else { return 0 };
        let Some(attached) = attachment.attached(connector.id) else { return 0 };
        let keys = self.sessions_of(attachment, attached.place);
        let (called, own): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|&key| self.sessions.entry(key).is_opened_by_remote());
        let (mut kept, mut ended): (Vec<_>, Vec<_>) =
            own.into_iter().partition(|&key| self.allows(attachment, attached, key));
        let callers = self.callers_kept(attachment, attached, old, &kept, &called);
        let (stays, goes): (Vec<_>, Vec<_>) = called.into_iter().partition(|key| callers.contains(key));
        kept.extend(stays);
        ended.extend(goes);
        if connector.limits.is_metered() {
            for key in kept {
                self.sessions.forget_exit(key);
            }
        }
        self.end_sessions(now, ended, Some(connector.on_detach))
    }

    /// Whether a connector still allows a session that the container has opened.
    fn allows(&self, attachment: &Attachment, attached: &Attached, key: usize) -> bool {
        let (mapping, protocol, remote) = self.parts(key);
        let routed = attachment.route(remote.ip()).is_some_and(|(other, _)| other.place == attached.place);
        routed
            && is_mapped(attached, mapping, protocol, remote)
            && attached.config.decide(protocol, remote).action == Action::Allow
    }

    /// Of the sessions that remotes have opened, those that a connector still allows. Where filtering has changed, a remote is known
    /// by the sessions that the container has opened itself, which are those of `own`.
    fn callers_kept(
        &self,
        attachment: &Attachment,
        attached: &Attached,
        old: &ConnectorConfig,
        own: &[usize],
        called: &[usize],
    ) -> BTreeSet<usize> {
        let contact = |&key: &usize| (self.sessions.entry(key).mapping(), self.parts(key).2.ip());
        let contacts: BTreeSet<(usize, IpAddr)> =
            if called.is_empty() { BTreeSet::new() } else { own.iter().map(contact).collect() };
        let is_allowed = |key: &&usize| {
            let (mapping, protocol, remote) = self.parts(**key);
            let published = Some(mapping).filter(|mapping| mapping.pinned);
            let by = callee(attachment, published, mapping.key.uplink, protocol, remote.ip());
            let filtering = attached.config.filtering_of(protocol);
            let lets_in = published.is_some()
                || filtering == old.filtering_of(protocol)
                || match filtering {
                    Filtering::EndpointIndependent => true,
                    Filtering::AddressDependent => contacts.contains(&contact(key)),
                    Filtering::AddressAndPortDependent => false,
                };
            lets_in
                && by.is_some_and(|by| by.place == attached.place)
                && is_mapped(attached, mapping, protocol, remote)
        };
        called.iter().filter(is_allowed).copied().collect()
    }

    /// A session's mapping, protocol and remote.
    fn parts(&self, key: usize) -> (&Mapping, Protocol, SocketAddr) {
        let entry = self.sessions.entry(key);
        (&self.mappings[entry.mapping()], entry.protocol(), self.sessions.remote(entry))
    }
}

/// Whether a session with this remote could have this mapping.
fn is_mapped(attached: &Attached, mapping: &Mapping, protocol: Protocol, remote: SocketAddr) -> bool {
    let connector = &attached.config;
    let visible = match mapping.key.scope {
        Scope::Own => !connector.translation,
        scope => {
            let same_mode = mapping.pinned || scope == Scope::of(connector.mapping, protocol, remote);
            connector.translation && same_mode && attached.may_use(mapping)
        }
    };
    visible && mapping.key.uplink == connector.uplink
}
