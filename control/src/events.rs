//! What the gateway reports without being asked: devices and namespaces that disappeared.

use std::collections::BTreeSet;
use std::time::Duration;

use control_core::{AttachmentId, Change, Resources, State, UplinkId};
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
            Ok(Event::AttachmentGone(id)) => attachment_gone(&app, AttachmentId(id.0)),
            Ok(Event::UplinkGone(id)) => uplink_gone(&app, UplinkId(id.0)),
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "too many losses at once; comparing with the gateway instead");
                compare(&app).await;
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn attachment_gone(app: &App, id: AttachmentId) {
    written_down(app.commit(Change::AttachmentGone(id)));
    let gone = app.read(|resources| {
        let container = resources.container(resources.container_of(id)?.as_str()).ok()?;
        // One that is being deleted is not worth a warning.
        (container.life.state() == State::Gone).then(|| container.spec.name.clone())
    });
    if let Some(container) = gone {
        tracing::warn!(%container, "the container's device or namespace disappeared");
    }
}

fn uplink_gone(app: &App, id: UplinkId) {
    written_down(app.commit(Change::UplinkGone(id)));
    let gone = app.read(|resources| {
        let vpc = resources.vpc(resources.vpc_of(id)?.as_str()).ok()?;
        (vpc.life.state() == State::Gone).then(|| vpc.spec.name.clone())
    });
    if let Some(vpc) = gone {
        tracing::warn!(%vpc, "the VPC's device or namespace disappeared");
    }
}

fn written_down(outcome: Result<(), control_core::Problem>) {
    if let Err(problem) = outcome {
        tracing::error!(%problem, "a loss was not written down");
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
            Link::Attachment(id) => attachment_gone(app, AttachmentId(id.0)),
            Link::Uplink(id) => uplink_gone(app, UplinkId(id.0)),
        }
    }
}

fn links(resources: &Resources) -> BTreeSet<Link> {
    let containers = resources.containers().filter_map(|container| container.life.ready());
    let vpcs = resources.vpcs().filter_map(|vpc| vpc.life.ready());
    let attachments = containers.map(|link| Link::Attachment(gateway::AttachmentId(link.attachment.0)));
    attachments.chain(vpcs.map(|link| Link::Uplink(gateway::UplinkId(link.uplink.0)))).collect()
}
