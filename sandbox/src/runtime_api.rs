//! The AWS Lambda Runtime API, served to one container on a listener inside its namespace.

use std::net::TcpListener;

use crate::{Answer, Assignment, Fault, Invocation};

/// One container's runtime API. Served until it is dropped.
#[derive(Debug)]
pub(crate) struct RuntimeApi {}

#[allow(dead_code, reason = "a scaffold")]
impl RuntimeApi {
    /// Serves it on this listener, which is bound in the container's namespace. Needs a tokio runtime.
    pub(crate) fn serve(_listener: TcpListener) -> std::io::Result<Self> {
        todo!()
    }

    /// Waits until the bootstrap asks what it shall become.
    pub(crate) async fn warm(&self) {
        todo!()
    }

    /// Answers that question. `false` if it was answered before, or nobody has asked.
    pub(crate) fn assign(&self, _assignment: &Assignment) -> bool {
        todo!()
    }

    /// Waits until the runtime asks for the first event, or reports that the handler cannot be loaded.
    pub(crate) async fn initialised(&self) -> Result<(), Fault> {
        todo!()
    }

    /// Hands an event over as soon as the runtime asks for one, and waits for its answer until the deadline. One at a time.
    pub(crate) async fn invoke(&self, _invocation: Invocation) -> Result<Answer, Fault> {
        todo!()
    }

    /// Whoever waits hears this, now and from now on.
    pub(crate) fn end(&self, _fault: Fault) {
        todo!()
    }
}
