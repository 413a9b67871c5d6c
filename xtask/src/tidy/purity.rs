//! The cores take time, randomness and packets as arguments. Clippy bans the calls by type (see [`super::bans`]); this
//! looks at names, so that an import that clippy has no list for is found as well.

use super::edges::core_members;
use super::finding::Finding;
use super::tree::Tree;

/// Names that have no place in a core, and what to do instead.
struct Ban {
    names: &'static [&'static str],
    what: &'static str,
    fix: &'static str,
}

/// `#![forbid(unsafe_code)]` stands in the root of every core.
pub(super) fn cores_forbid_unsafe(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in core_members(tree) {
        let root = tree.manifest(member).with_file_name("src").join("lib.rs");
        let text = tree.texts.get(&root).map_or("", String::as_str);
        if !text.lines().any(|line| line.trim() == FORBID) {
            let what = format!("the core `{}` does not forbid unsafe code", member.name);
            findings.push(Finding::new(root, 1, what, "begin the crate with #![forbid(unsafe_code)]"));
        }
    }
    findings
}

/// No clock, socket, file, thread, randomness of the operating system or log in a core, its tests included.
pub(super) fn cores_use_nothing_of_the_outside(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in core_members(tree).flat_map(|member| tree.rust_of(member)) {
        for name in &file.names {
            let ban = BANS.iter().find(|ban| ban.names.iter().any(|banned| name.has(banned)));
            findings.extend(ban.map(|ban| {
                let what = format!("{} in a core: `{}`", ban.what, name.path);
                Finding::new(file.path.clone(), name.line, what, ban.fix)
            }));
        }
    }
    findings
}

const FORBID: &str = "#![forbid(unsafe_code)]";

const BANS: &[Ban] = &[
    Ban {
        names: &["Instant::now", "std::time::Instant", "SystemTime", "UNIX_EPOCH"],
        what: "a clock",
        fix: "take `now` as an argument",
    },
    Ban {
        names: &[
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "UnixListener",
            "UnixDatagram",
            "ToSocketAddrs",
        ],
        what: "a socket",
        fix: "take the bytes as an argument; the shell does the I/O",
    },
    Ban {
        names: &["std::fs", "std::io", "std::os", "std::process", "std::env"],
        what: "the operating system",
        fix: "take what it gives as an argument; the shell asks for it",
    },
    Ban {
        names: &["std::thread", "thread_local!", "std::sync::mpsc"],
        what: "a thread",
        fix: "return what there is to do; the shell has the threads",
    },
    Ban {
        // The maps' `new` takes its keys from the operating system; ahash's `with_seeds` takes them from the caller.
        names: &[
            "std::hash::RandomState",
            "hash_map::RandomState",
            "RandomState::new",
            "RandomState::default",
            "getrandom",
            "HashMap::new",
            "HashSet::new",
        ],
        what: "randomness of the operating system",
        fix: "take a seed as an argument, or use an ordered map",
    },
    Ban {
        names: &["println!", "eprintln!", "print!", "eprint!", "tracing::", "log::"],
        what: "a log",
        fix: "return what happened; the shell logs it",
    },
    Ban {
        names: &["clippy::disallowed_methods", "clippy::disallowed_types"],
        what: "a way around clippy's bans",
        fix: "take it out; there is no exception",
    },
];
