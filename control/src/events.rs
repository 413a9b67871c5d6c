//! What the gateway reports without being asked: devices and namespaces that disappeared.

use std::collections::BTreeSet;
use std::time::Duration;

use control_core::{AttachmentId, Change, FullName, Resources, State, UplinkId};
use gateway::{Event, Link};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

use crate::app::App;

/// How often everything is compared, so that no loss goes unnoticed for ever.
const COMPARE_EVERY: Duration = Duration::from_secs(30);

/// Writes down every loss, until the gateway stops.
pub(crate) async fn follow(app: App, mut losses: Receiver<Event>) {
    let mut timer = tokio::time::interval(COMPARE_EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let loss = tokio::select! {
            loss = losses.recv() => loss,
            _ = timer.tick() => {
                compare(&app).await;
                continue;
            }
        };
        match loss {
            Ok(Event::AttachmentGone(id)) => attachment_gone(&app, AttachmentId(id.0)).await,
            Ok(Event::UplinkGone(id)) => uplink_gone(&app, UplinkId(id.0)).await,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "too many losses at once; comparing with the gateway instead");
                compare(&app).await;
            }
            Err(RecvError::Closed) => return,
        }
    }
}

async fn attachment_gone(app: &App, id: AttachmentId) {
    if let Some(fleet) = app.fleet() {
        fleet.link_lost(gateway::AttachmentId(id.0));
    }
    let (name, connectors) = app.read(|resources| {
        let name = resources.container_of(id).cloned();
        let found = name.as_ref().and_then(|name| resources.container(name).ok());
        let connectors: Vec<_> = found.iter().flat_map(|found| found.connectors.keys().cloned()).collect();
        (name, connectors)
    });
    written_down(app.commit(Change::AttachmentGone(id)).await);
    for connector in connectors {
        app.linger(FullName::new(&name.as_ref().expect("it has connectors").tenant, &connector));
    }
    let gone = app.read(|resources| {
        // One that is being deleted is not worth a warning.
        let found = resources.container(name.as_ref()?).ok()?;
        (found.life.state() == State::Gone).then(|| found.name.clone())
    });
    if let Some(container) = gone {
        tracing::warn!(%container, "the container's device or namespace disappeared");
    }
}

async fn uplink_gone(app: &App, id: UplinkId) {
    let name: Option<FullName> = app.read(|resources| resources.vpc_of(id).cloned());
    written_down(app.commit(Change::UplinkGone(id)).await);
    let gone = app.read(|resources| {
        let found = resources.vpc(name.as_ref()?).ok()?;
        (found.life.state() == State::Gone).then(|| found.name.clone())
    });
    if let Some(vpc) = gone {
        tracing::warn!(%vpc, "the VPC's device or namespace disappeared");
    }
}

fn written_down(outcome: Result<(), crate::registry::CommitError>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "a loss was not written down");
    }
}

/// Takes every link for lost that the gateway does not have any more.
async fn compare(app: &App) {
    // Ours first: a link that is made in between is then not among those compared.
    let ours = app.read(links);
    let Ok(stats) = app.gateway().stats().await else { return };
    let theirs: BTreeSet<Link> = stats.links.iter().map(|report| report.link).collect();
    for lost in ours.difference(&theirs) {
        match lost {
            Link::Attachment(id) => attachment_gone(app, AttachmentId(id.0)).await,
            Link::Uplink(id) => uplink_gone(app, UplinkId(id.0)).await,
        }
    }
}

fn links(resources: &Resources) -> BTreeSet<Link> {
    let containers = resources.containers().filter_map(|container| container.life.ready());
    let vpcs = resources.vpcs().filter_map(|vpc| vpc.life.ready());
    let attachments = containers.map(|link| Link::Attachment(gateway::AttachmentId(link.attachment.0)));
    attachments.chain(vpcs.map(|link| Link::Uplink(gateway::UplinkId(link.uplink.0)))).collect()
}
