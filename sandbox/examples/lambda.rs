//! A function written with AWS's Rust client, which the tests of the runtime API start as a `bootstrap`.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(handler)).await
}

/// Fails for `null`, and answers everything else with what it knows.
async fn handler(event: LambdaEvent<Value>) -> Result<Value, Error> {
    if event.payload.is_null() {
        return Err("nothing to do".into());
    }
    Ok(json!([event.payload, event.context.request_id, event.context.env_config.function_name]))
}
