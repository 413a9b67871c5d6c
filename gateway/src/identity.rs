//! Which namespace a name means, for comparing it with what the name means later.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use std::sync::OnceLock;

use nix::sys::stat::fstat;

use crate::Netns;
use crate::io::netns::cookie;
use crate::io::open_process;

/// One namespace under one name, and no other ever: a name that was given to another namespace, and a process id to another
/// process, has another identity. As text it is one word, which can be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetnsIdentity {
    /// Since when all else counts (`/proc/sys/kernel/random/boot_id`).
    boot: u128,
    file: NetnsFile,
    /// The kernel's number of the namespace. Its inode alone will not do: the next namespace may get it.
    cookie: u64,
    /// When the process started for which the namespace is named, if it is. Clock ticks since the machine's start.
    started: Option<u64>,
}

/// The file that a namespace's name leads to. While the namespace lives, it is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NetnsFile {
    device: u64,
    inode: u64,
}

impl Netns {
    /// What the name means now; `None` if it means nothing. Enters the namespace, and so needs what that needs.
    pub fn identity(&self) -> Option<NetnsIdentity> {
        // The process is the same before and after, so it is its namespace that was opened in between.
        let started = self.started().ok()?;
        let opened = self.open().ok()?;
        let identity = NetnsIdentity {
            boot: boot()?,
            file: NetnsFile::opened(&opened)?,
            cookie: cookie(&opened).ok()?,
            started,
        };
        (self.started().ok()? == started).then_some(identity)
    }

    /// When the process started for which the namespace is named, if it is.
    fn started(&self) -> io::Result<Option<u64>> {
        let Some(pid) = self.process() else { return Ok(None) };
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field is the program's name in parentheses, with anything inside (proc_pid_stat(5)).
        let from_third = text.rsplit_once(')').map_or("", |(_, fields)| fields);
        let started =
            from_third.split_ascii_whitespace().nth(STARTED - 3).and_then(|field| field.parse().ok());
        started.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The process for which the namespace is named, however that is written.
    fn process(&self) -> Option<u32> {
        match self {
            Self::Pid(pid) => Some(*pid),
            Self::Path(path) => path.to_str()?.strip_prefix("/proc/")?.strip_suffix("/ns/net")?.parse().ok(),
            Self::Name(_) => None,
        }
    }
}

impl NetnsFile {
    /// What the name leads to now; `None` if to nothing.
    pub(crate) fn of(netns: &Netns) -> Option<Self> {
        let file = fs::metadata(netns.path()).ok()?;
        Some(Self { device: file.dev(), inode: file.ino() })
    }

    /// The one that was opened.
    pub(crate) fn opened(netns: &OwnedFd) -> Option<Self> {
        let file = fstat(netns.as_fd()).ok()?;
        Some(Self { device: file.st_dev, inode: file.st_ino })
    }
}

/// A namespace's name and what it meant when a device there was opened: the descriptor keeps the namespace alive, so that only
/// its name tells that it should have gone.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) netns: Netns,
    file: NetnsFile,
    /// Readable once the process has ended for which the namespace is named.
    pub(crate) process: Option<OwnedFd>,
}

impl Home {
    pub(crate) fn of(netns: &Netns, opened: &OwnedFd) -> Option<Self> {
        // Without it, the file goes with the process, and is looked at less often.
        let process = netns.process().and_then(|pid| open_process(pid).ok());
        Some(Self { netns: netns.clone(), file: NetnsFile::opened(opened)?, process })
    }

    /// Whether the name still means the same.
    pub(crate) fn is_there(&self) -> bool {
        NetnsFile::of(&self.netns) == Some(self.file)
    }
}

/// The field of `/proc/PID/stat` that says when the process started, counted from 1.
const STARTED: usize = 22;

fn boot() -> Option<u128> {
    static BOOT: OnceLock<Option<u128>> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
    })
}

impl fmt::Display for NetnsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boot, file: NetnsFile { device, inode }, cookie, started } = self;
        write!(f, "{boot:032x}/{device}/{inode}/{cookie}")?;
        started.map_or(Ok(()), |started| write!(f, "/{started}"))
    }
}

/// The text is not a namespace's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the identity of a network namespace")]
pub struct ParseNetnsIdentityError;

impl FromStr for NetnsIdentity {
    type Err = ParseNetnsIdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = parse(text).ok_or(ParseNetnsIdentityError)?;
        // One text for one identity: no signs, no zeros in front.
        if parsed.to_string() == text { Ok(parsed) } else { Err(ParseNetnsIdentityError) }
    }
}

fn parse(text: &str) -> Option<NetnsIdentity> {
    let (boot, numbers) = text.split_once('/')?;
    let numbers = numbers.split('/').map(|number| number.parse().ok()).collect::<Option<Vec<u64>>>()?;
    let (device, inode, cookie, started) = match numbers[..] {
        [device, inode, cookie] => (device, inode, cookie, None),
        [device, inode, cookie, started] => (device, inode, cookie, Some(started)),
        _ => return None,
    };
    let boot = u128::from_str_radix(boot, 16).ok()?;
    Some(NetnsIdentity { boot, file: NetnsFile { device, inode }, cookie, started })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_back_from_its_text_and_from_no_other() {
        let pid = std::process::id();
        let names =
            ["/proc/self/ns/net".into(), format!("/proc/{pid}/ns/net")].map(|path| Netns::Path(path.into()));
        let own = names.map(|netns| netns.identity().unwrap());
        assert_ne!(own[0], own[1], "only one of them ends with this process");
        assert_eq!(Some(own[1]), Netns::Pid(pid).identity());
        for identity in own {
            let text = identity.to_string();
            assert_eq!(text.parse(), Ok(identity));
            assert_eq!(text.split('/').count(), 4 + usize::from(identity.started.is_some()));
            for other in
                [format!("{text}/"), format!("{text}/1/2"), text.replace('/', "/0"), text[1..].into()]
            {
                assert_eq!(other.parse::<NetnsIdentity>(), Err(ParseNetnsIdentityError), "{other}");
            }
        }
    }

    #[test]
    fn what_does_not_exist_has_no_identity() {
        for netns in
            [Netns::Pid(u32::MAX), Netns::Name("no-such-namespace".into()), Netns::Path("/etc".into())]
        {
            assert_eq!(netns.identity(), None, "{netns:?}");
        }
    }
}
