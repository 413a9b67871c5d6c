//! What took how long, as bars one below the other.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use anstyle::{AnsiColor, Style};
use serde::Deserialize;
use terminal_size::{Width, terminal_size_of};

/// Something that took time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Span {
    /// What it was.
    pub(crate) name: String,
    /// When it began. Microseconds after the first thing.
    pub(crate) start_us: u64,
    /// How long it took. Microseconds.
    pub(crate) duration_us: u64,
}

/// Which characters can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glyphs {
    /// Blocks, to an eighth of a column.
    Unicode,
    /// Whole columns.
    Ascii,
}

/// How a chart is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chart {
    glyphs: Glyphs,
    /// Columns of a line.
    columns: usize,
}

const NAME: Style = Style::new().bold();
const BAR: Style = AnsiColor::Cyan.on_default();
const FAINT: Style = Style::new().dimmed();

/// Columns of a line, where there is no terminal to ask.
const COLUMNS: usize = 80;

/// Columns of bars at least, however narrow the terminal is.
const BAR_COLUMNS: usize = 10;

/// Columns of times.
const TIME_COLUMNS: usize = 10;

/// Blocks that fill a column from the left, by eighths.
const EIGHTHS: [char; 8] = ['█', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

impl Chart {
    /// One of these characters, so many columns wide.
    pub(crate) const fn new(glyphs: Glyphs, columns: usize) -> Self {
        Self { glyphs, columns }
    }

    /// As stderr can show it.
    pub(crate) fn of_stderr() -> Self {
        Self::on(
            io::stderr().is_terminal(),
            terminal_size_of(io::stderr()).map(|(Width(columns), _)| columns),
        )
    }

    /// As stdout can show it.
    pub(crate) fn of_stdout() -> Self {
        Self::on(
            io::stdout().is_terminal(),
            terminal_size_of(io::stdout()).map(|(Width(columns), _)| columns),
        )
    }

    /// The same, with so many columns left for others.
    #[cfg(feature = "demo")]
    pub(crate) const fn narrower(self, columns: usize) -> Self {
        Self { columns: self.columns.saturating_sub(columns), ..self }
    }

    fn on(is_terminal: bool, columns: Option<u16>) -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
        let is_utf8 = locale.is_empty() || locale.contains("utf-8") || locale.contains("utf8");
        let glyphs = if is_terminal && is_utf8 { Glyphs::Unicode } else { Glyphs::Ascii };
        Self::new(glyphs, columns.map_or(COLUMNS, usize::from))
    }

    /// A line for each span and one for all of them, styled; [`anstream`] takes the styles out where they do not belong. Empty without
    /// spans.
    pub(crate) fn text(self, spans: &[Span]) -> String {
        let end = |span: &Span| span.start_us.saturating_add(span.duration_us);
        let Some(total) = spans.iter().map(end).max() else { return String::new() };
        let names =
            spans.iter().map(|span| span.name.chars().count()).max().unwrap_or_default().max("total".len());
        let bars = self.columns.saturating_sub(names + TIME_COLUMNS + 4).max(BAR_COLUMNS);
        let mut text = String::new();
        for span in spans {
            let bar = self.bar(span, total, bars);
            let blank = " ".repeat(bars - bar.chars().count());
            let (name, time) = (&span.name, duration(span.duration_us));
            _ = writeln!(
                text,
                "{NAME}{name:<names$}{NAME:#}  {BAR}{bar}{BAR:#}{blank}  {time:>TIME_COLUMNS$}"
            );
        }
        let (time, blank) = (duration(total), " ".repeat(bars));
        _ = write!(text, "{FAINT}{:<names$}  {blank}  {time:>TIME_COLUMNS$}{FAINT:#}", "total");
        text
    }

    /// Blanks up to where it begins, and a bar as long as it took; of what took next to nothing, the least that can be seen.
    fn bar(self, span: &Span, total: u64, columns: usize) -> String {
        let parts = match self.glyphs {
            Glyphs::Unicode => 8,
            Glyphs::Ascii => 1,
        };
        let scale = |us: u64| {
            let all = (columns * parts) as u128;
            (u128::from(us) * all / u128::from(total.max(1))) as usize
        };
        // A block begins at a column; only its end is finer.
        let start = (scale(span.start_us) / parts).min(columns - 1);
        let end = scale(span.start_us.saturating_add(span.duration_us)).max(start * parts + 1);
        let length = end - start * parts;
        let mut bar = " ".repeat(start);
        match self.glyphs {
            Glyphs::Ascii => bar.extend(std::iter::repeat_n('#', length)),
            Glyphs::Unicode => {
                bar.extend(std::iter::repeat_n(EIGHTHS[0], length / parts));
                bar.extend(Some(EIGHTHS[length % parts]).filter(|_| length % parts > 0));
            }
        }
        bar
    }
}

/// A short time in the unit that reads best.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{:02} ms", us / 1_000, us / 10 % 100),
        _ => format!("{}.{:02} s", us / 1_000_000, us / 10_000 % 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(name: &str, start_us: u64, duration_us: u64) -> Span {
        Span { name: name.into(), start_us, duration_us }
    }

    fn plain(glyphs: Glyphs, columns: usize, spans: &[Span]) -> Vec<String> {
        let text = Chart::new(glyphs, columns).text(spans);
        anstream::adapter::strip_str(&text).to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn bars_begin_and_end_where_their_times_do() {
        let spans =
            [span("mount", 0, 250), span("load", 250, 500), span("nothing", 999, 0), span("all", 0, 1_000)];
        assert_eq!(
            plain(Glyphs::Ascii, 41, &spans),
            [
                "mount    #####                     250 µs",
                "load          ##########           500 µs",
                "nothing                     #        0 µs",
                "all      ####################     1.00 ms",
                "total                             1.00 ms",
            ]
        );
        let blocks = plain(Glyphs::Unicode, 41, &[span("a", 0, 1_000), span("b", 500, 33)]);
        assert!(blocks[0].contains(&"█".repeat(22)) && blocks[1].contains(" ▋ "), "{blocks:?}");
    }

    #[test]
    fn every_line_is_as_wide_as_the_others_whatever_the_times_are() {
        let widest = [span("a", 0, u64::MAX), span("b", u64::MAX, u64::MAX), span("c", u64::MAX - 1, 0)];
        for columns in [0, 1, 20, 80, 300] {
            for glyphs in [Glyphs::Unicode, Glyphs::Ascii] {
                for spans in [&widest[..], &[span("only", 0, 0)]] {
                    let lines = plain(glyphs, columns, spans);
                    let width = lines[0].trim_end().chars().count();
                    assert!(lines.iter().all(|line| line.chars().count() <= width.max(columns)), "{lines:?}");
                    assert_eq!(lines.len(), spans.len() + 1);
                }
            }
        }
        assert_eq!(Chart::new(Glyphs::Ascii, 80).text(&[]), "");
    }

    #[test]
    fn times_read_well() {
        for (us, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_234, "1.23 ms"),
            (999_999, "999.99 ms"),
            (61_500_000, "61.50 s"),
        ] {
            assert_eq!(duration(us), text);
        }
    }
}
