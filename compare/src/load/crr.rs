//! New connections: connect, request, response, close.

mod client;
mod server;

use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use netlab::Namespace;

use self::client::Client;
use self::server::Server;
use super::LoadError;
use super::cpu::CpuTime;
use super::window::{Control, Counted, Timing};

/// How to open connections.
#[derive(Clone, Debug)]
pub struct CrrPlan {
    /// Where the client connects to.
    pub remote: SocketAddr,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// The client's threads, and as many of the server.
    pub threads: usize,
    /// Connections that each thread of the client keeps under way.
    pub concurrent: usize,
    /// Time before the window.
    pub warm_up: Duration,
    /// Length of the window.
    pub duration: Duration,
}

/// How many connections were served.
#[derive(Clone, Debug)]
pub struct Crr {
    /// Connections that were closed within the window, after the right response.
    pub completed: u64,
    /// The window as it was.
    pub window: Duration,
    /// What the machine worked within the window.
    pub cpu: CpuTime,
    /// Whom the server saw first.
    pub peer: SocketAddr,
}

impl Crr {
    /// Connections per second.
    pub fn per_second(&self) -> f64 {
        self.completed as f64 / self.window.as_secs_f64()
    }
}

/// Opens connections all the time, and returns how many were served within the window.
///
/// The server closes first, as after an HTTP response with `Connection: close`: both sides send FIN, and the quiet time
/// after it (TIME-WAIT, RFC 9293 §3.6) is spent by the server, where a new SYN ends it. So the client's ports are free at
/// once, and no subject is limited by how many of them rest. The client has all ports from 1,024 on to choose from.
pub fn run(client: &Namespace, server: &Namespace, plan: &CrrPlan) -> Result<Crr, LoadError> {
    if plan.threads == 0 || plan.concurrent == 0 {
        return Err(LoadError::Plan("without a thread and a connection nothing is measured"));
    }
    let ports = client.sysctl("net.ipv4.ip_local_port_range", "1024 65535");
    ports.map_err(|e| LoadError::system("widen the range of ports")(io::Error::other(e.to_string())))?;
    let servers =
        (0..plan.threads).map(|_| Server::open(server, plan.listen)).collect::<Result<Vec<_>, _>>()?;
    let (completed, control, peer) = (AtomicU64::new(0), Control::default(), OnceLock::new());
    let is_over = AtomicBool::new(false);
    let work = || control.guard(|| Client::new(plan, &completed)?.run(&control));
    let window = thread::scope(|scope| {
        for server in servers {
            let serve = || server.serve(&is_over, &peer);
            scope.spawn(|| control.guard(serve));
        }
        let clients: Vec<_> = (0..plan.threads).map(|_| scope.spawn(|| client.run(work))).collect();
        let timing = Timing { warm_up: plan.warm_up, duration: plan.duration };
        let read = || Ok([completed.load(Ordering::Relaxed)]);
        let window = control.measure(timing, &Counted { what: WHAT, read, noise: 0, may_stall: false });
        // The servers go on until no client waits for them.
        for client in clients {
            client.join().expect("a client does not panic");
        }
        is_over.store(true, Ordering::Relaxed);
        window
    });
    let window = control.finish(window)?;
    let peer = *peer.get().expect("the server saw what it answered");
    Ok(Crr { completed: window.grown[0], window: window.span, cpu: window.cpu, peer })
}

/// What the server answers: every bit of the request turned.
fn response(request: [u8; MESSAGE]) -> [u8; MESSAGE] {
    request.map(|byte| !byte)
}

/// Length of a request and of a response. Bytes.
const MESSAGE: usize = 64;

/// For errors.
const WHAT: &str = "connecting";

/// Longest wait for the kernel's next event.
const LOOK: u16 = 100;

/// Events taken at once.
const EVENTS: usize = 256;
