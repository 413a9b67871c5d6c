//! `cargo xtask bench-core`: the numbers of the core that have a target, and instruction counts beside a committed baseline.
//!
//! What measures is in `benches/`; here it is built, run, and compared.

mod baseline;
mod numbers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use cargo_metadata::camino::Utf8PathBuf;
use clap::Args;

use self::baseline::Baseline;
use self::numbers::Numbers;
use crate::cargo::{self, RunError};
use crate::setup;

/// What to do.
#[derive(Args)]
pub(crate) struct Options {
    /// Write the numbers that have a target to this file, as one JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only count instructions; exit with 1 if a count is not within 2 % of the baseline.
    #[arg(long, conflicts_with = "json")]
    instructions: bool,
    /// Only count instructions, and make these counts the baseline.
    #[arg(long, conflicts_with_all = ["json", "instructions"])]
    bless: bool,
}

/// The programs that measure, once they are built.
struct Bench {
    /// Where they are.
    programs: Utf8PathBuf,
    /// Where callgrind's files go, and stay to be looked at.
    profiles: Utf8PathBuf,
}

/// By name.
type Values = BTreeMap<String, f64>;

/// Builds the programs for release and runs what is asked for.
pub(crate) fn run(options: &Options) -> Result<ExitCode, RunError> {
    setup::for_bench()?;
    cargo::build(&["--release", "--package", "benches", "--bin", "bench-core", "--bin", "bench-memory"])?;
    let metadata = cargo::metadata()?;
    let bench = Bench {
        programs: metadata.target_directory.join("release"),
        profiles: metadata.target_directory.join("callgrind"),
    };
    let file = metadata.workspace_root.join("benches/instructions.toml");
    let counts = bench.instructions()?;
    if options.bless {
        baseline::write(&file, &counts)?;
        println!("{file}: {} counts are the baseline now", counts.len());
        return Ok(ExitCode::SUCCESS);
    }
    let findings = Baseline::read(&file)?.compare(&counts);
    print!("{findings}");
    if options.instructions {
        return Ok(if findings.all_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut values = Values::new();
    for (program, arguments) in MEASUREMENTS {
        values.extend(bench.measure(program, arguments)?);
    }
    let hit = counts.get(INSTRUCTIONS_HIT).copied();
    values.extend(hit.map(|count| ("instructions_hit".to_owned(), count)));
    let numbers = Numbers::of(&values).ok_or_else(|| RunError::Output("the benches".into()))?;
    println!("\n{}", numbers.table(&values));
    if let Some(json) = &options.json {
        write(json, &(numbers.json() + "\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Bench {
    /// Instructions for each packet or session, by case.
    fn instructions(&self) -> Result<Values, RunError> {
        let failed = |source| RunError::Directory { directory: self.profiles.to_string(), source };
        fs::create_dir_all(&self.profiles).map_err(failed)?;
        let cases = output(self.program("bench-core").arg("cases"))?;
        cases.lines().map(|case| Ok((case.to_owned(), self.count(case)?))).collect()
    }

    fn count(&self, case: &str) -> Result<f64, RunError> {
        let profile = self.profiles.join(case);
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--quiet", "--tool=callgrind", "--collect-atstart=no", COUNTED])
            .arg(format!("--callgrind-out-file={profile}"))
            .arg(self.programs.join("bench-core"))
            .args(["case", case]);
        let counted = values(&output(&mut valgrind)?).remove(case);
        let text = fs::read_to_string(&profile)
            .map_err(|source| RunError::Read { file: profile.to_string(), source })?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<f64>().ok());
        match (total, counted) {
            // Nothing at all: callgrind has not found the function.
            (Some(total), Some(counted)) if total > 0.0 && counted > 0.0 => Ok(total / counted),
            _ => Err(RunError::Output(format!("callgrind for {case}"))),
        }
    }

    /// Runs a program whose output is values.
    fn measure(&self, program: &str, arguments: &[&str]) -> Result<Values, RunError> {
        let start = Instant::now();
        eprint!("cargo xtask: {program} {}", arguments.join(" "));
        let values = values(&output(self.program(program).args(arguments))?);
        eprintln!(": {} s", start.elapsed().as_secs());
        for (name, value) in &values {
            eprintln!("  {name} {value}");
        }
        Ok(values)
    }

    fn program(&self, name: &str) -> Command {
        Command::new(self.programs.join(name))
    }
}

/// What a program says on its standard output.
fn output(command: &mut Command) -> Result<String, RunError> {
    let program = Path::new(command.get_program()).display().to_string();
    let output =
        command.stderr(Stdio::inherit()).output().map_err(|source| cargo::cannot_start(&program, source))?;
    if !output.status.success() {
        return Err(RunError::Failed { program, status: output.status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads lines `name value`.
fn values(text: &str) -> Values {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect()
}

fn write(file: &Path, text: &str) -> Result<(), RunError> {
    fs::write(file, text).map_err(|source| RunError::Write { file: file.display().to_string(), source })
}

/// What is run, besides the counts of instructions.
const MEASUREMENTS: &[(&str, &[&str])] = &[
    ("bench-memory", &[]),
    ("bench-core", &["times"]),
    ("bench-core", &["adversary"]),
    ("bench-core", &["growth"]),
];

/// callgrind counts within the functions that are called so: `benches::instructions::counted`.
const COUNTED: &str = "--toggle-collect=benches::instructions::counted*";

/// The case whose count has a target.
const INSTRUCTIONS_HIT: &str = "hit_udp4_out";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_out_of_lines_and_other_lines_are_passed_over() {
        let values = values("a_ns 1.5\nthread main\n\nb 20\n");
        assert_eq!(values, Values::from([("a_ns".to_owned(), 1.5), ("b".to_owned(), 20.0)]));
    }
}
