//! Passing a streamed answer on.

use bytes::Bytes;
use sandbox::Fault;
use tokio::sync::mpsc::{Receiver, Sender};

/// A part of a streamed answer, or what has ended it.
pub(super) type Part = Result<Bytes, Fault>;

/// Passes a streamed answer on to its end, whether or not somebody hears it. Gives the fault that ended it, if one did, and the client, for
/// whom the answer ends when that is dropped.
///
/// A client that does not keep up holds the function up until `over`, after which nothing more is written: then it gets what is left in
/// its own time.
pub(super) async fn relay(
    mut parts: Receiver<Part>,
    client: Sender<Part>,
    over: impl Future<Output = ()>,
) -> (Option<Fault>, Option<Sender<Part>>) {
    let mut over = std::pin::pin!(over);
    let (mut ended_by, mut client) = (None, Some(client));
    while let Some(part) = parts.recv().await {
        ended_by = part.as_ref().err().cloned();
        let Some(hearing) = &client else { continue };
        let late = tokio::select! {
            biased;
            room = hearing.reserve() => match room {
                Ok(room) => {
                    room.send(part);
                    continue;
                }
                // A client that has hung up does not end the function.
                Err(_) => None,
            },
            () = &mut over => Some(part),
        };
        if let (Some(part), Some(hearing)) = (late, client.take()) {
            return (leave(part, parts, hearing).await, None);
        }
    }
    (ended_by, client)
}

/// Leaves a client alone with what is left.
async fn leave(first: Part, mut parts: Receiver<Part>, client: Sender<Part>) -> Option<Fault> {
    let mut left = vec![first];
    while let Some(part) = parts.recv().await {
        left.push(part);
    }
    let ended_by = left.last().and_then(|part| part.as_ref().err().cloned());
    tokio::spawn(async move {
        for part in left {
            if client.send(part).await.is_err() {
                return;
            }
        }
    });
    ended_by
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::time::{Instant, sleep};

    use super::*;

    const PIECE: Part = Ok(Bytes::from_static(b"x"));

    #[tokio::test]
    async fn a_stream_is_passed_on_to_its_end_although_nobody_hears_it() {
        let (write, parts) = mpsc::channel(1);
        let (client, body) = mpsc::channel(1);
        let relayed = tokio::spawn(relay(parts, client, std::future::pending()));
        drop(body);
        for _ in 0..4 {
            write.send(PIECE).await.unwrap();
        }
        write.send(Err(Fault::Removed)).await.unwrap();
        drop(write);
        assert_eq!(relayed.await.unwrap().0, Some(Fault::Removed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_holds_a_stream_up_until_it_is_over() {
        let (write, parts) = mpsc::channel(4);
        let (client, mut body) = mpsc::channel(1);
        let (start, patience) = (Instant::now(), Duration::from_secs(3));
        let relayed = tokio::spawn(relay(parts, client, sleep(patience)));
        for _ in 0..5 {
            write.send(PIECE).await.unwrap();
        }
        write.send(Err(Fault::TimedOut { after: patience })).await.unwrap();
        drop(write);
        let (fault, client) = relayed.await.unwrap();
        assert_eq!((fault, start.elapsed()), (Some(Fault::TimedOut { after: patience }), patience));
        assert!(client.is_none(), "it reads on by itself");
        for _ in 0..5 {
            assert_eq!(body.recv().await, Some(PIECE));
        }
        assert_eq!(body.recv().await, Some(Err(Fault::TimedOut { after: patience })));
        assert_eq!(body.recv().await, None);
    }
}
