//! Attaching connectors to containers.

use std::time::{Duration, Instant};

use control_core::{Change, FullName, Join, Kind, Name, Permission, Problem, Refusal, Resources};
use gateway::{CallError, CommandError, ConnectorConfig};
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, Call, convert, failure};
use crate::registry::Request;

/// A container has a connector.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttachView {
    container: String,
    connector: String,
    /// From the request's arrival to the worker's acknowledgement, in microseconds; 0 if nothing was to be done.
    attached_in_us: u64,
    /// The same until it was written down too, in microseconds.
    durable_in_us: u64,
}

/// A container no longer has a connector.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetachView {
    container: String,
    connector: String,
    /// Sessions that ended with it.
    sessions_ended: usize,
}

/// A container and one of its tenant's connectors.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) container: FullName,
    pub(super) connector: Name,
}

impl App {
    /// Lets a container use a connector. Answers when its worker has it; changes nothing if it has it already.
    pub(crate) async fn attach(
        &self,
        call: Call,
        container: &str,
        connector: &str,
    ) -> Result<AttachView, Problem> {
        let started = Instant::now();
        let pair = self.pair(&call, container, connector)?;
        if call.dry_run {
            self.registry().try_out(pair.attach(), None, |_| ())?;
            return Ok(pair.attached([0, 0]));
        }
        self.carry_out(|app| app.join(call, pair, started)).await
    }

    /// Ends the permission. Every session of the pair has ended when this returns.
    pub(crate) async fn detach(
        &self,
        call: Call,
        container: &str,
        connector: &str,
    ) -> Result<DetachView, Problem> {
        let pair = self.pair(&call, container, connector)?;
        if call.dry_run {
            self.read(|resources| resources.permission(&pair.container, &pair.connector))?;
            return Ok(pair.detached(0));
        }
        self.carry_out(|app| app.part(call, pair)).await
    }

    fn pair(&self, call: &Call, container: &str, connector: &str) -> Result<Pair, Problem> {
        let container = call.named(container, Kind::Container)?;
        let connector = call.named(connector, Kind::Connector)?;
        self.read(|resources| {
            resources.refuse_managed(&container)?;
            resources.connector(&connector)?;
            Ok(Pair { container, connector: connector.name })
        })
    }

    async fn join(self, call: Call, pair: Pair, started: Instant) -> Result<AttachView, Problem> {
        // Whoever revokes the connector waits until the gateway has the permission, and then takes it.
        let _share = self.0.connector_turns.share(&pair.full_connector()).await;
        let _turn = self.0.container_turns.take(&pair.container).await;
        let has = self.read(|resources| {
            resources.permission(&pair.container, &pair.connector).is_ok_and(|p| p.join == Join::Attached)
        });
        if has {
            return Ok(pair.attached([0, 0]));
        }
        let request = pair.request(&call, "attach", pair.attach());
        let acknowledged = self.make_join(&pair, request, started).await?;
        let attached_in_us = acknowledged.as_micros() as u64;
        tracing::info!(container = %pair.container, connector = %pair.connector, attached_in_us, "attached");
        Ok(pair.attached([attached_in_us, started.elapsed().as_micros() as u64]))
    }

    /// Gives a connector to a container that serves a function; in the turns of both.
    pub(super) async fn join_environment(
        &self,
        container: &FullName,
        connector: &Name,
    ) -> Result<(), Problem> {
        let started = Instant::now();
        let pair = Pair { container: container.clone(), connector: connector.clone() };
        let request = Request::of(pair.attach());
        self.make_join(&pair, request, started).await.map(drop)
    }

    /// Makes a join, whole or not at all; in the turns of both. When the gateway had it, since `started`.
    async fn make_join(&self, pair: &Pair, request: Request, started: Instant) -> Result<Duration, Problem> {
        // While the disk writes, the gateway acts: whichever fails takes the other back.
        let intent = self.registry().begin(request).await?;
        let live = self.tell(pair).await;
        let acknowledged = started.elapsed();
        let kept = intent.end().await;
        match (live, kept) {
            (Ok(_), Ok(_)) => {
                self.read(|resources| pair.still(resources))?;
                self.attach_times().add(acknowledged);
                Ok(acknowledged)
            }
            (Ok((attachment, connector)), Err(unkept)) => {
                // What the gateway says to it: it cannot have it any more, in any case.
                _ = self.gateway().detach(attachment, connector).await;
                Err(unkept.into())
            }
            (Err(problem), Ok(_)) => {
                let connector = pair.full_connector();
                let detail = problem.detail().to_owned();
                self.commit(pair.detach()).await?;
                self.commit(Change::ConnectorFailed { connector, detail }).await?;
                Err(problem)
            }
            (Err(problem), Err(_)) => Err(problem),
        }
    }

    /// Attaches what was attached before a restart.
    pub(crate) async fn attach_as_intended(
        &self,
        container: &FullName,
        connector: &Name,
    ) -> Result<(), Problem> {
        let pair = Pair { container: container.clone(), connector: connector.clone() };
        let _share = self.0.connector_turns.share(&pair.full_connector()).await;
        let _turn = self.0.container_turns.take(&pair.container).await;
        let join = self.read(|resources| resources.permission(container, connector).map(|p| p.join))?;
        if join == Join::Attaching {
            self.tell(&pair).await?;
            let Pair { container, connector } = pair;
            self.commit(Change::Attached { container, connector }).await?;
        }
        Ok(())
    }

    /// Gives a permission to the gateway.
    pub(super) async fn tell(
        &self,
        pair: &Pair,
    ) -> Result<(gateway::AttachmentId, gateway::ConnectorId), Problem> {
        let (attachment, config) = self.read(|resources| self.permission(resources, pair))?;
        let connector = config.id;
        self.gateway().attach(attachment, config).await.map_err(failure::of_call)?;
        Ok((attachment, connector))
    }

    /// A permission as the gateway needs it, with its connector's allowance.
    pub(super) fn permission(
        &self,
        resources: &Resources,
        pair: &Pair,
    ) -> Result<(gateway::AttachmentId, ConnectorConfig), Refusal> {
        let permission: Permission = resources.permission(&pair.container, &pair.connector)?;
        let allowance = self.0.allowances.of(permission.connector, &permission.spec);
        let attachment = convert::attachment(permission.attachment);
        Ok((attachment, convert::connector_config(&permission, allowance)))
    }

    async fn part(self, call: Call, pair: Pair) -> Result<DetachView, Problem> {
        let _turn = self.0.container_turns.take(&pair.container).await;
        let permission = self.read(|resources| resources.permission(&pair.container, &pair.connector))?;
        let attachment = convert::attachment(permission.attachment);
        let outcome = self.gateway().detach(attachment, convert::connector(permission.connector)).await;
        if let Err(error) = outcome
            && !already_ended(error)
        {
            return Err(failure::of_call(error));
        }
        let request = Request { expected: None, ..pair.request(&call, "detach", pair.detach()) };
        if let Err(error) = self.registry().commit(request).await {
            // The intent is still that it is attached; and so it is again.
            self.tell(&pair).await?;
            return Err(error.into());
        }
        self.linger(pair.full_connector());
        let sessions_ended = match outcome {
            Ok(applied) => applied.sessions_ended,
            // After a restart it was intended, and the gateway had not heard of it yet.
            Err(_) if permission.join == Join::Attaching => 0,
            Err(error) => return Err(failure::of_call(error)),
        };
        tracing::info!(container = %pair.container, connector = %pair.connector, sessions_ended, "detached");
        Ok(pair.detached(sessions_ended))
    }
}

impl Pair {
    fn full_connector(&self) -> FullName {
        FullName::new(&self.container.tenant, &self.connector)
    }

    fn attach(&self) -> Change {
        Change::Attach { container: self.container.clone(), connector: self.connector.clone() }
    }

    fn detach(&self) -> Change {
        Change::Detached { container: self.container.clone(), connector: self.connector.clone() }
    }

    /// A change, whose record names the connector too.
    fn request(&self, call: &Call, action: &str, change: Change) -> Request {
        let mut request = call.request(action, Kind::Container, &self.container, change);
        if let Some(entry) = &mut request.audit {
            entry.target = format!("{}/connectors/{}", entry.target, self.connector);
        }
        request
    }

    fn attached(&self, [attached_in_us, durable_in_us]: [u64; 2]) -> AttachView {
        let (container, connector) = (self.container.name.to_string(), self.connector.to_string());
        AttachView { container, connector, attached_in_us, durable_in_us }
    }

    fn detached(&self, sessions_ended: usize) -> DetachView {
        let (container, connector) = (self.container.name.to_string(), self.connector.to_string());
        DetachView { container, connector, sessions_ended }
    }

    /// Refused if container or VPC disappeared while the gateway was told.
    fn still(&self, resources: &Resources) -> Result<(), Refusal> {
        resources.permission(&self.container, &self.connector).map(drop)
    }
}

/// Whether the gateway does not have the permission, so that it must not stay written down either.
const fn already_ended(error: CallError) -> bool {
    matches!(error, CallError::Refused(CommandError::NotAttached(..) | CommandError::UnknownAttachment(_)))
}
