//! The AWS Lambda Runtime API, served to one container on a listener inside its namespace.
//!
//! Whoever reaches the listener is the container: nothing in a request says who asks. [`State`] decides, and the modules
//! beside it do the I/O: [`server`] has the connections, [`routes`] the requests, [`answer`] the bodies that a runtime sends,
//! [`delivery`] the events that it gets.
//!
//! `GET /wharf/assignment` and `GET /wharf/exec` are ours: by them a bootstrap hears what it shall become, as JSON or as the
//! arguments and variables of execve(2).

mod answer;
mod delivery;
mod limits;
mod reply;
mod report;
mod routes;
mod server;
mod state;
mod stream;

use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{self, Notify};
use tokio::task::JoinSet;

use crate::{Answer, Assignment, Fault, Invocation};
use state::{State, Ticket};

/// One container's runtime API. Served until it is dropped.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    shared: Arc<Shared>,
    /// Held by the invocation that is under way.
    turn: sync::Mutex<()>,
    _server: JoinSet<()>,
}

/// What its connections and its owner have in common.
#[derive(Debug)]
struct Shared {
    /// Where it is served.
    address: SocketAddr,
    state: Mutex<State<Answer>>,
    changed: Notify,
    /// Taken by whoever reads a whole body.
    bodies: tokio::sync::Mutex<()>,
}

/// Forgets the event when nobody waits for its outcome any more.
struct Offer<'a> {
    shared: &'a Shared,
    ticket: Ticket,
}

impl RuntimeApi {
    /// Serves it on this listener, which is bound in the container's namespace. Needs a tokio runtime.
    pub(crate) fn serve(listener: TcpListener) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let shared = Arc::new(Shared::new(listener.local_addr()?));
        let mut server = JoinSet::new();
        server.spawn(server::accept(listener, shared.clone()));
        Ok(Self { shared, turn: sync::Mutex::default(), _server: server })
    }

    /// Waits until the bootstrap asks what it shall become; for ever, if it ends before it does.
    pub(crate) async fn warm(&self) {
        self.shared.until(|state| state.is_warm().then_some(())).await;
    }

    /// Answers that question. `false` if it was answered before, or nobody has asked.
    pub(crate) fn assign(&self, assignment: &Assignment) -> bool {
        self.shared.change(|state| state.assign(assignment.clone()))
    }

    /// Waits until the runtime asks for the first event, or reports that the handler cannot be loaded.
    pub(crate) async fn initialised(&self) -> Result<(), Fault> {
        self.shared.until(|state| state.initialised()).await
    }

    /// Hands an event over as soon as the runtime asks for one, and waits for its answer until the deadline. One at a time:
    /// another one waits for its turn, and its time runs.
    pub(crate) async fn invoke(&self, invocation: Invocation) -> Result<Answer, Fault> {
        let time = invocation.deadline.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
        let answer = tokio::time::timeout(time, async {
            let _turn = self.turn.lock().await;
            let ticket = self.shared.change(|state| state.offer(invocation, time))?;
            let offer = Offer { shared: &self.shared, ticket };
            self.shared.until(|state| state.outcome(offer.ticket)).await
        });
        answer.await.unwrap_or(Err(Fault::TimedOut { after: time }))
    }

    /// Whoever waits hears this, now and from now on.
    pub(crate) fn end(&self, fault: Fault) {
        self.shared.change(|state| state.end(fault));
    }
}

impl Shared {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            state: Mutex::default(),
            changed: Notify::new(),
            bodies: tokio::sync::Mutex::default(),
        }
    }

    /// Does one thing, and wakes whoever waits for it.
    fn change<T>(&self, act: impl FnOnce(&mut State<Answer>) -> T) -> T {
        let done = act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
        done
    }

    /// Tries after every change, until there is something.
    async fn until<T>(&self, mut attempt: impl FnMut(&mut State<Answer>) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(done) = attempt(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner)) {
                return done;
            }
            changed.await;
        }
    }
}

impl Drop for Offer<'_> {
    fn drop(&mut self) {
        self.shared.change(|state| state.forget(self.ticket));
    }
}

#[cfg(test)]
mod tests;
