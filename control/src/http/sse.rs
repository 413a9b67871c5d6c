//! Watches as server-sent events (WHATWG HTML §9.2). A client that does not read is cut off by the connection's write deadline; one that is too
//! slow for the changes is told so, and its watch ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use control_core::{Code, Problem};
use futures_util::stream::{self, Stream, StreamExt};

use super::failure::{Failure, view};
use crate::app::{Told, Watching};

/// Watches at a time.
const WATCHES: usize = 128;

/// Between two signs of life. Shorter than what a client takes for a broken connection.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// One watch, counted until dropped.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let room = |count| (count < WATCHES).then_some(count + 1);
        COUNT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers with everything that the watch tells, until the client goes or the daemon ends.
pub(super) fn answer(watching: Watching, ending: crate::server::Ending) -> Response {
    let Some(place) = Place::take() else { return full() };
    let state = Some((watching, Arc::new(place), ending, Vec::new().into_iter()));
    let events = stream::unfold(state, |state| async move {
        let (mut watching, place, mut ending, mut told) = state?;
        loop {
            if let Some(next) = told.next() {
                return Some((Ok::<_, Infallible>(event(&next)), Some((watching, place, ending, told))));
            }
            let next = tokio::select! {
                next = watching.next() => next,
                () = ending.begins() => return None,
            };
            match next {
                Ok(more) if more.is_empty() => return None,
                Ok(more) => told = more.into_iter(),
                Err(too_old) => {
                    let problem = Problem::from(too_old);
                    let last = Event::default().event("error").data(view(&problem).to_string());
                    return Some((Ok(last), None));
                }
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)).into_response()
}

/// Answers with these events, until they or the daemon end.
pub(super) fn follow(
    events: impl Stream<Item = Event> + Send + 'static,
    mut ending: crate::server::Ending,
) -> Response {
    let Some(place) = Place::take() else { return full() };
    let events = events.map(move |event| {
        // It is given back with the stream.
        _ = &place;
        Ok::<_, Infallible>(event)
    });
    let events = events.take_until(Box::pin(async move { ending.begins().await }));
    Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)).into_response()
}

fn full() -> Response {
    let detail = format!("there are {WATCHES} watches already, which is the most; end one first");
    Failure::from(Problem::new(Code::TooManyWatches, detail)).into_response()
}

fn event(told: &Told) -> Event {
    let event = Event::default().event(told.event).data(told.data.to_string());
    match told.revision {
        Some(revision) => event.id(revision.to_string()),
        None => event,
    }
}
