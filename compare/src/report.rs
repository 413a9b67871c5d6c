//! The numbers as people read them: a page with tables, and a plot.

pub mod page;
pub mod plot;
pub mod targets;

mod number;

use std::fs;
use std::io;
use std::path::Path;

use crate::result::Results;

/// Writes `results.md`, `results.svg` and `results.json` into the folder.
pub fn write(results: &Results, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("results.md"), page::page(results))?;
    fs::write(folder.join("results.svg"), plot::plot(results))?;
    fs::write(folder.join("results.json"), pretty(results))
}

/// All of it, as JSON to be kept.
pub fn pretty(results: &Results) -> String {
    format!("{:#}\n", results.to_json())
}
