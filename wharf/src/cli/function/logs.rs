//! `wharf function logs`: what a function has written.

use std::time::{Duration, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::resource;
use crate::client::{Client, ClientError, Problem, escaped};
use crate::failure::{Exit, Failure};
use crate::output::{self, Format};

pub(super) const EXAMPLES: &str = "\
Examples:
  wharf function logs users                   the last lines
  wharf function logs users -f                and those that follow; Ctrl-C ends
  wharf function logs users --tail 1000 -o json | jq -r '.[] | select(.stream == \"stderr\").text'
  wharf function logs users -f -o json        an object a line";

const FAINT: Style = Style::new().dimmed();
const ERROR: Style = AnsiColor::Red.on_default();

/// `wharf function logs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Logs {
    /// The function's name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// Go on with the lines that follow
    #[arg(short, long)]
    follow: bool,
    /// Begin with at most this many lines of before
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    tail: u16,
}

/// A line as the API shows it.
#[derive(Deserialize)]
struct Line {
    at_ms: u64,
    environment: String,
    stream: String,
    text: String,
}

impl Logs {
    pub(crate) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let path = format!("/v1/functions/{}/logs?tail={}", escaped(&self.name), self.tail);
        if self.follow {
            return follow(client, &path, format).await;
        }
        let items = resource::items(client.get(&path).await?);
        if format == Format::Json {
            return Ok(output::json(&items)?);
        }
        for line in resource::read::<Vec<Line>>(items)? {
            output::line(line.styled())?;
        }
        Ok(())
    }
}

async fn follow(client: &Client, path: &str, format: Format) -> Result<(), Failure> {
    let mut events = client.follow(&format!("{path}&follow=true")).await?;
    while let Some(event) = events.next().await? {
        let data: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
        match &*event.name {
            "line" if format == Format::Json => output::line(&data)?,
            "line" => output::line(resource::read::<Line>(data)?.styled())?,
            "lost" => output::note(format_args!("{} lines came too fast and are left out", data["lines"])),
            "error" => {
                let problem: Problem = serde_json::from_value(data).unwrap_or_default();
                return Err(ClientError::Refused(Box::new(problem)).into());
            }
            _ => {}
        }
    }
    Err(Failure::new(Exit::Failed, "the daemon ended the log: it stops, or the function is deleted"))
}

impl Line {
    /// When, where, and what. A function's own styles stay, as it may be one that colours its log.
    fn styled(&self) -> String {
        let at = output::exact_time(UNIX_EPOCH.checked_add(Duration::from_millis(self.at_ms)));
        let style = match &*self.stream {
            "stderr" => ERROR,
            "platform" => FAINT,
            _ => Style::new(),
        };
        format!("{FAINT}{at} {}{FAINT:#} {style}{}{style:#}", self.environment, shown(&self.text))
    }
}

/// Text without what could do more to a terminal than to colour a line.
fn shown(text: &str) -> String {
    let allowed = |c: &char| !c.is_control() || matches!(c, '\t' | '\x1b');
    text.chars().filter(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_where_and_what() {
        let line = |stream: &str, text: &str| Line {
            at_ms: 1_700_000_000_123,
            environment: "7".into(),
            stream: stream.into(),
            text: text.into(),
        };
        let plain = |line: &Line| anstream::adapter::strip_str(&line.styled()).to_string();
        assert_eq!(plain(&line("stdout", "hello")), "2023-11-14T22:13:20.123Z 7 hello");
        assert_eq!(plain(&line("stderr", "a\r\x07b")), "2023-11-14T22:13:20.123Z 7 ab");
        let never = Line { at_ms: u64::MAX, ..line("platform", "END") };
        assert!(plain(&never).ends_with(" 7 END"));
    }
}
