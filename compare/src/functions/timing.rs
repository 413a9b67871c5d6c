//! What the header `server-timing` of an answer says.

use std::time::Duration;

/// A part of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What was going on.
    pub name: String,
    /// When it began, after the trigger.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
}

/// All of them. What is written in another way than the daemon does is left out.
pub fn spans(header: &str) -> Vec<Span> {
    header.split(", ").filter_map(span).collect()
}

/// `mount;dur=0.126;desc="at 1.250"`, both in milliseconds.
fn span(entry: &str) -> Option<Span> {
    let mut parts = entry.split(';');
    let name = parts.next()?.trim().to_owned();
    let (mut took, mut at) = (None, None);
    for part in parts {
        match part.trim().split_once('=')? {
            ("dur", number) => took = milliseconds(number),
            ("desc", text) => at = milliseconds(text.trim_matches('"').strip_prefix("at ")?),
            _ => {}
        }
    }
    Some(Span { name, at: at?, took: took? })
}

fn milliseconds(number: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? / 1e3).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_their_beginning_and_their_length() {
        let header = "queue;dur=0.210;desc=\"at 0.000\", mount;dur=0.126;desc=\"at 1.250\", odd;dur=x, total";
        let us = Duration::from_micros;
        let span = |name: &str, at, took| Span { name: name.into(), at: us(at), took: us(took) };
        assert_eq!(spans(header), [span("queue", 0, 210), span("mount", 1_250, 126)]);
        assert_eq!(spans(""), []);
    }
}
