//! Answers that resources have in common.

use axum::Json;
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use control_core::{ConnectorView, ContainerView, FunctionView, PoolView, TenantView, TokenView, VpcView};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{CreatedToken, Slice};

/// A page of a kind.
#[derive(Serialize, ToSchema)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
    /// To watch from: nothing that changed after this page was made is missed.
    pub(crate) revision: u64,
}

/// All of a kind.
#[derive(Serialize, ToSchema)]
pub(crate) struct Items<T> {
    pub(crate) items: Vec<T>,
}

/// A resource that was just created, and where it is.
pub(crate) struct Created<T> {
    pub(crate) path: String,
    pub(crate) view: T,
}

/// A resource, with its ETag.
pub(crate) struct Shown<T>(pub(crate) T);

/// What has an ETag.
pub(crate) trait Tagged {
    /// Counts its changes.
    fn revision(&self) -> u64;
}

macro_rules! tagged {
    ($($view:ty),+) => { $(impl Tagged for $view {
        fn revision(&self) -> u64 {
            self.revision
        }
    })+ };
}

tagged!(VpcView, ConnectorView, ContainerView, FunctionView, PoolView, TenantView, TokenView);

impl Tagged for CreatedToken {
    fn revision(&self) -> u64 {
        self.token.revision
    }
}

impl<T> From<Slice<T>> for List<T> {
    fn from(Slice { items, next, revision }: Slice<T>) -> Self {
        Self { items, next_cursor: next, revision }
    }
}

impl<T: Serialize + Tagged> IntoResponse for Shown<T> {
    fn into_response(self) -> Response {
        ([(ETAG, etag(self.0.revision()))], Json(self.0)).into_response()
    }
}

impl<T: Serialize + Tagged> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let location = HeaderValue::from_str(&self.path).expect("names of resources fit a path");
        let headers = [(LOCATION, location), (ETAG, etag(self.view.revision()))];
        (StatusCode::CREATED, headers, Json(self.view)).into_response()
    }
}

fn etag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).expect("a number fits a header")
}
