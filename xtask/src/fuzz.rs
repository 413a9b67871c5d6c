//! `cargo xtask fuzz`: builds the fuzz targets with coverage counters, and runs each for a while.
//!
//! A stable compiler does: instrumentation is a pass of LLVM that `-C passes` turns on, and libFuzzer comes as the source of
//! a crate. What cargo-fuzz would do with a nightly compiler is the same, but for sanitizers, which safe code does not need.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{MetadataCommand, TargetKind};

use crate::cargo::{self, RunError};
use crate::setup;

/// What a run of one target came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Report {
    executions: u64,
    /// Edges of the program that were reached.
    covered: u64,
    /// What was said but for the progress.
    said: Vec<String>,
}

/// Builds all targets and runs those in `only`, or all, for `seconds` each.
pub(crate) fn run(seconds: u32, only: &[String]) -> Result<ExitCode, RunError> {
    setup::for_fuzz()?;
    let folder = cargo::metadata()?.workspace_root.join("fuzz");
    let manifest = folder.join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(&manifest).no_deps().exec()?;
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let targets: Vec<&str> =
        targets.filter(|t| t.kind.contains(&TargetKind::Bin)).map(|t| t.name.as_str()).collect();
    if let Some(unknown) = only.iter().find(|name| !targets.contains(&name.as_str())) {
        return Err(RunError::NoFuzzTarget { unknown: unknown.clone(), known: targets.join(", ") });
    }
    let host = host()?;
    build(&manifest, &host)?;
    let programs = metadata.target_directory.join(host).join("release");
    let mut all_well = true;
    for target in targets.into_iter().filter(|&t| only.is_empty() || only.iter().any(|name| name == t)) {
        all_well &= run_target(&programs.join(target), &folder, target, seconds)?;
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build(manifest: &Utf8Path, host: &str) -> Result<(), RunError> {
    let flags = std::env::var("RUSTFLAGS").into_iter().chain(INSTRUMENTATION.map(str::to_owned));
    let mut command = cargo::command();
    // With a target, the flags are for the programs only, and not for build scripts.
    command
        .args(["build", "--release", "--bins", "--locked", "--target", host, "--manifest-path"])
        .arg(manifest);
    command.env("RUSTFLAGS", flags.collect::<Vec<_>>().join(" ")).env_remove("CARGO_ENCODED_RUSTFLAGS");
    let status = command.status().map_err(|e| cargo::cannot_start("cargo", e))?;
    if status.success() { Ok(()) } else { Err(RunError::Build(status)) }
}

/// The machine's own target, as rustc names it.
fn host() -> Result<String, RunError> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(&rustc).arg("-vV").output().map_err(|e| cargo::cannot_start(&rustc, e))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| cargo::cannot_start(&rustc, std::io::ErrorKind::InvalidData.into()))
}

/// Runs one target; says what came of it and whether that was no finding. New inputs of interest are kept in
/// `corpus`, one that fails in `artifacts`.
fn run_target(program: &Utf8Path, folder: &Utf8Path, target: &str, seconds: u32) -> Result<bool, RunError> {
    let [corpus, artifacts] = ["corpus", "artifacts"].map(|kind| folder.join(kind).join(target));
    for directory in [&corpus, &artifacts] {
        let failed = |source| RunError::Directory { directory: directory.to_string(), source };
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let seeds = Some(folder.join("seeds").join(target)).filter(|seeds| seeds.exists());
    let mut child = Command::new(program)
        .args([Some(corpus), seeds].into_iter().flatten())
        .args([format!("-max_total_time={seconds}"), format!("-artifact_prefix={artifacts}/")])
        .args(["-print_final_stats=1", "-timeout=20"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| cargo::cannot_start(program.as_str(), e))?;
    let stderr = child.stderr.take().expect("stderr was piped just above");
    let report = Report::read(BufReader::new(stderr));
    let status = child.wait().map_err(|e| cargo::cannot_start(program.as_str(), e))?;
    let Report { executions, covered, said } = &report;
    println!("{target}: {executions} executions in {seconds} s, {covered} edges covered");
    if status.success() {
        return Ok(true);
    }
    println!("{}", said.join("\n"));
    match report.artifact() {
        Some(input) => println!("{target}: FAILED; again with `FUZZ_TRACE=1 {program} {input}`"),
        None => println!("{target}: FAILED ({status})"),
    }
    Ok(false)
}

impl Report {
    /// Reads what libFuzzer says.
    fn read(lines: impl BufRead) -> Self {
        let mut report = Self::default();
        for line in lines.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
                report.executions = count.trim().parse().unwrap_or(0);
            } else if line.starts_with('#') {
                report.progress(&line);
            } else if !["INFO:", "stat::", "\tNEW_", "WARNING: Failed to find"]
                .iter()
                .any(|s| line.starts_with(s))
            {
                report.said.push(line);
            }
        }
        report
    }

    /// A line such as `#8192 pulse cov: 2826 ft: 5994 corp: 233/3471b`.
    fn progress(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        if let Some(covered) = words.find(|&word| word == "cov:").and_then(|_| words.next()) {
            self.covered = covered.parse().unwrap_or(self.covered);
        }
    }

    /// The file with the input that failed.
    fn artifact(&self) -> Option<Utf8PathBuf> {
        let written = self.said.iter().find_map(|line| line.split_once("Test unit written to "))?;
        Some(Utf8PathBuf::from(written.1))
    }
}

/// Counters at every edge, and comparisons noted: what libFuzzer is guided by (LLVM's SanitizerCoverage).
const INSTRUMENTATION: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // The pass looks at one unit at a time.
    "-Ccodegen-units=1",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_and_its_numbers_are_read_out_of_what_libfuzzer_says() {
        let said: &[u8] = b"INFO: Seed: 1\n#2\tINITED cov: 1 ft: 1 corp: 1/1b\n\tNEW_FUNC[1/2]: 0x1\n\
            #4096\tpulse  cov: 2826 ft: 5994 corp: 233/3471b\n\n\
            thread '<unnamed>' panicked at src/x.rs:1:1:\nno: \xff\n\
            artifact_prefix='a/'; Test unit written to a/crash-1\nstat::number_of_executed_units: 4100\nstat::peak: 1\n";
        let report = Report::read(said);
        assert_eq!((report.executions, report.covered), (4100, 2826));
        assert_eq!(report.said.len(), 4, "{report:?}");
        assert_eq!(report.artifact(), Some("a/crash-1".into()));
        assert_eq!(Report::read(&b"#1 x\nstat::number_of_executed_units: 7\n"[..]).artifact(), None);
    }
}
