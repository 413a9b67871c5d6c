//! What an invocation takes longer than its handler, in an environment that is ready.

use std::io;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::ground::{Ground, REFILL};
use super::{Scale, series};
use crate::control::client::{Client, Request};
use crate::rest::RestError;
use crate::subject::SubjectError;

/// Its name.
const FUNCTION: &str = "clock";

/// Invocations before those that count.
const WARM_UP: usize = 50;

/// What the handler answers.
#[derive(Deserialize)]
struct Ran {
    started_ns: u64,
    ended_ns: u64,
}

/// The overheads of each run: invocations one after the other, on one connection.
pub fn measure(ground: &mut Ground, scale: Scale) -> Result<Vec<Vec<Duration>>, SubjectError> {
    ground.deploy(FUNCTION, "clock", &json!({"concurrency": 1}))?;
    let request = Request::post(format!("/v1/functions/{FUNCTION}/invocations"), &json!({}));
    let mut client = ground.client()?;
    client.send(&request)?;
    ground.set_pool(series::WARM, REFILL)?;
    let mut runs = Vec::new();
    for _ in 0..scale.runs {
        let mut client = ground.client()?;
        for _ in 0..WARM_UP {
            one(&mut client, &request)?;
        }
        let times = (0..scale.calls).map(|_| one(&mut client, &request));
        runs.push(times.collect::<Result<_, _>>()?);
    }
    ground.delete(FUNCTION)?;
    Ok(runs)
}

fn one(client: &mut Client, request: &Request) -> Result<Duration, SubjectError> {
    let start = Instant::now();
    let answer = client.send(request)?;
    let took = start.elapsed();
    let ran: Result<Ran, _> = serde_json::from_slice(answer).map_err(io::Error::from);
    let Ran { started_ns, ended_ns } = ran.map_err(RestError::from)?;
    if client.header("server-timing").is_some_and(|timing| timing.contains("mount;")) {
        let said = "its environment was not ready".into();
        return Err(SubjectError::NotReady { program: "wharf", said });
    }
    Ok(took.saturating_sub(Duration::from_nanos(ended_ns.saturating_sub(started_ns))))
}
