//! What the daemon needs from its surroundings, asked before anything is made.

use std::fs;
use std::io;

use crate::failure::{Exit, Failure};

/// What is missing. Nothing was changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    /// The process may not do what the daemon does.
    #[error("the daemon lacks {}", .0.join(", "))]
    Capabilities(Vec<&'static str>),
    /// The kernel has no TUN/TAP driver, or its device was not made here.
    #[error("/dev/net/tun does not exist")]
    TunDevice,
    /// The device is there, and closed to us.
    #[error("cannot open /dev/net/tun: {0}")]
    TunClosed(io::ErrorKind),
}

/// Making devices; packet sockets; finding namespaces of other users' processes; entering them. Bits of
/// include/uapi/linux/capability.h.
const NEEDED: [(u32, &str); 4] =
    [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (19, "CAP_SYS_PTRACE"), (21, "CAP_SYS_ADMIN")];

/// Checks everything that would otherwise fail later, at the first link.
pub(super) fn check() -> Result<(), Missing> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lacking = lacking(&status);
    if !lacking.is_empty() {
        return Err(Missing::Capabilities(lacking));
    }
    match fs::File::options().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Missing::TunDevice),
        Err(e) => Err(Missing::TunClosed(e.kind())),
    }
}

/// The needed capabilities that are not in effect, by `/proc/self/status`. All, if that cannot be read.
fn lacking(status: &str) -> Vec<&'static str> {
    let effective = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    NEEDED.iter().filter(|(bit, _)| effective & (1 << bit) == 0).map(|&(_, name)| name).collect()
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        let hint = match &missing {
            Missing::Capabilities(_) => "run it as root: `sudo wharf serve`",
            Missing::TunDevice => {
                "load the driver with `modprobe tun`; in a container, pass `--device /dev/net/tun`"
            }
            Missing::TunClosed(_) => "run it as root; in a container, pass `--device /dev/net/tun`",
        };
        Self::new(Exit::Failed, missing).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_status_file() {
        assert_eq!(lacking("Name:\twharf\nCapEff:\t000001ffffffffff\n"), Vec::<&str>::new());
        assert_eq!(lacking("CapEff:\t0000000000201000\n"), ["CAP_NET_RAW", "CAP_SYS_PTRACE"]);
        assert_eq!(lacking("CapEff:\t0000000000000000\n").len(), NEEDED.len());
        assert_eq!(lacking("").len(), NEEDED.len());
    }
}
