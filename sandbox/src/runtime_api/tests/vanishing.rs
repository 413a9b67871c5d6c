//! Clients that go away at the worst moment.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Client, NEXT};
use super::*;

#[tokio::test]
async fn an_event_that_a_vanished_client_waited_for_is_the_next_ones() {
    let (api, port) = served();
    let mut gone = Client::connect(port).await;
    gone.ask(NEXT).await;
    api.initialised().await.expect("it asks");
    drop(gone);
    let mut client = Client::connect(port).await;
    let (outcome, ()) = tokio::join!(api.invoke(event("id", "{}")), async {
        assert!(client.next().await.says("lambda-runtime-aws-request-id: id"));
        client.post("id/response", "", "1").await;
    });
    assert_eq!(text(outcome.expect("it was answered")), "1");
}

#[tokio::test]
async fn an_event_that_was_not_written_to_its_end_is_the_next_ones() {
    let (api, port) = served();
    let mut gone = Client::connect(port).await;
    gone.ask(NEXT).await;
    api.initialised().await.expect("it asks");
    // More than the buffers of both ends take.
    let long = "x".repeat(64 << 20);
    let mut client = Client::connect(port).await;
    let (outcome, ()) = tokio::join!(api.invoke(event("id", &long)), async {
        gone.stream.read_u8().await.expect("it begins");
        drop(gone);
        let next = client.next().await;
        assert!(next.says("lambda-runtime-aws-request-id: id"), "{}", next.head);
        assert_eq!(next.body.len(), long.len());
        client.post("id/response", "", "1").await;
    });
    assert_eq!(text(outcome.expect("it was answered")), "1");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_none_and_may_be_given_again() {
    let (api, port) = served();
    let (mut gone, mut client) = (Client::connect(port).await, Client::connect(port).await);
    let (outcome, ()) = tokio::join!(api.invoke(event("id", "{}")), async {
        client.next().await;
        gone.send("POST /2018-06-01/runtime/invocation/id/response HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf").await;
        gone.stream.shutdown().await.expect("it is open");
        drop(gone);
        assert_eq!(client.post("id/response", "", "whole").await.status, 202);
    });
    assert_eq!(text(outcome.expect("it was answered")), "whole");
}

#[tokio::test]
async fn whoever_no_longer_waits_is_not_answered() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    tokio::select! {
        biased;
        _ = api.invoke(event("id-1", "{}")) => panic!("nobody answers"),
        _ = client.next() => {}
    }
    assert_eq!(client.post("id-1/response", "", "1").await.status, 400);
    let (outcome, ()) = tokio::join!(api.invoke(event("id-2", "{}")), async {
        client.next().await;
        client.post("id-2/response", "", "2").await;
    });
    assert_eq!(text(outcome.expect("it was answered")), "2");
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let (api, port) = served();
    let mut idle = Vec::new();
    for _ in 0..super::super::limits::CONNECTIONS {
        let mut client = Client::connect(port).await;
        assert_eq!(client.get("/").await.status, 404);
        idle.push(client);
    }
    let mut client = Client::connect(port).await;
    client.ask(NEXT).await;
    assert!(
        tokio::time::timeout(Duration::from_millis(50), api.initialised()).await.is_err(),
        "it is not served"
    );
    idle.pop();
    assert_eq!(api.initialised().await, Ok(()));
}

#[tokio::test]
async fn connections_end_with_the_server() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    client.ask(NEXT).await;
    api.initialised().await.expect("it asks");
    drop(api);
    let mut rest = Vec::new();
    // A reset says it as well as an end does.
    _ = client.stream.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
}
