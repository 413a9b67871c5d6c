//! `cargo xtask api`: a real daemon, and schemathesis against what its document says.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use crate::cargo::{self, RunError};
use crate::setup;

/// The version of schemathesis; another may find other things.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// What the daemon listens on is told in its log within these many lines.
const LOG_LINES: usize = 100;

/// A daemon that ends with this.
struct Daemon {
    process: Child,
    directory: tempfile::TempDir,
    address: String,
}

/// Builds `wharf`, gets schemathesis, and runs it. `examples` is how many requests each operation gets at most.
pub(crate) fn run(examples: u32, seed: u64) -> Result<ExitCode, RunError> {
    setup::for_api()?;
    cargo::build(cargo::WHARF)?;
    let metadata = cargo::metadata()?;
    let target = metadata.target_directory.as_std_path();
    let schemathesis = get(target)?;
    let daemon =
        Daemon::start(&target.join("debug/wharf")).map_err(|e| cargo::cannot_start("wharf serve", e))?;
    let token = daemon.token().map_err(|e| cargo::cannot_start("a request for a token", e))?;
    let mut command = Command::new(schemathesis);
    command.arg("--config-file").arg(metadata.workspace_root.as_std_path().join("schemathesis.toml"));
    command.args(["run", &format!("http://{}/openapi.json", daemon.address)]);
    command.args(["-H", &format!("Authorization: Bearer {token}")]);
    command.args(["--max-examples", &examples.to_string(), "--seed", &seed.to_string()]);
    command.args(["--suppress-health-check", "all", "--request-timeout", "10"]);
    // It keeps examples where it runs.
    command.current_dir(daemon.directory.path());
    let status = command.status().map_err(|e| cargo::cannot_start("schemathesis", e))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Installs schemathesis into an environment of its own below `target`, once.
fn get(target: &Path) -> Result<PathBuf, RunError> {
    let environment = target.join("schemathesis");
    let program = environment.join("bin/schemathesis");
    let marker = environment.join("installed");
    if fs::read_to_string(&marker).is_ok_and(|version| version == SCHEMATHESIS) {
        return Ok(program);
    }
    eprintln!("cargo xtask: installing {SCHEMATHESIS} into {}", environment.display());
    step(Command::new(setup::PYTHON).args(["-m", "venv"]).arg(&environment), "python3 -m venv")?;
    let pip = environment.join("bin/pip");
    step(
        Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check", SCHEMATHESIS]),
        "pip install",
    )?;
    let written = fs::write(&marker, SCHEMATHESIS);
    written.map_err(|source| RunError::Write { file: marker.display().to_string(), source })?;
    Ok(program)
}

fn step(command: &mut Command, program: &str) -> Result<(), RunError> {
    let status = command.status().map_err(|e| cargo::cannot_start(program, e))?;
    if status.success() { Ok(()) } else { Err(RunError::Failed { program: program.to_owned(), status }) }
}

impl Daemon {
    fn start(program: &Path) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(program);
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--log",
            "info",
            "--socket",
        ]);
        command.arg(directory.path().join("wharf.sock")).arg("--state").arg(directory.path().join("state"));
        let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut log = BufReader::new(process.stderr.take().expect("it was piped just above"));
        let address = address(&mut log);
        // Nobody reads the rest; but a full pipe would stop the daemon.
        std::thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        match address {
            Some(address) => Ok(Self { process, directory, address }),
            None => {
                let _ = process.kill();
                let _ = process.wait();
                Err(io::Error::other("it did not say where it listens"))
            }
        }
    }

    /// A token that may do everything in the default tenant.
    fn token(&self) -> io::Result<String> {
        let mut stream = UnixStream::connect(self.directory.path().join("wharf.sock"))?;
        let body = r#"{"name":"schemathesis-of-xtask","role":"admin"}"#;
        write!(
            stream,
            "POST /v1/tokens HTTP/1.1\r\nhost: wharf\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let secret = answer.split("\"secret\":\"").nth(1).and_then(|rest| rest.split('"').next());
        secret.map(str::to_owned).ok_or_else(|| io::Error::other("the daemon gave no token"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where the daemon listens, by its log.
fn address(log: &mut impl BufRead) -> Option<String> {
    let lines = log.lines().take(LOG_LINES).map_while(Result::ok);
    let mut addresses = lines.filter_map(|line| {
        let rest = line.split("\"listen\":\"").nth(1)?;
        Some(rest.split('"').next()?.to_owned())
    });
    addresses.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_the_log() {
        let mut log: &[u8] = b"{\"message\":\"x\"}\n{\"message\":\"ready\",\"listen\":\"127.0.0.1:4711\"}\n";
        assert_eq!(address(&mut log).as_deref(), Some("127.0.0.1:4711"));
        assert_eq!(address(&mut &b"{}\n"[..]), None);
    }
}
