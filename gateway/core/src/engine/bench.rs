//! Private parts of the engine for the benches, which measure them by themselves. Not an interface: it changes with them.

use std::net::SocketAddr;

use crate::checksum::{Delta, sum};
use crate::packet::{Packet, Tuple};
use crate::ports::{PortLease, PortPool, Want};
use crate::session::key::Key;
use crate::wire::{Carried, Ethernet};
use crate::{AddressSpace, AttachmentId, Engine, Instant, Protocol, WorkerSlot};

/// Parses a frame as the engine does, vnet header included; whether it is a packet that goes on.
pub fn parse(frame: &[u8]) -> bool {
    let Ok((_, Carried::Ip(family))) = Ethernet::parse(frame) else { return false };
    matches!(Packet::parse(frame, family), Ok(Some(packet)) if packet.tuple().is_some())
}

/// The one's complement sum of `bytes`.
pub fn checksum(bytes: &[u8]) -> u16 {
    sum(bytes, 0)
}

/// A checksum after one of its endpoints was replaced.
pub fn update_checksum(checksum: u16, old: SocketAddr, new: SocketAddr) -> u16 {
    Delta::endpoint(old, new).apply(checksum)
}

/// The ports of one external address.
pub struct Ports {
    pool: PortPool,
    leases: Vec<PortLease>,
}

impl Ports {
    /// All UDP ports of the first address of `space`, with the keys of an engine.
    pub fn new(space: &AddressSpace, engine: &Engine) -> Self {
        let pool = PortPool::new(space, 0, Protocol::Udp, WorkerSlot::ONLY, &engine.hasher);
        Self { pool, leases: Vec::new() }
    }

    /// Leases a port of its own for a mapping; whether there was one.
    pub fn lease(&mut self, random: u64) -> bool {
        let lease = self.pool.lease(Instant::ZERO, random, &Want::Exclusive);
        let leased = lease.is_some();
        self.leases.extend(lease);
        leased
    }

    /// Gives back one of the ports, any one.
    pub fn release(&mut self, random: u64) {
        let index = ((u128::from(random) * self.leases.len() as u128) >> 64) as usize;
        let lease = self.leases.swap_remove(index);
        self.pool.release(lease, None);
    }

    /// Ports that nobody has.
    pub fn free(&self) -> u32 {
        self.pool.free()
    }
}

/// The hash by which `engine` finds the session of a UDP packet to `remote`, of the container that was added first. Another
/// engine with another seed has another.
pub fn session_hash(engine: &Engine, port: u16, remote: SocketAddr) -> u32 {
    engine.sessions.tag(&udp(0, port, remote))
}

/// Whether `engine` has a session for a container's UDP packet to `remote`: hash and lookup and nothing else.
pub fn has_session(engine: &Engine, attachment: AttachmentId, port: u16, remote: SocketAddr) -> bool {
    let place = engine.attachments.place(attachment);
    place.is_some_and(|place| engine.sessions.inside(&udp(place, port, remote)).is_some())
}

fn udp(place: usize, port: u16, remote: SocketAddr) -> Key {
    // A container's own address is not in the key.
    let source = SocketAddr::new(remote.ip(), port);
    Key::inside(place, &Tuple { protocol: Protocol::Udp, source, destination: remote })
}
