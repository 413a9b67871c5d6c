//! Tidy on small workspaces of its own: a clean one passes, and every rule fails on what it is there for.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// The beginning of a member's manifest.
macro_rules! package {
    ($name:literal) => {
        concat!("[package]\nname = \"", $name, "\"\nversion = \"0.1.0\"\nedition = \"2024\"\n")
    };
}
/// A workspace in a temporary directory.
struct Workspace(TempDir);

/// What one thing wrong in a clean workspace leads to.
struct Case {
    path: &'static str,
    text: &'static str,
    /// The beginning of the one line that tidy must print.
    finding: &'static str,
}

impl Workspace {
    /// One that breaks no rule.
    fn clean() -> Self {
        let workspace = Self(TempDir::new().expect("a temporary directory"));
        for (path, text) in CLEAN {
            workspace.write(path, text);
        }
        workspace
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Whether tidy is content, and what it prints.
    fn tidy(&self) -> (bool, String) {
        tidy(self.0.path())
    }
}

fn tidy(root: &Path) -> (bool, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_xtask")).args(["tidy", "--root"]).arg(root).output().expect("xtask");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.success(), String::from_utf8(output.stdout).expect("UTF-8"))
}

/// Asserts that each case, alone in a clean workspace, is found at its place and nothing else is.
fn assert_found(cases: &[Case]) {
    for Case { path, text, finding } in cases {
        let workspace = Workspace::clean();
        workspace.write(path, text);
        let (content, said) = workspace.tidy();
        let lines: Vec<_> = said.lines().collect();
        assert!(
            !content && lines.len() == 2 && lines[0].starts_with(finding),
            "expected `{finding}`, got:\n{said}"
        );
        assert_eq!(lines[1], "tidy: 1 to fix");
    }
}

#[test]
fn a_clean_workspace_passes() {
    let (content, said) = Workspace::clean().tidy();
    assert!(content, "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_forbidden_dependency_of_a_core_fails() {
    assert_found(&[
        Case {
            path: "gateway/core/Cargo.toml",
            text: concat!(package!("gateway-core"), "[dependencies]\nslab = \"0.4\"\ntokio = \"1\"\n"),
            finding: "tidy: gateway/core/Cargo.toml:7: the core `gateway-core` depends on `tokio`: ",
        },
        Case {
            path: "gateway/core/Cargo.toml",
            text: concat!(
                package!("gateway-core"),
                "[dependencies]\nslab = { package = \"libc\", version = \"1\" }\n"
            ),
            finding: "tidy: gateway/core/Cargo.toml:6: the core `gateway-core` depends on `libc`: ",
        },
        Case {
            path: "gateway/core/Cargo.toml",
            text: concat!(package!("gateway-core"), "[build-dependencies]\ncc = \"1\"\n"),
            finding: "tidy: gateway/core/Cargo.toml:6: the core `gateway-core` depends on `cc`: ",
        },
        Case {
            path: "gateway/core/Cargo.toml",
            text: concat!(package!("gateway-core"), "[dependencies]\nahash = \"0.8\"\n"),
            finding: "tidy: gateway/core/Cargo.toml:6: the core `gateway-core` has feature `default` of `ahash`: ",
        },
        Case {
            path: "gateway/core/Cargo.toml",
            text: concat!(
                package!("gateway-core"),
                "[dependencies.ahash]\nversion = \"0.8\"\ndefault-features = false\nfeatures = [\"runtime-rng\"]\n"
            ),
            finding: "tidy: gateway/core/Cargo.toml:1: the core `gateway-core` has feature `runtime-rng` of `ahash`: ",
        },
    ]);
}

#[test]
fn tests_of_a_core_may_depend_on_more() {
    let workspace = Workspace::clean();
    workspace.write(
        "gateway/core/Cargo.toml",
        concat!(package!("gateway-core"), "[dev-dependencies]\nproptest = \"1\"\n"),
    );
    let (content, said) = workspace.tidy();
    assert!(content, "{said}");
}

#[test]
fn a_dependency_against_the_arrows_fails() {
    assert_found(&[
        Case {
            path: "control/core/Cargo.toml",
            text: concat!(
                package!("control-core"),
                "[dev-dependencies]\ngateway = { path = \"../../gateway\" }\n"
            ),
            finding: "tidy: control/core/Cargo.toml:6: `control-core` depends on `gateway`: ",
        },
        Case {
            path: "wharf/Cargo.toml",
            text: concat!(
                package!("wharf"),
                "[dependencies]\ngateway-core = { path = \"../gateway/core\" }\n"
            ),
            finding: "tidy: wharf/Cargo.toml:6: `wharf` depends on `gateway-core`: dependencies point one way",
        },
        Case {
            path: "wharf/Cargo.toml",
            text: concat!(package!("wharf"), "[dependencies]\nxtask = { path = \"../xtask\" }\n"),
            finding: "tidy: wharf/Cargo.toml:6: `wharf` depends on `xtask`: nothing depends on it",
        },
        Case {
            path: "wharf/Cargo.toml",
            text: concat!(package!("wharf"), "[dependencies]\nnetlab = { path = \"../netlab\" }\n"),
            finding: "tidy: wharf/Cargo.toml:6: `wharf` depends on `netlab`: make it optional",
        },
        Case {
            path: "netlab/Cargo.toml",
            text: package!("labnet"),
            finding: "tidy: netlab/Cargo.toml:1: nobody has said what `labnet` may depend on: ",
        },
    ]);
}

#[test]
fn a_clock_or_anything_else_of_the_outside_in_a_core_fails() {
    assert_found(&[
        Case {
            path: "gateway/core/src/timer.rs",
            text: "fn now() -> u64 {\n    let _ = std::time::Instant::now();\n    0\n}\n",
            finding: "tidy: gateway/core/src/timer.rs:2: a clock in a core: `std::time::Instant::now`: take `now`",
        },
        Case {
            path: "control/core/src/plan.rs",
            text: "use std::{\n    net::Ipv4Addr,\n    time::{Duration, SystemTime},\n};\n",
            finding: "tidy: control/core/src/plan.rs:3: a clock in a core: `std::time::SystemTime`: ",
        },
        Case {
            path: "gateway/core/src/peer.rs",
            text: "use std::net::{Ipv4Addr, TcpStream};\n",
            finding: "tidy: gateway/core/src/peer.rs:1: a socket in a core: ",
        },
        Case {
            path: "gateway/core/src/file.rs",
            text: "use std::fs;\n",
            finding: "tidy: gateway/core/src/file.rs:1: the operating system in a core: `std::fs`: ",
        },
        Case {
            path: "gateway/core/src/side.rs",
            text: "fn f() { std::thread::spawn(|| ()); }\n",
            finding: "tidy: gateway/core/src/side.rs:1: a thread in a core: ",
        },
        Case {
            path: "gateway/core/src/table.rs",
            text: "fn f() { let _ = std::collections::HashMap::new(); }\n",
            finding: "tidy: gateway/core/src/table.rs:1: randomness of the operating system in a core: ",
        },
        Case {
            path: "gateway/core/src/said.rs",
            text: "fn f() { println!(\"\"); }\n",
            finding: "tidy: gateway/core/src/said.rs:1: a log in a core: ",
        },
        Case {
            path: "gateway/core/src/around.rs",
            text: "#![allow(clippy::disallowed_types)]\n",
            finding: "tidy: gateway/core/src/around.rs:1: a way around clippy's bans in a core: ",
        },
    ]);
}

#[test]
fn a_core_that_only_speaks_of_clocks_passes() {
    let workspace = Workspace::clean();
    workspace.write(
        "gateway/core/src/timer.rs",
        concat!(
            "//! Not `std::time::Instant::now()`.\nuse std::time::Duration; // SystemTime\n",
            "const A: &str = \"std::fs\";\nfn f() { ahash::RandomState::with_seeds(1, 2, 3, 4); }\n",
        ),
    );
    let (content, said) = workspace.tidy();
    assert!(content, "{said}");
}

#[test]
fn a_clock_in_a_shell_passes() {
    let workspace = Workspace::clean();
    workspace.write("gateway/src/clock.rs", "fn now() { let _ = std::time::Instant::now(); }\n");
    let (content, said) = workspace.tidy();
    assert!(content, "{said}");
}

#[test]
fn a_core_without_its_guards_fails() {
    assert_found(&[
        Case {
            path: "gateway/core/src/lib.rs",
            text: "//! The core, which once held #![forbid(unsafe_code)].\n",
            finding: "tidy: gateway/core/src/lib.rs:1: the core `gateway-core` does not forbid unsafe code: ",
        },
        Case {
            path: ".ci/run",
            text: "cargo clippy --workspace\n",
            finding: "tidy: .ci/run:1: clippy is not run over the whole workspace: ",
        },
        Case {
            path: ".cargo/config.toml",
            text: "[env]\nCLIPPY_CONF_DIR = \".\"\n",
            finding: "tidy: .cargo/config.toml:2: CLIPPY_CONF_DIR makes clippy pass over the cores' bans: ",
        },
    ]);
}

#[test]
fn a_lifted_ban_fails() {
    let workspace = Workspace::clean();
    let bans: String = BANS.split_inclusive('\n').filter(|line| !line.contains("SystemTime::now")).collect();
    workspace.write("control/core/clippy.toml", &bans);
    let (content, said) = workspace.tidy();
    assert!(
        !content && said.contains("disallowed-methods does not ban std::time::SystemTime::now"),
        "{said}"
    );
}

#[test]
fn unsafe_outside_of_its_quarantine_fails() {
    assert_found(&[Case {
        path: "gateway/src/worker.rs",
        text: "fn f() {\n    // unsafe\n    unsafe { g() }\n}\n",
        finding: "tidy: gateway/src/worker.rs:3: unsafe outside of its quarantine: ",
    }]);
}

#[test]
fn unsafe_inside_of_its_quarantine_passes() {
    let workspace = Workspace::clean();
    workspace.write("gateway/src/io/tap.rs", "fn f() {\n    unsafe { g() }\n}\n");
    let (content, said) = workspace.tidy();
    assert!(content, "{said}");
}

#[test]
fn code_out_of_shape_fails() {
    assert_found(&[
        Case {
            path: "gateway/src/lib.rs",
            text: "//! The gateway.\n\npub struct Gateway;\n",
            finding: "tidy: gateway/src/lib.rs:3: `struct` in lib.rs: ",
        },
        Case {
            path: "gateway/src/io/mod.rs",
            text: "mod tap;\nfn f() {}\n",
            finding: "tidy: gateway/src/io/mod.rs:2: `fn` in mod.rs: ",
        },
        Case {
            path: "gateway/src/utils.rs",
            text: "",
            finding: "tidy: gateway/src/utils.rs:1: a module named `utils`: ",
        },
        Case {
            path: "gateway/src/worker.rs",
            text: "\nmod helpers {}\n",
            finding: "tidy: gateway/src/worker.rs:2: a module named `helpers`: ",
        },
        Case { path: "gateway/src/worker.rs", text: "fn f( {}\n", finding: "tidy: gateway/src/worker.rs:" },
    ]);
}

#[test]
fn a_file_longer_than_the_bound_fails_and_comments_do_not_count() {
    let workspace = Workspace::clean();
    workspace.write("gateway/src/worker.rs", &"const _: u8 = 0; // a\n// b\n\n".repeat(600));
    assert!(workspace.tidy().0);
    workspace.write("gateway/src/worker.rs", &"const _: u8 = 0;\n".repeat(601));
    let (content, said) = workspace.tidy();
    assert!(!content && said.contains("601 lines of code"), "{said}");
}

#[test]
fn what_is_unfinished_or_belongs_to_one_machine_fails() {
    assert_found(&[
        Case {
            path: "gateway/src/worker.rs",
            text: concat!("// TO", "DO: all\n"),
            finding: concat!("tidy: gateway/src/worker.rs:1: `TO", "DO`: "),
        },
        Case {
            path: "gateway/src/worker.rs",
            text: "fn f() {\n    todo!()\n}\n",
            finding: "tidy: gateway/src/worker.rs:2: `todo!`: ",
        },
        Case {
            path: "docs/ARCHITECTURE.md",
            text: concat!("See /ho", "me/me/wharf.\n"),
            finding: "tidy: docs/ARCHITECTURE.md:1: a path of one machine, ",
        },
        Case {
            path: ".cargo/config.toml",
            text: concat!("[source.crates-io]\nreplace", "-with = \"near\"\n"),
            finding: "tidy: .cargo/config.toml:2: a package registry, ",
        },
    ]);
}

#[test]
fn pages_that_cannot_be_found_fail() {
    assert_found(&[
        Case {
            path: "docs/decisions/0002-b.md",
            text: "# B\n",
            finding: "tidy: docs/decisions/0002-b.md:1: docs/decisions/README.md does not list it: ",
        },
        Case {
            path: "README.md",
            text: "[there](docs/decisions/0001-a.md) [not there](docs/GONE.md)\n",
            finding: "tidy: README.md:1: a link to `docs/GONE.md`, which is not there: ",
        },
    ]);
}

/// The real bans of a core.
const BANS: &str = include_str!("../../gateway/core/clippy.toml");

const CORE: &str = "//! A core.\n\n#![forbid(unsafe_code)]\n";

/// A table of requirements that lacks all rows but one: what is found first is the row itself.
#[test]
fn a_table_of_requirements_that_names_no_test_or_lacks_a_row_fails() {
    let row = |cells: &str| format!("| RFC 4787 1 | MUST | one mapping | {cells} |\n");
    let said = |text: &str| {
        let workspace = Workspace::clean();
        workspace.write("docs/rfc-compliance.md", text);
        workspace.write("gateway/src/lib.rs", "//! A shell.\n\nmod io;\nmod tests;\n");
        workspace.write("gateway/src/tests.rs", "#[test]\nfn there_is_one() {}\n");
        workspace.tidy().1
    };
    let right = said(&row("met | `there_is_one`"));
    assert!(!right.contains("rfc-compliance.md:1: no test") && !right.contains("`RFC 4787 1`"), "{right}");
    assert!(right.contains("docs/rfc-compliance.md:1: `RFC 4787 2` is missing: add its row"), "{right}");
    for (cells, finding) in [
        ("met | `there_is_none`", "no test is called `there_is_none`: "),
        ("met | see the code", "`RFC 4787 1` is met, and nothing shows it: "),
        ("mostly | `there_is_one`", "`mostly` is no status: "),
        ("met", "a row has five cells: "),
    ] {
        let said = said(&row(cells));
        assert!(said.contains(&format!("tidy: docs/rfc-compliance.md:1: {finding}")), "{cells}: {said}");
    }
}

const CLEAN: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"gateway\", \"gateway/core\", \"control/core\", \"wharf\", \"netlab\", \"xtask\"]\n",
    ),
    ("gateway/core/Cargo.toml", concat!(package!("gateway-core"), "[dependencies]\nslab = \"0.4\"\n")),
    ("gateway/core/src/lib.rs", CORE),
    ("gateway/core/clippy.toml", BANS),
    ("control/core/Cargo.toml", package!("control-core")),
    ("control/core/src/lib.rs", CORE),
    ("control/core/clippy.toml", BANS),
    (
        "gateway/Cargo.toml",
        concat!(package!("gateway"), "[dependencies]\ngateway-core = { path = \"core\" }\n"),
    ),
    ("gateway/src/lib.rs", "//! A shell.\n\nmod io;\n"),
    (
        "wharf/Cargo.toml",
        concat!(package!("wharf"), "[dependencies]\nnetlab = { path = \"../netlab\", optional = true }\n"),
    ),
    ("wharf/src/main.rs", "fn main() {}\n"),
    ("netlab/Cargo.toml", package!("netlab")),
    ("netlab/src/lib.rs", "//! A lab.\n"),
    ("xtask/Cargo.toml", package!("xtask")),
    ("xtask/src/main.rs", "fn main() {}\n"),
    (".ci/run", "cargo clippy --workspace --all-targets -- -D warnings\n"),
    ("docs/decisions/README.md", "[0001](0001-a.md)\n"),
    ("docs/decisions/0001-a.md", "# A\n"),
];
