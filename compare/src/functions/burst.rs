//! Many triggers of one function at once, with a warm container for each.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::TRIGGERS_AT_ONCE;
use super::ground::{Ground, REFILL, event};
use crate::control::client::Request;
use crate::control::swarm::Swarm;
use crate::subject::SubjectError;

/// A burst that has been answered.
#[derive(Clone, Debug)]
pub struct Burst {
    /// From the first trigger to the last answer.
    pub elapsed: Duration,
    /// Environments of the function afterwards, by their state.
    environments: BTreeMap<String, usize>,
}

/// Triggers a function that nobody has invoked before.
pub fn one(ground: &mut Ground, run: usize) -> Result<Burst, SubjectError> {
    let name = format!("burst-{run}");
    ground.deploy(&name, "fetch", &json!({"concurrency": TRIGGERS_AT_ONCE, "memory_mb": 64}))?;
    ground.set_pool(TRIGGERS_AT_ONCE, REFILL)?;
    let request = Request::post(format!("/v1/functions/{name}/invocations"), &event());
    let requests = vec![request; TRIGGERS_AT_ONCE];
    let mut swarm = Swarm::connect(ground.socket(), TRIGGERS_AT_ONCE)?;
    let pace = swarm.all(&requests)?;
    let mut environments = BTreeMap::new();
    for one in ground.environments()?.into_iter().filter(|one| one.function.as_ref() == Some(&name)) {
        *environments.entry(one.state).or_default() += 1;
    }
    ground.delete(&name)?;
    Ok(Burst { elapsed: pace.elapsed, environments })
}

impl Burst {
    /// For the record.
    pub fn describe(&self) -> Value {
        json!({"took_ms": self.elapsed.as_secs_f64() * 1e3, "environments": self.environments})
    }
}
