//! Settings of functions: whether there are any, what makes their containers, and what those are made of.

use std::path::PathBuf;

use sandbox::{Language, Oci, Rootfs, Runtime};
use serde::Deserialize;

/// Whether the daemon runs functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    /// It does.
    #[default]
    On,
    /// It does not, and needs nothing that only they need.
    Off,
}

/// `[[runtime]]` in the file: what containers can be made of, beside what is built in. One of a built-in name goes over that.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RuntimeOption {
    name: String,
    language: LanguageOption,
    /// Its root filesystem, read-only.
    directory: Option<PathBuf>,
    /// An OCI image layout instead.
    image: Option<PathBuf>,
    /// Which of its images.
    tag: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LanguageOption {
    Python3,
    Nodejs,
    Provided,
}

/// The settings of functions, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Functions {
    /// What makes containers.
    pub(crate) oci: Oci,
    /// What they can be made of.
    pub(crate) runtimes: Vec<Runtime>,
}

impl Functions {
    /// Joins what is set with what is built in.
    pub(crate) fn resolve(oci: Option<PathBuf>, set: Vec<RuntimeOption>) -> Self {
        let set: Vec<_> = set.into_iter().map(RuntimeOption::runtime).collect();
        let built_in =
            [("python3", Language::Python3), ("nodejs", Language::Nodejs), ("provided", Language::Provided)];
        let built_in =
            built_in.into_iter().filter(|(name, _)| set.iter().all(|runtime| runtime.name != *name));
        let runtimes = built_in
            .map(|(name, language)| Runtime { name: name.to_owned(), language, rootfs: Rootfs::Host })
            .chain(set.iter().cloned())
            .collect();
        Self { oci: oci.map_or(Oci::Embedded, Oci::Program), runtimes }
    }
}

impl RuntimeOption {
    fn runtime(self) -> Runtime {
        let rootfs = match (self.image, self.directory) {
            (Some(layout), _) => Rootfs::Image { layout, tag: self.tag },
            (None, Some(directory)) => Rootfs::Directory(directory),
            (None, None) => Rootfs::Host,
        };
        let language = match self.language {
            LanguageOption::Python3 => Language::Python3,
            LanguageOption::Nodejs => Language::Nodejs,
            LanguageOption::Provided => Language::Provided,
        };
        Runtime { name: self.name, language, rootfs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_of_the_file_goes_over_the_built_in_one_of_its_name() {
        #[derive(Deserialize)]
        struct File {
            runtime: Vec<RuntimeOption>,
        }
        let text = "[[runtime]]\nname = 'nodejs'\nlanguage = 'nodejs'\nimage = '/img'\ntag = '20'\n\
                    [[runtime]]\nname = 'numpy'\nlanguage = 'python3'\ndirectory = '/srv/numpy'\n";
        let file: File = toml::from_str(text).unwrap();
        let functions = Functions::resolve(None, file.runtime);
        let names: Vec<_> = functions.runtimes.iter().map(|runtime| runtime.name.as_str()).collect();
        assert_eq!(names, ["python3", "provided", "nodejs", "numpy"]);
        let image = Rootfs::Image { layout: "/img".into(), tag: Some("20".into()) };
        assert_eq!(functions.runtimes[2].rootfs, image);
        assert_eq!((functions.oci, functions.runtimes[0].rootfs.clone()), (Oci::Embedded, Rootfs::Host));
        assert!(toml::from_str::<File>("[[runtime]]\nname = 'x'\nlanguage = 'ruby'\n").is_err());
    }
}
