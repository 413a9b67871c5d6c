//! The same as bars: one panel a metric, one bar a subject, a line from the least to the greatest. Plain SVG, which needs no
//! library for rectangles and words.

#![expect(clippy::cast_precision_loss, reason = "numbers of rows and columns")]

use std::fmt::Write;

use super::number::short;
use crate::metric::{Better, Metric};
use crate::result::Results;

/// Pixels.
const PANEL_WIDTH: f64 = 460.0;
const LABEL_WIDTH: f64 = 92.0;
const VALUE_WIDTH: f64 = 84.0;
const BAR: f64 = 16.0;
const GAP: f64 = 6.0;
const HEAD: f64 = 34.0;
const MARGIN: f64 = 16.0;
const COLUMNS: usize = 2;

const WHARF: &str = "#1f6feb";
const OTHERS: &str = "#9aa4b2";
const BOUNDS: &str = "#d4c9a8";
const SPREAD: &str = "#24292f";

/// The picture.
pub fn plot(results: &Results) -> String {
    let metrics = results.metrics();
    let rows: Vec<&[Metric]> = metrics.chunks(COLUMNS).collect();
    let mut body = String::new();
    let mut y = MARGIN + 24.0;
    for row in rows {
        for (column, metric) in row.iter().enumerate() {
            let x = MARGIN + column as f64 * (PANEL_WIDTH + MARGIN);
            body += &panel(results, *metric, x, y);
        }
        y += row.iter().map(|metric| height(results, *metric)).fold(0.0, f64::max) + MARGIN;
    }
    let width = MARGIN + COLUMNS as f64 * (PANEL_WIDTH + MARGIN);
    let date = results.settings.get("date").and_then(|date| date.as_str()).unwrap_or_default();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {y}\" width=\"{width}\" height=\"{y}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{MARGIN}\" y=\"{}\" font-size=\"14\">Medians as bars, least to greatest as lines. {}</text>\n{body}</svg>\n",
        MARGIN + 6.0,
        escaped(date),
    )
}

fn height(results: &Results, metric: Metric) -> f64 {
    HEAD + results.subjects(metric).len() as f64 * (BAR + GAP)
}

fn panel(results: &Results, metric: Metric, x: f64, y: f64) -> String {
    let better = if metric.better() == Better::Higher { "more is better" } else { "less is better" };
    let mut text = format!(
        "<text x=\"{x}\" y=\"{}\" font-weight=\"bold\">{}</text>\n<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#57606a\">{better}</text>\n",
        y + 16.0,
        escaped(metric.title()),
        x + PANEL_WIDTH,
        y + 16.0
    );
    let mut rows: Vec<_> = results
        .subjects(metric)
        .into_iter()
        .filter_map(|subject| Some((subject, results.summary(metric, subject)?)))
        .collect();
    rows.sort_by(|(_, a), (_, b)| a.median.total_cmp(&b.median));
    if metric.better() == Better::Higher {
        rows.reverse();
    }
    let most = rows.iter().map(|(_, summary)| summary.max).fold(f64::MIN_POSITIVE, f64::max);
    let scale = (PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH) / most;
    for (nth, (subject, summary)) in rows.iter().enumerate() {
        let top = y + HEAD - 8.0 + nth as f64 * (BAR + GAP);
        let (left, middle) = (x + LABEL_WIDTH, top + BAR / 2.0);
        let [width, from, to] = [summary.median, summary.min, summary.max].map(|value| value * scale);
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{}\"/>\
             <path d=\"M{:.1} {middle:.1}H{:.1}\" stroke=\"{SPREAD}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left - 6.0,
            middle + 4.0,
            escaped(subject),
            color(subject),
            left + from,
            left + to,
            left + to + 6.0,
            middle + 4.0,
            short(summary.median),
        );
    }
    text
}

fn color(subject: &str) -> &'static str {
    match subject {
        "wharf" | "wharf-cold" => WHARF,
        "raw" | "direct" => BOUNDS,
        _ => OTHERS,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_medians_and_the_best_is_on_top() {
        let mut results = Results::default();
        for (subject, value) in [("nft", 10.0), ("wharf", 20.0)] {
            results.add(Metric::TcpUp, subject, value);
            results.add(Metric::RttMedian, subject, value);
        }
        let plot = plot(&results);
        let whole = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH;
        for width in [whole, whole / 2.0] {
            assert_eq!(plot.matches(&format!("width=\"{width:.1}\" height=\"{BAR}\"")).count(), 2, "{plot}");
        }
        let order: Vec<_> = plot.match_indices(">wharf<").chain(plot.match_indices(">nft<")).collect();
        let [wharf_up, wharf_rtt, nft_up, nft_rtt] = order[..] else { panic!("{order:?}") };
        assert!(wharf_up.0 < nft_up.0 && nft_rtt.0 < wharf_rtt.0);
    }
}
