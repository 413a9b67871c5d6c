//! How many requests the API answers.

use std::time::Duration;

use serde_json::json;

use super::client::Request;
use super::ground::Ground;
use crate::rest::RestError;
use crate::subject::NAME;

/// Connections that are tried for reads.
const READERS: [usize; 4] = [1, 2, 4, 8];

/// Connections that write at a time: changes that wait together are written together.
pub const WRITERS: usize = 64;

/// Reads per second in each of so many windows, by as many connections as are fastest, and how many that is.
pub fn reads(ground: &Ground, windows: usize, window: Duration) -> Result<(Vec<f64>, usize), RestError> {
    let looks = ground.looks();
    let pace = |connections: usize, window| {
        let cycles = vec![&looks[..]; connections];
        Ok::<_, RestError>(ground.swarm(connections)?.cycle(&cycles, 1, window)?.per_second())
    };
    let mut best = (0.0, 1);
    for connections in READERS {
        let rate = pace(connections, window / 4)?;
        if rate > best.0 {
            best = (rate, connections);
        }
    }
    let rates = (0..windows).map(|_| pace(best.1, window)).collect::<Result<_, _>>()?;
    Ok((rates, best.1))
}

/// Durable writes per second in each of so many windows: each connection makes a connector and deletes it, which counts as two.
pub fn writes(
    ground: &Ground,
    connections: usize,
    windows: usize,
    window: Duration,
) -> Result<Vec<f64>, RestError> {
    let cycles: Vec<[Request; 2]> = (0..connections)
        .map(|nth| {
            let name = format!("w{nth}");
            let make = Request::post("/v1/connectors", &json!({"name": name, "vpc": NAME}));
            [make, Request::delete(format!("/v1/connectors/{name}"))]
        })
        .collect();
    let cycles: Vec<_> = cycles.iter().map(|cycle| &cycle[..]).collect();
    let pace = |_| Ok(ground.swarm(connections)?.cycle(&cycles, 2, window)?.per_second());
    (0..windows).map(pace).collect()
}
