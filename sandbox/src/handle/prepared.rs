//! From nothing to a warm container.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::{CreateError, Root, Shared};
use crate::bundle::Bundle;
use crate::container::{Container, Parts, wait_for};
use crate::container_helper::Order;
use crate::limits::{LINES_WAITING, RUNTIME_API_PORT, WARM_TIME};
use crate::output::{self, OutputLine, Stream};
use crate::runtime_api::RuntimeApi;
use crate::slots::Slot;
use crate::{bootstrap, sys};

/// What a container needs before it is one: namespaces, and in them its runtime API. Dropped, it is removed.
#[derive(Debug)]
pub struct Prepared {
    shared: Arc<Shared>,
    id: String,
    runtime: String,
    root: Root,
    slot: Slot,
    netns: Namespace,
    api: RuntimeApi,
    helper: Helper,
    lines: mpsc::Receiver<OutputLine>,
    directory: Directory,
}

/// A namespace, and a name by which this process can open it again as long as this, or a clone, is there.
#[derive(Clone, Debug)]
pub struct Namespace {
    path: PathBuf,
    file: Arc<OwnedFd>,
}

/// The directory of one container. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Directory(pub(crate) PathBuf);

/// The process that makes the container.
#[derive(Debug)]
struct Helper {
    process: Child,
    socket: BufReader<UnixStream>,
    /// The process that has the container's user and network namespaces.
    holder: i32,
    /// The same, whatever becomes of its number.
    held: Option<OwnedFd>,
}

impl Prepared {
    pub(super) async fn new(shared: &Arc<Shared>, runtime: &str, root: Root) -> Result<Self, CreateError> {
        let id = shared.new_id();
        let slot = shared.slots.take().ok_or(CreateError::Full)?;
        let directory = Directory::make(shared.directory(&id)).map_err(step("make its directory"))?;
        fs::write(directory.0.join("resolv.conf"), "").map_err(step("write resolv.conf"))?;
        fs::create_dir_all(shared.oci_state()).map_err(step("make the OCI runtime's directory"))?;
        let order = Order {
            id: id.clone(),
            bundle: directory.0.clone(),
            rootfs: root.path.clone(),
            bootstraps: shared.bootstraps.clone(),
            state: shared.oci_state(),
            first_id: slot.first_id(),
            oci: shared.settings.oci.clone(),
        };
        let (helper, lines) = Helper::start(&shared.settings.helper, &order).await?;
        let netns = Namespace::of(helper.holder).map_err(step("open its network namespace"))?;
        let listener = listen(&netns.file).await.map_err(step("listen in its network namespace"))?;
        let api = RuntimeApi::serve(listener).map_err(step("serve its runtime API"))?;
        let (shared, runtime) = (Arc::clone(shared), runtime.to_owned());
        Ok(Self { shared, id, runtime, root, slot, netns, api, helper, lines, directory })
    }

    /// The container's id, which it will keep.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The container's network namespace.
    pub const fn netns(&self) -> &Namespace {
        &self.netns
    }

    /// Starts its processes and waits until it is warm. What has begun comes to its end, if nobody waits for it too.
    pub async fn start(self) -> Result<Container, CreateError> {
        let (asked, answer) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            if let Err(Ok(container)) = asked.send(self.start_to_the_end().await) {
                container.remove().await;
            }
        });
        answer.await.unwrap_or_else(|_| Err(CreateError::Oci("the start broke off".into())))
    }

    async fn start_to_the_end(self) -> Result<Container, CreateError> {
        let Self { shared, id, runtime, root, slot, netns, api, mut helper, lines, directory } = self;
        let bundle = Bundle {
            command: &bootstrap::command(root.language),
            holder: helper.holder,
            first_id: slot.first_id(),
            oci: &shared.settings.oci,
            cgroup: &format!("{}/{id}", shared.settings.cgroup),
        };
        let config = bundle.config().to_string();
        fs::write(directory.0.join("config.json"), config).map_err(step("write config.json"))?;
        let outcome = helper.go().await;
        let group = shared.group(&id);
        let pid = match outcome {
            Ok(pid) => pid,
            Err(error) => {
                // It must make nothing more while what it has made is removed.
                _ = helper.process.kill().await;
                shared.clear(&id, &group).await;
                return Err(error);
            }
        };
        let parts = Parts { shared, id, runtime, netns, pid, api, group, slot, lines, directory };
        let container = Container::watch(parts).await?;
        match container.warm(WARM_TIME).await {
            Ok(()) => Ok(container),
            Err(detail) => {
                container.remove().await;
                Err(CreateError::NotWarm(detail))
            }
        }
    }
}

impl Helper {
    async fn start(
        program: &[String],
        order: &Order,
    ) -> Result<(Self, mpsc::Receiver<OutputLine>), CreateError> {
        let failed = "start the helper";
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(step(failed))?;
        let (stdout, to_stdout) = io::pipe().map_err(step(failed))?;
        let (stderr, to_stderr) = io::pipe().map_err(step(failed))?;
        let (name, arguments) = program.split_first().ok_or(CreateError::Oci("no helper is set".into()))?;
        let process = Command::new(name)
            .args(arguments)
            .args(order.arguments())
            .env_clear()
            .env("PATH", super::PATH)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(to_stdout)
            .stderr(to_stderr)
            .kill_on_drop(true)
            .spawn()
            .map_err(step(failed))?;
        let (sender, lines) = mpsc::channel(LINES_WAITING);
        tokio::spawn(output::follow(stdout.into(), Stream::Stdout, sender.clone()));
        tokio::spawn(output::follow(stderr.into(), Stream::Stderr, sender));
        ours.set_nonblocking(true).map_err(step(failed))?;
        let socket = BufReader::new(UnixStream::from_std(ours).map_err(step(failed))?);
        let mut helper = Self { process, socket, holder: 0, held: None };
        helper.holder = helper.hear("holder").await?;
        helper.held = Some(sys::open_process(helper.holder).map_err(step(failed))?);
        Ok((helper, lines))
    }

    /// Lets it make the container. Gives the container's first process.
    async fn go(&mut self) -> Result<i32, CreateError> {
        self.socket.write_all(b"go\n").await.map_err(step("talk to the helper"))?;
        let pid = self.hear("pid").await?;
        _ = self.process.wait().await;
        Ok(pid)
    }

    /// The number that it says after this word.
    async fn hear(&mut self, word: &str) -> Result<i32, CreateError> {
        let mut line = String::new();
        let heard = tokio::time::timeout(WARM_TIME, self.socket.read_line(&mut line)).await;
        heard
            .map_err(|_| CreateError::Oci("the helper does not answer".into()))?
            .map_err(step("hear the helper"))?;
        match line.trim_end().split_once(' ') {
            Some((said, number)) if said == word => {
                number.parse().map_err(|_| CreateError::Oci(format!("the helper said {line:?}")))
            }
            Some(("error", detail)) => Err(CreateError::Oci(detail.to_owned())),
            _ => Err(CreateError::Oci(format!("the helper ended: {line:?}"))),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It ends with the helper, and if that was killed it is left to this process.
        if let Some(held) = self.held.take() {
            tokio::spawn(wait_for(held));
        }
    }
}

impl Namespace {
    fn of(process: i32) -> io::Result<Self> {
        let file = OwnedFd::from(File::open(format!("/proc/{process}/ns/net"))?);
        Ok(Self { path: format!("/proc/self/fd/{}", file.as_raw_fd()).into(), file: Arc::new(file) })
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Directory {
    fn make(path: PathBuf) -> io::Result<Self> {
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(path = %self.0.display(), %error, "a container's directory stays");
        }
    }
}

/// A listener in this namespace. Made by a thread of its own, since entering a namespace changes the whole thread.
async fn listen(netns: &OwnedFd) -> io::Result<TcpListener> {
    let netns = netns.try_clone()?;
    let made = tokio::task::spawn_blocking(move || {
        std::thread::scope(|scope| {
            let thread =
                std::thread::Builder::new().name("wharf-listen".into()).spawn_scoped(scope, || {
                    setns(&netns, CloneFlags::CLONE_NEWNET)?;
                    sys::loopback_up()?;
                    TcpListener::bind((Ipv4Addr::LOCALHOST, RUNTIME_API_PORT))
                })?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    });
    made.await.map_err(io::Error::other)?
}

fn step(step: &'static str) -> impl FnOnce(io::Error) -> CreateError {
    move |source| CreateError::System { step, source }
}
