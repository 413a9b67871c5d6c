//! Where unsafe code may be.

use cargo_metadata::camino::Utf8Path;

use super::finding::Finding;
use super::tree::Tree;

/// `unsafe` is written only in [`MODULES`].
pub(super) fn unsafe_stays_in_its_modules(tree: &Tree) -> Vec<Finding> {
    let outside = tree.rust.iter().filter(|file| !is_inside(&file.path));
    let uses = outside
        .flat_map(|file| file.names.iter().filter(|name| name.path == "unsafe").map(move |n| (file, n)));
    uses.map(|(file, name)| {
        let fix = "move the call behind a safe function in a module that may have it: gateway/src/io, sandbox/src/sys";
        Finding::new(file.path.clone(), name.line, "unsafe outside of its quarantine", fix)
    })
    .collect()
}

fn is_inside(path: &Utf8Path) -> bool {
    MODULES.iter().any(|module| path.starts_with(module) || path.as_str() == format!("{module}.rs"))
}

/// Folders, and modules of one file, whose work is system calls. In tests these are socket options.
const MODULES: &[&str] = &["gateway/src/io", "netlab/src/namespace", "sandbox/src/sys", "tests"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quarantine_is_exactly_these_files() {
        for (path, expected) in [
            ("gateway/src/io/tap.rs", true),
            ("gateway/src/io.rs", true),
            ("gateway/src/iota.rs", false),
            ("gateway/src/worker.rs", false),
            ("gateway/core/src/io/mod.rs", false),
            ("netlab/src/namespace.rs", true),
            ("netlab/src/namespace/enter.rs", true),
            ("netlab/src/lib.rs", false),
            ("tests/src/socket.rs", true),
            ("wharf/tests/cli.rs", false),
        ] {
            assert_eq!(is_inside(Utf8Path::new(path)), expected, "{path}");
        }
    }
}
