//! How a command ends when it does not end well: a message, a hint what to do, an exit code.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// The exit codes, as `wharf --help` documents them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Whoever read our output has seen enough (`wharf sessions | head`). Not a failure.
    OutputClosed = 0,
    /// The daemon refused the request, or something failed.
    Failed = 1,
    /// The command line or the config file is wrong. clap ends with the same code.
    Usage = 2,
    /// No daemon answers.
    Unreachable = 3,
    /// The resource does not exist.
    NotFound = 4,
}

/// What the person at the terminal is told. Every error of this crate becomes one here and nowhere else.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// Ends with `exit` and says `message`.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), hint: None }
    }

    /// The command line asks for something that makes no sense.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds what to do about it.
    pub(crate) fn hint(self, hint: impl fmt::Display) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }

    /// How the process shall end.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// Prints the failure on stderr, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if self.exit() != Exit::OutputClosed {
            // A closed stderr leaves nobody to tell.
            let _ = self.print();
        }
        ExitCode::from(self.exit() as u8)
    }

    fn print(&self) -> io::Result<()> {
        let (error, hint) =
            (anstyle::AnsiColor::Red.on_default().bold(), anstyle::AnsiColor::Cyan.on_default());
        let mut err = anstream::stderr().lock();
        writeln!(err, "{error}error:{error:#} {}", self.message)?;
        match &self.hint {
            Some(text) => writeln!(err, "{hint}hint:{hint:#} {text}"),
            None => Ok(()),
        }
    }
}

/// Only output goes through bare `io::Error`s; system calls say what they were for.
impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::OutputClosed, ""),
            _ => Self::new(Exit::Failed, format_args!("cannot write the output: {e}")),
        }
    }
}
