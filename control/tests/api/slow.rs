//! Clients that are slow, many or too quick.

use std::time::Duration;

use control::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{Api, ask};

#[tokio::test]
async fn a_client_without_a_token_is_slowed_down_and_told_when_to_come_again() {
    let api = Api::start().await;
    let secret = api.token("default", "t", "reader").await;
    let mut stream = tokio::net::TcpStream::connect(api.tcp).await.unwrap();
    let one =
        format!("GET /v1/tokens/x HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {secret}\r\n\r\n");
    let (mut reader, mut writer) = stream.split();
    let requests = one.repeat(6_000);
    let mut text = String::new();
    let write = async {
        // The end is never written, if the daemon is done with us before.
        _ = writer.write_all(requests.as_bytes()).await;
    };
    let read = async {
        let mut part = vec![0; 1 << 16];
        while !text.contains(" 429 ") {
            let n = reader.read(&mut part).await.unwrap();
            assert!(n > 0, "the connection ended");
            text += &String::from_utf8_lossy(&part[..n]);
        }
    };
    tokio::select! {
        () = async { tokio::join!(write, std::future::pending::<()>()); } => {}
        () = read => {}
    }
    drop(stream);
    assert!(text.matches(" 403 ").count() >= 2_000, "a burst is let through");
    // The next one, unless that was long ago.
    let mut refused = None;
    for _ in 0..6_000 {
        let answer = api.ask_tcp(ask("GET", "/v1/tokens").bearing(&secret)).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    if let Some(refused) = refused {
        assert_eq!((&*refused.headers["retry-after"], &*refused.code()), ("1", "too_many_requests"));
    } else {
        assert!(text.contains("retry-after: 1") && text.contains("too_many_requests"));
    }
    // The local administrator is let in all the same.
    assert_eq!(api.ask(ask("GET", "/v1/vpcs")).await.status, 200);
}

#[tokio::test]
async fn headers_that_do_not_come_end_the_connection() {
    let settings = Settings { header_time: Duration::from_millis(50), ..Settings::default() };
    let api = Api::with(None, settings).await;
    for part in ["", "GET / HTTP/1.1\r\nhost:"] {
        let mut stream = tokio::net::TcpStream::connect(api.tcp).await.unwrap();
        stream.write_all(part.as_bytes()).await.unwrap();
        let mut text = String::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut text)).await;
        assert!(ended.is_ok(), "{part:?}");
        assert!(!text.contains(" 200 "));
    }
    assert_eq!(api.ask(ask("GET", "/healthz")).await.status, 200);
}

#[tokio::test]
async fn requests_under_way_are_answered_before_the_daemon_ends() {
    let (netns, api) = (crate::netns::Netns::new(), Api::start().await);
    let create = ask("POST", "/v1/containers").json(&crate::netns::container("c", &netns));
    let mut stream = api.send(&create).await;
    // Begun for sure: what has been asked for later is there.
    let patience = std::time::Instant::now() + Duration::from_secs(10);
    while api.get("/v1/containers").await["items"].as_array().unwrap().is_empty() {
        assert!(std::time::Instant::now() < patience, "the request does not begin");
    }
    let ended = api.begin_to_stop();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 201"), "{text}");
    ended.await.unwrap();
}
