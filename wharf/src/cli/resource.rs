//! What resources have in common: list, show, delete, and how an addition or a change is told.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::mutation::{Creation, Mutation, done};
use crate::client::{Client, ClientError, Run, escaped};
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

    /// Its name.
    fn name(&self) -> &str;

    /// What it is, in one line.
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
    #[command(flatten)]
    mutation: Mutation,
}

/// Largest page that the API gives.
const PAGE: usize = 1000;

/// Makes one from `body`.
pub(super) async fn add<R: Resource>(
    client: &mut Client,
    format: Format,
    body: &Value,
    creation: &Creation,
) -> Result<(), Failure> {
    let run = creation.mutation.run();
    let made = client.create(R::PATH, body, &creation.key()?, run).await?;
    tell::<R>(made, format, run, "added")
}

/// Prints one to which something has happened.
pub(super) fn tell<R: Resource>(
    answer: Value,
    format: Format,
    run: Run,
    participle: &str,
) -> Result<(), Failure> {
    if format == Format::Json {
        return Ok(output::json(&answer)?);
    }
    let it = read::<R>(answer)?;
    let (kind, done) = (R::KIND, done(run, participle));
    Ok(output::line(format_args!("{kind} {} {done}: {}", it.name(), it.summary()))?)
}

/// Prints all of them.
pub(super) async fn list<R: Resource>(client: &mut Client, format: Format) -> Result<(), Failure> {
    let items = all(client, R::PATH).await?;
    print::<R>(items, format)
}

/// Prints these.
pub(super) fn print<R: Resource>(items: Value, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => output::json(&items)?,
        Format::Table => R::table(&read::<Vec<R>>(items)?).print()?,
    }
    Ok(())
}

/// Follows the pages to the end.
async fn all(client: &mut Client, path: &str) -> Result<Value, ClientError> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let mut page = client.get(&format!("{path}?limit={PAGE}{next}")).await?;
        if let Some(Value::Array(items)) = page.get_mut("items") {
            all.append(items);
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={}", escaped(cursor)),
            None => return Ok(all.into()),
        }
    }
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
    let run = names.mutation.run();
    for name in &names.names {
        match client.delete(&path::<R>(name), run).await {
            Ok(_) if format == Format::Table => {
                output::line(format_args!("{} {name} {}", R::KIND, done(run, "deleted")))?;
            }
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

/// The same of a list, which was not given if it is empty.
pub(super) fn set_list<T: Serialize>(body: &mut Value, field: &str, values: &[T]) {
    set(body, field, Some(values).filter(|values| !values.is_empty()));
}

pub(super) fn path<R: Resource>(name: &str) -> String {
    format!("{}/{}", R::PATH, escaped(name))
}
