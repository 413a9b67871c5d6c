//! Who may depend on whom: DESIGN's arrows, and the closed list of what a core may be built on.

use cargo_metadata::camino::Utf8Path;
use cargo_metadata::{Dependency, DependencyKind, Package};

use super::finding::Finding;
use super::tree::Tree;

/// What a member may depend on among the members.
enum May {
    /// Only on these.
    Only(&'static [Edge]),
    /// On everything but what nobody may depend on.
    Anything,
}

/// A member that may be depended on.
enum Edge {
    /// Always.
    To(&'static str),
    /// Only as an optional dependency, so that a build can leave it out.
    Optional(&'static str),
}

/// A crate that a core may be built on.
struct Permitted {
    name: &'static str,
    /// Features that bring in what a core must not have; `default` if the default ones do.
    without: &'static [&'static str],
}

/// Members depend on each other only along [`MEMBERS`]; dependencies for tests and builds are no exception.
pub(super) fn members_depend_one_way(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &tree.members {
        let manifest = tree.manifest(member);
        let Some((_, may)) = MEMBERS.iter().find(|(name, _)| *name == member.name.as_str()) else {
            let what = format!("nobody has said what `{}` may depend on", member.name);
            findings.push(Finding::new(manifest, 1, what, "give it a row in xtask/src/tidy/edges.rs"));
            continue;
        };
        let ours =
            member.dependencies.iter().filter(|d| tree.members.iter().any(|m| m.name.as_str() == d.name));
        findings.extend(ours.filter_map(|dependency| {
            let fix = may.refuses(dependency)?;
            let what = format!("`{}` depends on `{}`", member.name, dependency.name);
            Some(Finding::new(manifest, line_of(tree, manifest, dependency), what, fix))
        }));
    }
    findings
}

/// Cores are built on nothing but [`CORES`] lists; their tests may use more.
pub(super) fn cores_depend_on_the_closed_list(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (member, permitted) in cores(tree) {
        let manifest = tree.manifest(member);
        let built_on = member.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
        for dependency in built_on {
            let what = match permitted.iter().find(|p| p.name == dependency.name) {
                None => format!("the core `{}` depends on `{}`", member.name, dependency.name),
                Some(permitted) => match permitted.refused_feature(dependency) {
                    None => continue,
                    Some(feature) => {
                        format!("the core `{}` has feature `{feature}` of `{}`", member.name, permitted.name)
                    }
                },
            };
            let line = line_of(tree, manifest, dependency);
            findings.push(Finding::new(
                manifest,
                line,
                what,
                "take what it does as an argument, or move the code to the shell",
            ));
        }
    }
    findings
}

/// The core crates of the tree, with what each may be built on.
fn cores(tree: &Tree) -> impl Iterator<Item = (&Package, &'static [Permitted])> {
    tree.members.iter().filter_map(|member| {
        let (_, permitted) = CORES.iter().find(|(name, _)| *name == member.name.as_str())?;
        Some((member, *permitted))
    })
}

/// The crates that must be pure.
pub(super) fn core_members(tree: &Tree) -> impl Iterator<Item = &Package> {
    cores(tree).map(|(member, _)| member)
}

/// The line that declares the dependency, from 1; 1 if it is declared in an unusual way.
fn line_of(tree: &Tree, manifest: &Utf8Path, dependency: &Dependency) -> usize {
    let key = dependency.rename.as_ref().unwrap_or(&dependency.name);
    let text = tree.texts.get(manifest).map_or("", String::as_str);
    let declares =
        |line: &str| line.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    text.lines().position(declares).map_or(1, |index| index + 1)
}

impl May {
    /// How to do without the dependency, if it may not be.
    fn refuses(&self, dependency: &Dependency) -> Option<&'static str> {
        let name = dependency.name.as_str();
        if ENDS.contains(&name) {
            return Some("nothing depends on it; move what is needed to a crate that may be depended on");
        }
        let Self::Only(edges) = self else { return None };
        match edges.iter().find(|edge| edge.name() == name) {
            None => {
                Some("dependencies point one way, see docs/ARCHITECTURE.md; move the code to the other side")
            }
            Some(Edge::Optional(_)) if !dependency.optional => Some("make it optional, behind a feature"),
            Some(_) => None,
        }
    }
}

impl Edge {
    const fn name(&self) -> &'static str {
        match self {
            Self::To(name) | Self::Optional(name) => name,
        }
    }
}

impl Permitted {
    const fn whole(name: &'static str) -> Self {
        Self { name, without: &[] }
    }

    /// The first feature that the declaration asks for and must not.
    fn refused_feature(&self, dependency: &Dependency) -> Option<&'static str> {
        self.without.iter().copied().find(|&feature| match feature {
            "default" => dependency.uses_default_features || dependency.features.iter().any(|f| f == feature),
            _ => dependency.features.iter().any(|f| f == feature),
        })
    }
}

/// Members that nothing depends on.
const ENDS: &[&str] = &["tests", "benches", "compare", "xtask"];

/// The arrows. A new member needs a row.
const MEMBERS: &[(&str, May)] = &[
    ("gateway-core", May::Only(&[])),
    ("gateway", May::Only(&[Edge::To("gateway-core")])),
    ("control-core", May::Only(&[])),
    // Not on gateway-core: what the control plane may say to the gateway is what the gateway re-exports.
    ("control", May::Only(&[Edge::To("control-core"), Edge::To("gateway"), Edge::To("sandbox")])),
    ("sandbox", May::Only(&[])),
    // Optional, see docs/decisions/0001.
    (
        "wharf",
        May::Only(&[Edge::To("control"), Edge::To("gateway"), Edge::To("sandbox"), Edge::Optional("netlab")]),
    ),
    ("netlab", May::Anything),
    ("tests", May::Anything),
    ("benches", May::Anything),
    ("compare", May::Anything),
    ("xtask", May::Anything),
];

/// What the cores may be built on. A crate that reads a clock, opens a socket, starts a thread, asks the operating
/// system for randomness or logs does not belong here.
const CORES: &[(&str, &[Permitted])] = &[
    (
        "gateway-core",
        &[
            // Atomic pointers, no I/O: what all workers' engines read without a lock.
            Permitted::whole("arc-swap"),
            // By default, and with `runtime-rng`, it takes its keys from the operating system.
            Permitted { name: "ahash", without: &["default", "runtime-rng", "compile-time-rng"] },
            Permitted::whole("ipnet"),
            Permitted::whole("rand_chacha"),
            Permitted::whole("slab"),
            // For its wire formats; `std` brings its clock, the others its sockets.
            Permitted {
                name: "smoltcp",
                without: &["default", "std", "log", "phy-raw_socket", "phy-tuntap_interface"],
            },
            Permitted::whole("thiserror"),
        ],
    ),
    (
        "control-core",
        &[
            Permitted::whole("ipnet"),
            Permitted::whole("serde"),
            Permitted::whole("thiserror"),
            Permitted::whole("utoipa"),
        ],
    ),
];
