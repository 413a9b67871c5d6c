//! The programs that wait in warm containers, as files for their root filesystem.

use crate::Language;

/// A file of `/opt/wharf`, which containers see read-only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File {
    /// Its name there.
    pub name: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
    /// Its permissions.
    pub mode: u32,
}

/// All of them. A container needs those of its own language only, and may see every one.
pub(crate) const fn files() -> &'static [File] {
    FILES
}

/// What a container of this language starts: program and arguments. It reaches the runtime API at 127.0.0.1:9001; another address
/// is one argument more.
pub(crate) fn command(language: Language) -> Vec<String> {
    let command: &[&str] = match language {
        // Isolated from variables and the user's site directory, and writing no byte code.
        Language::Python3 => &["/usr/bin/python3", "-I", "-B", "/opt/wharf/bootstrap.py"],
        Language::Nodejs => &["/usr/bin/node", "/opt/wharf/bootstrap.cjs"],
        Language::Provided => &["/opt/wharf/waiter"],
    };
    command.iter().map(|part| (*part).to_owned()).collect()
}

const FILES: &[File] = &[
    File { name: "bootstrap.py", bytes: include_bytes!("../bootstrap/python3/bootstrap.py"), mode: 0o444 },
    File { name: "bootstrap.cjs", bytes: include_bytes!("../bootstrap/nodejs/bootstrap.cjs"), mode: 0o444 },
    File { name: "waiter", bytes: include_bytes!(concat!(env!("OUT_DIR"), "/waiter")), mode: 0o555 },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_started_is_a_file_or_is_given_one() {
        for language in [Language::Python3, Language::Nodejs, Language::Provided] {
            let command = command(language);
            let ours = command.last().and_then(|last| last.strip_prefix("/opt/wharf/"));
            assert!(files().iter().any(|file| Some(file.name) == ours), "{command:?}");
        }
    }
}
