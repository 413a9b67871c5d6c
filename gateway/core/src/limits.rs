//! Every bound and timer of the engine, with unit and source, in one place.

use std::time::Duration;

/// Ports that change owner together when workers share an external address. Ports.
pub const PORT_BLOCK: u16 = 64;

/// External ports that mappings use unless configured. RFC 4787 REQ-3a: 1024 and up.
pub const DEFAULT_PORTS: std::ops::RangeInclusive<u16> = 1024..=65535;

/// Attachments of one engine. DESIGN: 10,000 per gateway.
pub const ATTACHMENTS: usize = 16_384;

/// Uplinks of one engine. DESIGN: 1,000 VPCs.
pub const UPLINKS: usize = 4_096;

/// Connectors attached to one container.
pub const CONNECTORS_PER_ATTACHMENT: usize = 16;

/// Destination prefixes of one connector.
pub const DESTINATIONS_PER_CONNECTOR: usize = 64;

/// External addresses of one uplink.
pub const EXTERNAL_ADDRESSES_PER_UPLINK: usize = 64;

/// Sessions of one engine. DESIGN: 4,194,304 per worker.
pub const SESSIONS: usize = 4_194_304;

/// Sessions of one attachment (RFC 6888 REQ-5: memory per subscriber is limited).
pub const SESSIONS_PER_ATTACHMENT: u64 = 262_144;

/// Neighbors remembered on one uplink. As Linux `gc_thresh3` allows for, times four.
pub const NEIGHBORS_PER_UPLINK: usize = 4_096;

/// Unresolved neighbors that one attachment may cause at a time: nobody can use up the table for all.
pub const UNRESOLVED_PER_ATTACHMENT: usize = 64;

/// Packets kept for one unresolved neighbor: the first ones of many containers that start together. Linux keeps
/// `unres_qlen_bytes`, 212,992 by default, which is as many small packets.
pub const HELD_PACKETS_PER_NEIGHBOR: usize = 256;

/// Bytes kept for all unresolved neighbors of one uplink. Bytes.
pub const HELD_BYTES_PER_UPLINK: usize = 4 * 1024 * 1024;

/// Of these, bytes of one attachment: room for three super-packets. Bytes.
pub const HELD_BYTES_PER_ATTACHMENT: usize = 256 * 1024;

/// Frames that the engine itself has made and the shell has not yet taken.
pub const OUTBOX: usize = 1_024;

/// Drops remembered per attachment, for `explain`.
pub const RECENT_DROPS: usize = 32;

/// An established TCP session without traffic. RFC 5382 REQ-5: at least 2 h 4 min.
pub const TCP_ESTABLISHED: Duration = Duration::from_secs(7_440);

/// A TCP session that is opening, closing or reset. RFC 5382 REQ-5, RFC 7857 §2: 4 min.
pub const TCP_TRANSITORY: Duration = Duration::from_secs(240);

/// A UDP session since its last outbound packet. RFC 4787 REQ-5: 5 min recommended.
pub const UDP_IDLE: Duration = Duration::from_secs(300);

/// An ICMP query session since its last outbound packet. RFC 5508 REQ-2: at least 60 s.
pub const ICMP_QUERY_IDLE: Duration = Duration::from_secs(60);

/// Between two ARP requests for one neighbor. RFC 1122 §2.3.2.1: at most one a second.
pub const ARP_RETRY: Duration = Duration::from_secs(1);

/// ARP requests before a neighbor counts as unreachable. Linux `mcast_solicit`.
pub const ARP_ATTEMPTS: u8 = 3;

/// A resolved neighbor is asked again after this long in use. RFC 1122 §2.3.2.1: about a minute.
pub const NEIGHBOR_FRESH: Duration = Duration::from_secs(60);

/// A neighbor that did not answer is not asked again before this long.
pub const NEIGHBOR_FAILED: Duration = Duration::from_secs(3);

/// ICMP errors sent to one attachment in a burst. RFC 1812 §4.3.2.8 asks for a token bucket.
pub const ICMP_ERROR_BURST: u32 = 64;

/// ICMP errors sent to one attachment per second after the burst. RFC 1812 §4.3.2.8.
pub const ICMP_ERRORS_PER_SECOND: u32 = 100;

/// Largest ICMP error that the gateway makes. RFC 1812 §4.3.2.3. Bytes of IPv4 packet.
pub const ICMP_ERROR_BYTES: usize = 576;

/// Sessions looked at by one call of `handle_timeout`: bounds its pause.
pub const EXPIRY_BATCH: usize = 1_024;

/// Sessions looked at for one page of a snapshot: bounds the pause of the worker that answers.
pub const SNAPSHOT_SCAN: usize = 4_096;

const _: () = assert!(TCP_ESTABLISHED.as_secs() > TCP_TRANSITORY.as_secs());
const _: () = assert!(DEFAULT_PORTS.start().is_multiple_of(PORT_BLOCK));
