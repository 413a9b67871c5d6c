//! `wharf serve`: the composition root. Puts control on top of the gateway and runs until it is told to stop.

mod functions;
mod log;
mod preflight;
mod socket;

use std::io;
use std::num::NonZero;
use std::path::PathBuf;

use control::{State, StateError, Tcp, Tls, TlsFiles};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::cli::medium_failed;
use crate::config::{Listen, Options, Settings};
use crate::failure::{Exit, Failure};
pub(crate) use functions::CONTAINER_HELPER;
use socket::Socket;

/// As many threads as the control plane has at most. One serves tens of thousands of requests a second.
const THREADS: usize = 4;

const EXAMPLES: &str = "\
Examples:
  sudo wharf serve
  sudo wharf serve --socket /run/user/0/wharf.sock --workers 2 --log debug
  sudo wharf serve --config /etc/wharf.toml --listen 127.0.0.1:8080
  sudo wharf serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem
  sudo wharf serve --state none

A config file is TOML with the flags' names; flags go over it:
  socket = \"/run/wharf/wharf.sock\"
  socket-mode = \"0660\"
  listen = \"0.0.0.0:8443\"
  tls-cert = \"/etc/wharf/cert.pem\"
  tls-key = \"/etc/wharf/key.pem\"
  tls-client-ca = \"/etc/wharf/clients.pem\"
  workers = 2
  spin = 50
  log = \"info,gateway=debug\"
  log-format = \"json\"
  state = \"/var/lib/wharf\"
  functions = \"on\"
  oci-runtime = \"/usr/bin/crun\"
  [[runtime]]
  name = \"python3-numpy\"
  language = \"python3\"
  image = \"/srv/images/numpy\"
Without either, the socket is $WHARF_SOCKET, or else /run/wharf/wharf.sock, and the state is in
$WHARF_STATE, or else in /var/lib/wharf; with none, everything ends with the daemon.

Certificate, key and clients' CA are read again when they change, and on SIGHUP; if they are of
no use then, the log says so, and what was read before stays in force.

Needs /dev/net/tun, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN, and CAP_SYS_PTRACE to find the
namespaces of other users' processes. Stops on SIGINT and SIGTERM.";

/// `wharf serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Flags {
    /// Read settings from this file; none unless set
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// Runs the daemon until SIGINT or SIGTERM.
pub(crate) fn run(flags: Flags, socket: Option<PathBuf>) -> Result<(), Failure> {
    let flagged = Options { socket, ..flags.options };
    let settings = Settings::resolve(flagged, flags.config.as_deref(), Options::of_environment()?)?;
    log::start(&settings)?;
    preflight::check()?;
    raise_descriptor_limit();
    // Bound before any thread runs, because the socket's mode is set through the process's umask.
    let socket = Socket::bind(&settings.socket, settings.socket_mode)?;
    let state = State::open(settings.state.as_ref()).map_err(|e| not_opened(e, &settings))?;
    let config = gateway::Config { workers: settings.workers };
    let gateway = gateway::Gateway::start_spinning(&config, settings.spinning)
        .map_err(|e| Failure::new(Exit::Failed, format_args!("cannot start the gateway's workers: {e}")))?;
    let served = runtime()?.block_on(serve(&settings, &socket, gateway.handle(), state));
    // Devices go before the socket, so that whoever sees the socket gone finds no device left but those that shall stay.
    drop(gateway);
    drop(socket);
    tracing::info!("stopped");
    served
}

/// Half of the cores, as the gateway's workers want theirs: with as many threads as cores an attach takes a third longer.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads((cores / 2).clamp(1, THREADS))
        .thread_name("wharf-control")
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Failed, format_args!("cannot start the async runtime: {e}")))
}

async fn serve(
    settings: &Settings,
    socket: &Socket,
    handle: gateway::Handle,
    state: State,
) -> Result<(), Failure> {
    let stop = stop_signal().map_err(|e| no_signals(&e))?;
    let listeners = listeners(settings, socket).await?;
    let listen = listeners.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok()).map(tracing::field::display);
    let mut background = JoinSet::new();
    if let Some(control::Tcp::Tls(_, tls)) = &listeners.tcp {
        let again = signal(SignalKind::hangup()).map_err(|e| no_signals(&e))?;
        background.spawn(reload(tls.clone(), again));
    }
    let functions = functions::open(settings).await?.map(control::Functions::from);
    tracing::info!(socket = %settings.socket.display(), listen, "ready");
    let admins = settings.admin_uids.clone();
    let served = control::Settings { admins, ..control::Settings::default() };
    control::serve(listeners, handle, state, functions, stop, served).await;
    Ok(())
}

fn not_opened(error: StateError, settings: &Settings) -> Failure {
    match (error, &settings.state) {
        (StateError::Store(error), Some(directory)) => medium_failed(&error, directory),
        (error, _) => Failure::new(Exit::Failed, format_args!("cannot take up the store: {error}"))
            .hint("keep a copy of it, and restore a backup with `wharf store import --replace`"),
    }
}

async fn listeners(settings: &Settings, socket: &Socket) -> Result<control::Listeners, Failure> {
    let failed = |what: String| {
        move |e: io::Error| Failure::new(Exit::Failed, format_args!("cannot listen on {what}: {e}"))
    };
    let unix = socket.listener().and_then(UnixListener::from_std);
    let unix = unix.map_err(failed(settings.socket.display().to_string()))?;
    let tcp = match &settings.listen {
        Some(listen) => {
            let address = listen.address();
            let bound = TcpListener::bind(address).await.map_err(failed(address.to_string()));
            let bound = bound.map_err(|e| e.hint("choose another port for --listen"))?;
            Some(match listen {
                Listen::Plain(_) => Tcp::Plain(bound),
                Listen::Tls(_, files) => Tcp::Tls(bound, tls(files)?),
            })
        }
        None => None,
    };
    Ok(control::Listeners { unix, tcp })
}

fn tls(files: &TlsFiles) -> Result<Tls, Failure> {
    Tls::open(files.clone()).map_err(|e| {
        Failure::new(Exit::Failed, e).hint("--tls-cert, --tls-key and --tls-client-ca are PEM files")
    })
}

/// Reads the files of TLS again whenever SIGHUP arrives.
async fn reload(tls: Tls, mut again: Signal) {
    while again.recv().await.is_some() {
        match tls.reload() {
            Ok(()) => tracing::info!("SIGHUP: the files of TLS were read again"),
            Err(error) => {
                tracing::error!(%error, "SIGHUP: the files of TLS are of no use; what was before stays in force");
            }
        }
    }
}

fn no_signals(error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format_args!("cannot listen for signals: {error}"))
}

/// Ends when SIGINT or SIGTERM arrives; both are taken over as soon as this returns.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
            _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
        }
    })
}

/// Every attachment holds a descriptor, and the usual soft limit is far below what one gateway takes.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    match raised {
        Ok(limit) => tracing::debug!(limit, "descriptor limit raised"),
        Err(e) => tracing::warn!("cannot raise the descriptor limit: {e}"),
    }
}
