//! What a session takes of memory, when there are a million.
//!
//! Four clients open them, as Wharf admits a quarter of a million for each container. Sessions are UDP, and each is confirmed
//! by a packet that the server got. Memory is counted before and after: that of the program, or, for the kernel's connection
//! tracking, all slabs of the kernel.

use std::fs;
use std::net::SocketAddr;

use netlab::Namespace;
use serde_json::{Value, json};

use crate::load::memory;
use crate::load::sessions::{self, SessionPlan};
use crate::metric::Metric;
use crate::packages;
use crate::refusal::Refusal;
use crate::result::Results;
use crate::subject::{Daemon, Ovs, Programs, SERVER, Site, Subject, SubjectError, kernel_gateway};

/// Clients.
const CLIENTS: usize = 4;

/// Ports of each client: mappings, for a gateway with endpoint-independent mapping.
const MAPPINGS: u16 = 1_000;

/// Ports of the server that each of these sends to.
const REMOTES: u16 = 250;

/// All sessions.
pub const SESSIONS: u64 = CLIENTS as u64 * MAPPINGS as u64 * REMOTES as u64;

const _: () = assert!(SESSIONS == 1_000_000);

/// The limit of the kernel's table, for all namespaces.
const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// Whose memory is counted.
enum Holder {
    /// A program's.
    Program(u32),
    /// The kernel's.
    Kernel,
}

/// How the sessions are distributed, for the record.
pub fn describe() -> Value {
    json!({
        "clients": CLIENTS, "ports_per_client": MAPPINGS, "remotes_per_port": REMOTES, "protocol": "udp",
        "counted": "private memory of wharf and of ovs-vswitchd; all slabs of the kernel for nft",
    })
}

/// Fills the table of each subject, `runs` times, each time a new one.
pub fn measure(subjects: &[Subject], programs: &Programs, runs: usize, results: &mut Results) {
    for subject in subjects {
        if let Some(reason) = without_sessions(*subject) {
            results.absent(subject.name(), Some(Metric::BytesPerSession), &reason);
        }
    }
    for run in 1..=runs {
        for subject in subjects.iter().filter(|subject| without_sessions(**subject).is_none()) {
            let name = subject.name();
            match bytes_per_session(*subject, programs) {
                Ok(bytes) => {
                    eprintln!("  {run:>2}  {:<22} {name:<12} {bytes:.1}", Metric::BytesPerSession.name());
                    results.add(Metric::BytesPerSession, name, bytes);
                }
                Err(error) => {
                    eprintln!(
                        "  {run:>2}  {:<22} {name:<12} refused: {error}",
                        Metric::BytesPerSession.name()
                    );
                    results.refuse(name, &[Metric::BytesPerSession], run, &error);
                }
            }
        }
    }
}

/// Why there is nothing to count.
const fn without_sessions(subject: Subject) -> Option<&'static str> {
    match subject {
        Subject::Direct | Subject::Raw => Some("it has no sessions"),
        Subject::Pasta | Subject::Slirp4netns => {
            Some("each of its sessions is a socket of the process, and a process has not so many descriptors")
        }
        Subject::Wharf | Subject::Nft | Subject::Ovs => None,
    }
}

fn bytes_per_session(subject: Subject, programs: &Programs) -> Result<f64, SubjectError> {
    packages::check(subject.packages())?;
    let site = Site::new(&format!("crowd-{}", subject.name()))?;
    let clients: Vec<_> =
        (1..=CLIENTS).map(|nth| site.namespace(&format!("client{nth}"))).collect::<Result<_, _>>()?;
    match subject {
        Subject::Wharf => {
            let mut daemon = Daemon::start(&site, &programs.wharf)?;
            for (nth, client) in clients.iter().enumerate() {
                let name = format!("c{nth}");
                daemon.container(&name, client)?;
                daemon.attach(&name)?;
            }
            fill(&site, &clients, &Holder::Program(daemon.process.id()))
        }
        Subject::Ovs => {
            let ovs = Ovs::start(&site)?;
            let ports = clients.iter().enumerate().map(|(nth, client)| ovs.client(&site, nth + 1, client));
            let ports = ports.collect::<Result<Vec<_>, _>>()?;
            let server = ovs.server(&site, CLIENTS + 1)?;
            ovs.translate(&ports, &server)?;
            let switch = ovs.daemons.last().map(|(_, process)| process.id()).expect("it has daemons");
            fill(&site, &clients, &Holder::Program(switch))
        }
        _ => {
            kernel_gateway(&site, &clients)?;
            make_room(&site)?;
            fill(&site, &clients, &Holder::Kernel)
        }
    }
}

/// Lets the kernel track all of them for long enough, and as many as before when the site goes.
fn make_room(site: &Site) -> Result<(), SubjectError> {
    site.middle.sysctl("net.netfilter.nf_conntrack_udp_timeout", "300")?;
    let before =
        fs::read_to_string(LIMIT).map_err(SubjectError::system("read the kernel's limit of connections"))?;
    let enough = SESSIONS * 2;
    if before.trim().parse::<u64>().is_ok_and(|before| before >= enough) {
        return Ok(());
    }
    site.lab.on_removal(move || drop(fs::write(LIMIT, before)));
    fs::write(LIMIT, enough.to_string())
        .map_err(SubjectError::system("raise the kernel's limit of connections"))
}

#[expect(clippy::cast_precision_loss, reason = "a mean of bytes")]
fn fill(site: &Site, clients: &[Namespace], holder: &Holder) -> Result<f64, SubjectError> {
    // Once each, so that what is made for the first packet is not counted.
    for client in clients {
        sessions::open(client, &site.server, &plan(60_000, 1, 1))?;
    }
    let before = held(holder)?;
    for client in clients {
        let opened = sessions::open(client, &site.server, &plan(10_000, MAPPINGS, REMOTES))?;
        let expected = u64::from(MAPPINGS) * u64::from(REMOTES);
        if opened.sessions != expected {
            let error = crate::load::LoadError::Incomplete {
                what: "sessions",
                arrived: opened.sessions,
                sent: expected,
            };
            return Err(Refusal::from(error).into());
        }
    }
    let after = held(holder)?;
    if let Holder::Kernel = holder {
        still_tracked(site)?;
    }
    Ok(after.saturating_sub(before) as f64 / SESSIONS as f64)
}

/// None has expired while the others were opened.
fn still_tracked(site: &Site) -> Result<(), SubjectError> {
    let read = site.middle.run(|| fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count"));
    let read = read.map_err(SubjectError::system("count the kernel's connections"))?;
    let tracked = read.trim().parse().unwrap_or_default();
    if tracked >= SESSIONS {
        return Ok(());
    }
    let error = crate::load::LoadError::Incomplete { what: "sessions", arrived: tracked, sent: SESSIONS };
    Err(Refusal::from(error).into())
}

/// Bytes.
fn held(holder: &Holder) -> Result<u64, SubjectError> {
    Ok(match holder {
        Holder::Program(pid) => memory::process(*pid)?.private,
        Holder::Kernel => memory::kernel()?.slab,
    })
}

fn plan(first_port: u16, mappings: u16, remotes: u16) -> SessionPlan {
    let remotes: Vec<_> = (0..remotes).map(|nth| SocketAddr::from((SERVER, 7_000 + nth))).collect();
    SessionPlan { mappings, first_port, listens: remotes.clone(), remotes }
}
