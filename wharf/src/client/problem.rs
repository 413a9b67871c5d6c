//! Why a request was not answered as hoped, and what to do about it.

use std::fmt;
use std::io;

use serde::Deserialize;
use serde_json::Value;

use super::target::{ConnectError, TrustError};
use super::{DEFAULT_SOCKET, TIMEOUT, Target};
use crate::failure::{Exit, Failure};

/// The daemon's refusal: RFC 9457 problem details with the API's stable `code`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The stable code.
    pub(crate) code: String,
    /// The kind of problem, for people.
    pub(crate) title: String,
    /// What is wrong here, and what to do.
    pub(crate) detail: String,
    /// The one field that is to blame.
    pub(crate) field: Option<String>,
    /// Everything that is wrong, if that is more than one thing.
    pub(crate) errors: Vec<Fault>,
    /// What depends on the resource, if that is the problem.
    pub(crate) dependents: Vec<String>,
    /// What a function reports of itself, if it is to blame.
    pub(crate) function_error: Value,
}

/// One of several things that are wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Fault {
    code: String,
    detail: String,
    field: Option<String>,
}

/// Why a request was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens there, or we may not connect.
    #[error("no daemon answers at {target}: {source}")]
    Unreachable {
        /// Where we tried.
        target: Target,
        /// Why it failed.
        source: io::Error,
    },
    /// Somebody answers whose certificate is not trusted, or in no TLS at all.
    #[error("no TLS with {target}: {source}")]
    Untrusted {
        /// Where.
        target: Target,
        /// Why it failed.
        source: io::Error,
    },
    /// The files for TLS are of no use.
    #[error(transparent)]
    Trust(TrustError),
    /// The connection broke before the answer was complete.
    #[error("the connection to {target} broke: {reason}")]
    Broken {
        /// Where.
        target: Target,
        /// How.
        reason: String,
    },
    /// The daemon is there and silent.
    #[error("the daemon at {0} did not answer within {seconds} s", seconds = TIMEOUT.as_secs())]
    Silent(Target),
    /// The daemon refused.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// An answer that is none of Wharf's.
    #[error("{target} answered with status {status} and no JSON that Wharf knows; is it a wharf daemon?")]
    Alien {
        /// Who.
        target: Target,
        /// The HTTP status.
        status: u16,
    },
}

impl ClientError {
    pub(super) fn of_connect(error: ConnectError, target: &Target) -> Self {
        let target = target.clone();
        match error {
            ConnectError::Unreachable(source) => Self::Unreachable { target, source },
            ConnectError::Untrusted(source) => Self::Untrusted { target, source },
            ConnectError::Trust(error) => Self::Trust(error),
        }
    }

    /// With the causes that hyper keeps to itself: among them what TLS has to say.
    pub(super) fn broken(target: &Target, error: &dyn std::error::Error) -> Self {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let said = error.to_string();
            if !reason.contains(&said) {
                reason.extend([": ", &said]);
            }
            cause = error.source();
        }
        Self::Broken { target: target.clone(), reason }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.errors.len() > 1 {
            write!(f, "{} things are wrong:", self.errors.len())?;
            return self.errors.iter().try_for_each(|fault| write!(f, "\n  {fault}"));
        }
        let detail = if self.detail.is_empty() { &self.title } else { &self.detail };
        let (code, field) = (self.code.clone(), self.field.clone());
        Fault { code, detail: detail.clone(), field }.fmt(f)?;
        self.dependents.iter().try_for_each(|dependent| write!(f, "\n  {dependent}"))?;
        stack_trace(&self.function_error).try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Where it happened, as a function reports it.
pub(crate) fn stack_trace(function_error: &Value) -> impl Iterator<Item = &str> {
    let lines = function_error["stackTrace"].as_array().into_iter().flatten();
    lines.filter_map(Value::as_str).flat_map(str::lines).map(str::trim_end).filter(|line| !line.is_empty())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{} [{}, field {field}]", self.detail, self.code),
            None => write!(f, "{} [{}]", self.detail, self.code),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(e: ClientError) -> Self {
        let exit = match &e {
            ClientError::Unreachable { .. } | ClientError::Silent(_) => Exit::Unreachable,
            ClientError::Refused(problem) if matches!(&*problem.code, "not_found" | "not_attached") => {
                Exit::NotFound
            }
            ClientError::Trust(_) => Exit::Usage,
            ClientError::Untrusted { .. }
            | ClientError::Broken { .. }
            | ClientError::Refused(_)
            | ClientError::Alien { .. } => Exit::Failed,
        };
        let failure = Self::new(exit, &e);
        match hint(&e) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// What to do about it, where the API's own words do not say so already.
fn hint(e: &ClientError) -> Option<String> {
    match e {
        ClientError::Unreachable { target: Target::Unix(path), source } => Some(match source.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("run as root, or as a member of the group that owns {}", path.display())
            }
            _ if path.as_os_str() == DEFAULT_SOCKET => {
                "start the daemon with `sudo wharf serve`, or say where it is with --socket or --api"
                    .to_owned()
            }
            _ => format!("start the daemon with `sudo wharf serve --socket {}`", path.display()),
        }),
        ClientError::Unreachable { target: Target::Tcp(address), .. } => {
            Some(format!("start the daemon with `sudo wharf serve --listen {address}`"))
        }
        ClientError::Unreachable { target: Target::Tls(..), .. } => Some(
            "start the daemon with `sudo wharf serve --listen ADDRESS:PORT --tls-cert FILE --tls-key FILE`"
                .to_owned(),
        ),
        ClientError::Untrusted { .. } => Some(
            "--ca is the file of whoever signed the daemon's certificate, which has to be of the host in --api"
                .to_owned(),
        ),
        ClientError::Trust(_) => Some("certificates and keys are PEM files".to_owned()),
        // Only after the handshake of TLS 1.3 does the daemon say that it misses a certificate.
        ClientError::Broken { reason, .. } if reason.contains("CertificateRequired") => {
            Some("the daemon wants to see a certificate: --cert FILE and --key FILE".to_owned())
        }
        ClientError::Silent(_) | ClientError::Broken { .. } => {
            Some("the daemon's log says what it was doing".to_owned())
        }
        ClientError::Refused(problem) => refusal_hint(&problem.code).map(str::to_owned),
        ClientError::Alien { .. } => None,
    }
}

fn refusal_hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "not_found" => {
            "`wharf vpc list`, `wharf connector list` and `wharf container list` show what there is; \
             another tenant's is looked for with --tenant"
        }
        "not_attached" => "`wharf container list` shows which connectors each container has",
        "netns_missing" => {
            "`ip netns list` shows namespaces with a name; one without is named by a process that runs in it, pid:PID"
        }
        "not_permitted" => "run the daemon as root",
        "unauthenticated" => {
            "give a token by --token-file or $WHARF_TOKEN; `wharf token add`, as root at the daemon, makes one"
        }
        "not_approved" => "the VPC's owner lets it join with `wharf approve VPC TENANT/CONNECTOR`",
        "changed" => "somebody else has changed it: look at it again, and then repeat what you mean",
        "revision_too_old" => {
            "list again, as with `wharf vpc list`, and watch without --since: not all that changed is remembered"
        }
        "route_not_found" | "method_not_allowed" => "daemon and command line may be of different versions",
        "internal" => "the daemon's log says more",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_code_and_field() {
        let problem = Problem {
            code: "invalid_cidr".into(),
            detail: "use 10.1.0.0/16".into(),
            field: Some("cidr".into()),
            ..Problem::default()
        };
        assert_eq!(problem.to_string(), "use 10.1.0.0/16 [invalid_cidr, field cidr]");
    }

    #[test]
    fn everything_that_is_wrong_has_a_line() {
        let problem: Problem = serde_json::from_str(
            r#"{"status":422,"code":"invalid_name","detail":"a","field":"name","errors":[
                {"code":"invalid_name","detail":"a","field":"name"},{"code":"missing_field","detail":"b"}]}"#,
        )
        .unwrap();
        assert_eq!(
            problem.to_string(),
            "2 things are wrong:\n  a [invalid_name, field name]\n  b [missing_field]"
        );
    }

    #[test]
    fn what_depends_on_it_is_a_list() {
        let problem: Problem = serde_json::from_str(
            r#"{"code":"in_use","detail":"in use","dependents":["connector db","connector web"]}"#,
        )
        .unwrap();
        assert_eq!(problem.to_string(), "in use [in_use]\n  connector db\n  connector web");
    }
}
