//! `wharf store`: backups of the daemon's store, while no daemon has it open.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use control::state::{self, Existing, ExportError, ImportError, LineError, MediumError};
use serde_json::json;

use crate::config::{self, DEFAULT_STATE};
use crate::failure::{Exit, Failure};
use crate::output::{self, Format};

const EXPORT_EXAMPLES: &str = "\
Examples:
  sudo wharf store export backup.jsonl               a file that only its user can read
  sudo wharf store export | gzip > backup.jsonl.gz   standard output
  sudo wharf store export --state /srv/wharf b.jsonl
The daemon must not run meanwhile. Resources and audit are in the export; what
changed lately, and the answers kept for repeated requests, are not.
The exit codes are those of `wharf --help`; 1 if a daemon has the store open.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  sudo wharf store import backup.jsonl             into a store that is empty or not there
  sudo wharf store import --replace backup.jsonl   instead of what is there
  zcat backup.jsonl.gz | sudo wharf store import   standard input
The daemon must not run meanwhile. The import is carried out whole or not at all:
whatever is wrong with the export is said with its line, and the store stays as it was.";

/// `wharf store`.
#[derive(Debug, Subcommand)]
pub(super) enum Store {
    /// Write what the store has as JSON lines
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        #[command(flatten)]
        place: Place,
        /// File to write; - or nothing for standard output
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Make a store of an export
    #[command(after_help = IMPORT_EXAMPLES)]
    Import {
        #[command(flatten)]
        place: Place,
        /// Replace a store that is there, whatever it has in it
        #[arg(long)]
        replace: bool,
        /// File to read; - or nothing for standard input
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// Which store.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Directory of the store; $WHARF_STATE unless set, or else /var/lib/wharf
    #[arg(long, value_name = "DIR")]
    state: Option<config::State>,
}

impl Store {
    pub(super) fn run(self, format: Format) -> Result<(), Failure> {
        match self {
            Self::Export { place, file } => export(&place.directory()?, named(file).as_deref(), format),
            Self::Import { place, replace, file } => {
                let existing = if replace { Existing::Replace } else { Existing::Keep };
                import(&place.directory()?, named(file).as_deref(), existing, format)
            }
        }
    }
}

impl Place {
    fn directory(self) -> Result<PathBuf, Failure> {
        let state = match self.state {
            Some(state) => Some(state),
            None => config::state_of_environment()?,
        };
        match state {
            Some(state) => state.directory().ok_or_else(|| {
                Failure::usage("with the state `none` there is no store")
                    .hint("name its directory with --state")
            }),
            None => Ok(DEFAULT_STATE.into()),
        }
    }
}

/// The file that is meant; `None` for the standard streams.
fn named(file: Option<PathBuf>) -> Option<PathBuf> {
    file.filter(|file| file.as_os_str() != "-")
}

fn export(directory: &Path, file: Option<&Path>, format: Format) -> Result<(), Failure> {
    let Some(file) = file else {
        let mut out = BufWriter::new(io::stdout().lock());
        state::export(directory, &mut out).map_err(|error| export_failed(error, directory))?;
        return Ok(());
    };
    let failed =
        |e: io::Error| Failure::new(Exit::Failed, format_args!("cannot write {}: {e}", file.display()));
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made with mode 0600, and gone if anything fails.
    let temporary = tempfile::NamedTempFile::new_in(parent).map_err(failed)?;
    let mut out = BufWriter::new(temporary);
    let entries = state::export(directory, &mut out).map_err(|error| match error {
        ExportError::Output(e) => failed(e),
        error @ ExportError::Medium(_) => export_failed(error, directory),
    })?;
    let temporary = out.into_inner().map_err(|e| failed(e.into_error()))?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(file).map_err(|e| failed(e.error))?;
    done(format, "exported", entries, format_args!("{} entries are in {}", entries, file.display()))
}

fn import(directory: &Path, file: Option<&Path>, existing: Existing, format: Format) -> Result<(), Failure> {
    let imported = match file {
        Some(path) => {
            let failed = |e: io::Error| Failure::usage(format_args!("cannot read {}: {e}", path.display()));
            let file = File::open(path).map_err(failed)?;
            let length = file.metadata().map_err(failed)?.len();
            state::import(directory, &mut BufReader::new(Progress::of(file, Some(length))), existing)
        }
        None => {
            let input = Progress::of(io::stdin().lock(), None);
            state::import(directory, &mut BufReader::new(input), existing)
        }
    };
    let entries = imported.map_err(|error| import_failed(error, directory))?;
    let text = format_args!("{} entries are in the store in {}", entries, directory.display());
    done(format, "imported", entries, text)
}

fn done(format: Format, what: &str, entries: u64, text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    match format {
        Format::Json => Ok(output::json(&json!({ what: entries }))?),
        Format::Table => Ok(output::line(text)?),
    }
}

fn export_failed(error: ExportError, directory: &Path) -> Failure {
    match error {
        ExportError::Medium(error) => medium_failed(&error, directory),
        // A closed pipe is the reader's choice.
        ExportError::Output(error) => error.into(),
    }
}

fn import_failed(error: ImportError, directory: &Path) -> Failure {
    let failure = Failure::new(Exit::Failed, &error);
    match error {
        ImportError::Medium(error) => medium_failed(&error, directory),
        ImportError::NotEmpty { .. } => {
            failure.hint("export it first, then import with --replace if it is to go")
        }
        ImportError::Line { problem: LineError::Newer { .. }, .. } => {
            failure.hint("import it with the version of wharf that wrote it; nothing was changed")
        }
        ImportError::Input(_) | ImportError::Line { .. } => failure.hint("nothing was changed"),
    }
}

/// What a person is told about a store that cannot be used.
pub(crate) fn medium_failed(error: &MediumError, directory: &Path) -> Failure {
    let directory = directory.display();
    let failure = Failure::new(Exit::Failed, error);
    match error {
        MediumError::Locked { .. } => failure.hint("stop the daemon first"),
        MediumError::Absent { .. } => failure.hint("name the store's directory with --state"),
        MediumError::Corrupted { .. } => failure.hint(format_args!(
            "keep a copy of {directory}, then restore a backup with `wharf store import --replace --state {directory} FILE`"
        )),
        MediumError::Newer { .. } => failure.hint("run the version of wharf that wrote it, or a newer one"),
        MediumError::ReadOnly { .. } => {
            failure.hint("run as the store's user; of a disk that stays read-only, export a copy elsewhere")
        }
        MediumError::Full { .. } => failure.hint("make room; nothing was changed"),
        MediumError::System { .. } => failure,
    }
}

/// Says on a terminal's stderr, now and then, how much has been read.
struct Progress<R> {
    input: R,
    length: Option<u64>,
    read: u64,
    /// When to say so next; never if nobody looks.
    next: Option<Instant>,
}

impl<R: Read> Progress<R> {
    fn of(input: R, length: Option<u64>) -> Self {
        let next = io::stderr().is_terminal().then(|| Instant::now() + INTERVAL);
        Self { input, length, read: 0, next }
    }
}

impl<R: Read> Read for Progress<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.read += count as u64;
        if self.next.is_some_and(|next| Instant::now() >= next) {
            self.next = Some(Instant::now() + INTERVAL);
            let of = self.length.map(|length| format!(" of {}", length >> 20)).unwrap_or_default();
            // Progress is not worth failing for.
            let _ = writeln!(anstream::stderr(), "{}{of} MiB read", self.read >> 20);
        }
        Ok(count)
    }
}

/// Between two lines about progress.
const INTERVAL: Duration = Duration::from_secs(1);
