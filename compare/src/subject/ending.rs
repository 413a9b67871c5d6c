//! How a daemon ends that has more to take away than a signal takes away by itself.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use netlab::Process;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that can be asked to end. Its id may be another's by then: so it is told by its start as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pid: u32,
    started: Option<u64>,
}

/// How long it may take: a hundred containers have to go.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

impl Ending {
    pub(super) fn of(process: &Process) -> Self {
        let pid = process.id();
        Self { pid, started: running(pid) }
    }

    /// Asks it to end, and returns when it has. One that does not is left to whoever kills it.
    pub(super) fn ask(self) {
        if !self.runs() {
            return;
        }
        let _ = kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGTERM);
        let start = Instant::now();
        while self.runs() && start.elapsed() < PATIENCE {
            thread::sleep(LOOK);
        }
        if self.runs() {
            eprintln!(
                "wharf does not end: containers of its functions may stay until it is started there again"
            );
        }
    }

    fn runs(self) -> bool {
        self.started.is_some() && running(self.pid) == self.started
    }
}

/// When a process has started, unless it has ended: fields 3 and 22 of proc(5)'s `stat`. The second is the program's name, which may
/// hold blanks and parentheses.
fn running(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    fields.get(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_told_from_one_that_has_its_id_later() {
        let own = std::process::id();
        let started = running(own);
        assert!(started.is_some());
        assert!(Ending { pid: own, started }.runs());
        assert!(!Ending { pid: own, started: started.map(|ticks| ticks - 1) }.runs());
        // Were it taken for the other one, this test would end here.
        Ending { pid: own, started: None }.ask();
    }

    #[test]
    fn a_process_ends_when_it_is_asked() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id();
        let ending = Ending { pid, started: running(pid) };
        ending.ask();
        assert!(!ending.runs());
        assert!(!child.wait().unwrap().success());
    }
}
