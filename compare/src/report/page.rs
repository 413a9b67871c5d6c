//! A page of Markdown: medians with their spread, ratios, what is missing, and the settings.

use std::fmt::Write;

use serde_json::Value;

use super::number::short;
use crate::metric::{Better, Metric};
use crate::result::Results;
use crate::subject::Subject;

/// The page.
pub fn page(results: &Results) -> String {
    let setting =
        |name: &str| results.settings.get(name).and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let mut page = String::from("# Results of the comparison\n\n");
    let _ = write!(
        page,
        "Written by `{}` on {}, at commit `{}`. How it is measured: [README](README.md). All numbers and settings:\n\
         [results.json](results.json).\n\n![Medians as bars, spread as lines](results.svg)\n\n",
        setting("command"),
        setting("date"),
        setting("commit")
    );
    page += &tables(results);
    page += &missing(results);
    page += &settings(results);
    page
}

/// Both tables, with what they mean.
pub fn tables(results: &Results) -> String {
    let mut text = String::from(
        "## Medians\n\nThe median of all runs, with the least and the greatest. ↑: more is better, ↓: less is better.\n\n",
    );
    text += &table(results, |metric, subject| {
        let summary = results.summary(metric, subject)?;
        let (median, min, max) = (short(summary.median), short(summary.min), short(summary.max));
        Some(if summary.runs == 1 { median } else { format!("{median} ({min}–{max})") })
    });
    text += "\n## Wharf ÷ the others\n\nThe quotient of the medians. Bold where Wharf is better.\n\n";
    text += &table(results, |metric, subject| {
        let ratio = results.ratio(metric, subject).filter(|_| subject != "wharf")?;
        let wins = match metric.better() {
            Better::Higher => ratio > 1.0,
            Better::Lower => ratio < 1.0,
        };
        // Two decimals say nothing of what is a hundred times as good.
        let shown = if ratio < 0.1 { short(ratio) } else { format!("{ratio:.2}") };
        Some(if wins { format!("**{shown}**") } else { shown })
    });
    text
}

/// Metrics as rows and subjects as columns.
fn table(results: &Results, cell: impl Fn(Metric, &str) -> Option<String>) -> String {
    let columns = columns(results);
    let mut text =
        format!("| metric | {} |\n| --- |{}\n", columns.join(" | "), " --- |".repeat(columns.len()));
    for metric in results.metrics() {
        let arrow = if metric.better() == Better::Higher { '↑' } else { '↓' };
        let cells: Vec<_> =
            columns.iter().map(|subject| cell(metric, subject).unwrap_or_else(|| "–".into())).collect();
        let _ = writeln!(text, "| {} {arrow} | {} |", metric.title(), cells.join(" | "));
    }
    text
}

/// Subjects with values or with a reason for having none, the well-known ones first.
fn columns(results: &Results) -> Vec<&'static str> {
    let mut found: Vec<&'static str> =
        results.metrics().into_iter().flat_map(|m| results.subjects(m)).collect();
    found.extend(results.absentees().iter().map(|absent| absent.subject));
    let place = |name: &str| Subject::ALL.iter().position(|s| s.name() == name).unwrap_or(Subject::ALL.len());
    found.sort_by_key(|name| (place(name), *name));
    found.dedup();
    found
}

fn missing(results: &Results) -> String {
    let mut text = String::from("\n## What is missing\n\n");
    for absent in results.absentees() {
        let of = absent.metric.map_or_else(String::new, |metric| format!(", `{metric}`"));
        let _ = writeln!(text, "- {}{of}: {}", absent.subject, absent.reason);
    }
    for refused in results.refusals() {
        let metrics = refused.metrics.join("`, `");
        let _ = writeln!(
            text,
            "- {}, `{metrics}`, run {} refused: {}",
            refused.subject, refused.round, refused.reason
        );
    }
    if results.absentees().is_empty() && results.refusals().is_empty() {
        text += "Nothing: every run counted.\n";
    }
    text
}

fn settings(results: &Results) -> String {
    let mut text = String::from("\n## Settings\n\n| setting | value |\n| --- | --- |\n");
    let mut row = |name: &str, value: &Value| {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let _ = writeln!(text, "| {name} | {} |", value.replace('|', "\\|"));
    };
    for (name, value) in &results.settings {
        match value {
            Value::Object(inner) if name == "machine" || name == "versions" || name == "subjects" => {
                inner.iter().for_each(|(part, value)| row(&format!("{name}: {part}"), value));
            }
            Value::Object(inner) if name == "devices" => {
                for (subject, ends) in inner {
                    let ends = ends.as_object().into_iter().flatten();
                    let ends: Vec<_> = ends.map(|(end, look)| device(end, look)).collect();
                    row(&format!("devices: {subject}"), &ends.join("; ").into());
                }
            }
            _ => row(name, value),
        }
    }
    text
}

/// A device in a few words.
fn device(end: &str, look: &Value) -> String {
    let on = look["offloads"].as_object().into_iter().flatten().filter(|(_, on)| **on == Value::Bool(true));
    let on: Vec<_> = on.map(|(name, _)| name.as_str()).collect();
    let offloads = if on.is_empty() { "no offloads".to_owned() } else { on.join(", ") };
    let word = |name: &str| look[name].as_str().unwrap_or("?").to_owned();
    format!(
        "{end}: {}, MTU {}, txqueuelen {}, {}, {offloads}",
        word("kind"),
        look["mtu"],
        look["txqueuelen"],
        word("qdisc")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Results {
        let mut results = Results::default();
        results.settings.insert("command".into(), "compare --only a|b".into());
        for value in [20.0, 30.0, 22.0] {
            results.add(Metric::TcpUp, "nft", value);
            results.add(Metric::TcpUp, "wharf", value + 5.0);
            results.add(Metric::RttMedian, "wharf", value);
        }
        results.add(Metric::AttachToFirstByte, "cni", 80.5);
        results.add(Metric::AttachMedian, "wharf", 300.0);
        results.add(Metric::AttachMedian, "cni", 60_000.0);
        results.absent("ovs", None, &"ovs-vswitchd is missing");
        results.refuse("nft", &[Metric::RttMedian, Metric::RttTail], 2, &"wrong bytes");
        results
    }

    #[test]
    fn the_tables_have_median_spread_and_ratio_of_every_subject() {
        let text = tables(&some());
        for expected in [
            "| metric | wharf | nft | ovs | cni |",
            "| TCP, one stream up, Gbit/s ↑ | 27.0 (25.0–35.0) | 22.0 (20.0–30.0) | – | – |",
            "| Request latency, p50, µs ↓ | 22.0 (20.0–30.0) | – | – | – |",
            "| Attach to first byte, ms ↓ | – | – | – | 80.5 |",
            "| TCP, one stream up, Gbit/s ↑ | – | **1.23** | – | – |",
            "| Attach, asked to live, p50, µs ↓ | – | – | – | **0.00500** |",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected} in\n{text}");
        }
    }

    #[test]
    fn the_page_says_what_is_missing_and_why() {
        let page = page(&some());
        for expected in [
            "- ovs: ovs-vswitchd is missing",
            "- nft, `rtt_p50_us`, `rtt_p99_us`, run 2 refused: wrong bytes",
            "| command | compare --only a\\|b |",
        ] {
            assert!(page.lines().any(|line| line == expected), "{expected} in\n{page}");
        }
    }
}
