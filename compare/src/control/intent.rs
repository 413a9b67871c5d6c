//! What a store has in it beside containers.

use serde_json::json;

use super::client::Request;
use super::ground::Ground;
use crate::rest::RestError;
use crate::subject::NAME;

/// Connectors that nothing is attached to.
pub const CONNECTORS: usize = 100;

/// Publications of each.
pub const PUBLICATIONS: usize = 32;

/// Rules of each.
pub const RULES: usize = 50;

/// Connections on which they are made.
const MAKERS: usize = 16;

/// Makes the connectors.
pub fn add(ground: &Ground) -> Result<(), RestError> {
    let requests: Vec<_> = (0..CONNECTORS).map(connector).collect();
    ground.swarm(MAKERS)?.all(&requests).map(drop)
}

fn connector(nth: usize) -> Request {
    let first_port = 1_024 + nth * PUBLICATIONS;
    let publications: Vec<_> = (0..PUBLICATIONS)
        .map(|i| json!({"protocol": "tcp", "external_port": first_port + i, "container_port": 8080}))
        .collect();
    let rules: Vec<_> = (0..RULES)
        .map(|i| {
            let ports = json!({"first": 1 + i, "last": 1_000 + i});
            json!({"action": "allow", "destination": format!("10.1.{i}.0/24"), "protocol": "tcp", "ports": ports})
        })
        .collect();
    let connector =
        json!({"name": format!("p{nth}"), "vpc": NAME, "publications": publications, "rules": rules});
    Request::post("/v1/connectors", &connector)
}
