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
    /// A program that the demo shows things with is not there.
    #[error("the demo needs {program}, which is not in PATH")]
    Missing {
        /// The program.
        program: &'static str,
        /// Debian's package that has it.
        package: &'static str,
    },
    /// Functions of a runtime cannot run here.
    #[error("no functions of {runtime} can run here: {reason}")]
    Runtime {
        /// Which runtime.
        runtime: &'static str,
        /// What the daemon says.
        reason: String,
    },
    /// There are no warm containers after a long time; this is what the daemon said.
    #[error("no container of {runtime} has become warm; the daemon said:\n{log}")]
    Cold {
        /// Which runtime.
        runtime: &'static str,
        /// The daemon's log.
        log: String,
    },
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
    /// A function was not answered by its own VPC, or something about the answer is wrong.
    #[error("{function} was to be answered by {expected}, and says: {answer}")]
    Function {
        /// Which function.
        function: &'static str,
        /// The VPC that was to answer.
        expected: &'static str,
        /// What it says.
        answer: String,
    },
    /// An invocation's trace lacks a part, or has one that was not to be.
    #[error("the trace of {function} was to be {expected}, and is {trace}")]
    Trace {
        /// Which function.
        function: &'static str,
        /// What was to be in it.
        expected: &'static str,
        /// The trace.
        trace: String,
    },
    /// What was revoked goes on.
    #[error("after the connector {connector} was revoked, {seen}")]
    Revoked {
        /// Which connector.
        connector: &'static str,
        /// What was seen.
        seen: String,
    },
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
            DemoError::Missing { package, .. } => Self::new(Exit::Failed, &e).hint(format_args!(
                "`apt-get install {package}` on Debian; or see the demo that needs nothing: `wharf demo --network`"
            )),
            DemoError::Runtime { .. } => Self::new(Exit::Failed, &e)
                .hint("install it for the whole machine; or see the demo that needs nothing: `wharf demo --network`"),
            DemoError::Claim(_) => {
                Self::new(Exit::Failed, e).hint("this is a bug in Wharf; please report it")
            }
            _ => Self::new(Exit::Failed, e),
        }
    }
}
