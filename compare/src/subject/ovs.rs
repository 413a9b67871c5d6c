//! Open vSwitch with its datapath in user space.
//!
//! Its ports are TAP devices that it makes and that are then moved to the client and the server, with super-packets switched
//! on (`userspace-tso-enable`): of the ways that work without a kernel module and without DPDK, this is the fastest one.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;

use netlab::{Namespace, Process};
use serde_json::Value;

use super::stand::{EXTERNAL, SERVER, Site, Stand, anywhere, in_client_net, neighbors_for, within_vpc};
use super::{Subject, SubjectError};
use crate::end::Able;
use crate::program;

/// MAC address of the router that the flows make of the bridge.
const ROUTER: &str = "02:00:00:00:09:01";

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// The two daemons, with a bridge that has no flows yet.
#[derive(Debug)]
pub struct Ovs {
    /// They run.
    pub daemons: Vec<(&'static str, Process)>,
    directory: PathBuf,
}

/// A port of the bridge, as a device in the namespace of who uses it.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its number.
    pub number: usize,
    /// The MAC address of its device.
    pub mac: String,
    /// The address behind it.
    pub address: IpAddr,
}

pub(super) fn stand(site: Site) -> Result<Stand, SubjectError> {
    let ovs = Ovs::start(&site)?;
    let client = ovs.client(&site, 1, &site.client)?;
    let server = ovs.server(&site, 2)?;
    ovs.translate(&[client], &server)?;
    site.stands(Subject::Ovs, [Able::Offload; 2], &[], EXTERNAL, ovs.daemons)
}

impl Ovs {
    /// Starts them in the site's middle namespace, with all their files in its directory.
    pub fn start(site: &Site) -> Result<Self, SubjectError> {
        let directory = site.directory.clone();
        let (database, socket) = (directory.join("conf.db"), directory.join("db.sock"));
        program::output(confined("ovsdb-tool", &directory).arg("create").arg(&database).arg(SCHEMA))?;
        let mut command = confined("ovsdb-server", &directory);
        command.arg(&database).arg(format!("--remote=punix:{}", socket.display()));
        command.arg("--unixctl=db.ctl");
        let server = site.start(command, "ovsdb-server.log")?;
        site.wait("ovsdb-server", &server, "ovsdb-server.log", || socket.exists())?;
        let mut ovs = Self { daemons: vec![("ovsdb-server", server)], directory };
        ovs.vsctl(&["--no-wait", "init"])?;
        ovs.vsctl(&["--no-wait", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true"])?;
        let mut command = confined("ovs-vswitchd", &ovs.directory);
        command.arg(format!("unix:{}", socket.display())).arg("--unixctl=vswitchd.ctl");
        let switch = site.start(command, "ovs-vswitchd.log")?;
        ovs.daemons.push(("ovs-vswitchd", switch));
        ovs.vsctl(&[
            "add-br",
            "br0",
            "--",
            "set",
            "bridge",
            "br0",
            "datapath_type=netdev",
            "fail-mode=secure",
        ])?;
        Ok(ovs)
    }

    /// A port for a client, with the router as its way to anywhere.
    pub fn client(&self, site: &Site, number: usize, namespace: &Namespace) -> Result<Port, SubjectError> {
        let port = self.port(site, number, namespace)?;
        let [router, address] = in_client_net(number as u32);
        namespace.address("eth0", address)?;
        namespace.route(anywhere(), router.addr())?;
        neighbors_for(namespace, "eth0", router.addr(), ROUTER)?;
        Ok(Port { address: address.addr(), ..port })
    }

    /// The port to the server.
    pub fn server(&self, site: &Site, number: usize) -> Result<Port, SubjectError> {
        let port = self.port(site, number, &site.server)?;
        site.server.address("eth0", within_vpc(SERVER))?;
        neighbors_for(&site.server, "eth0", EXTERNAL.into(), ROUTER)?;
        Ok(Port { address: SERVER.into(), ..port })
    }

    /// Routes between the clients and the server, and translates.
    pub fn translate(&self, clients: &[Port], server: &Port) -> Result<(), SubjectError> {
        let flows = flows(clients, server);
        let bridge = format!("unix:{}", self.directory.join("br0.mgmt").display());
        program::output_with(
            confined("ovs-ofctl", &self.directory).args(["add-flows", &bridge, "-"]),
            &flows,
        )?;
        Ok(())
    }

    /// A TAP device on the bridge, moved to where it is used.
    fn port(&self, site: &Site, number: usize, namespace: &Namespace) -> Result<Port, SubjectError> {
        let device = format!("port{number}");
        let request = format!("ofport_request={number}");
        self.vsctl(&["add-port", "br0", &device, "--", "set", "interface", &device, "type=tap", &request])?;
        let words = ["link", "set", &device, "netns", namespace.name(), "name", "eth0"];
        program::output(site.middle.command("ip").args(words))?;
        namespace.up("eth0")?;
        let shown = program::output(namespace.command("ip").args(["-json", "link", "show", "eth0"]))?;
        let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
        let mac = shown[0]["address"].as_str().unwrap_or_default().to_owned();
        Ok(Port { number, mac, address: IpAddr::V4(Ipv4Addr::UNSPECIFIED) })
    }

    fn vsctl(&self, words: &[&str]) -> Result<(), SubjectError> {
        let database = format!("--db=unix:{}", self.directory.join("db.sock").display());
        program::output(
            confined("ovs-vsctl", &self.directory).args([&database, "--timeout=10"]).args(words),
        )?;
        Ok(())
    }
}

/// First packets of a connection commit it with its translation, later ones find it.
fn flows(clients: &[Port], server: &Port) -> String {
    let mut flows = String::new();
    let out = format!("mod_dl_src:{ROUTER},mod_dl_dst:{},dec_ttl,output:{}", server.mac, server.number);
    for Port { number, .. } in clients {
        let _ = write!(
            flows,
            "table=0,in_port={number},ip,actions=ct(zone=1,nat,table=1)\n\
             table=1,in_port={number},ip,ct_state=+trk+new,actions=ct(commit,zone=1,nat(src={EXTERNAL}:1024-65535)),{out}\n\
             table=1,in_port={number},ip,ct_state=+trk+est,actions={out}\n"
        );
    }
    let _ = writeln!(flows, "table=0,in_port={},ip,actions=ct(zone=1,nat,table=2)", server.number);
    for Port { number, mac, address } in clients {
        let _ = writeln!(
            flows,
            "table=2,ip,nw_dst={address},ct_state=+trk+est,actions=mod_dl_src:{ROUTER},mod_dl_dst:{mac},dec_ttl,output:{number}"
        );
    }
    flows
}

/// A program of Open vSwitch that finds nothing of the machine's own one.
fn confined(program: &str, directory: &PathBuf) -> Command {
    let mut command = Command::new(program);
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        command.env(variable, directory);
    }
    command
}
