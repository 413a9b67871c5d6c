//! Bodies with code in them: long, and few at a time.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_LENGTH;
use control_core::{Code, Problem};
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use super::call::call;
use super::extract::{BODY_BYTES, Room, from_json, json_body};
use super::failure::Failure;
use crate::app::{App, Call};

/// A caller who may change something, with a body that may have code in it.
pub(super) struct Upload<T> {
    pub(super) call: Call,
    pub(super) body: T,
    /// Its share of the memory for such bodies.
    _share: Option<OwnedSemaphorePermit>,
}

/// Longest body with code in it: the longest archive in base64, and what goes with any function. Bytes.
const UPLOAD_BYTES: usize = 72 << 20;

const _: () = assert!(UPLOAD_BYTES as u64 > sandbox::limits::ARCHIVE_BYTES * 4 / 3 + BODY_BYTES as u64);

/// Such a body has to arrive within this time, after it has had to wait for others as long.
const UPLOAD_TIME: Duration = Duration::from_secs(60);

impl<T: DeserializeOwned + Send + 'static> FromRequest<App> for Upload<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        // Who may not do it is not listened to.
        call(&parts, None)?;
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: usize| length <= BODY_BYTES) {
            let bytes = json_body(&parts.headers, body, Room::USUAL).await?;
            return Ok(Self { call: call(&parts, Some(&bytes))?, body: from_json(&bytes)?, _share: None });
        }
        let share = tokio::time::timeout(UPLOAD_TIME, app.upload()).await.map_err(|_| too_many())?;
        let bytes = json_body(&parts.headers, body, Room { bytes: UPLOAD_BYTES, time: UPLOAD_TIME }).await?;
        // Megabytes take a while to be read.
        let read = tokio::task::spawn_blocking(move || {
            let call = call(&parts, Some(&bytes))?;
            Ok::<_, Problem>((call, from_json(&bytes)?))
        });
        let (call, body) = read
            .await
            .map_err(|error| Problem::new(Code::Internal, format!("the operation broke off: {error}")))??;
        Ok(Self { call, body, _share: Some(share) })
    }
}

fn too_many() -> Problem {
    Problem::new(Code::TooManyRequests, "as much code is being sent as there may be; try again later")
}
