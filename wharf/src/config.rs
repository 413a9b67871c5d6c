//! Settings of the daemon: flags override the config file, the file overrides the environment, and all of them the defaults.
//!
//! Flags and file are one struct, so that a setting cannot have two names.

mod functions;
mod listen;

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use gateway::{SPIN_MAX, Spinning, WORKERS_MAX};
use serde::Deserialize;

use crate::client::{self, DEFAULT_SOCKET};
use crate::failure::Failure;
pub(crate) use functions::{Functions, RuntimeOption, Switch};
pub(crate) use listen::Listen;
use listen::ListenError;

/// What can be set, by flag (`--log-format json`) or in the file (`log-format = "json"`).
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Options {
    // On the command line, --socket is every command's.
    #[arg(skip)]
    pub(crate) socket: Option<PathBuf>,
    /// Serve the API on TCP too, to those who have a token; on loopback only without --tls-cert
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Certificate for --listen, with those between it and one that clients trust; PEM. Read again when it changes
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key; PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Let in only clients with a certificate that one of these has signed; they need a token all the same. PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Worker threads of the gateway; one per core up to four unless set
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<Workers>,
    /// Microseconds that a worker looks for more packets before it sleeps; 0 for never, 50 unless set
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) spin: Option<Spin>,
    /// What to log: a level, or a filter such as info,gateway=debug. info unless set
    #[arg(long, value_name = "LEVEL|FILTER")]
    pub(crate) log: Option<String>,
    /// Form of the log: text or json. text unless set
    #[arg(long, value_enum, value_name = "text|json", hide_possible_values = true)]
    pub(crate) log_format: Option<LogFormat>,
    /// A user who may do everything through the socket; root and the daemon's own unless set. Can be given several times
    #[arg(long = "admin-uid", value_name = "UID")]
    pub(crate) admin_uids: Option<Vec<u32>>,
    /// Permission bits of the socket, octal. 0660 unless set
    #[arg(long, value_name = "MODE")]
    pub(crate) socket_mode: Option<SocketMode>,
    /// Directory that keeps the resources over the end of the daemon, or none. /var/lib/wharf unless set
    #[arg(long, value_name = "DIR|none")]
    pub(crate) state: Option<State>,
    /// Run functions in warm containers: on or off. on unless set
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    pub(crate) functions: Option<Switch>,
    /// Program that makes containers: runc, crun or another of that command line. A library of ours unless set
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) oci_runtime: Option<PathBuf>,
    // A table has no place on a command line.
    #[arg(skip)]
    pub(crate) runtime: Option<Vec<RuntimeOption>>,
}

/// The daemon's settings, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where the API's unix socket is made.
    pub(crate) socket: PathBuf,
    /// The API's TCP listener, if any.
    pub(crate) listen: Option<Listen>,
    /// Worker threads; `None` for the gateway's own choice.
    pub(crate) workers: Option<NonZeroU16>,
    /// How long workers look for more packets.
    pub(crate) spinning: Spinning,
    /// Log filter.
    pub(crate) log: String,
    /// Log form.
    pub(crate) log_format: LogFormat,
    /// Permission bits of the socket.
    pub(crate) socket_mode: u32,
    /// Users who may do everything through the socket.
    pub(crate) admin_uids: Vec<u32>,
    /// Directory of the store; `None` if nothing is to be kept.
    pub(crate) state: Option<PathBuf>,
    /// How functions run; `None` if there are none.
    pub(crate) functions: Option<Functions>,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// How many threads the gateway can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(crate) struct Workers(NonZeroU16);

/// How long a worker can look for more packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(crate) struct Spin(Spinning);

/// Permission bits of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct SocketMode(u32);

/// Where the resources are kept: a directory, or `none`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct State(Option<PathBuf>);

/// Where a store is unless somebody says otherwise.
pub(crate) const DEFAULT_STATE: &str = "/var/lib/wharf";

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key or value that is none of ours. The source names key and line.
    #[error("{path}: {source}")]
    Invalid {
        /// Which.
        path: PathBuf,
        /// What and where.
        source: Box<toml::de::Error>,
    },
    /// A variable of the environment has a value that it cannot have.
    #[error("${name} {problem}")]
    Environment {
        /// Which.
        name: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The settings of TCP make no sense together.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl Settings {
    /// Joins `flags` with the file at `path`, if there is one, the environment and the defaults.
    pub(crate) fn resolve(
        flags: Options,
        path: Option<&Path>,
        environment: Options,
    ) -> Result<Self, ConfigError> {
        let file = path.map_or_else(|| Ok(Options::default()), Options::read)?;
        let options = flags.over(file).over(environment);
        let listen =
            Listen::resolve(options.listen, options.tls_cert, options.tls_key, options.tls_client_ca)?;
        Ok(Self {
            socket: options.socket.unwrap_or_else(|| DEFAULT_SOCKET.into()),
            listen,
            workers: options.workers.map(|w| w.0),
            spinning: options.spin.map_or_else(Spinning::default, |s| s.0),
            log: options.log.unwrap_or_else(|| "info".to_owned()),
            log_format: options.log_format.unwrap_or_default(),
            socket_mode: options.socket_mode.map_or(0o660, |m| m.0),
            admin_uids: options.admin_uids.unwrap_or_else(|| vec![0, nix::unistd::geteuid().as_raw()]),
            state: options.state.map_or_else(|| Some(DEFAULT_STATE.into()), |s| s.0),
            functions: match options.functions.unwrap_or_default() {
                Switch::On => {
                    Some(Functions::resolve(options.oci_runtime, options.runtime.unwrap_or_default()))
                }
                Switch::Off => None,
            },
        })
    }
}

impl Options {
    /// What the environment sets. It is there for clients first, so that a daemon's own file goes over it.
    pub(crate) fn of_environment() -> Result<Self, ConfigError> {
        let (socket, state) = (client::socket_of_environment(), state_of_environment()?);
        Ok(Self { socket, state, ..Self::default() })
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|e| ConfigError::Invalid { path: path.to_owned(), source: Box::new(e) })
    }

    fn over(self, below: Self) -> Self {
        Self {
            socket: self.socket.or(below.socket),
            listen: self.listen.or(below.listen),
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
            tls_client_ca: self.tls_client_ca.or(below.tls_client_ca),
            workers: self.workers.or(below.workers),
            spin: self.spin.or(below.spin),
            log: self.log.or(below.log),
            log_format: self.log_format.or(below.log_format),
            socket_mode: self.socket_mode.or(below.socket_mode),
            admin_uids: self.admin_uids.or(below.admin_uids),
            state: self.state.or(below.state),
            functions: self.functions.or(below.functions),
            oci_runtime: self.oci_runtime.or(below.oci_runtime),
            runtime: self.runtime.or(below.runtime),
        }
    }
}

/// `$WHARF_STATE`: where the resources are kept unless a flag or the daemon's own file says so.
pub(crate) fn state_of_environment() -> Result<Option<State>, ConfigError> {
    let text = std::env::var_os("WHARF_STATE").filter(|text| !text.is_empty());
    let state = text.map(|text| State::at(PathBuf::from(text)));
    state.transpose().map_err(|problem| ConfigError::Environment { name: "WHARF_STATE", problem })
}

impl State {
    /// The directory; `None` if nothing is kept.
    pub(crate) fn directory(self) -> Option<PathBuf> {
        self.0
    }

    fn at(path: PathBuf) -> Result<Self, &'static str> {
        if path.as_os_str() == "none" {
            return Ok(Self(None));
        }
        // Relative to a service's directory, a word that is not `none` would be a store at the root.
        if path.is_absolute() {
            Ok(Self(Some(path)))
        } else {
            Err("is neither an absolute path, such as /var/lib/wharf, nor none")
        }
    }
}

impl FromStr for State {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::at(text.into())
    }
}

impl TryFrom<String> for State {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|e| format!("{text}: {e}"))
    }
}

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().unwrap_or(0).try_into()
    }
}

impl TryFrom<i64> for Workers {
    type Error = String;

    fn try_from(count: i64) -> Result<Self, String> {
        let possible = u16::try_from(count).ok().filter(|&count| count <= WORKERS_MAX);
        let count = possible.and_then(NonZeroU16::new);
        count.map(Self).ok_or_else(|| format!("is not a number from 1 to {WORKERS_MAX}"))
    }
}

impl FromStr for Spin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().unwrap_or(-1).try_into()
    }
}

impl TryFrom<i64> for Spin {
    type Error = String;

    fn try_from(micros: i64) -> Result<Self, String> {
        let possible = u64::try_from(micros).ok().map(Duration::from_micros).and_then(Spinning::up_to);
        possible.map(Self).ok_or_else(|| format!("is not a number from 0 to {}", SPIN_MAX.as_micros()))
    }
}

impl FromStr for SocketMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 => Ok(Self(mode)),
            _ => Err("is not an octal mode, such as 0660"),
        }
    }
}

impl TryFrom<String> for SocketMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|e| format!("{text}: {e}"))
    }
}

impl From<ConfigError> for Failure {
    fn from(e: ConfigError) -> Self {
        let hint = match &e {
            ConfigError::Unreadable { .. } => {
                "name a file that exists with --config, or leave it out: everything has a default"
            }
            ConfigError::Invalid { .. } => "`wharf serve --help` shows a config file",
            ConfigError::Listen(error) => error.hint(),
            ConfigError::Environment { .. } => "set it to something else, or unset it",
        };
        Self::usage(e.to_string().trim_end()).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Options, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn flags_go_over_file_goes_over_environment_goes_over_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wharf.toml");
        std::fs::write(
            &path,
            "socket = '/run/a.sock'\nworkers = 2\nspin = 20\nlog = 'debug'\nsocket-mode = '0600'\nfunctions = 'off'\n",
        )
        .unwrap();
        let spin = "0".parse().ok();
        let flags =
            Options { workers: "3".parse().ok(), spin, log: Some("trace".into()), ..Options::default() };
        let environment =
            Options { socket: Some("/run/e.sock".into()), state: "none".parse().ok(), ..Options::default() };
        let settings = Settings::resolve(flags, Some(&path), environment.clone()).unwrap();
        let expected = Settings {
            socket: "/run/a.sock".into(),
            listen: None,
            workers: NonZeroU16::new(3),
            spinning: Spinning::OFF,
            log: "trace".into(),
            log_format: LogFormat::Text,
            socket_mode: 0o600,
            admin_uids: vec![0, nix::unistd::geteuid().as_raw()],
            state: None,
            functions: None,
        };
        assert_eq!(settings, expected);
        let flag = Options { socket: Some("/run/f.sock".into()), ..Options::default() };
        let flagged = Settings::resolve(flag, Some(&path), environment.clone()).unwrap();
        assert_eq!(flagged.socket, Path::new("/run/f.sock"));
        let unset = Settings::resolve(Options::default(), None, environment).unwrap();
        assert_eq!(unset.socket, Path::new("/run/e.sock"));
        let defaults = Settings::resolve(Options::default(), None, Options::default()).unwrap();
        assert_eq!((defaults.socket, defaults.socket_mode), (DEFAULT_SOCKET.into(), 0o660));
        assert_eq!(defaults.spinning, Spinning::default());
        assert_eq!(defaults.state.as_deref(), Some(Path::new(DEFAULT_STATE)));
    }

    #[test]
    fn the_file_knows_every_setting() {
        let all = "socket = '/s'\nlisten = '127.0.0.1:80'\nworkers = 1\nspin = 1000\nlog = 'info'\nlog-format = 'json'\nsocket-mode = '0660'\nstate = '/s'\nadmin-uids = [7]\ntls-cert = '/c'\ntls-key = '/k'\ntls-client-ca = '/a'\nfunctions = 'on'\noci-runtime = 'crun'\n[[runtime]]\nname = 'x'\nlanguage = 'provided'";
        let options = file(all).unwrap();
        assert_eq!(options.clone().over(Options::default()), options);
        assert_eq!(Options::default().over(options.clone()), options);
        assert_eq!(options.listen, Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!(options.tls_client_ca, Some("/a".into()));
        assert_eq!(options.log_format, Some(LogFormat::Json));
        assert_eq!(options.spin.map(|s| s.0.longest()), Some(SPIN_MAX));
        assert_eq!(options.admin_uids, Some(vec![7]));
        assert_eq!(options.state, Some(State(Some("/s".into()))));
        assert_eq!(file("state = 'none'").unwrap().state, Some(State(None)));
    }

    #[test]
    fn a_wrong_file_is_refused_with_key_and_line() {
        let wrong = [
            ("log = 'info'\nwokers = 2\n", "wokers", "line 2"),
            ("workers = 0\n", "from 1 to 64", "line 1"),
            ("workers = 65\n", "from 1 to 64", "line 1"),
            ("workers = -1\n", "from 1 to 64", "line 1"),
            ("spin = -1\n", "from 0 to 1000", "line 1"),
            ("spin = 1001\n", "from 0 to 1000", "line 1"),
            ("\nlisten = 'localhost:80'\n", "listen", "line 2"),
            ("socket-mode = '0999'\n", "octal", "line 1"),
            ("log_format = 'json'\n", "log_format", "line 1"),
            ("state = 'some'\n", "absolute", "line 1"),
            ("state = ''\n", "absolute", "line 1"),
            ("workers = \n", "workers", "line 1"),
        ];
        for (text, names, line) in wrong {
            let message = file(text).unwrap_err().to_string();
            assert!(message.contains(names) && message.contains(line), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_missing_file_is_a_usage_error() {
        let path = Path::new("/nonexistent/wharf.toml");
        let error = Settings::resolve(Options::default(), Some(path), Options::default()).unwrap_err();
        assert_eq!(Failure::from(error).exit(), crate::failure::Exit::Usage);
    }
}
