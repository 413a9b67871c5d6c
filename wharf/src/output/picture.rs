//! A table that is drawn again and again at one place of a terminal.

use std::io::{self, Write};

use terminal_size::{Height, Width, terminal_size_of};

use super::Table;

/// Draws it over the picture before, cut to the terminal as it is now: what scrolls could not be drawn over.
pub(crate) fn draw(table: &Table) -> io::Result<()> {
    let size = terminal_size_of(io::stdout());
    let lines = match size {
        Some((Width(columns), Height(rows))) => fitted(&table.text(), columns.into(), rows.into()),
        None => table.text().lines().map(str::to_owned).collect(),
    };
    let mut out = anstream::stdout().lock();
    // Home, draw, and clear what is left of the picture before: flickers less than clearing first.
    write!(out, "\x1b[H")?;
    for line in lines {
        writeln!(out, "{line}\x1b[K")?;
    }
    write!(out, "\x1b[J")?;
    out.flush()
}

/// As much of a table as a terminal shows, with one row left for the cursor.
fn fitted(table: &str, columns: usize, rows: usize) -> Vec<String> {
    let room = rows.saturating_sub(1);
    let count = table.lines().count();
    let mut lines: Vec<_> = table.lines().take(room).map(|line| cut(line, columns)).collect();
    if count > room && lines.pop().is_some() {
        // The headings are no row of the table.
        let more = format!("… and {} more", count - lines.len().max(1));
        lines.push(cut(&more, columns));
    }
    lines
}

/// The first columns of a line, and all of its styles, so that none goes on in the next line. A character is a column: names
/// and addresses are ASCII.
fn cut(line: &str, columns: usize) -> String {
    let (mut column, mut in_style) = (0, false);
    let mut kept = line.to_owned();
    kept.retain(|c| {
        // From ESC to the letter that ends it (ECMA-48 §5.4).
        let of_style = in_style || c == '\x1b';
        in_style = of_style && !c.is_ascii_alphabetic();
        column += usize::from(!of_style);
        of_style || column <= columns
    });
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_shown_as_it_is() {
        assert_eq!(fitted("HEAD\none\ntwo", 4, 4), ["HEAD", "one", "two"]);
        assert_eq!(fitted("HEAD", 80, 24), ["HEAD"]);
    }

    #[test]
    fn rows_that_do_not_fit_are_counted() {
        assert_eq!(fitted("HEAD\none\ntwo\nthree", 20, 4), ["HEAD", "one", "… and 2 more"]);
        assert_eq!(fitted("HEAD\none\ntwo", 20, 2), ["… and 2 more"]);
        assert_eq!(fitted("HEAD\none\ntwo", 5, 2), ["… and"]);
        for rows in [0, 1] {
            assert!(fitted("HEAD\none", 20, rows).is_empty());
        }
    }

    #[test]
    fn lines_are_cut_to_columns_and_keep_their_styles() {
        assert_eq!(cut("\x1b[1mHEAD\x1b[0m  \x1b[1mNEXT\x1b[0m", 7), "\x1b[1mHEAD\x1b[0m  \x1b[1mN\x1b[0m");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abc", 0), "");
    }
}
