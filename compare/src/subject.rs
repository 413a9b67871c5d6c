//! What is compared: gateways, and two that show what there is to lose.

mod direct;
mod ending;
mod nft;
mod ovs;
mod pasta;
mod raw;
mod slirp4netns;
mod stand;
mod wharf;

use std::path::PathBuf;

use netlab::LabError;

use crate::load::LoadError;
use crate::packages::{self, Package};
use crate::program::ProgramError;
use crate::refusal::Refusal;
use crate::rest::RestError;

pub use nft::kernel_gateway;
pub use ovs::{Ovs, Port};
pub use stand::{CLIENT_NET, EXTERNAL, SERVER, SYSCTLS, Site, Stand, VPC, neighbors_for, veth};
pub use wharf::{Daemon, NAME};

/// Something that carries packets between the client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A veth pair with the client on one end and the server on the other: no gateway, the physical limit.
    Direct,
    /// Two TAP devices, and a program that moves frames between them without a look.
    Raw,
    /// Wharf, with the defaults that its users get.
    Wharf,
    /// The kernel's forwarding with nftables' masquerade, over veth pairs.
    Nft,
    /// Open vSwitch's userspace datapath with connection tracking and address translation, over its own TAP devices.
    Ovs,
    /// pasta, of passt: a TAP device to sockets of the host.
    Pasta,
    /// slirp4netns: the same, with a TCP stack of its own.
    Slirp4netns,
}

/// Where the programs are that were built for the comparison.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `wharf`, for release.
    pub wharf: PathBuf,
    /// `raw`, for release.
    pub raw: PathBuf,
}

/// Why a subject does not stand. It is listed with this reason.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// The machine lacks a program, and it cannot be installed.
    #[error("{program} is missing; {reason}")]
    Missing {
        /// The program.
        program: String,
        /// Why it was not installed, or what to do.
        reason: String,
    },
    /// Its namespaces or devices cannot be made.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A program that sets it up failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Wharf refused a request.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// Its daemon has ended, or does not become ready.
    #[error("{program} does not become ready: {said}")]
    NotReady {
        /// Which daemon.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// A file or a socket cannot be had.
    #[error("{step}: {source}")]
    System {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// It stands, but the first look at it found something wrong.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It stands, but carries nothing.
    #[error("{0}")]
    Load(#[from] LoadError),
}

impl SubjectError {
    /// For `map_err`: says what was being done.
    pub fn system(step: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { step, source }
    }
}

impl Subject {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 7] =
        [Self::Wharf, Self::Raw, Self::Nft, Self::Ovs, Self::Pasta, Self::Slirp4netns, Self::Direct];

    /// As the result has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Raw => "raw",
            Self::Wharf => "wharf",
            Self::Nft => "nft",
            Self::Ovs => "ovs",
            Self::Pasta => "pasta",
            Self::Slirp4netns => "slirp4netns",
        }
    }

    /// The subject of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.name() == name)
    }

    /// What it is, for the record.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Direct => "a veth pair from the client's namespace to the server's, no gateway",
            Self::Raw => {
                "two TAP devices with vnet headers, frames moved as Wharf moves them, no translation"
            }
            Self::Wharf => "wharf serve, defaults; a TAP device to the container, a TAP device to the VPC",
            Self::Nft => "veth pairs, net.ipv4.ip_forward, nftables masquerade in a postrouting chain",
            Self::Ovs => {
                "bridge with datapath_type=netdev, userspace-tso-enable, TAP ports, ct(commit,nat(src=…)) flows"
            }
            Self::Pasta => "pasta --config-net --mtu 1500, its TAP device in the client's namespace",
            Self::Slirp4netns => {
                "slirp4netns --configure --mtu=1500, its TAP device in the client's namespace"
            }
        }
    }

    /// The distribution's packages with its programs.
    pub const fn packages(self) -> &'static [Package] {
        match self {
            Self::Direct | Self::Raw | Self::Wharf => &[],
            Self::Nft => &[packages::NFTABLES],
            Self::Ovs => &[packages::OVS],
            Self::Pasta => &[packages::PASST],
            Self::Slirp4netns => &[packages::SLIRP4NETNS],
        }
    }

    /// Brings it up between a client and a server of its own. It carries traffic when this returns.
    pub fn stand(self, programs: &Programs) -> Result<Stand, SubjectError> {
        packages::check(self.packages())?;
        let site = Site::new(self.name())?;
        match self {
            Self::Direct => direct::stand(site),
            Self::Raw => raw::stand(site, &programs.raw),
            Self::Wharf => wharf::stand(site, &programs.wharf),
            Self::Nft => nft::stand(site),
            Self::Ovs => ovs::stand(site),
            Self::Pasta => pasta::stand(site),
            Self::Slirp4netns => slirp4netns::stand(site),
        }
    }
}
