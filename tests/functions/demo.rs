//! `wharf demo`, which checks what it shows.

use std::process::{Command, Stdio};

#[test]
fn the_demo_of_functions_holds_what_it_says() {
    let output = Command::new(tests::program()).arg("demo").stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for shown in [
        "py-orders     orders       1042 orders   10.1.0.10:",
        "node-billing  billing      377 invoices  10.1.0.10:",
        "first packet",
        "established",
        "py-orders is refused: 409 not_approved",
        "py-billing answers as before",
    ] {
        assert!(stdout.contains(shown), "{shown}:\n{stdout}");
    }
    assert!(!stdout.contains('\x1b') && stdout.is_ascii(), "plain without a terminal:\n{stdout}");
}
