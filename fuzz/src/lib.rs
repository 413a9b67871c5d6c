//! What the fuzz targets share: frames, engines to give them to, and what must hold for whatever comes out. All by the
//! public interfaces of the engine and of the store of code.

mod checksum;
mod input;
mod lane;
mod layout;
mod neighbors;
mod net;
mod packet;
mod pieces;
mod seeds;
mod targets;

pub use seeds::seeds;
pub use targets::{archives, engine, fragments, icmp_errors, packet_inbound, packet_outbound, vnet};
