//! Parameters that many calls have, as the document describes them. What reads them is in [`super::call`].

use utoipa::IntoParams;

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description only")]
pub(super) struct ForTenant {
    /// The tenant that the local administrator acts for; `default` unless given.
    #[param(rename = "wharf-tenant", pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    tenant: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description only")]
pub(super) struct DryRun {
    /// Check everything that needs no machine, and do nothing.
    dry_run: Option<bool>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description only")]
pub(super) struct IfMatch {
    /// An ETag: refused with 412 if the resource has changed since.
    #[param(rename = "if-match", pattern = "^([*]|[0-9]{1,18}|\"[0-9]{1,18}\")$")]
    etag: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description only")]
pub(super) struct IdempotencyKey {
    /// The same request with the same key is carried out once, for a day.
    #[param(rename = "idempotency-key", pattern = "^[!-~]{1,255}$")]
    key: Option<String>,
}
