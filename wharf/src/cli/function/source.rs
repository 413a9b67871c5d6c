//! Code on its way to the daemon: where it is, and what it looks like.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};

/// Code on this machine.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    /// Made before, and sent as it is.
    Archive,
}

/// What code looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Language {
    pub(super) runtime: &'static str,
    /// What seems to be called for each event; nothing where the code starts by itself.
    pub(super) handler: Option<String>,
}

/// What a runtime with its own start looks for.
const BOOTSTRAP: &str = "bootstrap";

/// Modules of a directory that may have the handler; the first that is there has it.
const MODULES: [&str; 10] = [
    "handler.py",
    "lambda_function.py",
    "main.py",
    "app.py",
    "index.mjs",
    "index.js",
    "index.cjs",
    "handler.mjs",
    "handler.js",
    "handler.cjs",
];

/// The longest name of a function. Bytes.
const NAME_BYTES: usize = 63;

impl Source {
    /// Looks at what is there.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let path = path.canonicalize().map_err(|error| unreadable(path, &error))?;
        let kind = if path.is_dir() {
            Kind::Directory
        } else if path.extension().is_some_and(|extension| extension == "zip") {
            Kind::Archive
        } else {
            Kind::File
        };
        Ok(Self { path, kind })
    }

    /// A function's name that is that of the directory or file.
    pub(super) fn name(&self) -> Result<String, Failure> {
        let own = if self.kind == Kind::Directory { self.path.file_name() } else { self.path.file_stem() };
        let text = own.and_then(|name| name.to_str()).unwrap_or_default().to_ascii_lowercase();
        let name = text.replace(['_', '.', ' '], "-");
        let name = name.trim_matches('-');
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(fits) {
            return Ok(name.to_owned());
        }
        Err(Failure::usage(format_args!("{} makes no name of a function", self.path.display()))
            .hint("choose one with --name"))
    }

    /// All of it, as it is sent.
    pub(super) fn archive(&self) -> Result<Vec<u8>, Failure> {
        if self.kind == Kind::Archive {
            return fs::read(&self.path).map_err(|error| unreadable(&self.path, &error));
        }
        sandbox::pack(&self.path)
            .map_err(|error| Failure::new(Exit::Failed, format_args!("cannot pack the code: {error}")))
    }

    /// What it looks like. Nobody looks into archives.
    pub(super) fn language(&self) -> Option<Language> {
        match self.kind {
            Kind::Archive => None,
            Kind::File => language_of(&self.path),
            Kind::Directory => {
                let names = std::iter::once(BOOTSTRAP).chain(MODULES);
                let mut files = names.map(|name| self.path.join(name)).filter(|file| file.is_file());
                files.find_map(|file| language_of(&file))
            }
        }
    }
}

fn language_of(file: &Path) -> Option<Language> {
    if file.file_name()? == BOOTSTRAP {
        return Some(Language { runtime: "provided", handler: None });
    }
    let module = file.file_stem()?.to_str()?;
    let (runtime, function) = match file.extension()?.to_str()? {
        "py" => ("python3", python_function(file)),
        "js" | "mjs" | "cjs" => ("nodejs", "handler"),
        _ => return None,
    };
    Some(Language { runtime, handler: Some(format!("{module}.{function}")) })
}

/// The function's name that AWS proposes, if the module defines it and not the usual one.
fn python_function(file: &Path) -> &'static str {
    let text = fs::read_to_string(file).unwrap_or_default();
    let defines = |name: &str| {
        let starts = [format!("def {name}("), format!("async def {name}("), format!("{name} = ")];
        text.lines().any(|line| starts.iter().any(|start| line.starts_with(start)))
    };
    if defines("lambda_handler") && !defines("handler") { "lambda_handler" } else { "handler" }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format_args!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files.
    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn python(handler: &str) -> Language {
        Language { runtime: "python3", handler: Some(handler.into()) }
    }

    #[test]
    fn code_says_what_it_is_by_the_names_of_its_files() {
        let node = |handler: &str| Some(Language { runtime: "nodejs", handler: Some(handler.into()) });
        let provided = Some(Language { runtime: "provided", handler: None });
        for (files, expected) in [
            (&[("handler.py", "def handler(e, c): pass")][..], Some(python("handler.handler"))),
            (&[("app.py", "import os\ndef lambda_handler(e, c): pass")], Some(python("app.lambda_handler"))),
            (&[("main.py", "def lambda_handler(): 0\ndef handler(): 0")], Some(python("main.handler"))),
            (&[("lambda_function.py", ""), ("main.py", "")], Some(python("lambda_function.handler"))),
            (&[("index.mjs", ""), ("package.json", "")], node("index.handler")),
            (&[("handler.js", "")], node("handler.handler")),
            (&[("bootstrap", ""), ("handler.py", "")], provided),
            (&[("README.md", "")], None),
        ] {
            let folder = directory(files);
            assert_eq!(Source::read(folder.path()).unwrap().language(), expected, "{files:?}");
        }
    }

    #[test]
    fn a_single_file_is_a_module_of_its_own() {
        let folder = directory(&[("Get_Users.py", ""), ("users.zip", "PK"), ("x", "")]);
        let source = |name: &str| Source::read(&folder.path().join(name)).unwrap();
        assert_eq!(source("Get_Users.py").language(), Some(python("Get_Users.handler")));
        assert_eq!(source("Get_Users.py").name().unwrap(), "get-users");
        assert_eq!((source("users.zip").language(), source("x").language()), (None, None));
        assert_eq!(source("users.zip").name().unwrap(), "users");
        assert_eq!(source("users.zip").archive().unwrap(), b"PK", "it is sent as it is");
        assert!(Source::read(&folder.path().join("nothing")).is_err());
    }

    #[test]
    fn what_makes_no_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (name, expected) in
            [("a b", Some("a-b")), ("ünïcode", None), (&"x".repeat(64), None), ("__", None)]
        {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            assert_eq!(Source::read(&path).unwrap().name().ok().as_deref(), expected, "{name}");
        }
    }
}
