//! The daemon's log, on stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Settings};
use crate::failure::{Exit, Failure};

/// Starts logging; once in the life of the process.
pub(super) fn start(settings: &Settings) -> Result<(), Failure> {
    let filter = EnvFilter::builder().parse(&settings.log).map_err(|e| {
        Failure::usage(format_args!("{} is not a log filter: {e}", settings.log))
            .hint("use error, warn, info, debug or trace, or a filter such as info,gateway=debug")
    })?;
    let color = io::stderr().is_terminal()
        && anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(color);
    let started = match settings.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|e| Failure::new(Exit::Failed, format_args!("cannot start the log: {e}")))
}
