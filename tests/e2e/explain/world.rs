//! Containers and VPCs in which every reason can be met, and packets that are explained before they are sent.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

use gateway::{MacAddr, Reason};
use netlab::Namespace;
use netlab::traffic::ping;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrLike, bind, socket};
use serde_json::{Value, json};
use tests::{CIDR, Daemon, EXTERNAL, PATIENCE, SERVER, eventually};

use super::frames::{self, Mac};
use crate::fixture::{INTERNAL, Scene, port, udp_socket};

/// A daemon with two workers, and who sends.
pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) orders: Namespace,
    /// Reasons that were explained and then met.
    pub(super) met: BTreeSet<Reason>,
}

/// A device that frames are sent from as they are.
pub(super) struct Port {
    /// `container` or `vpc`.
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
    pub(super) namespace: Namespace,
    socket: OwnedFd,
    /// Its station's address, and the gateway's.
    pub(super) mac: Mac,
    pub(super) gateway: Mac,
}

impl World {
    /// A VPC `orders` of both families, whose external address is an IPv4 one.
    pub(super) fn start(topic: &str) -> Self {
        let scene = Scene::with(Daemon::start_with(&["--workers", "2"]), topic);
        let orders = quiet(&scene, "orders");
        let netns = json!({"name": orders.name()});
        let uplink = json!({"kind": "tap", "netns": netns, "device": "wharf0", "address": "10.1.0.1/16"});
        let body = json!({
            "name": "orders", "cidr": CIDR, "cidr6": "fd00::/64", "external_addresses": [EXTERNAL],
            "uplink": uplink,
        });
        scene.api.made("vpcs", &body);
        Self { scene, orders, met: BTreeSet::new() }
    }

    /// A VPC 10.2.0.0/16 with a single external port, and a small MTU.
    pub(super) fn small_vpc(&self) -> Namespace {
        let small = quiet(&self.scene, "small");
        let netns = json!({"name": small.name()});
        let uplink = json!({
            "kind": "tap", "netns": netns, "device": "wharf0", "address": "10.2.0.1/16", "mtu": 1280,
        });
        let body = json!({
            "name": "small", "cidr": "10.2.0.0/16", "external_addresses": ["10.2.0.10"],
            "ports": {"first": 5000, "last": 5000}, "uplink": uplink,
        });
        self.scene.api.made("vpcs", &body);
        small
    }

    /// Makes a connector.
    pub(super) fn connector(&self, body: &Value) {
        let (status, body) = self.scene.api.post("/v1/connectors", body);
        assert_eq!(status, 201, "{body}");
    }

    /// Makes a container, attaches connectors, and opens its device.
    pub(super) fn container(&self, name: &'static str, connectors: &[&str]) -> Port {
        let namespace = quiet(&self.scene, name);
        let netns = json!({"name": namespace.name()});
        let body = json!({"name": name, "netns": netns, "address6": "fd00:1::2"});
        let made = self.scene.api.made("containers", &body);
        for connector in connectors {
            self.scene.api.attach(name, connector);
        }
        // Its kernel then knows where the gateway is.
        namespace.run(|| ping(GATEWAY, 1, 1, PATIENCE)).unwrap();
        let mut neighbors = Command::new("ip");
        neighbors.args(["-n", namespace.name(), "neigh", "show", &GATEWAY.to_string()]);
        let output = String::from_utf8(neighbors.output().unwrap().stdout).unwrap();
        let gateway = output.split("lladdr ").nth(1).and_then(|rest| rest.split(' ').next());
        let gateway = mac(gateway.unwrap_or_else(|| panic!("no gateway in {output:?}")));
        let socket = raw_socket(&namespace, "eth0");
        let mac = mac(made["mac"].as_str().unwrap());
        Port { kind: "container", name, namespace, socket, mac, gateway }
    }

    /// Opens the device of VPC `orders`.
    pub(super) fn vpc(&self) -> Port {
        let (_, shown) = self.scene.api.get("/v1/vpcs/orders");
        let (gateway, socket) = (mac(shown["mac"].as_str().unwrap()), raw_socket(&self.orders, "wharf0"));
        let namespace = self.orders.clone();
        Port { kind: "vpc", name: "orders", namespace, socket, mac: [2, 0, 0, 0, 0, 9], gateway }
    }

    /// What the API says of the frame.
    pub(super) fn explain(&self, from: &Port, frame: &[u8]) -> Value {
        self.ask(&json!({from.kind: from.name, "frame": hex(frame)}))
    }

    /// What the API says of any packet.
    pub(super) fn ask(&self, body: &Value) -> Value {
        let (status, answer) = self.scene.api.post("/v1/explain", body);
        assert_eq!(status, 200, "{body}: {answer}");
        answer
    }

    /// The frame is said to be dropped for this reason, and is dropped for it, and counted and listed under it once.
    pub(super) fn drops(&mut self, from: &Port, reason: Reason, frame: &[u8]) {
        let explained = self.explain(from, frame);
        let said = (&explained["verdict"], &explained["reason"]);
        assert_eq!(said, (&json!("drop"), &json!(reason.code())), "{} {}: {explained}", from.kind, from.name);
        assert_eq!(explained["explanation"], reason.explanation());
        let before = self.dropped(from, reason);
        from.send(frame);
        eventually(&format!("one {} of {}", reason.code(), from.name), || {
            let now = self.dropped(from, reason);
            assert!(now <= before + 1, "{} was counted {} times", reason.code(), now - before);
            now == before + 1
        });
        if from.kind == "container" {
            assert_eq!(self.scene.drops(from.name)[0], reason.code());
        }
        self.met.insert(reason);
    }

    /// The same for an IP packet, from and to the right stations.
    pub(super) fn drops_packet(&mut self, from: &Port, reason: Reason, packet: &[u8]) {
        let said = self.ask(&json!({from.kind: from.name, "packet": hex(packet)}));
        assert_eq!(said["reason"], reason.code(), "{said}");
        self.drops(from, reason, &from.frame(packet));
    }

    /// How often this link's frames were dropped for this reason.
    pub(super) fn dropped(&self, from: &Port, reason: Reason) -> u64 {
        let stats = match from.kind {
            "container" => self.scene.container_stats(from.name),
            _ => self.scene.vpc_stats(from.name),
        };
        stats["drops"][reason.code()].as_u64().unwrap_or_default()
    }

    /// Sends what is said to be forwarded or held; it arrives.
    pub(super) fn passes(&self, from: &Port, packet: &[u8], verdict: &str, at: &UdpSocket) {
        let said = self.explain(from, &from.frame(packet));
        assert_eq!(said["verdict"], verdict, "{said}");
        self.arrives(from, packet, at);
    }

    /// The same, whether its next hop is known or not.
    pub(super) fn arrives(&self, from: &Port, packet: &[u8], at: &UdpSocket) {
        let said = self.explain(from, &from.frame(packet));
        assert!(said["verdict"] == "forward" || said["verdict"] == "hold", "{said}");
        from.send(&from.frame(packet));
        at.set_read_timeout(Some(PATIENCE)).unwrap();
        at.recv(&mut [0; 2048]).unwrap_or_else(|e| panic!("{}'s packet did not arrive: {e}", from.name));
    }

    /// Waits until everything has been handled that the container sent before.
    pub(super) fn settle(&self, from: &Port) {
        let before = self.dropped(from, Reason::VlanTagged);
        from.send(&frames::frame(from.gateway, from.mac, frames::VLAN, &[0; 46]));
        eventually("what was sent before", || self.dropped(from, Reason::VlanTagged) > before);
    }
}

impl Port {
    /// Sends a frame as it is.
    pub(super) fn send(&self, frame: &[u8]) {
        assert_eq!(nix::unistd::write(&self.socket, frame), Ok(frame.len()), "{}", self.name);
    }

    /// A frame for the gateway with this IP packet.
    pub(super) fn frame(&self, packet: &[u8]) -> Vec<u8> {
        let ether_type = if packet[0] >> 4 == 6 { frames::IPV6 } else { frames::IPV4 };
        frames::frame(self.gateway, self.mac, ether_type, packet)
    }
}

/// A server of VPC `orders`.
pub(super) fn server(world: &World) -> (UdpSocket, SocketAddrV4) {
    let socket = udp_socket(&world.orders, SERVER);
    let port = socket.local_addr().unwrap().port();
    (socket, SocketAddrV4::new(*SERVER.ip(), port))
}

/// A UDP packet of a container.
pub(super) fn udp_to(to: SocketAddrV4, source: u16) -> Vec<u8> {
    frames::udp(SocketAddrV4::new(INTERNAL, port(source).port()), to, b"x")
}

/// A namespace whose kernel does not look for IPv6 routers and neighbors: what it sends would be counted too.
fn quiet(scene: &Scene, name: &str) -> Namespace {
    let namespace = scene.namespace(name);
    namespace.sysctl("net.ipv6.conf.default.addr_gen_mode", "1").unwrap();
    namespace
}

/// A socket for whole frames of one device.
fn raw_socket(namespace: &Namespace, device: &str) -> OwnedFd {
    namespace.run(|| {
        // Without a protocol it receives nothing.
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).unwrap();
        let mut addresses = getifaddrs().unwrap().filter(|address| address.interface_name == device);
        let link = addresses
            .find_map(|address| address.address.filter(|link| link.family() == Some(AddressFamily::Packet)));
        bind(socket.as_raw_fd(), &link.expect("every device has a link address")).unwrap();
        socket
    })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").unwrap();
        digits
    })
}

fn mac(text: &str) -> Mac {
    text.parse::<MacAddr>().unwrap().0
}

/// The gateway's address in every container.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
