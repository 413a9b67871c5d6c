//! What vpcs, connectors and containers have in common: list, show, delete, and how an addition is told.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{Client, ClientError, escaped};
use crate::failure::{Exit, Failure};
use crate::output::{self, Format, Table};

/// A resource as the command line shows it.
pub(super) trait Resource: DeserializeOwned {
    /// What one is called.
    const KIND: &'static str;
    /// Where the API keeps them.
    const PATH: &'static str;

    /// Rows for all of them.
    fn table(items: &[Self]) -> Table;

    /// Everything about one.
    fn properties(&self) -> Table;

    /// One line that says what was made.
    fn summary(&self) -> String;
}

/// The name of a resource, on the command line.
#[derive(Debug, clap::Args)]
pub(super) struct Name {
    /// Its name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
}

/// Names of resources, on the command line.
#[derive(Debug, clap::Args)]
pub(super) struct Names {
    /// Names of those to delete
    #[arg(required = true, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    names: Vec<String>,
}

/// Makes one from `body`.
pub(super) async fn add<R: Resource>(
    client: &mut Client,
    format: Format,
    body: &Value,
) -> Result<(), Failure> {
    let made = client.post(R::PATH, body).await?;
    match format {
        Format::Json => output::json(&made)?,
        Format::Table => output::line(read::<R>(made)?.summary())?,
    }
    Ok(())
}

/// Prints all of them.
pub(super) async fn list<R: Resource>(client: &mut Client, format: Format) -> Result<(), Failure> {
    let items = items(client.get(R::PATH).await?);
    match format {
        Format::Json => output::json(&items)?,
        Format::Table => R::table(&read::<Vec<R>>(items)?).print()?,
    }
    Ok(())
}

/// Prints one.
pub(super) async fn show<R: Resource>(
    client: &mut Client,
    format: Format,
    name: &Name,
) -> Result<(), Failure> {
    let found = client.get(&path::<R>(&name.name)).await?;
    match format {
        Format::Json => output::json(&found)?,
        Format::Table => read::<R>(found)?.properties().print()?,
    }
    Ok(())
}

/// Deletes all of `names` that can be deleted; ends like the last one that could not.
pub(super) async fn delete<R: Resource>(
    client: &mut Client,
    format: Format,
    names: &Names,
) -> Result<(), Failure> {
    let mut failed: Option<Failure> = None;
    for name in &names.names {
        match client.delete(&path::<R>(name)).await {
            Ok(_) if format == Format::Table => output::line(format_args!("{} {name} deleted", R::KIND))?,
            Ok(_) => {}
            Err(e @ ClientError::Refused(_)) => {
                if let Some(earlier) = failed.replace(e.into()) {
                    earlier.report();
                }
            }
            Err(e) => return Err(e.into()),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The items of a list's body.
pub(super) fn items(mut body: Value) -> Value {
    body.get_mut("items").map_or(Value::Array(Vec::new()), Value::take)
}

/// The part of an answer that is shown.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|e| {
        Failure::new(Exit::Failed, format_args!("the daemon's answer is not what this version expects: {e}"))
            .hint("use -o json to see it, and the same version of daemon and command line")
    })
}

/// Sets a field of a request's body if there is a value; the daemon's default holds otherwise.
pub(super) fn set(body: &mut Value, field: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        body[field] = serde_json::to_value(value).expect("flags are plain values");
    }
}

fn path<R: Resource>(name: &str) -> String {
    format!("{}/{}", R::PATH, escaped(name))
}
