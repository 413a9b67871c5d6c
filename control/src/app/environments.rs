//! Containers of functions, as resources: their links, and their connectors.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use control_core::limits::DNS_SERVERS;
use control_core::{Change, ContainerSpec, FullName, Name, NewContainer, NewNetns, Problem};
use futures_util::future::join_all;
use gateway::{AttachmentInfo, AttachmentSpec, CallError, CommandError, Lifetime};

use super::{App, convert};

/// What a function may use.
#[derive(Clone, Debug)]
pub(crate) struct Wiring {
    /// Its connectors.
    pub(crate) connectors: Vec<Name>,
    /// Their DNS servers; as many as a resolver asks.
    pub(crate) dns_servers: Vec<IpAddr>,
}

impl App {
    /// A container in a namespace of our own, with the usual addresses.
    pub(crate) fn environment_spec(id: &str, netns: &Path) -> Result<ContainerSpec, Problem> {
        let netns = NewNetns { path: Some(netns.to_string_lossy().into_owned()), ..NewNetns::default() };
        let (device, address, gateway, address6, gateway6, mac, mtu) = Default::default();
        let new = NewContainer {
            name: id.to_owned(),
            netns,
            device,
            address,
            gateway,
            address6,
            gateway6,
            mac,
            mtu,
        };
        new.validate()
    }

    /// What the gateway makes its link from.
    pub(crate) fn environment_link(spec: &ContainerSpec) -> AttachmentSpec {
        convert::attachment_spec(spec, None, Lifetime::Process)
    }

    /// What a function may use now; refused if it names a connector that it may not use any more.
    pub(crate) fn wiring(&self, function: &FullName) -> Result<Wiring, Problem> {
        self.read(|resources| {
            let connectors = resources.function_permission(function)?;
            let mut dns_servers: Vec<_> =
                connectors.iter().flat_map(|found| found.spec.dns_servers.iter().copied()).collect();
            dns_servers.truncate(DNS_SERVERS);
            let connectors = connectors.iter().map(|found| found.spec.name.clone()).collect();
            Ok(Wiring { connectors, dns_servers })
        })
    }

    /// Makes a container its function's tenant's, and attaches the connectors. After a failure, [`App::forget_environment`].
    pub(crate) async fn adopt_environment(
        &self,
        function: &FullName,
        spec: ContainerSpec,
        link: AttachmentInfo,
        connectors: &[Name],
    ) -> Result<(), Problem> {
        let container = FullName::new(&function.tenant, &spec.name);
        let link = convert::container_link(link);
        let name = function.name.clone();
        let adopted = Change::AdoptEnvironment { container: container.clone(), spec, link, function: name };
        self.commit(adopted).await?;
        self.wire(&container, connectors).await
    }

    /// Attaches what a container that serves a function shall have and does not: connectors can have been revoked and approved again.
    pub(crate) async fn rewire_environment(
        &self,
        container: &FullName,
        connectors: &[Name],
    ) -> Result<(), Problem> {
        let missing: Vec<_> = self.read(|resources| {
            let found = resources.container(container)?;
            let lacks = |connector: &&Name| !found.connectors.contains_key(*connector);
            Ok::<_, Problem>(connectors.iter().filter(lacks).cloned().collect())
        })?;
        if missing.is_empty() { Ok(()) } else { self.wire(container, &missing).await }
    }

    async fn wire(&self, container: &FullName, connectors: &[Name]) -> Result<(), Problem> {
        // As everywhere, the turns of connectors before those of containers; and of several in one order, as whoever waits to have one
        // alone holds up those who come after.
        let mut shares = Vec::with_capacity(connectors.len());
        for connector in connectors.iter().collect::<BTreeSet<_>>() {
            let connector = FullName::new(&container.tenant, connector);
            shares.push(self.0.connector_turns.share(&connector).await);
        }
        let _turn = self.0.container_turns.take(container).await;
        // Each to its end, also when another fails: what is kept and what the gateway does are one.
        join_all(connectors.iter().map(|connector| self.join_environment(container, connector)))
            .await
            .into_iter()
            .collect()
    }

    /// Removes a container's link, and the container from its tenant if somebody had adopted it. Its sessions have ended then.
    pub(crate) async fn forget_environment(&self, container: Option<&FullName>, link: gateway::AttachmentId) {
        match self.gateway().remove_attachment(link).await {
            Ok(_) | Err(CallError::Stopped | CallError::Refused(CommandError::UnknownAttachment(_))) => {}
            Err(error) => tracing::error!(%error, "the link of a function's container stays"),
        }
        let Some(container) = container else { return };
        let _turn = self.0.container_turns.take(container).await;
        let connectors: Vec<_> = self
            .read(|resources| {
                resources.container(container).map(|found| found.connectors.keys().cloned().collect())
            })
            .unwrap_or_default();
        if let Err(error) = self.commit(Change::ForgetEnvironment(container.clone())).await {
            tracing::error!(%container, %error, "a function's container stays a resource");
        }
        for connector in connectors {
            self.linger(FullName::new(&container.tenant, &connector));
        }
    }
}
