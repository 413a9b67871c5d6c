//! Streamed answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::super::limits::{STREAM_BYTES, STREAM_PIECES};
use super::client::{Client, NEXT};
use super::*;

type Pieces = mpsc::Receiver<Result<Bytes, Fault>>;

/// Gives a client an event, and begins to stream the answer.
async fn begun(api: &RuntimeApi, client: &mut Client, invocation: Invocation) -> Pieces {
    let id = invocation.id.clone();
    let (outcome, ()) = tokio::join!(api.invoke(invocation), async {
        assert_eq!(client.next().await.status, 200);
        client
            .send(&format!("POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nhost: x\r\n"))
            .await;
        client
            .send("content-type: text/event-stream\r\nlambda-runtime-function-response-mode: streaming\r\n")
            .await;
        client
            .send("transfer-encoding: chunked\r\ntrailer: lambda-runtime-function-error-type\r\n\r\n")
            .await;
    });
    let answer = outcome.expect("it has begun");
    assert_eq!(answer.content_type, "text/event-stream");
    match answer.body {
        Body::Stream(pieces) => pieces,
        Body::Whole(_) => panic!("a whole answer"),
    }
}

async fn chunk(client: &mut Client, content: &str) {
    client.send(&format!("{:x}\r\n{content}\r\n", content.len())).await;
}

#[tokio::test]
async fn pieces_are_passed_on_as_they_come() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    for id in ["id-1", "id-2"] {
        let mut pieces = begun(&api, &mut client, event(id, "{}")).await;
        for piece in ["one", "two"] {
            chunk(&mut client, piece).await;
            assert_eq!(pieces.recv().await, Some(Ok(piece.into())));
        }
        client.send("0\r\n\r\n").await;
        assert_eq!(pieces.recv().await, None);
        assert_eq!(client.reply().await.status, 202);
        assert_eq!(client.post(&format!("{id}/response"), "", "again").await.status, 403);
    }
}

#[tokio::test]
async fn trailers_tell_of_an_error_in_the_middle() {
    let report = r#"{"errorType":"Error","errorMessage":"broke"}"#;
    for body in [STANDARD.encode(report), report.to_owned()] {
        let (api, port) = served();
        let mut client = Client::connect(port).await;
        let mut pieces = begun(&api, &mut client, event("id", "{}")).await;
        chunk(&mut client, "one").await;
        client.send(&format!("0\r\nlambda-runtime-function-error-type: Error\r\nlambda-runtime-function-error-body: {body}\r\n\r\n")).await;
        assert_eq!(pieces.recv().await, Some(Ok("one".into())));
        let expected = Fault::Reported(FunctionError::read(report.into(), None));
        assert_eq!(pieces.recv().await, Some(Err(expected)));
        assert_eq!(pieces.recv().await, None);
        assert_eq!(client.reply().await.status, 202);
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_function_up_and_hears_the_end_all_the_same() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    let mut pieces = begun(&api, &mut client, event("id", "{}")).await;
    for _ in 0..STREAM_PIECES * 2 {
        chunk(&mut client, "piece").await;
    }
    while pieces.len() < STREAM_PIECES {
        tokio::task::yield_now().await;
    }
    api.end(Fault::Removed);
    let mut count = 0;
    let end = loop {
        match pieces.recv().await.expect("it does not end without a word") {
            Ok(piece) => count += piece.len(),
            Err(fault) => break fault,
        }
    };
    assert_eq!(end, Fault::Removed);
    assert!(count <= 5 * STREAM_PIECES * 2, "{count}");
}

#[tokio::test]
async fn a_stream_without_a_reader_does_not_disturb_the_function() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    drop(begun(&api, &mut client, event("id", "{}")).await);
    for _ in 0..STREAM_PIECES * 2 {
        chunk(&mut client, "piece").await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 202);
    begun(&api, &mut client, event("id-2", "{}")).await;
}

#[tokio::test]
async fn a_stream_ends_at_the_deadline() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    let soon = Invocation { deadline: SystemTime::now() + Duration::from_millis(300), ..event("id", "{}") };
    let mut pieces = begun(&api, &mut client, soon).await;
    chunk(&mut client, "one").await;
    assert_eq!(pieces.recv().await, Some(Ok("one".into())));
    assert!(matches!(pieces.recv().await, Some(Err(Fault::TimedOut { .. }))));
    assert_eq!(pieces.recv().await, None);
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_so() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    let mut pieces = begun(&api, &mut client, event("id", "{}")).await;
    chunk(&mut client, "one").await;
    drop(client);
    assert_eq!(pieces.recv().await, Some(Ok("one".into())));
    let Some(Err(Fault::Reported(error))) = pieces.recv().await else { panic!("no error") };
    assert_eq!(error.error_type, "Runtime.TruncatedResponse");
    assert_eq!(pieces.recv().await, None);
}

#[tokio::test]
async fn a_stream_hears_of_the_end_of_the_server() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    let mut pieces = begun(&api, &mut client, event("id", "{}")).await;
    drop(api);
    assert!(matches!(pieces.recv().await, Some(Err(_))));
}

#[tokio::test]
async fn asking_for_another_event_breaks_the_stream_off() {
    let (api, port) = served();
    let (mut client, mut other) = (Client::connect(port).await, Client::connect(port).await);
    let mut pieces = begun(&api, &mut client, event("id", "{}")).await;
    other.ask(NEXT).await;
    let Some(Err(Fault::Reported(error))) = pieces.recv().await else { panic!("no error") };
    assert_eq!(error.error_type, "Runtime.NoResponse");
}

#[tokio::test]
async fn a_stream_may_have_exactly_the_limit() {
    for (bytes, too_long) in [(STREAM_BYTES, false), (STREAM_BYTES + 1, true)] {
        let (api, port) = served();
        let mut client = Client::connect(port).await;
        let mut pieces = begun(&api, &mut client, event("id", "{}")).await;
        let piece = "x".repeat(1 << 20);
        let writer = async {
            for _ in 0..bytes >> 20 {
                chunk(&mut client, &piece).await;
            }
            chunk(&mut client, if too_long { "x" } else { "" }).await;
            if too_long {
                client.send("0\r\n\r\n").await;
            } else {
                client.send("\r\n").await;
            }
            client.reply().await.status
        };
        let reader = async {
            let mut count = 0;
            loop {
                match pieces.recv().await {
                    Some(Ok(piece)) => count += piece.len(),
                    end => break (count, end),
                }
            }
        };
        let (status, (count, end)) = tokio::join!(writer, reader);
        assert_eq!(status, if too_long { 413 } else { 202 });
        assert_eq!(end, too_long.then_some(Err(Fault::ResponseTooLarge { limit: STREAM_BYTES })));
        assert!(count <= STREAM_BYTES, "{count}");
    }
}
