//! The server on loopback: its protocol with a client that sends what it likes, and the real bootstraps and clients.

mod client;
mod ecosystem;
mod nodejs;
mod process;
mod protocol;
mod provided;
mod python;
mod streams;
mod vanishing;

use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use super::RuntimeApi;
use crate::code::CodeId;
use crate::{Answer, Assignment, Body, Fault, FunctionError, Invocation};

/// A served API, and its port.
fn served() -> (RuntimeApi, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    (RuntimeApi::serve(listener).expect("a runtime is running"), port)
}

/// A function with this handler.
fn function(handler: &str) -> Assignment {
    Assignment {
        function: "probe".into(),
        version: 7,
        handler: handler.into(),
        command: None,
        environment: vec![("COLOUR".into(), "green".into())],
        code: CodeId::NONE,
        memory_mb: 128,
        timeout: Duration::from_secs(3),
        dns_servers: Vec::new(),
    }
}

/// An event with more time than any test takes.
fn event(id: &str, payload: &str) -> Invocation {
    Invocation {
        id: id.into(),
        payload: payload.to_owned().into(),
        deadline: SystemTime::now() + PATIENCE,
        trace: Some("Root=1-2-3".into()),
    }
}

/// An event that has its time behind it.
fn late_event(id: &str) -> Invocation {
    Invocation { deadline: SystemTime::now(), ..event(id, "{}") }
}

/// A whole answer as text.
fn text(answer: Answer) -> String {
    match answer.body {
        Body::Whole(bytes) => String::from_utf8(bytes.to_vec()).expect("answers in tests are text"),
        Body::Stream(_) => panic!("a stream"),
    }
}

/// What a function reported.
fn reported(outcome: Result<Answer, Fault>) -> FunctionError {
    match outcome {
        Err(Fault::Reported(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Until a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);
