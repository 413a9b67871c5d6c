//! Lets a sample of a flow pass a device, and drops the rest as early as the kernel can.

use std::io;
use std::net::SocketAddr;

use netlab::Namespace;

use crate::load::LoadError;

/// A rule of nftables at a device's ingress, after its counters and before everything else of the stack. Gone when it is dropped.
#[derive(Debug)]
pub(super) struct Sieve<'a>(&'a Namespace);

impl<'a> Sieve<'a> {
    /// Lets one packet of 256 to `at` pass, chosen at random.
    pub(super) fn set(server: &'a Namespace, device: &str, at: SocketAddr) -> Result<Self, LoadError> {
        let port = at.port();
        let rules = format!(
            "add table {TABLE}; add chain {TABLE} ingress {{ type filter hook ingress device \"{device}\" priority 0; }}; \
             add rule {TABLE} ingress udp dport {port} meta random >= {PASSING} drop"
        );
        nft(server, &rules).map_err(LoadError::system("set the rule for samples"))?;
        Ok(Self(server))
    }
}

impl Drop for Sieve<'_> {
    fn drop(&mut self) {
        // If it cannot be removed, it goes with the namespace; the next run that needs the name fails then.
        let _ = nft(self.0, &format!("delete table {TABLE}"));
    }
}

fn nft(namespace: &Namespace, rules: &str) -> io::Result<()> {
    let output = namespace.command("nft").arg(rules).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Family and name.
const TABLE: &str = "netdev load";

/// Of 2³² random numbers, those that let a packet pass: one of 256.
const PASSING: u32 = 1 << 24;
