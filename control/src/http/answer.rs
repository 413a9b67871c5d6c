//! Answers that resources have in common.

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Several of a kind.
#[derive(Serialize, ToSchema)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
}

/// A resource that was just created, and where it is.
pub(crate) struct Created<T> {
    pub(crate) path: String,
    pub(crate) view: T,
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let location = HeaderValue::from_str(&self.path).expect("names of resources fit a path");
        (StatusCode::CREATED, [(LOCATION, location)], Json(self.view)).into_response()
    }
}
