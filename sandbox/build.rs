//! Builds the waiter, which the sandbox embeds.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed={WAITER}");
    let variable = |name| env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"));
    let waiter = PathBuf::from(variable("OUT_DIR")).join("waiter");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args([
        WAITER,
        "--crate-name",
        "waiter",
        "--crate-type",
        "bin",
        "--edition",
        "2024",
        "--deny",
        "warnings",
    ]);
    // Static, because it runs in root filesystems that have no libraries, or others.
    rustc.args([
        "-C",
        "opt-level=s",
        "-C",
        "panic=abort",
        "-C",
        "strip=symbols",
        "-C",
        "target-feature=+crt-static",
    ]);
    rustc.arg("--target").arg(variable("TARGET")).arg("-o").arg(&waiter);
    match rustc.status() {
        Ok(status) if status.success() => {}
        Ok(_) => panic!("{WAITER} does not compile, or there is no static C library (Debian: libc6-dev)"),
        Err(error) => panic!("rustc cannot be started: {error}"),
    }
}

const WAITER: &str = "waiter/main.rs";
