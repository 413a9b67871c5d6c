//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::attach::Way;
use crate::bout::Lengths;
use crate::control::{Part, Scale};
use crate::functions;
use crate::metric::{Metric, Traffic};
use crate::subject::{Programs, Subject};

/// Compares Wharf with what users would pick instead, on one topology, and writes down what came out.
#[derive(Clone, Debug, Parser)]
#[command(name = "compare", bin_name = "cargo xtask compare", after_help = EXAMPLES)]
pub struct Arguments {
    /// Fewer and shorter runs: an impression in less than five minutes. Writes to docs only if --out is given.
    #[arg(long)]
    pub quick: bool,
    /// Only these subjects and metrics, in any order. Subjects: wharf, raw, nft, ovs, pasta, slirp4netns, direct, cni,
    /// cold. Metrics: as the JSON has them, or control for those of the control plane, or functions for those of functions. None of a kind
    /// means all of it.
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = parse_choice)]
    pub only: Vec<Choice>,
    /// Write all numbers and settings to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write table, plot and numbers into this folder [default: docs/benchmarks, if everything is measured].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Runs of everything.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub runs: Option<u16>,
    /// Length of the window of each run.
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub seconds: Option<Duration>,
    /// The program `wharf` [default: beside this program].
    #[arg(long, value_name = "PATH")]
    pub wharf: Option<PathBuf>,
    /// The program `raw` [default: beside this program].
    #[arg(long, value_name = "PATH")]
    pub raw: Option<PathBuf>,
}

/// One word of `--only`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A subject.
    Subject(Subject),
    /// CNI's plugins.
    Cni,
    /// A container for each trigger.
    Cold,
    /// A metric.
    Metric(Metric),
    /// All metrics of the control plane.
    Control,
    /// All metrics of functions.
    Functions,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Subjects that carry traffic.
    pub subjects: Vec<Subject>,
    /// Ways to attach.
    pub ways: Vec<Way>,
    /// Kinds of traffic.
    pub traffics: Vec<Traffic>,
    /// Metrics that are asked for.
    pub metrics: Vec<Metric>,
    /// Runs of each.
    pub rounds: usize,
    /// How long each is.
    pub lengths: Lengths,
    /// How long all rounds may take together; more are not begun.
    pub budget: Duration,
    /// Attachments of each way.
    pub attachments: usize,
    /// Tables that are filled.
    pub crowds: usize,
    /// What is measured of the control plane, and of whom.
    pub parts: Vec<Part>,
    /// How much of it.
    pub scale: Scale,
    /// What is measured of functions, and of whom.
    pub functions: Vec<functions::Part>,
    /// How much of it.
    pub functions_scale: functions::Scale,
}

impl Arguments {
    /// What they ask for.
    pub fn plan(&self) -> Plan {
        let chosen = |wanted: &dyn Fn(&Choice) -> bool| self.only.iter().any(wanted);
        let is_metric =
            |choice: &Choice| matches!(choice, Choice::Metric(_) | Choice::Control | Choice::Functions);
        let (any_subject, any_metric) = (!chosen(&|c| !is_metric(c)), !chosen(&is_metric));
        let has_subject = |subject| any_subject || chosen(&|c| *c == Choice::Subject(subject));
        let has_metric = |metric| {
            let in_group = |group, metrics: &[Metric]| chosen(&|c| *c == group) && metrics.contains(&metric);
            let by_group =
                in_group(Choice::Control, Metric::CONTROL) || in_group(Choice::Functions, Metric::FUNCTIONS);
            any_metric || by_group || chosen(&|c| *c == Choice::Metric(metric))
        };
        let has_way = |way: Way| match way {
            Way::Cni => any_subject || chosen(&|c| *c == Choice::Cni),
            Way::Wharf | Way::WharfCold => has_subject(Subject::Wharf),
        };
        let attaches = has_metric(Metric::AttachToFirstByte);
        let (rounds, window, warm_up, attachments, crowds, budget) =
            if self.quick { (3, 0.5, 0.15, 7, 1, 228) } else { (5, 2.0, 0.4, 20, 2, 1_200) };
        let window = self.seconds.unwrap_or(Duration::from_secs_f64(window));
        let warm_up = Duration::from_secs_f64(warm_up).min(window);
        let runs = self.runs.map(usize::from);
        let own_lengths = self.runs.is_some() || self.seconds.is_some();
        let has_part = |part: Part| has_way(part.way()) && part.metrics().iter().any(|m| has_metric(*m));
        let runs_it = |part: functions::Part| match part {
            functions::Part::Cold => any_subject || chosen(&|c| *c == Choice::Cold),
            _ => has_subject(Subject::Wharf),
        };
        let has_function_part =
            |part: functions::Part| runs_it(part) && part.metrics().iter().any(|m| has_metric(*m));
        let (scale, functions_scale) = if self.quick {
            (Scale::QUICK, functions::Scale::QUICK)
        } else {
            (Scale::FULL, functions::Scale::FULL)
        };
        Plan {
            subjects: Subject::ALL.into_iter().filter(|s| has_subject(*s)).collect(),
            ways: Way::ALL.into_iter().filter(|way| attaches && has_way(*way)).collect(),
            traffics: Traffic::ALL
                .into_iter()
                .filter(|t| t.metrics().iter().any(|m| has_metric(*m)))
                .collect(),
            metrics: Metric::ALL.into_iter().filter(|m| has_metric(*m)).collect(),
            rounds: runs.unwrap_or(rounds),
            lengths: Lengths { warm_up, window },
            // Who asks for a number of runs gets them.
            budget: if own_lengths { Duration::MAX } else { Duration::from_secs(budget) },
            attachments: runs.unwrap_or(attachments),
            crowds: runs.map_or(crowds, |runs| runs.min(crowds)),
            parts: Part::ALL.into_iter().filter(|part| has_part(*part)).collect(),
            scale: scale.with(runs, self.seconds),
            functions: functions::Part::ALL.into_iter().filter(|part| has_function_part(*part)).collect(),
            functions_scale: functions_scale.with(runs),
        }
    }

    /// Whether all of it is measured, so that it may take the place of what is in docs/benchmarks.
    pub const fn is_whole(&self) -> bool {
        !self.quick && self.only.is_empty() && self.runs.is_none() && self.seconds.is_none()
    }

    /// Where the programs are.
    pub fn programs(&self) -> std::io::Result<Programs> {
        let own = std::env::current_exe()?;
        let beside =
            |given: &Option<PathBuf>, name| given.clone().unwrap_or_else(|| own.with_file_name(name));
        Ok(Programs { wharf: beside(&self.wharf, "wharf"), raw: beside(&self.raw, "raw") })
    }
}

/// The word for all metrics of the control plane.
const CONTROL: &str = "control";

/// The word for all metrics of functions.
const FUNCTIONS: &str = "functions";

fn parse_choice(word: &str) -> Result<Choice, String> {
    let subject = Subject::named(word).map(Choice::Subject);
    let metric = || Metric::named(word).map(Choice::Metric);
    let cni = || (word == Way::Cni.name()).then_some(Choice::Cni);
    let others = || match word {
        CONTROL => Some(Choice::Control),
        FUNCTIONS => Some(Choice::Functions),
        functions::COLD => Some(Choice::Cold),
        _ => None,
    };
    subject.or_else(metric).or_else(cni).or_else(others).ok_or_else(|| {
        let subjects = Subject::ALL.iter().map(|subject| subject.name());
        let metrics = Metric::ALL.iter().map(|metric| metric.name());
        let known: Vec<_> =
            subjects.chain([Way::Cni.name(), functions::COLD, CONTROL, FUNCTIONS]).chain(metrics).collect();
        format!("there are {}", known.join(", "))
    })
}

fn parse_seconds(word: &str) -> Result<Duration, String> {
    let seconds: f64 = word.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.05..=60.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("from 0.05 to 60".into())
    }
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask compare                                    everything, into docs/benchmarks; 45 minutes at most
  cargo xtask compare --quick --json f.json              an impression, and its numbers in a file
  cargo xtask compare --quick --only wharf,nft           two subjects, all metrics
  cargo xtask compare --only wharf,raw,udp_64_pps --runs 20   two subjects, one metric, many runs
  cargo xtask compare --only control --json f.json       the control plane
  cargo xtask compare --only functions --json f.json     functions, beside a container for each trigger

Needs root and Linux. Installs the peers' Debian packages with apt-get, without starting their services. A peer that
cannot run is listed with its reason. Everything else that it makes is gone at the end, also after Ctrl-C.
Exits with 1 if wharf itself could not be measured.";

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Plan {
        Arguments::try_parse_from([&["compare"], words].concat()).expect("valid").plan()
    }

    #[test]
    fn subjects_and_metrics_are_chosen_apart() {
        let all = plan(&[]);
        assert_eq!((all.subjects.len(), all.metrics.len(), all.ways.len()), (7, 32, 3));
        assert_eq!(all.traffics, Traffic::ALL);

        assert!(all.budget < plan(&["--runs", "20"]).budget);

        let some = plan(&["--only", "nft,tcp_up_gbps", "--only", "wharf"]);
        assert_eq!(some.subjects, [Subject::Wharf, Subject::Nft]);
        assert_eq!((some.traffics, some.ways.len()), (vec![Traffic::TcpUp], 0));

        let attach = plan(&["--only", "cni,wharf,attach_to_first_byte_ms"]);
        assert_eq!((attach.ways, attach.traffics.len()), (Way::ALL.to_vec(), 0));
        assert_eq!(attach.parts, []);

        let control = plan(&["--only", "control"]);
        assert_eq!((control.traffics.len(), control.ways.len()), (0, 0));
        assert_eq!((control.metrics, control.parts), (Metric::CONTROL.to_vec(), Part::ALL.to_vec()));
        assert_eq!(plan(&["--only", "cni,control"]).parts, [Part::Plugin]);
        assert_eq!(plan(&["--only", "wharf,restart_live_ms"]).parts, [Part::Restart]);
        assert_eq!(plan(&["--only", "nft,control"]).parts, []);

        let functions = plan(&["--only", "functions"]);
        assert_eq!((functions.traffics.len(), functions.ways.len(), functions.parts.len()), (0, 0, 0));
        assert_eq!(functions.metrics, Metric::FUNCTIONS);
        assert_eq!(functions.functions, functions::Part::ALL);
        assert_eq!(plan(&["--only", "cold,functions"]).functions, [functions::Part::Cold]);
        assert_eq!(plan(&["--only", "wharf,code_mount_p50_us"]).functions, [functions::Part::Trigger]);
        assert_eq!(plan(&["--only", "control,functions"]).metrics.len(), 17);
    }

    #[test]
    fn unknown_words_and_senseless_lengths_are_refused() {
        for words in [&["--only", "wharv"][..], &["--seconds", "0"], &["--seconds", "x"], &["--runs", "0"]] {
            assert!(Arguments::try_parse_from([&["compare"], words].concat()).is_err(), "{words:?}");
        }
    }

    #[test]
    fn only_a_whole_run_replaces_the_benchmarks() {
        let is_whole = |words: &[&str]| {
            Arguments::try_parse_from([&["compare"], words].concat()).expect("valid").is_whole()
        };
        assert!(is_whole(&["--json", "f.json"]));
        for words in [&["--quick"][..], &["--only", "nft"], &["--runs", "3"], &["--seconds", "1"]] {
            assert!(!is_whole(words), "{words:?}");
        }
    }
}
