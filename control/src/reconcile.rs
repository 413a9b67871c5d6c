//! After a start: the gateway is brought to what is intended. VPCs first, then containers with their connectors, many at a time.
//!
//! Idempotent: it looks at what is there, and does what is missing. What cannot be made yet (a VPC whose device is not there) is tried again
//! from time to time; what cannot be made any more (a container whose namespace is gone) is reported as gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use control_core::{Change, Code, Container, FullName, Join, Life, Name, Problem, Resources, Vpc};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::app::App;

/// Links that are made at a time: enough that nobody waits for a system call of another.
const AT_A_TIME: usize = 32;

/// Between two tries of what could not be made.
const AGAIN: Duration = Duration::from_secs(5);

/// What was there when the daemon began: what clients create meanwhile is theirs to make.
pub(crate) struct Intended {
    vpcs: Vec<FullName>,
    containers: Vec<FullName>,
}

impl Intended {
    /// To be called before the first request is served.
    pub(crate) fn of(app: &App) -> Self {
        app.read(|resources| Self {
            vpcs: resources.vpcs().map(|vpc| vpc.name.clone()).collect(),
            containers: resources.containers().map(|container| container.name.clone()).collect(),
        })
    }
}

/// Brings the gateway to the intent, and tries again what fails, for as long as the daemon runs.
pub(crate) async fn run(app: App, intended: Intended) {
    let started = Instant::now();
    let (vpcs, containers) = (intended.vpcs.len(), intended.containers.len());
    if vpcs + containers > 0 {
        tracing::info!(vpcs, containers, "taking up what is intended");
    }
    each(&app, intended.vpcs.clone(), make_vpc).await;
    each(&app, intended.containers.clone(), make_container).await;
    if vpcs + containers > 0 {
        let elapsed_ms = started.elapsed().as_millis() as u64;
        tracing::info!(elapsed_ms, "all that can be taken up is there");
    }
    loop {
        tokio::time::sleep(AGAIN).await;
        let (vpcs, containers) = app.read(|resources| intended.missing(resources));
        each(&app, vpcs, make_vpc).await;
        each(&app, containers, make_container).await;
        attach_missing(&app).await;
    }
}

/// Does something for each, many at a time.
async fn each<F>(app: &App, names: Vec<FullName>, make: fn(App, FullName) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(AT_A_TIME));
    let mut tasks = JoinSet::new();
    for name in names {
        let (app, slots) = (app.clone(), Arc::clone(&slots));
        tasks.spawn(async move {
            let _slot = slots.acquire().await.expect("nobody closes it");
            make(app, name).await;
        });
    }
    tasks.join_all().await;
}

impl Intended {
    /// What could not be made until now.
    fn missing(&self, resources: &Resources) -> (Vec<FullName>, Vec<FullName>) {
        let vpcs = self.vpcs.iter().filter(|name| resources.vpc(name).is_ok_and(vpc_waits));
        let containers =
            self.containers.iter().filter(|name| resources.container(name).is_ok_and(container_waits));
        (vpcs.cloned().collect(), containers.cloned().collect())
    }
}

fn vpc_waits(vpc: &Vpc) -> bool {
    matches!(vpc.life, Life::Creating | Life::Gone(None))
}

/// One that is being created anew by a client is known by having had no link yet.
fn container_waits(container: &Container) -> bool {
    container.life == Life::Creating && container.origin.is_some()
}

async fn make_vpc(app: App, name: FullName) {
    let _turn = app.vpc_turn(&name).await;
    // Under the turn: it can have been deleted, and created again by somebody who makes its link.
    let found = app.read(|resources| {
        let vpc = resources.vpc(&name).ok().filter(|vpc| vpc_waits(vpc))?;
        Some((vpc.spec.clone(), vpc.mac))
    });
    let Some((spec, mac)) = found else { return };
    if let Err(problem) = app.link_vpc(&name, &spec, mac).await {
        tracing::warn!(vpc = %name, %problem, "the VPC cannot be taken up; it is tried again");
        outcome(app.commit(Change::VpcGone(name.clone())).await.map_err(Problem::from));
    }
}

async fn make_container(app: App, name: FullName) {
    let found = app.read(|resources| {
        let container = resources.container(&name).ok().filter(|found| found.life == Life::Creating)?;
        Some((container.spec.clone(), container.origin.clone()))
    });
    let Some((spec, before)) = found else { return };
    // A namespace that only has the same name is another.
    let same = App::is_where_it_was(&spec, before.as_ref());
    let made = if same { app.link_container(&name, &spec, before.as_ref()).await } else { Err(gone()) };
    match made {
        Ok(()) => attach_all(&app, &name).await,
        Err(problem) if is_gone(&problem) => {
            tracing::warn!(container = %name, %problem, "the container is gone");
            outcome(app.commit(Change::ContainerGone(name)).await.map_err(Problem::from));
        }
        // Its creation was cut off before anybody had an answer: it is as if it had never been.
        Err(problem) if before.is_none() => {
            tracing::warn!(container = %name, %problem, "the container that was being created is dropped");
            outcome(app.commit(Change::ForgetContainer(name)).await.map_err(Problem::from));
        }
        // What the machine lacks now it may have later: nothing of the intent is lost.
        Err(problem) => {
            tracing::warn!(container = %name, %problem, "the container cannot be taken up; it is tried again");
        }
    }
}

fn gone() -> Problem {
    Problem::new(Code::NetnsMissing, "its namespace does not exist any more")
}

/// Whether there is nothing to be taken up any more.
fn is_gone(problem: &Problem) -> bool {
    matches!(problem.code(), Code::NetnsMissing | Code::NetnsInvalid)
}

/// Connectors that the container shall have and does not.
async fn attach_all(app: &App, container: &FullName) {
    let missing: Vec<Name> =
        app.read(|resources| resources.container(container).map(intended).unwrap_or_default());
    for connector in missing {
        if let Err(problem) = app.attach_as_intended(container, &connector).await {
            tracing::warn!(%container, %connector, %problem, "not attached as intended; it is tried again");
        }
    }
}

fn intended(container: &Container) -> Vec<Name> {
    let joins = container.connectors.iter().filter(|(_, join)| **join == Join::Attaching);
    joins.map(|(name, _)| name.clone()).collect()
}

/// Of containers that are there: their VPC may have come later.
async fn attach_missing(app: &App) {
    let containers: Vec<_> = app.read(|resources| {
        let waits =
            |container: &&Container| container.life.ready().is_some() && !intended(container).is_empty();
        resources.containers().filter(waits).map(|container| container.name.clone()).collect()
    });
    for container in containers {
        attach_all(app, &container).await;
    }
}

fn outcome(outcome: Result<(), Problem>) {
    if let Err(problem) = outcome {
        tracing::error!(%problem, "what became of a link was not written down");
    }
}
