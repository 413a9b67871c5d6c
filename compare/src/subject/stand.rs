//! The ground that all subjects stand on, and a subject that stands.
//!
//! ```text
//! client ── subject ── server            direct, raw: both ends in 10.1.0.0/16
//! 192.168.9.2          10.1.0.1          wharf, nft, ovs, pasta, slirp4netns: the server sees 10.1.0.10
//! ```

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;
use netlab::{Lab, Namespace, Process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Subject, SubjectError};
use crate::end::{Able, End, MTU, Offloads};
use crate::program;
use crate::refusal::Refusal;

/// The server's address.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

/// The gateway's address towards the server: what the server has to see.
pub const EXTERNAL: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 10);

/// The server's network.
pub const VPC: &str = "10.1.0.0/16";

/// The client's network, where the subject does not decide; parts of it for several clients.
pub const CLIENT_NET: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 9, 0), 24);

/// Settings of every namespace.
pub const SYSCTLS: [(&str, &str); 3] = [
    // Connections to one server are limited by the subject and not by the number of the client's ports: all ports, and
    // those in TIME_WAIT again after a second (RFC 6191).
    ("net.ipv4.ip_local_port_range", "1024 65535"),
    ("net.ipv4.tcp_tw_reuse", "1"),
    // Linux's default, whatever the machine has made its own.
    ("net.ipv4.tcp_congestion_control", CONGESTION_CONTROL),
];

const CONGESTION_CONTROL: &str = "cubic";

/// What namespaces may choose from (net/ipv4/tcp_cong.c); one list for all of the machine.
const PERMITTED: &str = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";

/// How long a daemon may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Namespaces for one subject, and a directory.
#[derive(Debug)]
pub struct Site {
    /// Where the client is.
    pub client: Namespace,
    /// Where the gateway is, as far as it is anywhere.
    pub middle: Namespace,
    /// Where the server is.
    pub server: Namespace,
    /// For sockets, logs and databases of daemons.
    pub directory: PathBuf,
    /// All of it.
    pub lab: Lab,
}

/// A subject that carries packets.
#[derive(Debug)]
pub struct Stand {
    /// Which one.
    pub subject: Subject,
    /// The client's device.
    pub client: End,
    /// The server's device.
    pub server: End,
    /// Devices of the gateway that are neither.
    pub between: Vec<End>,
    /// Whom the server has to see.
    pub seen: Ipv4Addr,
    /// The subject's programs, which run.
    pub daemons: Vec<(&'static str, Process)>,
    /// What it stands on.
    pub site: Site,
}

impl Site {
    /// Three namespaces that nothing joins yet. `topic` is part of their names.
    pub fn new(topic: &str) -> Result<Self, SubjectError> {
        let lab = Lab::new(&format!("compare-{topic}"))?;
        let [client, middle, server] = ["client", "middle", "server"].map(|name| namespace(&lab, name));
        let directory = tempfile::Builder::new().prefix("wharf-compare-").tempdir();
        // Not by its drop: a signal ends the process without one.
        let directory = directory.map_err(SubjectError::system("make a directory"))?.keep();
        let theirs = directory.clone();
        lab.on_removal(move || program::at_rest(|| drop(fs::remove_dir_all(theirs))));
        Ok(Self { client: client?, middle: middle?, server: server?, directory, lab })
    }

    /// Another namespace like the others.
    pub fn namespace(&self, name: &str) -> Result<Namespace, SubjectError> {
        namespace(&self.lab, name)
    }

    /// The client's device.
    pub fn client_end(&self, able: Able) -> End {
        End { at: "client", namespace: self.client.clone(), device: "eth0".into(), able }
    }

    /// The server's device.
    pub fn server_end(&self, able: Able) -> End {
        End { at: "server", namespace: self.server.clone(), device: "eth0".into(), able }
    }

    /// A device of the gateway.
    pub fn middle_end(&self, device: &str) -> End {
        End { at: "gateway", namespace: self.middle.clone(), device: device.into(), able: Able::Offload }
    }

    /// Joins the middle to the server by a veth pair with their addresses; `out0` is the gateway's end.
    pub fn join_server(&self) -> Result<(), SubjectError> {
        veth(&self.middle, "out0", &self.server, "eth0")?;
        self.middle.address("out0", within_vpc(EXTERNAL))?;
        Ok(self.server.address("eth0", within_vpc(SERVER))?)
    }

    /// Starts a daemon of the subject in the middle namespace. What it says goes to the file `log`.
    pub fn start(&self, mut command: Command, log: &str) -> Result<Process, SubjectError> {
        let file = File::create(self.directory.join(log)).map_err(SubjectError::system("make a log"))?;
        let other = file.try_clone().map_err(SubjectError::system("make a log"))?;
        command.stdin(Stdio::null()).stdout(file).stderr(other);
        Ok(self.middle.spawn(command)?)
    }

    /// Waits until `ready`, for as long as the daemon runs.
    pub fn wait(
        &self,
        program: &'static str,
        process: &Process,
        log: &str,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), SubjectError> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE && process.try_wait().is_ok_and(|status| status.is_none()) {
            if ready() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        let said = fs::read_to_string(self.directory.join(log)).unwrap_or_default();
        let said = said.lines().rev().find(|line| !line.is_empty()).unwrap_or("it said nothing").to_owned();
        Err(SubjectError::NotReady { program, said })
    }

    /// The subject, now that it stands. Sets all its devices.
    pub fn stands(
        self,
        subject: Subject,
        [client, server]: [Able; 2],
        between: &[&str],
        seen: Ipv4Addr,
        daemons: Vec<(&'static str, Process)>,
    ) -> Result<Stand, SubjectError> {
        let stand = Stand {
            subject,
            client: self.client_end(client),
            server: self.server_end(server),
            between: between.iter().map(|device| self.middle_end(device)).collect(),
            seen,
            daemons,
            site: self,
        };
        for end in stand.ends() {
            end.namespace.mtu(&end.device, MTU)?;
        }
        stand.set(Offloads::Used)?;
        Ok(stand)
    }
}

impl Stand {
    /// All devices of the subject, those of the client and of the server first.
    pub fn ends(&self) -> impl Iterator<Item = &End> {
        [&self.client, &self.server].into_iter().chain(&self.between)
    }

    /// Sets the offloads of all devices.
    pub fn set(&self, offloads: Offloads) -> Result<(), program::ProgramError> {
        self.ends().try_for_each(|end| end.set(offloads))
    }

    /// Whether the subject is as it was made: it runs, offloads and MTU are what was set, and the routes lead through it.
    /// Returns how many bytes each of [`Self::ends`] has carried so far.
    pub fn check(&self, offloads: Offloads) -> Result<Vec<u64>, Refusal> {
        for (program, process) in &self.daemons {
            if !process.try_wait().is_ok_and(|status| status.is_none()) {
                return Err(Refusal::Ended(program));
            }
        }
        let carried = self.ends().map(|end| end.check(offloads)).collect::<Result<_, _>>()?;
        self.client.check_route(SERVER)?;
        self.server.check_route(self.seen)?;
        Ok(carried)
    }

    /// Lets its programs run.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Stops its programs from running, so that they cost nothing while it is another subject's turn.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    fn signal(&self, signal: Signal) {
        for (_, process) in &self.daemons {
            // Whether it still runs is asked in `check`.
            let _ = kill(Pid::from_raw(process.id().cast_signed()), signal);
        }
    }
}

/// Joins two namespaces.
pub fn veth(near: &Namespace, device: &str, far: &Namespace, far_device: &str) -> Result<(), SubjectError> {
    Ok(near.veth(device, far, far_device)?)
}

/// Tells a namespace the MAC address of a neighbor, for subjects that answer no questions for it.
pub fn neighbors_for(
    namespace: &Namespace,
    device: &str,
    address: IpAddr,
    mac: &str,
) -> Result<(), SubjectError> {
    let words = ["neigh", "add", &address.to_string(), "lladdr", mac, "dev", device, "nud", "permanent"];
    program::output(namespace.command("ip").args(words))?;
    Ok(())
}

/// The address with the length of the VPC's prefix.
pub(super) fn within_vpc(address: Ipv4Addr) -> ipnet::IpNet {
    ipnet::IpNet::new(IpAddr::V4(address), 16).expect("16 is a length")
}

/// Two addresses of the client's network, the gateway's and the client's, in the nth part of it, from 1, with the length of
/// its prefix.
pub(super) fn in_client_net(nth: u32) -> [ipnet::IpNet; 2] {
    let part = CLIENT_NET.network().to_bits() + (nth - 1) * 4;
    [1, 2].map(|host| ipnet::IpNet::new(Ipv4Addr::from_bits(part + host).into(), 30).expect("30 is a length"))
}

/// The default route.
pub(super) fn anywhere() -> ipnet::IpNet {
    ipnet::IpNet::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0).expect("0 is a length")
}

/// Lets namespaces have it, until the lab goes.
fn permit_congestion_control(lab: &Lab) -> std::io::Result<()> {
    let permitted = fs::read_to_string(PERMITTED)?;
    if !permitted.split_whitespace().any(|one| one == CONGESTION_CONTROL) {
        fs::write(PERMITTED, format!("{} {CONGESTION_CONTROL}", permitted.trim()))?;
        lab.on_removal(move || drop(fs::write(PERMITTED, permitted)));
    }
    Ok(())
}

/// `/run/netns/NAME`.
pub(super) fn path(namespace: &Namespace) -> PathBuf {
    Path::new("/run/netns").join(namespace.name())
}

fn namespace(lab: &Lab, name: &str) -> Result<Namespace, SubjectError> {
    let namespace = lab.namespace(name)?;
    let set = || SYSCTLS.iter().try_for_each(|(key, value)| namespace.sysctl(key, value));
    for _ in 0..TRIES {
        permit_congestion_control(lab).map_err(SubjectError::system("permit the congestion control"))?;
        // Another comparison may end just now, and take its permission with it.
        if set().is_ok() {
            return Ok(namespace);
        }
    }
    set()?;
    Ok(namespace)
}

const TRIES: usize = 10;
