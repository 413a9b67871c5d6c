//! Namespaces of one test alone, and what is asked for in them.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// A namespace, removed with it.
pub(crate) struct Netns(pub(crate) String);

impl Netns {
    pub(crate) fn new() -> Self {
        Self::beginning("wharf-control")
    }

    /// One whose name begins so.
    pub(crate) fn beginning(prefix: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        assert!(ip(&["netns", "add", &name]), "namespaces cannot be made; run as root");
        Self(name)
    }

    pub(crate) fn has(&self, device: &str) -> bool {
        ip(&["-n", &self.0, "link", "show", device])
    }

    /// Whether a ping from here is answered.
    pub(crate) fn reaches(&self, address: &str) -> bool {
        ip(&["netns", "exec", &self.0, "ping", "-q", "-c", "1", "-W", "2", address])
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.0]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().expect("iproute2 is installed").status.success()
}

pub(crate) fn vpc(name: &str, netns: &Netns) -> Value {
    json!({
        "name": name, "cidr": "10.1.0.0/16", "external_addresses": ["10.1.0.10"],
        "uplink": {"kind": "tap", "netns": {"name": netns.0}, "device": "wharf0", "address": "10.1.0.1/16"},
    })
}

pub(crate) fn container(name: &str, netns: &Netns) -> Value {
    json!({"name": name, "netns": {"name": netns.0}})
}
