//! From warm to gone.

use std::time::Duration;

use sandbox::{AssignError, Exit, Fault, Oci, Sandbox};
use serde_json::json;

use crate::fixture::{World, event, json};

const ECHO: &str = "import os\ndef handler(event, context):\n    return {'event': event, 'id': context.aws_request_id, 'task': sorted(os.listdir('/var/task')), 'uid': os.getuid(), 'E': os.environ.get('E')}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_container_becomes_a_function_once_answers_and_leaves_nothing() {
    let world = World::new().await;
    let container = world.warm("python3").await;
    let mut assignment = world.assignment(&[("handler.py", ECHO)]);
    assignment.environment = vec![("E".into(), "mine".into())];
    let took = container.assign(assignment.clone()).await.unwrap();
    assert!(took.mount <= took.total);
    container.initialised().await.unwrap();
    for id in ["one", "two"] {
        let answer = json(container.invoke(event(id, "{\"a\": 1}")).await);
        assert_eq!(
            answer,
            json!({"event": {"a": 1}, "id": id, "task": ["handler.py"], "uid": 1000, "E": "mine"})
        );
    }
    assert!(matches!(container.assign(assignment).await, Err(AssignError::NotWarm)));
    let usage = container.usage();
    assert!(
        usage.memory_bytes > 1 << 20 && usage.memory_peak_bytes >= usage.memory_bytes && usage.tasks >= 1,
        "{usage:?}"
    );
    assert!(!world.left().is_empty());
    container.remove().await;
    container.remove().await;
    assert_eq!(world.left(), [""; 0]);
    assert_eq!(container.invoke(event("three", "{}")).await.unwrap_err(), Fault::Removed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_the_command_line_of_runc_makes_containers_too() {
    let world = World::with(Oci::Program("runc".into())).await;
    let container = world.function("python3", &[("handler.py", ECHO)]).await;
    assert_eq!(json(container.invoke(event("one", "1")).await)["uid"], 1000);
    container.remove().await;
    assert_eq!(world.left(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_prepared_and_not_started_leaves_nothing() {
    let world = World::new().await;
    let prepared = world.sandbox.prepare("python3").await.unwrap();
    assert!(std::fs::metadata(prepared.netns().path()).is_ok());
    drop(prepared);
    assert_eq!(world.left(), [""; 0]);
    let error = world.sandbox.prepare("ruby").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no runtime named ruby");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_is_noticed_and_why() {
    let world = World::new().await;
    let exits = world
        .function("python3", &[("handler.py", "import os\ndef handler(e, c):\n    os._exit(7)\n")])
        .await;
    assert_eq!(exits.invoke(event("one", "1")).await.unwrap_err(), Fault::Exited(Exit::Status(7)));
    assert_eq!(exits.ended().await, Exit::Status(7));
    let killed =
        world.function("python3", &[("handler.py", "def handler(e, c):\n    while True: pass\n")]).await;
    let invoked = tokio::spawn({
        let killed = killed.clone();
        async move { killed.invoke(event("one", "1")).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(killed.pid().cast_signed()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    assert_eq!(invoked.await.unwrap().unwrap_err(), Fault::Exited(Exit::Signal(9)));
    let fills = world
        .function(
            "python3",
            &[(
                "handler.py",
                "def handler(e, c):\n    a = []\n    while True: a.append(bytearray(1 << 20))\n",
            )],
        )
        .await;
    assert_eq!(fills.invoke(event("one", "1")).await.unwrap_err(), Fault::OutOfMemory { limit_mb: 128 });
    for container in [exits, killed, fills] {
        container.remove().await;
    }
    assert_eq!(world.left(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_daemon_has_left_is_removed_by_the_next() {
    let world = World::new().await;
    let container = world.function("python3", &[("handler.py", ECHO)]).await;
    let pid = container.pid();
    // As if the process had been killed: nothing is dropped, but the lock on the directory is another's.
    let settings = sandbox::Settings { run: world.settings.run.clone(), ..world.settings.clone() };
    assert!(Sandbox::open(settings.clone()).await.is_err(), "two daemons in one directory");
    std::fs::remove_file(settings.run.join("lock")).unwrap();
    let next = Sandbox::open(settings).await.unwrap();
    assert_eq!(world.left(), [""; 0]);
    assert_eq!(container.ended().await, Exit::Signal(9));
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    drop(next);
}
