//! The program behind `cargo xtask compare`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::Parser;
use compare::arguments::{Arguments, Plan};
use compare::metric::Metric;
use compare::packages::{self, Package};
use compare::result::Results;
use compare::subject::{Programs, Subject};
use compare::{attach, contest, control, crowd, functions, report, settings};

/// Where a whole run writes to, in the workspace that this was built from.
const OUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks");

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(results) => {
            let plan = arguments.plan();
            let expects_wharf = plan.subjects.contains(&Subject::Wharf);
            let has_wharf =
                results.metrics().iter().any(|metric| !results.values(*metric, "wharf").is_empty());
            if expects_wharf && !has_wharf { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<Results> {
    if !nix::unistd::geteuid().is_root() {
        return Err(io::Error::other("network namespaces and TAP devices need root: run this as root"));
    }
    netlab::remove_on_signals()?;
    let (plan, programs) = (arguments.plan(), arguments.programs()?);
    install(&plan);
    let results = measure(&plan, &programs);
    print!("{}{}", report::page::tables(&results), report::targets::table(&results));
    if let Some(file) = &arguments.json {
        fs::write(file, report::pretty(&results)).map_err(|e| about(file, &e))?;
    }
    let out = arguments.out.clone().or_else(|| arguments.is_whole().then(|| PathBuf::from(OUT)));
    if let Some(out) = out {
        report::write(&results, &out).map_err(|e| about(&out, &e))?;
    }
    Ok(results)
}

fn measure(plan: &Plan, programs: &Programs) -> Results {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let command = format!("cargo xtask compare {}", words.join(" "));
    let mut results = Results::new(settings::of(plan, programs, command.trim()));
    if !plan.traffics.is_empty() {
        let stands = contest::stands(&plan.subjects, programs, &mut results);
        for stand in &stands {
            results.settings["devices"][stand.subject.name()] = settings::devices(stand);
        }
        contest::background(&mut results);
        contest::rounds(&stands, plan, &mut results);
    }
    attach::measure(&plan.ways, programs, plan.attachments, &mut results);
    control::measure(plan, programs, &mut results);
    functions::measure(plan, programs, &mut results);
    if plan.metrics.contains(&Metric::BytesPerSession) {
        crowd::measure(&plan.subjects, programs, plan.crowds, &mut results);
    }
    results
}

fn install(plan: &Plan) {
    // Attaching, the control plane and functions are Wharf's and CNI's alone.
    let carries = !plan.traffics.is_empty() || plan.metrics.contains(&Metric::BytesPerSession);
    let peers = plan.subjects.iter().filter(|_| carries).flat_map(|subject| subject.packages());
    let plugins = plan.ways.contains(&attach::Way::Cni) || plan.parts.contains(&control::Part::Plugin);
    let cni: &[Package] = if plugins { packages::CNI } else { &[] };
    let cold: &[Package] =
        if plan.functions.contains(&functions::Part::Cold) { functions::PACKAGES } else { &[] };
    let all = packages::LAB.iter().chain(peers).chain(cni).chain(cold);
    packages::install(&all.copied().collect::<Vec<_>>());
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
