//! A Redis server in a namespace, and the little of its protocol (RESP) that tells what it has seen.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netlab::{Namespace, Process};

use crate::demo::error::DemoError;
use crate::demo::ground::SERVER;

/// Where it listens.
pub(super) const ADDRESS: SocketAddrV4 = SocketAddrV4::new(SERVER, 6379);

/// The server. Debian's tools have the same program by the second name, and no service that would be started with it.
const PROGRAMS: [&str; 2] = ["redis-server", "redis-check-rdb"];

/// How long it may take to come up, and to say something.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// A server that runs until it is dropped.
pub(super) struct Redis {
    /// To ask.
    client: BufReader<TcpStream>,
    /// Where it reports every command.
    monitor: BufReader<TcpStream>,
    /// Who has sent `GET` so far.
    readers: Vec<SocketAddrV4>,
    // Last: connections go before it does.
    _process: Process,
}

impl Redis {
    /// Where the program is.
    pub(super) fn program() -> Result<PathBuf, DemoError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = PROGRAMS
            .iter()
            .flat_map(|name| std::env::split_paths(&path).map(move |directory| directory.join(name)))
            .find(|program| is_executable(program));
        found.ok_or(DemoError::Missing { program: "redis-server", package: "redis-tools" })
    }

    /// Starts one in the namespace, where its address has to be, and sets a key.
    pub(super) fn start(
        namespace: &Namespace,
        directory: &Path,
        (key, value): (&str, &str),
    ) -> Result<Self, DemoError> {
        let failed = DemoError::system("talk to Redis");
        let process = namespace.spawn(command(&Self::program()?, directory))?;
        let begun = Instant::now();
        let connect = || -> io::Result<_> {
            let stream = namespace.run(|| TcpStream::connect(ADDRESS))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(BufReader::new(stream))
        };
        let talk = || {
            let client = loop {
                match connect() {
                    Err(_) if begun.elapsed() < PATIENCE && process.try_wait()?.is_none() => {
                        std::thread::sleep(LOOK);
                    }
                    connected => break connected?,
                }
            };
            let mut monitor = connect()?;
            ask(&mut monitor, &["MONITOR"])?;
            monitor.get_ref().set_nonblocking(true)?;
            Ok((client, monitor))
        };
        let (client, monitor) = talk().map_err(failed)?;
        let mut redis = Self { client, monitor, readers: Vec::new(), _process: process };
        redis.ask(&["SET", key, value])?;
        Ok(redis)
    }

    /// Everybody who has read from it so far, by its own report, in order; waits for so many.
    pub(super) fn readers(&mut self, at_least: usize) -> Result<&[SocketAddrV4], DemoError> {
        let begun = Instant::now();
        loop {
            let mut line = String::new();
            match self.monitor.read_line(&mut line) {
                Ok(0) => {
                    return Err(DemoError::system("read Redis' report")(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(_) => self.readers.extend(reader(&line)),
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => {
                    return Err(DemoError::system("read Redis' report")(e));
                }
                Err(_) if self.readers.len() >= at_least || begun.elapsed() > PATIENCE => break,
                Err(_) => std::thread::sleep(LOOK),
            }
        }
        Ok(&self.readers)
    }

    /// Who is connected, by its own list.
    pub(super) fn connected(&mut self) -> Result<Vec<SocketAddrV4>, DemoError> {
        let list = self.ask(&["CLIENT", "LIST"])?;
        Ok(list
            .split_ascii_whitespace()
            .filter_map(|word| word.strip_prefix("addr=")?.parse().ok())
            .collect())
    }

    fn ask(&mut self, words: &[&str]) -> Result<String, DemoError> {
        ask(&mut self.client, words).map_err(DemoError::system("ask Redis"))
    }
}

/// Without files, and for everybody in the VPC.
fn command(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg0(PROGRAMS[0])
        .args(["--bind", &SERVER.to_string(), "--port", &ADDRESS.port().to_string()])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--protected-mode", "no", "--dir"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Ctrl-C is for the demo.
    command.process_group(0);
    command
}

/// Sends a command, and reads what is answered: a line, or a text of a given length.
fn ask(stream: &mut BufReader<TcpStream>, words: &[&str]) -> io::Result<String> {
    let parts = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    let request = format!("*{}\r\n{}", words.len(), parts.collect::<String>());
    stream.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+" | ":", text)) => Ok(text.to_owned()),
        Some(("$", length)) => {
            let length: usize = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            let mut text = vec![0; length + 2];
            stream.read_exact(&mut text)?;
            text.truncate(length);
            String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData.into())
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, line.to_owned())),
    }
}

/// Who sent the command of a line such as `+1700000000.1 [0 10.1.0.10:4000] "GET" "total"`, if it is a `GET`.
fn reader(line: &str) -> Option<SocketAddrV4> {
    let (from, command) = line.split_once('[')?.1.split_once("] ")?;
    match from.split_once(' ')?.1.parse().ok()? {
        SocketAddr::V4(client) if command.starts_with("\"GET\"") => Some(client),
        _ => None,
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_found_in_what_redis_reports() {
        let get = "+1700000000.123456 [0 10.1.0.10:4000] \"GET\" \"total\"\r\n";
        assert_eq!(reader(get), Some("10.1.0.10:4000".parse().unwrap()));
        for other in [
            "+OK\r\n",
            "+1.2 [0 10.1.0.1:5] \"SET\" \"GET\" \"1\"\r\n",
            "+1.2 [0 unix:/s] \"GET\" \"a\"\r\n",
            "",
        ] {
            assert_eq!(reader(other), None, "{other}");
        }
    }
}
