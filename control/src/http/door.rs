//! Who comes in: found out once for each request, before anything else of it is looked at.
//!
//! - By the unix socket, those whose user id is on the list are the local administrator; the kernel says who they are.
//! - A bearer token (RFC 6750) says who anybody else is, by whichever way.
//! - With `wharf-tenant`, the local administrator acts for another tenant. A token acts for its own.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control_core::{Caller, Code, DEFAULT_TENANT, Kind, Name, Principal, Problem, Refusal};

use super::failure::Failure;
use super::limit::Limiter;
use crate::app::App;
use crate::server::Peer;

/// The header by which the local administrator names a tenant.
const TENANT: &str = "wharf-tenant";

/// Who is let in, and how often.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) app: App,
    pub(super) admins: std::sync::Arc<[u32]>,
    pub(super) limiter: std::sync::Arc<Limiter>,
}

/// Finds out who asks. Whether that matters is for the handler to say: some answer everybody.
pub(super) async fn find_out(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let caller = door.caller(&request);
    // Whoever looks after the daemon is not to be kept out by strangers.
    let is_health = matches!(request.uri().path(), "/healthz" | "/readyz");
    if !is_health && let Err(problem) = door.limiter.admit(caller.as_ref().ok()) {
        return Failure::from(problem).into_response();
    }
    if let Ok(caller) = &caller {
        let span = tracing::Span::current();
        span.record("principal", tracing::field::display(&caller.principal));
        span.record("tenant", caller.tenant.as_str());
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

impl Door {
    fn caller(&self, request: &Request) -> Result<Caller, Problem> {
        let headers = request.headers();
        let local = match request.extensions().get() {
            Some(Peer::Unix { uid }) if self.admins.contains(uid) => Some(Principal::Local { uid: *uid }),
            _ => None,
        };
        let asked = tenant(headers)?;
        // A token goes before the socket's rights: whoever sends one wants no more than it gives.
        let principal = match (bearer(headers)?, local) {
            (Some(secret), _) => self.app.bearer(secret)?,
            (None, Some(local)) => local,
            (None, None) => {
                let detail = "send a token as `Authorization: Bearer …`, or use the unix socket as one of the local administrators";
                return Err(Problem::new(Code::Unauthenticated, detail));
            }
        };
        let own = match &principal {
            Principal::Token { token, .. } => Some(token.tenant.clone()),
            Principal::Local { .. } => None,
        };
        let tenant = match (own, asked) {
            (Some(own), None) => own,
            (Some(own), Some(asked)) if own == asked => own,
            (Some(_), Some(_)) => {
                // The same whether or not there is such a tenant.
                let detail = "a token acts for its own tenant only; leave the header wharf-tenant out";
                return Err(Problem::new(Code::Forbidden, detail));
            }
            (None, None) => default_tenant(),
            (None, Some(asked)) if self.app.has_tenant(&asked) => asked,
            (None, Some(asked)) => {
                let refusal = Refusal::NotFound { kind: Kind::Tenant, name: asked.to_string() };
                return Err(refusal.into());
            }
        };
        Ok(Caller { principal, tenant })
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") && !secret.trim().is_empty() => {
            Ok(Some(secret.trim()))
        }
        _ => {
            let detail = "the header Authorization is `Bearer` and a token";
            Err(Problem::new(Code::Unauthenticated, detail))
        }
    }
}

fn tenant(headers: &HeaderMap) -> Result<Option<Name>, Problem> {
    let Some(value) = headers.get(TENANT) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().to_owned();
    let wrong = |_| Problem::new(Code::InvalidHeader, "the header wharf-tenant is the name of a tenant");
    Name::parse(TENANT, text).map(Some).map_err(wrong)
}

fn default_tenant() -> Name {
    Name::parse(TENANT, DEFAULT_TENANT.to_owned()).expect("it is a name")
}
