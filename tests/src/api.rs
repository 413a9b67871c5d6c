//! The REST API over its unix socket, one blocking call a request.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use hyper::Method;
use hyper::body::Bytes;
use netlab::Namespace;
use serde_json::{Value, json};

use crate::connection::{Answer, Connection};
use crate::eventually;

/// The prefix of every VPC made by [`Api::vpc_tap`].
pub const CIDR: &str = "10.1.0.0/16";

/// The address of the VPC's own side there, where servers listen; port 0 takes a free one.
pub const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, 1), 0);

/// The address that containers appear as there.
pub const EXTERNAL: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 10);

/// A client of a daemon. Every request has a connection of its own, so that clones may be used at the same time.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
    /// The tenant that it acts for; the default one unless set.
    tenant: Option<String>,
}

impl Api {
    /// A client of the daemon that listens at `socket`.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, tenant: None }
    }

    /// The same for another tenant.
    pub fn for_tenant(&self, tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..self.clone() }
    }

    /// Reads.
    pub fn get(&self, path: &str) -> Answer {
        expect(path, self.try_get(path))
    }

    /// Makes something.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        expect(path, self.send(Method::POST, path, Bytes::from(body.to_string())))
    }

    /// Makes something so.
    pub fn put(&self, path: &str) -> Answer {
        expect(path, self.send(Method::PUT, path, Bytes::new()))
    }

    /// Ends something.
    pub fn delete(&self, path: &str) -> Answer {
        expect(path, self.send(Method::DELETE, path, Bytes::new()))
    }

    /// Makes a VPC with prefix [`CIDR`], whose uplink is the TAP device `wharf0` in the namespace, with the address of
    /// [`SERVER`]. Containers appear as [`EXTERNAL`].
    pub fn vpc_tap(&self, name: &str, namespace: &Namespace) -> Value {
        let address = format!("{}/16", SERVER.ip());
        let netns = json!({"name": namespace.name()});
        let uplink = json!({"kind": "tap", "netns": netns, "device": "wharf0", "address": address});
        self.made(
            "vpcs",
            &json!({"name": name, "cidr": CIDR, "external_addresses": [EXTERNAL], "uplink": uplink}),
        )
    }

    /// Makes a connector to all of the VPC.
    pub fn connector(&self, name: &str, vpc: &str) -> Value {
        self.expect_success("/v1/connectors", self.post("/v1/connectors", &json!({"name": name, "vpc": vpc})))
    }

    /// Makes a container in the namespace, with the address that all have.
    pub fn container(&self, name: &str, namespace: &Namespace) -> Value {
        self.made("containers", &json!({"name": name, "netns": {"name": namespace.name()}}))
    }

    /// Lets the container use the connector.
    pub fn attach(&self, container: &str, connector: &str) -> Value {
        let path = format!("/v1/containers/{container}/connectors/{connector}");
        self.expect_success(&path, self.put(&path))
    }

    /// Ends that permission.
    pub fn detach(&self, container: &str, connector: &str) -> Value {
        let path = format!("/v1/containers/{container}/connectors/{connector}");
        self.expect_success(&path, self.delete(&path))
    }

    /// The names of all in a collection.
    pub fn names(&self, collection: &str) -> Vec<String> {
        let path = format!("/v1/{collection}");
        let list = self.expect_success(&path, self.get(&path));
        let items = list["items"].as_array().expect("a list has items").iter();
        items.map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// Live sessions, of all pages. `filter` is a query such as `container=c1&limit=7`.
    pub fn sessions(&self, filter: &str) -> Vec<Value> {
        let mut sessions = Vec::new();
        let mut path = format!("/v1/sessions?{filter}");
        loop {
            let mut page = self.expect_success(&path, self.get(&path));
            sessions.append(page["items"].as_array_mut().expect("a page has items"));
            let Some(cursor) = page["next_cursor"].as_str() else { return sessions };
            path = format!("/v1/sessions?{filter}&cursor={cursor}");
        }
    }

    /// Counters of everything.
    pub fn stats(&self) -> Value {
        self.expect_success("/v1/stats", self.get("/v1/stats"))
    }

    /// Makes a vpc or container of any kind, and waits until it is ready.
    pub fn made(&self, collection: &str, body: &Value) -> Value {
        let path = format!("/v1/{collection}");
        self.expect_success(&path, self.post(&path, body));
        let path = format!("{path}/{}", body["name"].as_str().expect("a name"));
        let mut resource = Value::Null;
        eventually(&path, || {
            resource = self.expect_success(&path, self.get(&path));
            resource["state"] == "ready"
        });
        resource
    }

    /// [`Self::get`] of a daemon that may not be there.
    pub(crate) fn try_get(&self, path: &str) -> io::Result<Answer> {
        self.send(Method::GET, path, Bytes::new())
    }

    /// One request with any body, which need not be JSON, declared as JSON if there is one.
    pub fn send(&self, method: Method, path: &str, body: Bytes) -> io::Result<Answer> {
        Connection::open(&self.socket)?.send_as(self.tenant.as_deref(), method, path, body)
    }

    /// A connection to be kept for many requests.
    pub fn connect(&self) -> Connection {
        Connection::open(&self.socket).unwrap_or_else(|e| panic!("{}: {e}", self.socket.display()))
    }

    /// A connection to a daemon that may not be there.
    pub fn try_connect(&self) -> io::Result<Connection> {
        Connection::open(&self.socket)
    }

    fn expect_success(&self, path: &str, (status, body): Answer) -> Value {
        assert!((200..300).contains(&status), "{path} at {}: {status} {body}", self.socket.display());
        body
    }
}

fn expect(path: &str, answer: io::Result<Answer>) -> Answer {
    answer.unwrap_or_else(|e| panic!("{path}: {e}"))
}
