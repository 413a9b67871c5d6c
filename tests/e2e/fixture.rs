//! What most tests begin with.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use netlab::{Lab, Namespace};
use serde_json::Value;
use tests::{Api, Daemon};

/// The address of every container, unless asked for otherwise.
pub(crate) const INTERNAL: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);

/// How long a test waits for what shall not happen.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// A daemon, a client of it, and a lab around it.
pub(crate) struct Scene {
    pub(crate) api: Api,
    // In this order: the daemon ends before its namespaces do.
    pub(crate) daemon: Daemon,
    pub(crate) lab: Lab,
}

impl Scene {
    pub(crate) fn start(topic: &str) -> Self {
        Self::with(Daemon::start(), topic)
    }

    /// Around a daemon that was started in a special way.
    pub(crate) fn with(daemon: Daemon, topic: &str) -> Self {
        Self { api: daemon.api(), daemon, lab: Lab::new(topic).unwrap() }
    }

    pub(crate) fn namespace(&self, name: &str) -> Namespace {
        self.lab.namespace(name).unwrap()
    }

    /// A VPC with an uplink TAP in a namespace of its own, and a connector to all of it; all of one name.
    pub(crate) fn vpc(&self, name: &str) -> Namespace {
        let namespace = self.namespace(name);
        self.api.vpc_tap(name, &namespace);
        self.api.connector(name, name);
        namespace
    }

    /// A container in a namespace of the same name, which may use the connector.
    pub(crate) fn container(&self, name: &str, connector: &str) -> Namespace {
        let namespace = self.namespace(name);
        self.api.container(name, &namespace);
        self.api.attach(name, connector);
        namespace
    }

    /// The counters of the container.
    pub(crate) fn container_stats(&self, name: &str) -> Value {
        named(&self.api.stats()["containers"], name)
    }

    /// The counters of the VPC.
    pub(crate) fn vpc_stats(&self, name: &str) -> Value {
        named(&self.api.stats()["vpcs"], name)
    }

    /// External ports of the VPC that are leased, of all protocols.
    pub(crate) fn ports_used(&self, vpc: &str) -> u64 {
        let stats = self.vpc_stats(vpc);
        stats["ports"].as_array().unwrap().iter().map(|port| port["used"].as_u64().unwrap()).sum()
    }

    /// The container's last drops: their reasons.
    pub(crate) fn drops(&self, container: &str) -> Vec<String> {
        let (status, body) = self.api.get(&format!("/v1/containers/{container}/drops"));
        assert_eq!(status, 200, "{body}");
        let items = body["items"].as_array().unwrap().iter();
        items.map(|drop| drop["reason"].as_str().unwrap().to_owned()).collect()
    }

    /// Where the resource is in its life.
    pub(crate) fn state(&self, collection: &str, name: &str) -> String {
        let (status, body) = self.api.get(&format!("/v1/{collection}/{name}"));
        assert_eq!(status, 200, "{body}");
        body["state"].as_str().unwrap().to_owned()
    }

    /// Deletes a resource, which has to work.
    pub(crate) fn delete(&self, collection: &str, name: &str) {
        let path = format!("/v1/{collection}/{name}");
        assert_eq!(self.api.delete(&path), (204, Value::Null), "{path}");
    }
}

fn named(items: &Value, name: &str) -> Value {
    let found = items.as_array().unwrap().iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {items}")).clone()
}

/// Any port of whoever calls.
pub(crate) fn any_port() -> SocketAddrV4 {
    port(0)
}

/// This port of whoever calls.
pub(crate) const fn port(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)
}

/// A UDP socket in the namespace that waits a little for what may come.
pub(crate) fn udp_socket(namespace: &Namespace, at: SocketAddrV4) -> UdpSocket {
    let socket = namespace.run(|| UdpSocket::bind(at)).unwrap();
    socket.set_read_timeout(Some(SHORT)).unwrap();
    socket
}

/// Waits until something arrives, for as long as the socket does.
pub(crate) fn hears(socket: &UdpSocket) -> bool {
    match socket.recv(&mut [0; 2048]) {
        Ok(_) => true,
        Err(e) => {
            assert_eq!(e.kind(), io::ErrorKind::WouldBlock, "{e}");
            false
        }
    }
}

/// Something that is done again and again on a thread of its own, until it is dropped.
pub(crate) struct Repeated {
    stop: Arc<AtomicBool>,
    times: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Repeated {
    /// Does `act`, which must not take for ever; what becomes of it is not asked for.
    pub(crate) fn start<T>(mut act: impl FnMut() -> T + Send + 'static) -> Self {
        let (stop, times) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (theirs, counter) = (Arc::clone(&stop), Arc::clone(&times));
        let thread = std::thread::spawn(move || {
            while !theirs.load(Ordering::Relaxed) {
                act();
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, times, thread: Some(thread) }
    }

    /// How often so far.
    pub(crate) fn times(&self) -> u64 {
        self.times.load(Ordering::Relaxed)
    }
}

impl Drop for Repeated {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
