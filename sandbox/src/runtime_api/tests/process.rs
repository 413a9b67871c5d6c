//! Real processes with the paths of a container: `/var/task` and `/opt/wharf` in a mount namespace of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{PATIENCE, RuntimeApi, served};
use crate::{Answer, Assignment, Fault, Language, bootstrap};

/// What waits in a container, without the container.
pub(super) struct Waiting {
    pub api: RuntimeApi,
    child: Child,
    _files: TempDir,
}

impl Waiting {
    /// Starts a language's bootstrap; the code is these files.
    pub(super) async fn start(language: Language, code: &[(&str, &str)]) -> Self {
        let (api, port) = served();
        let files = tempfile::tempdir().expect("a temporary directory");
        let (task, opt) = (files.path().join("task"), files.path().join("opt"));
        fs::create_dir_all(&opt).expect("it is writable");
        for file in bootstrap::files() {
            write(&opt.join(file.name), file.bytes, file.mode);
        }
        for (name, content) in code {
            write(&task.join(name), content.as_bytes(), 0o755);
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", PATHS, "sh"]).arg(&task).arg(&opt);
        command.args(bootstrap::command(language)).arg(format!("127.0.0.1:{port}"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().expect("unshare is installed");
        let waiting = Self { api, child, _files: files };
        tokio::time::timeout(PATIENCE, waiting.api.warm()).await.expect("it starts");
        waiting
    }

    /// Starts it and makes it this function.
    pub(super) async fn assigned(language: Language, code: &[(&str, &str)], function: &Assignment) -> Self {
        let waiting = Self::start(language, code).await;
        assert!(waiting.api.assign(function));
        waiting
    }

    /// Waits until the handler is loaded or not.
    pub(super) async fn initialised(&self) -> Result<(), Fault> {
        tokio::time::timeout(PATIENCE, self.api.initialised()).await.expect("it says so")
    }

    /// Invokes it with this event.
    pub(super) async fn invoke(&self, payload: &str) -> Result<Answer, Fault> {
        self.api.invoke(super::event("request-1", payload)).await
    }

    /// It reports that the handler cannot be loaded, and why, says so in its log, and ends.
    pub(super) async fn cannot_load(self, error_type: &str, message: &str) {
        let Err(Fault::Init(error)) = self.initialised().await else { panic!("no {error_type}: {message}") };
        assert_eq!(error.error_type, error_type, "{message}");
        assert!(error.message.starts_with(message), "{}", error.message);
        let output = self.output().await;
        assert_eq!(output.status.code(), Some(1), "{error_type}");
        let log = String::from_utf8(output.stderr).expect("text");
        assert!(log.starts_with(&format!("[ERROR] {error_type}: {message}")), "{log}");
    }

    /// Waits until it has ended of itself, and reads what it wrote.
    pub(super) async fn output(self) -> Output {
        tokio::time::timeout(PATIENCE, self.child.wait_with_output())
            .await
            .expect("it ends")
            .expect("it is our child")
    }

    /// Ends it, and reads what it wrote.
    pub(super) async fn log(mut self) -> String {
        self.child.start_kill().expect("it runs");
        let output = self.output().await;
        String::from_utf8(output.stdout).expect("text") + &String::from_utf8(output.stderr).expect("text")
    }
}

fn write(path: &Path, content: &[u8], mode: u32) {
    fs::create_dir_all(path.parent().expect("it is in a directory")).expect("it is writable");
    fs::write(path, content).expect("it is writable");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

const PATHS: &str = r#"
set -e
mount -t tmpfs none /var && mkdir /var/task && mount --bind "$1" /var/task
mount -t tmpfs none /opt && mkdir /opt/wharf && mount --bind "$2" /opt/wharf
shift 2
exec "$@"
"#;
