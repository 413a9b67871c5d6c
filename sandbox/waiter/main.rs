//! Waits in a warm container of a `provided` runtime until it hears what it becomes, and becomes that.
//!
//! It asks `GET /wharf/exec` of the runtime API, whose address is its argument or the usual one, and executes what it is told in
//! `/var/task`. It is linked statically, so that it runs in any root filesystem, and uses nothing but the standard library.

use std::ffi::OsString;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// What to execute.
struct Program {
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
}

fn main() -> ExitCode {
    let api = std::env::args().nth(1).unwrap_or_else(|| DEFAULT_API.to_owned());
    let error = match told(&api) {
        Ok(program) => program.become_it(),
        Err(error) => error,
    };
    eprintln!("[ERROR] Runtime.InvalidEntrypoint: {error}");
    _ = report(&api, &error);
    ExitCode::FAILURE
}

/// Waits until the API says what to execute. The connection is closed before that happens.
fn told(api: &str) -> Result<Program> {
    let mut stream = TcpStream::connect(api)?;
    stream.write_all(
        format!("GET /wharf/exec HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    let end = response.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.filter(|_| response.starts_with(b"HTTP/1.1 200 "));
    let end = end.ok_or_else(|| Error::new(ErrorKind::UnexpectedEof, "the runtime API has no assignment"))?;
    Ok(Program::read(&response[end + 4..]))
}

/// Tells the API why there is no function.
fn report(api: &str, error: &Error) -> Result<()> {
    // What the kernel says has no character that JSON would escape, except what is in a name.
    let message: String =
        error.to_string().chars().filter(|c| !c.is_control() && !"\"\\".contains(*c)).collect();
    let body =
        format!(r#"{{"errorType":"Runtime.InvalidEntrypoint","errorMessage":"{message}","stackTrace":[]}}"#);
    let mut stream = TcpStream::connect(api)?;
    stream.write_all(
        format!(
            "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\
             Lambda-Runtime-Function-Error-Type: Runtime.InvalidEntrypoint\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    )?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

impl Program {
    /// How many arguments, they, variables; each ends with NUL.
    fn read(body: &[u8]) -> Self {
        let mut strings = body.split(|byte| *byte == 0);
        let count =
            strings.next().and_then(|count| std::str::from_utf8(count).ok()?.parse().ok()).unwrap_or(0);
        let arguments =
            strings.by_ref().take(count).map(|string| OsString::from_vec(string.to_vec())).collect();
        let variables = strings.filter_map(|string| {
            let equals = string.iter().position(|byte| *byte == b'=')?;
            let (name, value) = string.split_at(equals);
            Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value[1..].to_vec())))
        });
        Self { arguments, variables: variables.collect() }
    }

    /// Does not come back, or says why. A program without a slash is looked for in the new `PATH`.
    fn become_it(self) -> Error {
        let Some((program, arguments)) = self.arguments.split_first() else {
            return Error::new(ErrorKind::InvalidInput, "nothing to execute");
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.variables).current_dir(TASK_ROOT);
        let error = command.exec();
        Error::new(error.kind(), format!("{}: {error}", program.to_string_lossy()))
    }
}

const DEFAULT_API: &str = "127.0.0.1:9001";
const TASK_ROOT: &str = "/var/task";
