//! Control groups: limits that change, what is used, and what is left behind. Version 1, version 2, and both beside each other: each
//! controller is looked for where it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Usage;
use crate::limits::CPU_SHARES_USUAL;

/// Every hierarchy of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Hierarchies {
    /// Where they are mounted.
    roots: Vec<PathBuf>,
    /// That of version 2, if there is one.
    two: Option<PathBuf>,
    memory: Controller,
    /// What CPU time was used.
    cpu: Controller,
    /// How CPU time is shared.
    share: Controller,
    tasks: Controller,
}

/// Where a controller is.
#[derive(Clone, Debug)]
struct Controller {
    root: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// One container's groups, one in each hierarchy.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    name: String,
    of: Hierarchies,
}

impl Hierarchies {
    /// Finds them. `Err` names the controller that is missing.
    pub(crate) fn find() -> io::Result<Result<Self, &'static str>> {
        Ok(Self::parse(&fs::read_to_string("/proc/self/mountinfo")?))
    }

    fn parse(mounts: &str) -> Result<Self, &'static str> {
        let (mut roots, mut ones, mut two) = (Vec::new(), Vec::new(), None);
        for line in mounts.lines() {
            let Some((mount, kind)) = line.split_once(" - ") else { continue };
            // A part of a hierarchy, which a container may have mounted, is not where names begin.
            let mut fields = mount.split(' ').skip(3);
            let (Some("/"), Some(root)) = (fields.next(), fields.next().map(PathBuf::from)) else { continue };
            match kind.split(' ').collect::<Vec<_>>()[..] {
                ["cgroup", _, options] => ones.push((root.clone(), options)),
                ["cgroup2", ..] => two = two.or_else(|| Some(root.clone())),
                _ => continue,
            }
            roots.push(root);
        }
        let find = |name: &'static str, one: &str| {
            let is_here = |options: &str| options.split(',').any(|option| option == one);
            let old = ones.iter().find(|(_, options)| is_here(options));
            let old = old.map(|(root, _)| Controller { root: root.clone(), version: Version::One });
            old.or_else(|| Some(Controller { root: two.clone()?, version: Version::Two })).ok_or(name)
        };
        let (memory, tasks) = (find("memory", "memory")?, find("pids", "pids")?);
        let (cpu, share) = (find("cpu", "cpuacct")?, find("cpu", "cpu")?);
        Ok(Self { roots, two: two.clone(), memory, cpu, share, tasks })
    }

    /// A container's groups; they need not exist yet.
    pub(crate) fn group(&self, name: &str) -> Group {
        Group { name: name.to_owned(), of: self.clone() }
    }

    /// Makes the group of all containers where version 2 is, before several who make one below it find it missing at once.
    pub(crate) fn make_parent(&self, name: &str) -> io::Result<()> {
        let Some(root) = &self.two else { return Ok(()) };
        fs::create_dir_all(root.join(name))
    }

    /// Names of the groups below `parent` in any hierarchy.
    pub(crate) fn children(&self, parent: &str) -> Vec<String> {
        let folders = self.roots.iter().filter_map(|root| fs::read_dir(root.join(parent)).ok()).flatten();
        let folders = folders.filter_map(Result::ok).filter(|entry| entry.path().is_dir());
        let mut names: Vec<_> =
            folders.filter_map(|entry| Some(format!("{parent}/{}", entry.file_name().to_str()?))).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Group {
    /// Sets the most memory of all processes together. MiB.
    pub(crate) fn set_memory(&self, limit_mb: u32) -> io::Result<()> {
        let bytes = (u64::from(limit_mb) << 20).to_string();
        // What is swapped out is used all the same. A kernel without swap has no such file.
        let (limit, (swap, none)) = match self.of.memory.version {
            Version::One => ("memory.limit_in_bytes", ("memory.swappiness", "0")),
            Version::Two => ("memory.max", ("memory.swap.max", "0")),
        };
        _ = fs::write(self.memory(swap), none);
        fs::write(self.memory(limit), bytes)
    }

    /// From now on it gets as much CPU time as others, when there is not enough for all. Until then it gets what they leave.
    pub(crate) fn be_equal(&self) -> io::Result<()> {
        match self.of.share.version {
            Version::One => fs::write(self.file(&self.of.share, "cpu.shares"), CPU_SHARES_USUAL.to_string()),
            Version::Two => fs::write(self.file(&self.of.share, "cpu.weight"), "100"),
        }
    }

    /// How often the kernel has ended a process for lack of memory.
    pub(crate) fn memory_kills(&self) -> u64 {
        let file = match self.of.memory.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        fs::read_to_string(self.memory(file)).map_or(0, |text| counted(&text, "oom_kill"))
    }

    /// What all processes use together, and have used.
    pub(crate) fn usage(&self) -> Usage {
        let [now, peak] = match self.of.memory.version {
            Version::One => ["memory.usage_in_bytes", "memory.max_usage_in_bytes"],
            Version::Two => ["memory.current", "memory.peak"],
        };
        let memory_bytes = number(&self.memory(now));
        let cpu = match self.of.cpu.version {
            Version::One => Duration::from_nanos(number(&self.file(&self.of.cpu, "cpuacct.usage"))),
            Version::Two => {
                let text = fs::read_to_string(self.file(&self.of.cpu, "cpu.stat")).unwrap_or_default();
                Duration::from_micros(counted(&text, "usage_usec"))
            }
        };
        Usage {
            memory_bytes,
            // Linux 5.19 and later tell it under version 2.
            memory_peak_bytes: number(&self.memory(peak)).max(memory_bytes),
            cpu,
            tasks: number(&self.file(&self.of.tasks, "pids.current")),
        }
    }

    /// Processes in any of the groups, as this process's namespace counts.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let files = self.folders().map(|folder| folder.join("cgroup.procs"));
        let texts: Vec<_> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
        let mut pids: Vec<i32> =
            texts.iter().flat_map(|text| text.lines()).filter_map(|l| l.parse().ok()).collect();
        pids.sort_unstable();
        pids.dedup();
        // Those of a namespace that we cannot see into read as 0.
        pids.into_iter().filter(|pid| *pid > 0).map(Pid::from_raw).collect()
    }

    /// Kills whatever is in the groups.
    pub(crate) fn kill(&self) {
        for folder in self.folders() {
            // All at once, where the kernel has that: version 2, Linux 5.14.
            _ = fs::write(folder.join("cgroup.kill"), "1");
        }
        for pid in self.processes() {
            _ = kill(pid, Signal::SIGKILL);
        }
    }

    /// Removes the groups; an error if a process is still in one of them.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for folder in self.folders() {
            match fs::remove_dir(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.of.roots.iter().map(|root| root.join(&self.name))
    }

    fn memory(&self, file: &str) -> PathBuf {
        self.file(&self.of.memory, file)
    }

    fn file(&self, controller: &Controller, file: &str) -> PathBuf {
        controller.root.join(&self.name).join(file)
    }
}

/// The number that is a file's content; 0 if there is none.
fn number(file: &Path) -> u64 {
    fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

/// The number beside a name in a file of such lines.
fn counted(text: &str, name: &str) -> u64 {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_controller_is_looked_for_where_it_is() {
        let one = "33 30 0:29 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                   34 30 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                   35 30 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        let two = "36 30 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let old = Hierarchies::parse(one).unwrap();
        assert_eq!((old.roots.len(), old.memory.version), (3, Version::One));
        let hybrid = Hierarchies::parse(&format!("{one}{two}")).unwrap();
        assert_eq!((hybrid.roots.len(), hybrid.tasks.version), (4, Version::One));
        assert_eq!(hybrid.cpu.root, Path::new("/sys/fs/cgroup/cpu"));
        let new = Hierarchies::parse(two).unwrap();
        assert_eq!(
            (new.memory.root.to_str(), new.memory.version),
            (Some("/sys/fs/cgroup/unified"), Version::Two)
        );
        let part = "37 30 0:29 /docker/x /mnt/memory rw - cgroup cgroup rw,memory\n";
        assert_eq!(Hierarchies::parse(&format!("{part}{one}")).unwrap().roots, old.roots);
        assert_eq!(Hierarchies::parse("").unwrap_err(), "memory");
        assert_eq!(Hierarchies::parse(&one.replace("pids", "x")).unwrap_err(), "pids");
    }

    #[test]
    fn counts_stand_beside_their_names() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!((counted(text, "oom_kill"), counted(text, "low")), (3, 0));
    }
}
