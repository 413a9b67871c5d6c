//! `cargo xtask tidy`: what the project has agreed on and the compiler does not check.
//!
//! Each rule is a function from the [`Tree`] to its [`Finding`]s. Adding a rule means one such function, one row in
//! [`RULES`] and one test in `xtask/tests/tidy.rs` that shows it fail.

mod bans;
mod compliance;
mod edges;
mod finding;
mod pages;
mod purity;
mod quarantine;
mod rust;
mod shape;
mod tree;
mod words;

use std::path::Path;
use std::process::ExitCode;

use crate::cargo::RunError;
use finding::Finding;
use tree::Tree;

/// One thing that is checked.
type Rule = fn(&Tree) -> Vec<Finding>;

/// Checks the workspace at `root`, by default the one that we run in, and prints what is wrong.
pub(crate) fn run(root: Option<&Path>) -> Result<ExitCode, RunError> {
    let tree = Tree::read(root)?;
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} rules hold in {} files", RULES.len(), tree.texts.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} to fix", findings.len());
    Ok(ExitCode::FAILURE)
}

const RULES: &[Rule] = &[
    edges::members_depend_one_way,
    edges::cores_depend_on_the_closed_list,
    purity::cores_forbid_unsafe,
    purity::cores_use_nothing_of_the_outside,
    bans::cores_keep_their_clippy_bans,
    bans::continuous_integration_runs_clippy,
    quarantine::unsafe_stays_in_its_modules,
    shape::sources_can_be_read,
    shape::files_are_short,
    shape::crate_and_module_roots_hold_no_code,
    shape::names_say_what_is_inside,
    words::nothing_is_left_to_do,
    words::nothing_belongs_to_one_machine,
    pages::decisions_are_listed,
    pages::links_lead_somewhere,
    compliance::requirements_name_their_tests,
];
