//! How the demo looks: a picture, headings, steps with a mark and a time. Colour and line drawing for a terminal, plain
//! ASCII for everything else.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

use crate::output::Table;
use crate::output::chart::{Chart, Span};

const HEADING: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// How far text is indented. Columns.
const INDENT: usize = 4;

/// Where the times of the steps begin. Columns.
const TIMES: usize = 66;

/// Where the demo is shown.
pub(super) struct Screen {
    glyphs: Glyphs,
}

/// Which characters can be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Glyphs {
    Unicode,
    Ascii,
}

/// A step that has begun.
pub(super) struct Step<'a> {
    screen: &'a Screen,
    begun: Instant,
}

impl Screen {
    /// Stdout, as it is.
    pub(super) fn of_stdout() -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|v| std::env::var(v).ok().filter(|l| !l.is_empty()));
        let unicode = io::stdout().is_terminal() && locale.is_none_or(|l| is_utf8(&l));
        Self { glyphs: if unicode { Glyphs::Unicode } else { Glyphs::Ascii } }
    }

    /// What the demo is about.
    pub(super) fn picture(&self, title: &str, picture: &str) -> io::Result<()> {
        self.line(format_args!("{HEADING}{title}{HEADING:#}"))?;
        self.line(picture)
    }

    /// Begins a part.
    pub(super) fn heading(&self, text: &str) -> io::Result<()> {
        self.line(format_args!("\n{HEADING}{text}{HEADING:#}"))
    }

    /// Begins a step; its time runs from here.
    pub(super) fn step(&self) -> Step<'_> {
        Step { screen: self, begun: Instant::now() }
    }

    /// More about the step before.
    pub(super) fn detail(&self, text: impl Display) -> io::Result<()> {
        self.line(format_args!("      {FAINT}{text}{FAINT:#}"))
    }

    /// What goes with something that is on the screen by itself.
    pub(super) fn aside(&self, text: &str) -> io::Result<()> {
        self.line(format_args!("{:INDENT$}{FAINT}{text}{FAINT:#}", ""))
    }

    /// An empty line.
    pub(super) fn blank(&self) -> io::Result<()> {
        self.line("")
    }

    /// What took how long, as bars.
    pub(super) fn chart(&self, spans: &[Span]) -> io::Result<()> {
        self.text(Chart::of_stdout().narrower(INDENT).text(spans))
    }

    /// A table, indented.
    pub(super) fn table(&self, table: &Table) -> io::Result<()> {
        self.text(table.text())
    }

    /// Lines, indented.
    pub(super) fn text(&self, text: impl Display) -> io::Result<()> {
        text.to_string().lines().try_for_each(|line| self.line(format_args!("{:INDENT$}{line}", "")))
    }

    /// A check mark, what was done, and `aside` in a column of its own.
    pub(super) fn marked(&self, text: impl Display, aside: impl Display) -> io::Result<()> {
        let text = text.to_string();
        self.line(format_args!("  {GOOD}✓{GOOD:#} {text:<TIMES$} {FAINT}{aside:>8}{FAINT:#}"))
    }

    fn line(&self, text: impl Display) -> io::Result<()> {
        let text = text.to_string();
        let text = if self.glyphs == Glyphs::Ascii { ascii(&text) } else { text };
        let mut out = anstream::stdout().lock();
        writeln!(out, "{}", text.trim_end_matches(' '))?;
        out.flush()
    }
}

impl Step<'_> {
    /// It went well, and this was done.
    pub(super) fn done(self, text: impl Display) -> io::Result<()> {
        let time = duration(self.begun.elapsed());
        self.screen.marked(text, time)
    }
}

/// A time in the unit that reads best.
pub(super) fn duration(time: Duration) -> String {
    match time.as_micros() {
        us @ 0..1_000 => format!("{us} µs"),
        us @ 1_000..10_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        us @ 10_000..1_000_000 => format!("{} ms", us / 1_000),
        us => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

fn is_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The same in ASCII, column by column where columns matter.
fn ascii(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '─' => out.push('-'),
            '│' => out.push('|'),
            '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┼' => out.push('+'),
            '✓' => out.push('*'),
            '→' => out.push_str("->"),
            'µ' => out.push('u'),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_the_demo_draws_has_an_ascii_form() {
        for picture in [crate::demo::network::PICTURE, crate::demo::functions::PICTURE] {
            let drawn = ascii(&format!("{picture} ✓ → {}", duration(Duration::from_micros(5))));
            assert!(drawn.is_ascii(), "{drawn}");
            assert_eq!(ascii(picture).chars().count(), picture.chars().count());
        }
    }

    #[test]
    fn durations_read_well() {
        let cases =
            [(0, "0 µs"), (999, "999 µs"), (1_250, "1.2 ms"), (12_500, "12 ms"), (1_230_000, "1.2 s")];
        for (us, text) in cases {
            assert_eq!(duration(Duration::from_micros(us)), text);
        }
    }

    #[test]
    fn locales_say_whether_they_are_utf8() {
        assert!(is_utf8("en_US.UTF-8") && is_utf8("C.utf8"));
        assert!(!is_utf8("C") && !is_utf8("de_DE.ISO-8859-1"));
    }
}
