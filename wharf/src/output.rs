//! What commands print on stdout: tables for people, JSON for scripts.
//!
//! Everything is written by fallible calls, so that a closed pipe ends the command instead of a panic.

pub(crate) mod chart;
pub(crate) mod picture;

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use comfy_table::{Attribute, Cell, Color as CellColor, Table as Grid};
use serde_json::Value;

/// The form of a command's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences for people.
    #[default]
    Table,
    /// JSON for scripts: `list` and `sessions` print an array of items, all else prints what the API answered.
    Json,
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Makes it the choice of everything this process prints from here on.
    pub(crate) fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// Prints `value`, indented.
pub(crate) fn json(value: &Value) -> io::Result<()> {
    line(format_args!("{value:#}"))
}

/// Prints one line.
pub(crate) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(anstream::stdout().lock(), "{text}")
}

/// Says something beside the output. A closed stderr leaves nobody to tell.
pub(crate) fn note(text: impl std::fmt::Display) {
    _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Rows under headings, without borders, one line a row whatever the terminal's width: made to be read and to be cut.
pub(crate) struct Table(Grid);

impl Table {
    /// An empty table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        let mut grid = Self::plain();
        grid.set_header(headings.map(|h| Cell::new(h).add_attribute(Attribute::Bold)));
        Self(grid)
    }

    /// A table of names and values, for one thing.
    pub(crate) fn properties() -> Self {
        Self(Self::plain())
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) -> &mut Self {
        self.0.add_row(cells);
        self
    }

    /// Adds a named value.
    pub(crate) fn property(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.row([Cell::new(name).add_attribute(Attribute::Bold), Cell::new(value)])
    }

    /// Adds a named value if there is one.
    pub(crate) fn property_if(&mut self, name: &str, value: Option<impl std::fmt::Display>) -> &mut Self {
        match value {
            Some(value) => self.property(name, value),
            None => self,
        }
    }

    /// Prints it.
    pub(crate) fn print(&self) -> io::Result<()> {
        line(self.text())
    }

    /// Its lines, styled; [`anstream`] takes the styles out where they do not belong.
    pub(crate) fn text(&self) -> String {
        let mut grid = self.0.clone();
        grid.column_iter_mut().for_each(|column| {
            column.set_padding((0, 2));
        });
        grid.trim_fmt()
    }

    fn plain() -> Grid {
        let mut grid = Grid::new();
        grid.load_style(comfy_table::presets::NOTHING).enforce_styling();
        // Padding that carries a style would survive as trailing blanks.
        grid.style_text_only();
        grid
    }
}

/// A cell of text or numbers.
pub(crate) fn cell(value: impl std::fmt::Display) -> Cell {
    Cell::new(value)
}

/// A cell for a resource's state: what is well is green.
pub(crate) fn state(state: &str) -> Cell {
    let color = match state {
        "ready" | "succeeded" => CellColor::Green,
        "gone" | "failed" | "revoked" => CellColor::Red,
        "idle" | "warm" | "approved" => CellColor::Reset,
        _ => CellColor::Yellow,
    };
    Cell::new(state).fg(color)
}

/// A cell for a list; a dash when it is empty, so that columns can be counted.
pub(crate) fn list(items: &[String]) -> Cell {
    Cell::new(joined(items))
}

/// Items with commas, or a dash.
pub(crate) fn joined(items: &[String]) -> String {
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
}

/// Items with commas, if there are any.
pub(crate) fn some_joined(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| joined(items))
}

/// A time in the unit that reads best.
pub(crate) fn seconds(s: f64) -> String {
    let whole = Duration::try_from_secs_f64(s).unwrap_or_default().as_secs();
    match whole {
        0..10 => format!("{s:.1}s"),
        10..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

/// A moment, in UTC; a dash for one that no calendar has.
pub(crate) fn time(at: Option<SystemTime>) -> String {
    of_calendar(at).map_or_else(|| "-".to_owned(), |at| humantime::format_rfc3339_seconds(at).to_string())
}

/// The same to the millisecond.
pub(crate) fn exact_time(at: Option<SystemTime>) -> String {
    of_calendar(at).map_or_else(|| "-".to_owned(), |at| humantime::format_rfc3339_millis(at).to_string())
}

fn of_calendar(at: Option<SystemTime>) -> Option<SystemTime> {
    // The year 9999 ends there.
    at.filter(|at| *at <= SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799))
}

/// A number of bytes in the unit that reads best.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let Some(steps) = n.checked_ilog2().map(|bits| bits / 10).filter(|&steps| steps > 0) else {
        return format!("{n} B");
    };
    let tenths = (u128::from(n) * 10) >> (10 * steps);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[steps as usize - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_no_trailing_blanks_and_one_line_a_row() {
        let mut table = Table::new(["NAME", "STATE"]);
        table.row([cell("orders"), state("ready")]).row([cell("b"), state("creating")]);
        let plain = anstream::adapter::strip_str(&table.text()).to_string();
        let lines: Vec<&str> = plain.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|l| l.trim_end() == *l), "{lines:?}");
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["orders", "ready"]);
    }

    #[test]
    fn times_and_sizes_read_well() {
        let times = [(0.0, "0.0s"), (9.94, "9.9s"), (59.0, "59s"), (61.0, "1m01s"), (7440.0, "2h04m")];
        for (s, text) in times {
            assert_eq!(seconds(s), text);
        }
        let after = |s| time(SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(s)));
        assert_eq!(after(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(after(253_402_300_799), "9999-12-31T23:59:59Z");
        assert_eq!((after(253_402_300_800), after(u64::MAX)), ("-".into(), "-".into()));
        let sizes =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (u64::MAX, "15.9 EiB")];
        for (n, text) in sizes {
            assert_eq!(bytes(n), text);
        }
    }
}
