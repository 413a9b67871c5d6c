//! First invocations: each of a function of its own, in a container that was warm, while nothing else happens.

use std::time::SystemTime;

use serde_json::json;

use super::ground::{Ground, event};
use super::trigger::Triggered;
use crate::control::client::Request;
use crate::subject::SubjectError;

/// Warm containers that there are for each.
pub const WARM: usize = 4;

/// Functions that are deployed, each to be invoked once.
#[derive(Debug)]
pub struct Series {
    /// The next one is the last.
    names: Vec<String>,
}

impl Series {
    /// Deploys so many, and one that does not count.
    pub fn deployed(ground: &mut Ground, run: usize, functions: usize) -> Result<Self, SubjectError> {
        eprintln!("run {run}: deploying {functions} functions");
        let names: Vec<_> = (0..=functions).map(|nth| format!("fetch-{run}-{nth}")).collect();
        for name in &names {
            ground.deploy(name, "fetch", &json!({}))?;
        }
        let mut series = Self { names };
        series.next(ground)?;
        Ok(series)
    }

    /// Invokes the next one, and removes it. Until the next one there is as much warm as before.
    pub fn next(&mut self, ground: &mut Ground) -> Result<Triggered, SubjectError> {
        let name = self.names.pop().expect("one for each trigger");
        ground.quiet(WARM)?;
        let triggered = trigger(ground, &name)?;
        ground.delete(&name)?;
        if triggered.took("mount").is_some() {
            return Ok(triggered);
        }
        let said = format!("the first invocation of {name} has mounted nothing");
        Err(SubjectError::NotReady { program: "wharf", said })
    }
}

fn trigger(ground: &Ground, name: &str) -> Result<Triggered, SubjectError> {
    let mut client = ground.client()?;
    let request = Request::post(format!("/v1/functions/{name}/invocations"), &event());
    let trigger = SystemTime::now();
    let answer = client.send(&request)?.to_vec();
    let timing = client.header("server-timing");
    Triggered::read(trigger, &answer, timing.as_deref(), "wharf")
}
