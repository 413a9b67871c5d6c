//! Why a demo ends early.

use std::io;
use std::net::SocketAddrV4;

use netlab::LabError;

use crate::client::ClientError;
use crate::failure::{Exit, Failure};

/// Why a demo ends early. Everything it made is removed all the same.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    /// The lab could not be built.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The daemon did not come up; this is what it said.
    #[error("the daemon did not start; it said:\n{0}")]
    Daemon(String),
    /// The daemon refused something.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Something on the way failed.
    #[error("cannot {step}: {source}")]
    System {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A claim of the demo does not hold: the gateway is wrong.
    #[error(transparent)]
    Claim(#[from] Claim),
    /// The output is closed or full.
    #[error(transparent)]
    Output(#[from] io::Error),
    /// A signal arrived.
    #[error("interrupted; everything was removed")]
    Interrupted,
}

/// What the demo says, and what was seen instead.
#[derive(Debug, thiserror::Error)]
pub(super) enum Claim {
    /// A container reached a server that is not in its VPC, or something that is no server of ours.
    #[error("{container} was to reach {expected}, and was answered: {answer}")]
    Server {
        /// Who asked.
        container: &'static str,
        /// Who was to answer.
        expected: &'static str,
        /// The answer.
        answer: String,
    },
    /// A server was contacted by something else than exactly its one client.
    #[error("{server} was to see one client from {expected}, and saw {seen:?}")]
    Clients {
        /// Whose server.
        server: &'static str,
        /// The only client it should see.
        expected: SocketAddrV4,
        /// All it saw.
        seen: Vec<SocketAddrV4>,
    },
    /// The container without a connector was answered.
    #[error("c3 has no connector, and was answered: {0}")]
    Leaked(String),
    /// The packets of the container without a connector were not dropped for that reason.
    #[error("c3's packets were to be dropped for no_connector, and the gateway says: {0}")]
    Reason(String),
    /// The session table does not show what the servers saw.
    #[error("the session table was to show a session of {container} as {external}, and has: {table}")]
    Session {
        /// Whose session.
        container: &'static str,
        /// What the server saw.
        external: SocketAddrV4,
        /// The table.
        table: String,
    },
}

impl DemoError {
    /// A step that the kernel refused.
    pub(super) const fn system(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { step, source }
    }
}

impl From<DemoError> for Failure {
    fn from(e: DemoError) -> Self {
        match e {
            DemoError::Output(e) => e.into(),
            DemoError::Client(e) => e.into(),
            DemoError::Lab(LabError::NotPermitted) => {
                Self::new(Exit::Failed, "the demo makes network namespaces")
                    .hint("run it as root: `sudo wharf demo`")
            }
            DemoError::Claim(_) => {
                Self::new(Exit::Failed, e).hint("this is a bug in Wharf; please report it")
            }
            _ => Self::new(Exit::Failed, e),
        }
    }
}
