//! A view of this machine's own language runtime: what it needs, and no more. Copied once, so that no upgrade of the machine changes
//! what a running container reads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::{ROOTS, RootfsError, complete, copy, failed, hexadecimal, libraries, once};
use crate::Language;

/// The view of a language; made below `data` unless it is there and still right.
pub(super) fn view(language: Language, data: &Path) -> Result<PathBuf, RootfsError> {
    let parts = Parts::of(language)?;
    let name = format!("{}-{}", name(language), parts.fingerprint()?);
    once(data.join(ROOTS).join(name), |root| parts.copy(root))
}

/// Whether this machine has the language.
pub(super) fn check(language: Language) -> Result<(), RootfsError> {
    interpreter(language).map(drop)
}

/// The program by which a language starts; a shell if anything may.
fn interpreter(language: Language) -> Result<PathBuf, RootfsError> {
    match language {
        Language::Python3 => installed("python3", &["/usr/bin/python3", "/usr/local/bin/python3"]),
        Language::Nodejs => installed("node", &["/usr/bin/node", "/usr/local/bin/node"]),
        Language::Provided => installed("sh", &["/bin/sh", "/usr/bin/sh"]),
    }
}

const fn name(language: Language) -> &'static str {
    match language {
        Language::Python3 => "python3",
        Language::Nodejs => "nodejs",
        Language::Provided => "provided",
    }
}

/// What a view is made of.
struct Parts {
    /// Programs, with the links that lead to them.
    programs: Vec<PathBuf>,
    /// Directories, whole.
    directories: Vec<PathBuf>,
}

impl Parts {
    fn of(language: Language) -> Result<Self, RootfsError> {
        let mut programs = vec![interpreter(language)?];
        let mut directories = match language {
            Language::Python3 => python_directories(&programs[0])?,
            // Debian's Node has some of its built-in modules there.
            Language::Nodejs => vec!["/usr/share/nodejs".into()],
            Language::Provided => {
                programs.extend(COMMANDS.iter().filter_map(|command| installed("", &[command]).ok()));
                vec![]
            }
        };
        directories.extend(SHARED.iter().map(PathBuf::from));
        directories.retain(|directory| directory.is_dir());
        Ok(Self { programs, directories })
    }

    /// What changes when the machine's language does.
    fn fingerprint(&self) -> Result<String, RootfsError> {
        let mut sum = Sha256::new();
        sum.update(env!("CARGO_PKG_VERSION"));
        sum.update(LAYOUT);
        for path in self.programs.iter().chain(&self.directories) {
            let real = fs::canonicalize(path).map_err(failed(path))?;
            let known = fs::metadata(&real).map_err(failed(&real))?;
            let changed = known.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            sum.update(format!("{} {} {changed:?}\n", real.display(), known.len()));
        }
        Ok(hexadecimal(&sum.finalize()[..8]))
    }

    fn copy(&self, root: &Path) -> Result<(), RootfsError> {
        let mut dynamic = self.programs.clone();
        merged(root).map_err(failed(root))?;
        for program in &self.programs {
            copy::file(program, root)?;
        }
        for directory in &self.directories {
            copy::directory(directory, root, &is_of_no_use)?;
            modules(directory, &mut dynamic).map_err(failed(directory))?;
        }
        for library in libraries::of(&dynamic)? {
            copy::file(&library, root)?;
        }
        for (path, content) in FILES {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it was joined")).map_err(failed(&path))?;
            fs::write(&path, content).map_err(failed(&path))?;
        }
        for optional in OPTIONAL.map(Path::new) {
            if optional.exists() {
                copy::file(optional, root)?;
            }
        }
        // A program under another name than the one by which it is started.
        self.alias(root)?;
        complete(root).map(drop)
    }

    /// `/usr/bin/python3`, `/usr/bin/node` and `/bin/sh` are there, wherever the machine has them.
    fn alias(&self, root: &Path) -> Result<(), RootfsError> {
        let Some(first) = self.programs.first() else { return Ok(()) };
        let Some(name) = first.file_name() else { return Ok(()) };
        for place in ["usr/bin", "bin"] {
            let alias = root.join(place).join(name);
            if fs::symlink_metadata(&alias).is_err() {
                std::os::unix::fs::symlink(first, &alias).map_err(failed(&alias))?;
            }
        }
        Ok(())
    }
}

/// Directories that this machine has merged into others (`/bin` into `/usr/bin`) are merged there too.
fn merged(root: &Path) -> io::Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        match fs::read_link(Path::new("/").join(name)) {
            Ok(to) if to.is_relative() => {
                fs::create_dir_all(root.join(&to))?;
                std::os::unix::fs::symlink(to, root.join(name))?;
            }
            _ => fs::create_dir_all(root.join(name))?,
        }
    }
    fs::create_dir_all(root.join("usr/bin"))
}

/// The first of these places that has a program.
fn installed(program: &'static str, places: &[&str]) -> Result<PathBuf, RootfsError> {
    let found = places.iter().map(PathBuf::from).find(|path| path.is_file());
    found.ok_or(RootfsError::Missing { program })
}

/// Where Python has its standard library.
fn python_directories(program: &Path) -> Result<Vec<PathBuf>, RootfsError> {
    let question = "import sysconfig as s; print(s.get_path('stdlib')); print(s.get_path('platstdlib'))";
    let said = Command::new(program).args(["-I", "-S", "-c", question]).output().map_err(failed(program))?;
    if !said.status.success() {
        let detail = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        return Err(RootfsError::Mute { program: program.display().to_string(), detail });
    }
    let mut directories: Vec<PathBuf> =
        String::from_utf8_lossy(&said.stdout).lines().map(PathBuf::from).collect();
    directories.dedup();
    Ok(directories)
}

/// Loadable modules in there, which need libraries of their own.
fn modules(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).is_none_or(is_of_no_use) {
            continue;
        }
        if path.is_dir() {
            modules(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "so" || extension == "node") {
            found.push(path);
        }
    }
    Ok(())
}

/// Parts of Python's library that no function needs, and other people's packages, which belong into a function's own code.
fn is_of_no_use(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "test",
        "tests",
        "idlelib",
        "tkinter",
        "turtledemo",
        "ensurepip",
        "lib2to3",
        "dist-packages",
        "site-packages",
        "pydoc_data",
        "turtle.py",
        "npm",
    ];
    NAMES.contains(&name) || name.starts_with("config-")
}

/// Changes with what a view has.
const LAYOUT: &str = "1";

/// What a shell script of a `provided` function can count on, as far as this machine has it.
const COMMANDS: [&str; 30] = [
    "/bin/bash",
    "/bin/cat",
    "/bin/chmod",
    "/bin/cp",
    "/bin/cut",
    "/bin/date",
    "/bin/echo",
    "/bin/env",
    "/bin/false",
    "/bin/grep",
    "/bin/head",
    "/bin/ls",
    "/bin/mkdir",
    "/bin/mktemp",
    "/bin/mv",
    "/bin/printf",
    "/bin/rm",
    "/bin/sed",
    "/bin/seq",
    "/bin/sleep",
    "/bin/sort",
    "/bin/tail",
    "/bin/tr",
    "/bin/true",
    "/bin/uname",
    "/bin/wc",
    "/usr/bin/awk",
    "/usr/bin/curl",
    "/usr/bin/dirname",
    "/usr/bin/id",
];

/// Directories of every view.
const SHARED: [&str; 1] = ["/usr/share/zoneinfo"];

/// Files of every view, as far as this machine has them: whom TLS clients trust.
const OPTIONAL: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/openssl.cnf"];

/// Files of every view that are not this machine's.
const FILES: [(&str, &str); 5] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/false\nfunction:x:1000:1000::/tmp:/bin/sh\n"),
    ("etc/group", "root:x:0:\nfunction:x:1000:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ("etc/resolv.conf", ""),
];
