//! Which host a request may name.
//!
//! A page that a user of this machine looks at can resolve its own name to 127.0.0.1 (DNS rebinding) and then ask whatever
//! listens there. Its requests still name the page's host, and that is how they are told from those of programs. No browser
//! reaches the unix socket, where any host will do; nor does one have a token, which TLS asks for in any case.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control_core::{Code, Problem};

use super::failure::Failure;
use crate::server::Peer;

/// Refuses requests over TCP that do not name this very host.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let over_tcp = request.extensions().get() == Some(&Peer::Loopback);
    if over_tcp && !names_this_host(&request) {
        let detail = "over TCP, name the daemon's host as localhost or by its loopback address";
        return Failure::from(Problem::new(Code::HostNotAllowed, detail)).into_response();
    }
    next.run(request).await
}

/// A host in the target goes before the header (RFC 9112 §3.2.2).
fn names_this_host(request: &Request) -> bool {
    let named = request.uri().authority().cloned().or_else(|| host_header(request.headers()));
    named.is_some_and(|authority| is_loopback(authority.host()))
}

fn host_header(headers: &HeaderMap) -> Option<Authority> {
    headers.get(HOST)?.to_str().ok()?.parse().ok()
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
