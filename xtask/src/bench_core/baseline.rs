//! Instruction counts as they are committed, and how new ones compare with them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::process::Command;

use cargo_metadata::camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::{Values, output};
use crate::cargo::RunError;

/// What the file holds.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Baseline {
    /// The compiler that the counts are of: another one can count otherwise.
    compiler: String,
    /// By case: for each packet or session.
    instructions: Values,
}

/// How counts compare with the baseline, for people.
#[derive(Debug)]
pub(super) struct Findings {
    rows: Vec<Row>,
    /// If it is not the baseline's.
    compilers: Option<[String; 2]>,
}

#[derive(Debug)]
struct Row {
    case: String,
    before: Option<f64>,
    now: Option<f64>,
}

impl Baseline {
    /// Reads the file.
    pub(super) fn read(file: &Utf8Path) -> Result<Self, RunError> {
        let text =
            fs::read_to_string(file).map_err(|source| RunError::Read { file: file.to_string(), source })?;
        toml::from_str(&text).map_err(|source| RunError::Baseline { file: file.to_string(), source })
    }

    /// Compares counts of now.
    pub(super) fn compare(self, now: &Values) -> Findings {
        let compiler = compiler().unwrap_or_default();
        let cases: BTreeSet<_> = self.instructions.keys().chain(now.keys()).collect();
        let rows = cases.into_iter().map(|case| Row {
            case: case.clone(),
            before: self.instructions.get(case).copied(),
            now: now.get(case).copied(),
        });
        let rows = rows.collect();
        let compilers = (compiler != self.compiler).then_some([self.compiler, compiler]);
        Findings { rows, compilers }
    }
}

/// Makes these counts the baseline.
pub(super) fn write(file: &Utf8Path, counts: &Values) -> Result<(), RunError> {
    let rounded = counts.iter().map(|(case, count)| (case.clone(), (count * 10.0).round() / 10.0));
    let baseline = Baseline { compiler: compiler()?, instructions: rounded.collect() };
    let text = toml::to_string(&baseline).expect("strings and numbers can be written");
    super::write(file.as_std_path(), &(HEADER.to_owned() + &text))
}

impl Findings {
    /// Whether every count is within the tolerance.
    pub(super) fn all_well(&self) -> bool {
        self.rows.iter().all(Row::is_well)
    }
}

impl Row {
    fn is_well(&self) -> bool {
        self.change().is_some_and(|change| change.abs() <= TOLERANCE)
    }

    /// As a part of what it was.
    fn change(&self) -> Option<f64> {
        Some(self.now? / self.before? - 1.0)
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20} {:>12} {:>12} {:>9}", "instructions", "baseline", "now", "change")?;
        let count = |count: Option<f64>| count.map_or("none".to_owned(), |count| format!("{count:.1}"));
        for row in &self.rows {
            let change = row.change().map_or(String::new(), |change| format!("{:+.1} %", change * 100.0));
            let remark = if row.is_well() { "" } else { "  out of bounds" };
            let (before, now) = (count(row.before), count(row.now));
            writeln!(f, "{:<20} {before:>12} {now:>12} {change:>9}{remark}", row.case)?;
        }
        if let Some([before, now]) = &self.compilers {
            writeln!(f, "the baseline is of {before}, this is {now}: counts can differ for that")?;
        }
        if !self.all_well() {
            let percent = TOLERANCE * 100.0;
            writeln!(
                f,
                "more than {percent} % off: if that is meant, `cargo xtask bench-core --bless` and commit the file"
            )?;
        }
        Ok(())
    }
}

/// What rustc says that it is.
fn compiler() -> Result<String, RunError> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    Ok(output(Command::new(rustc).arg("--version"))?.trim().to_owned())
}

const TOLERANCE: f64 = 0.02;

const HEADER: &str = "\
# Instructions for each packet or session, release profile, as callgrind counts them; .ci/run compares them.
# Written by `cargo xtask bench-core --bless`.

";

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, f64)]) -> Values {
        pairs.iter().map(|(case, count)| ((*case).to_owned(), *count)).collect()
    }

    fn all_well(before: &[(&str, f64)], now: &[(&str, f64)]) -> bool {
        let baseline = Baseline { compiler: String::new(), instructions: counts(before) };
        baseline.compare(&counts(now)).all_well()
    }

    #[test]
    fn counts_may_differ_by_two_percent_either_way() {
        for (now, expected) in [(200.0, true), (203.9, true), (204.1, false), (196.1, true), (195.9, false)] {
            assert_eq!(all_well(&[("a", 200.0)], &[("a", now)]), expected, "{now}");
        }
    }

    #[test]
    fn a_case_that_only_one_side_has_is_out_of_bounds() {
        assert!(!all_well(&[("a", 1.0)], &[("a", 1.0), ("b", 1.0)]));
        assert!(!all_well(&[("a", 1.0), ("b", 1.0)], &[("a", 1.0)]));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("counts.toml");
        let file = Utf8Path::from_path(&file).expect("a path of characters");
        write(file, &counts(&[("a", 123.44), ("b", 7.0)])).expect("a file");
        let findings = Baseline::read(file).expect("the file").compare(&counts(&[("a", 123.44), ("b", 7.0)]));
        assert!(findings.all_well(), "{findings}");
        assert!(findings.compilers.is_none(), "{findings}");
    }
}
