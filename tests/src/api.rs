//! The REST API over its unix socket, one blocking call a request.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use netlab::Namespace;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::{PATIENCE, eventually};

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
}

/// Status and body; the body is `null` if there is none.
type Answer = (u16, Value);

impl Api {
    /// A client of the daemon that listens at `socket`.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
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

    /// Ends that.
    pub fn detach(&self, container: &str, connector: &str) -> Value {
        let path = format!("/v1/containers/{container}/connectors/{connector}");
        self.expect_success(&path, self.delete(&path))
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let exchange = tokio::time::timeout(PATIENCE, self.exchange(method, path, body));
            exchange.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> io::Result<Answer> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "wharf");
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(body)).map_err(io::Error::other)?;
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok((status, body))
    }

    fn expect_success(&self, path: &str, (status, body): Answer) -> Value {
        assert!((200..300).contains(&status), "{path} at {}: {status} {body}", self.socket.display());
        body
    }
}

fn expect(path: &str, answer: io::Result<Answer>) -> Answer {
    answer.unwrap_or_else(|e| panic!("{path}: {e}"))
}
