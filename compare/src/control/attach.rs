//! How long an attachment takes: by Wharf's API, and by CNI's plugin `bridge`.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::ground::Ground;
use crate::packages;
use crate::plugins::Plugins;
use crate::rest::RestError;
use crate::subject::{Site, SubjectError};

/// Times of attachments.
#[derive(Clone, Debug, Default)]
pub struct Attached {
    /// Until whoever asked has the answer. What was asked for is durable then.
    pub answered: Vec<Duration>,
    /// Until the worker has it: the same, less what the daemon says that the disk took longer.
    pub live: Vec<Duration>,
}

#[derive(Deserialize)]
struct AttachView {
    attached_in_us: u64,
    durable_in_us: u64,
}

/// Attaches the connector to all containers, one after the other on one connection, and detaches it again.
pub fn by_wharf(ground: &Ground) -> Result<Attached, RestError> {
    let mut client = ground.client()?;
    let mut times = Attached::default();
    for request in ground.attachments() {
        let start = Instant::now();
        let body = client.send(&request)?;
        let answered = start.elapsed();
        times.answered.push(answered);
        let AttachView { attached_in_us, durable_in_us } =
            serde_json::from_slice(body).map_err(std::io::Error::from)?;
        // It says 0 if there was nothing to do.
        if attached_in_us == 0 {
            let body = String::from_utf8_lossy(body).into_owned();
            return Err(std::io::Error::other(format!("attached before: {body}")).into());
        }
        let waited = Duration::from_micros(durable_in_us.saturating_sub(attached_in_us));
        times.live.push(answered.saturating_sub(waited));
    }
    for request in ground.detachments() {
        client.send(&request)?;
    }
    Ok(times)
}

/// A site in which the plugin has run once, so that the bridge is there.
pub fn ready_for_plugin() -> Result<Site, SubjectError> {
    packages::check(packages::CNI)?;
    let site = Site::new("control-cni")?;
    by_plugin(&site, 1)?;
    Ok(site)
}

/// Adds so many new namespaces, and removes them again.
pub fn by_plugin(site: &Site, namespaces: usize) -> Result<Vec<Duration>, SubjectError> {
    let add = |nth: usize| {
        let name = format!("c{nth}");
        let namespace = site.lab.namespace(&name)?;
        let plugins = Plugins::new(site, &name, &namespace);
        let start = Instant::now();
        plugins.add_bridge()?;
        let took = start.elapsed();
        plugins.remove_bridge()?;
        namespace.remove();
        Ok(took)
    };
    (0..namespaces).map(add).collect()
}
