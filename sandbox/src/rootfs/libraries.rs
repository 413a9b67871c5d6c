//! The shared libraries that programs need, as this machine's loader finds them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use super::RootfsError;

/// What the loader would load for these programs and libraries, the loader itself included.
pub(super) fn of(files: &[PathBuf]) -> Result<BTreeSet<PathBuf>, RootfsError> {
    let mut found = BTreeSet::new();
    // The loader tells of one file at a time; ldd(1) asks it for each.
    for some in files.chunks(AT_ONCE) {
        let said = Command::new("ldd").args(some).env("LC_ALL", "C").output();
        let said =
            said.map_err(|error| RootfsError::Mute { program: "ldd".into(), detail: error.to_string() })?;
        found.extend(parse(&String::from_utf8_lossy(&said.stdout)));
    }
    Ok(found)
}

/// Files of one call: a command line has room for them.
const AT_ONCE: usize = 256;

fn parse(said: &str) -> impl Iterator<Item = PathBuf> {
    said.lines().filter(|line| line.starts_with('\t')).filter_map(|line| {
        let path = line.split_once(" => ").map_or(line, |(_, path)| path);
        let path = path.trim().split(' ').next()?;
        path.starts_with('/').then(|| path.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_that_was_found_is_taken() {
        let said = "/usr/bin/a:\n\tlinux-vdso.so.1 (0x7ffd)\n\tlibm.so.6 => /lib/x/libm.so.6 (0x7f)\n\tlibz.so => not found\n\t/lib64/ld-linux.so.2 (0x7f)\n/usr/bin/b:\n\tnot a dynamic executable\n";
        let expected = ["/lib/x/libm.so.6", "/lib64/ld-linux.so.2"].map(PathBuf::from);
        assert_eq!(parse(said).collect::<Vec<_>>(), expected);
    }
}
