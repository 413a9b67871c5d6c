//! A sandbox for one test.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use sandbox::{
    Answer, Assignment, Body, Container, Fault, Invocation, Language, Oci, OpenError, Rootfs, Runtime,
    Sandbox, Settings,
};
use serde_json::Value;
use tempfile::TempDir;

/// A sandbox of one's own, in directories and control groups of its own.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) settings: Settings,
    _directory: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Oci::Embedded).await
    }

    pub(crate) async fn with(oci: Oci) -> Self {
        let runtime = |name: &str, language| Runtime { name: name.into(), language, rootfs: Rootfs::Host };
        let runtimes = vec![
            runtime("python3", Language::Python3),
            runtime("nodejs", Language::Nodejs),
            runtime("provided", Language::Provided),
        ];
        Self::open(oci, runtimes).await.unwrap()
    }

    /// One of these runtimes.
    pub(crate) async fn open(oci: Oci, runtimes: Vec<Runtime>) -> Result<Self, OpenError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::tempdir().unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let settings = Settings {
            // Root filesystems are made once for all tests.
            data: shared_data(),
            run: directory.path().join("run"),
            cgroup: format!("wharf-test-{}-{number}", std::process::id()),
            oci,
            runtimes,
            helper: vec![tests::program().display().to_string(), "container-helper".into()],
        };
        let sandbox = Sandbox::open(settings.clone()).await?;
        Ok(Self { sandbox, settings, _directory: directory })
    }

    /// A warm container.
    pub(crate) async fn warm(&self, runtime: &str) -> Container {
        let prepared = self.sandbox.prepare(runtime).await.unwrap();
        prepared.start().await.unwrap()
    }

    /// A container that has become a function of these files.
    pub(crate) async fn function(&self, runtime: &str, files: &[(&str, &str)]) -> Container {
        let container = self.warm(runtime).await;
        container.assign(self.assignment(files)).await.unwrap();
        container.initialised().await.unwrap();
        container
    }

    pub(crate) fn assignment(&self, files: &[(&str, &str)]) -> Assignment {
        let code = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(code.path().join(name), content).unwrap();
        }
        let archive = sandbox::pack(code.path()).unwrap();
        Assignment {
            function: "f".into(),
            version: 1,
            handler: "handler.handler".into(),
            command: None,
            environment: vec![],
            code: self.sandbox.code().add(&archive).unwrap().id,
            memory_mb: 128,
            timeout: Duration::from_secs(10),
            dns_servers: vec![],
        }
    }

    /// Control groups and directories of containers.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let roots =
                fs::read_dir(root).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
            for root in roots.chain([root.into()]) {
                left.extend(
                    names(&root.join(&self.settings.cgroup)).into_iter().filter(|name| name.starts_with('w')),
                );
            }
        }
        left.extend(names(&self.settings.run).into_iter().filter(|name| name.starts_with('w')));
        left.extend(names(&self.settings.run.join("oci")));
        left
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.sandbox.close();
    }
}

/// An event with this id, and ten seconds for it.
pub(crate) fn event(id: &str, payload: &str) -> Invocation {
    Invocation {
        id: id.into(),
        payload: payload.to_owned().into(),
        deadline: SystemTime::now() + Duration::from_secs(10),
        trace: None,
    }
}

/// The answer as JSON.
pub(crate) fn json(answer: Result<Answer, Fault>) -> Value {
    match answer.unwrap().body {
        Body::Whole(bytes) => serde_json::from_slice(&bytes).unwrap(),
        Body::Stream(_) => panic!("the answer streams"),
    }
}

/// Files of the host that a test may wait for.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn shared_data() -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).expect("target/PROFILE").join("sandbox-data")
}
