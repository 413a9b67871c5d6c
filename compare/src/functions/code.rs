//! The code that is invoked.

use std::io::{self, Cursor, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A module with two handlers: `fetch` and `clock`.
const HANDLER: &str = include_str!("../../functions/handler.py");

/// Its file.
pub const FILE: &str = "handler.py";

/// The module. What belongs to one function differs from what belongs to any other, so that each has code of its own.
pub fn source(function: &str) -> String {
    format!("{HANDLER}\n\nFUNCTION = \"{function}\"\n")
}

/// An archive of it, in base64.
pub fn zip(function: &str) -> io::Result<String> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file(FILE, SimpleFileOptions::default()).map_err(io::Error::other)?;
    writer.write_all(source(function).as_bytes())?;
    let archive = writer.finish().map_err(io::Error::other)?;
    Ok(STANDARD.encode(archive.into_inner()))
}
