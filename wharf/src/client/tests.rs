//! The client against a real, tiny server on a unix socket.

mod tls;

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::*;
use crate::failure::{Exit, Failure};

/// Answers one request at `path` with `answer`, and gives back what was asked.
fn server(path: &Path, answer: &'static str) -> std::thread::JoinHandle<String> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut part = [0; 1024];
        while !request.windows(4).any(|w| w == b"\r\n\r\n") {
            let n = stream.read(&mut part).unwrap();
            assert!(n > 0, "the request ends with an empty line");
            request.extend_from_slice(&part[..n]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    crate::cli::runtime().unwrap().block_on(future)
}

/// What a client makes of `answer`, and the request that the server saw.
fn ask(answer: &'static str) -> (Result<Value, ClientError>, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wharf.sock");
    let server = server(&path, answer);
    let result = block_on(async {
        let mut client = Client::connect(Target::Unix(path).into()).await.unwrap();
        client.get("/v1/vpcs/orders").await
    });
    (result, server.join().unwrap())
}

fn refusal(answer: &'static str) -> Failure {
    ask(answer).0.expect_err("the server refuses").into()
}

#[test]
fn a_body_is_handed_on_as_it_is() {
    let (answer, request) = ask("HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"name\":\"orde\"}");
    assert_eq!(answer.unwrap(), serde_json::json!({"name": "orde"}));
    assert!(request.starts_with("GET /v1/vpcs/orders HTTP/1.1\r\n"), "{request}");
}

#[test]
fn an_empty_answer_is_no_error() {
    let (answer, _) = ask("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(answer.unwrap(), Value::Null);
}

#[test]
fn refusals_become_exit_codes() {
    let missing = refusal(
        "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n{\"status\":404,\"code\":\"not_found\",\"detail\":\"no vpc orders\"}",
    );
    assert_eq!(missing.exit(), Exit::NotFound);
    let detached = refusal(
        "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n{\"status\":404,\"code\":\"not_attached\",\"detail\":\"x\"}",
    );
    assert_eq!(detached.exit(), Exit::NotFound);
    let invalid = refusal(
        "HTTP/1.1 422 X\r\nconnection: close\r\n\r\n{\"status\":422,\"code\":\"invalid_cidr\",\"detail\":\"x\",\"field\":\"cidr\"}",
    );
    assert_eq!(invalid.exit(), Exit::Failed);
    let no_route = refusal(
        "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n{\"status\":404,\"code\":\"route_not_found\",\"detail\":\"x\"}",
    );
    assert_eq!(no_route.exit(), Exit::Failed, "a wrong server is not a missing resource");
}

#[test]
fn foreign_servers_are_told_apart() {
    let foreign = refusal("HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n<html>");
    assert_eq!(foreign.exit(), Exit::Failed);
    let (answer, _) = ask("SSH-2.0-OpenSSH_9.6\r\n");
    assert!(matches!(answer, Err(ClientError::Broken { .. })), "{answer:?}");
}

#[test]
fn a_connection_that_breaks_is_a_failure() {
    let (answer, _) = ask("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{");
    assert!(matches!(answer, Err(ClientError::Broken { .. })), "{answer:?}");
}

#[test]
fn nobody_there_is_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wharf.sock");
    let connect = || block_on(Client::connect(Target::Unix(path.clone()).into())).err().map(Failure::from);
    assert_eq!(connect().expect("no socket").exit(), Exit::Unreachable);
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(connect().expect("no daemon").exit(), Exit::Unreachable);
}

#[test]
fn a_creation_whose_answer_is_lost_is_asked_for_again_with_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wharf.sock");
    let lost = server(&path, "");
    let body = serde_json::json!({"name": "orders"});
    let (made, requests) = block_on(async {
        let mut client = Client::connect(Target::Unix(path.clone()).into()).await.unwrap();
        // The first daemon takes the request and ends; the next one is there when the client comes back.
        std::fs::remove_file(&path).unwrap();
        let found = server(&path, "HTTP/1.1 201 Created\r\ncontent-length: 17\r\n\r\n{\"name\":\"orders\"}");
        let made = client.create("/v1/vpcs", &body, &Key::random().unwrap(), Run::Real).await;
        (made, [lost, found].map(|server| server.join().unwrap()))
    });
    assert_eq!(made.unwrap(), body);
    let key = |request: &str| {
        let line = request.lines().find(|line| line.starts_with("idempotency-key: "));
        line.expect("there is a key").to_owned()
    };
    assert_eq!(key(&requests[0]), key(&requests[1]));
}
