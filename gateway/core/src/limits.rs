//! Every bound and timer of the engine, with unit and source, in one place.

use std::time::Duration;

/// Ports that change owner together when workers share an external address. Ports.
pub const PORT_BLOCK: u16 = 64;

/// Workers of one gateway. A port's worker is remembered in eight bits.
pub const WORKERS: u16 = 64;

/// A freed port whose filtering was endpoint-independent is not leased again before this long. RFC 6888 REQ-8: 120 s.
pub const PORT_REST: Duration = Duration::from_secs(120);

/// Ports that all workers together share among remotes (APDM) before they use one again, so that they stay hard to guess
/// (RFC 6056 §3.1); a quarter of the leasable ports if that is less. Ports.
pub const SHARED_PORTS_MIN: u32 = 16_384;

/// Ports used with one remote that are kept as a list; more are kept as a bitmap of 8 KiB. Ports.
pub const REMOTE_PORTS_LISTED: usize = 64;

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

/// Sessions of one mapping that are looked at one by one, when filtering asks whether it has one with a remote address; of a mapping
/// with more, its remote addresses are counted.
pub const CONTACTS_WALKED: usize = 64;

/// Neighbors remembered on one uplink. As Linux `gc_thresh3` allows for, times four.
pub const NEIGHBORS_PER_UPLINK: usize = 4_096;

/// Of these, neighbors that one attachment was the first to ask for: nobody can use up the table for all.
pub const NEIGHBORS_PER_ATTACHMENT: usize = 1_024;

/// Unresolved neighbors that one attachment may cause at a time: nobody can use up the table for all.
pub const UNRESOLVED_PER_ATTACHMENT: usize = 64;

/// Packets kept for one unresolved neighbor: the first ones of hundreds of containers that start together, some each. What bounds
/// their memory is the bytes below. Linux keeps `unres_qlen_bytes`, 212,992 by default, for one host.
pub const HELD_PACKETS_PER_NEIGHBOR: usize = 768;

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

/// A TCP session that is opening. RFC 5382 REQ-5, RFC 7857 §2.1: 4 min.
pub const TCP_OPENING: Duration = Duration::from_secs(240);

/// A TCP session that is closing, finished or reset. RFC 5382 REQ-5, RFC 7857 §2.1, §2.2: 4 min.
pub const TCP_CLOSING: Duration = Duration::from_secs(240);

/// A UDP session since its last outbound packet. RFC 4787 REQ-5: 5 min recommended.
pub const UDP_IDLE: Duration = Duration::from_secs(300);

/// An ICMP query session since its last outbound packet. RFC 5508 REQ-2: at least 60 s.
pub const ICMP_QUERY_IDLE: Duration = Duration::from_secs(60);

/// Between two requests for one neighbor. RFC 1122 §2.3.2.1: at most one a second; RFC 4861 §10 RetransTimer.
pub const ARP_RETRY: Duration = Duration::from_secs(1);

/// Requests before a neighbor counts as unreachable. Linux `mcast_solicit`, RFC 4861 §10.
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

/// Largest ICMPv6 error that the gateway makes. RFC 4443 §2.4: the smallest MTU. Bytes of IPv6 packet.
pub const ICMPV6_ERROR_BYTES: usize = 1280;

/// Extension headers of one IPv6 packet that are walked over.
pub const EXTENSION_HEADERS: usize = 8;

/// Rules of one connector. They are walked for each new session, so this bounds what one costs.
pub const RULES_PER_CONNECTOR: usize = 256;

/// What a rate gives in this time can be had at once: TCP sends a window in a burst, and what is smoothed over less than a round
/// trip is lost to it.
pub const RATE_BURST: Duration = Duration::from_millis(100);

/// Packets that can be had at once, however low the rate: as many as the segments of a super-packet mostly are. Packets.
pub const PACKET_BURST: u64 = 64;

/// The same of bits: what the largest super-packet carries. Bits.
pub const BIT_BURST: u64 = 64 * 1024 * 8;

/// The same of sessions: with less, none could ever begin. Sessions.
pub const SESSION_BURST: u64 = 1;

/// Publications of one connector.
pub const PUBLICATIONS_PER_CONNECTOR: usize = 64;

/// Between a SYN that nobody asked for and the ICMP error about it. RFC 5382 REQ-4: at least 6 s.
pub const UNSOLICITED_SYN: Duration = Duration::from_secs(6);

/// SYNs of one uplink that are remembered for that long; what is too many is dropped in silence.
pub const UNSOLICITED_SYNS: usize = 1_024;

/// Finished sessions that may end at once for the port of their mapping: bounds the pause.
pub const GIVE_UP_SESSIONS: usize = 64;

/// SYNs of all uplinks that are remembered for that long.
pub const UNSOLICITED_SYNS_IN_ALL: usize = 16_384;

/// Sessions whose ends are to be told by RST that they have ended. More at a time end in silence.
pub const RESETS: usize = 65_536;

/// Between two router advertisements to a container. RFC 4861 §6.2.1 MaxRtrAdvInterval.
pub const ROUTER_ADVERTISEMENT: Duration = Duration::from_secs(600);

/// How long a container may use the gateway without hearing of it. RFC 4861 §6.2.1: three intervals.
pub const ROUTER_LIFETIME: Duration = Duration::from_secs(1_800);

/// Counters that IPv4 identifications are taken from, chosen by destination. Linux has 2,048 and more (`ip_idents`).
pub const IP_ID_COUNTERS: usize = 2_048;

/// Sessions looked at by one call of `handle_timeout`: bounds its pause.
pub const EXPIRY_BATCH: usize = 1_024;

/// Sessions looked at for one page of a snapshot: bounds the pause of the worker that answers.
pub const SNAPSHOT_SCAN: usize = 4_096;

/// From the first fragment of a datagram that came in to giving the datagram up. Linux `net.ipv4.ipfrag_time`; for
/// IPv6 too, where RFC 8200 §4.5 gives the destination 60 s.
pub const REASSEMBLY_TIME: Duration = Duration::from_secs(30);

/// Fragments of one datagram: a 64 KiB datagram over the smallest MTU in use (RFC 791: 576 bytes) has 119.
pub const FRAGMENTS_PER_DATAGRAM: usize = 128;

/// Datagrams in reassembly in one engine.
pub const REASSEMBLIES: usize = 4_096;

/// Of these, datagrams of one link.
pub const REASSEMBLIES_PER_LINK: usize = 256;

/// The same while half of [`REASSEMBLIES`] or of [`REASSEMBLY_BYTES`] is in use, so that a few links cannot use up
/// what is there for all.
pub const REASSEMBLIES_PER_LINK_CROWDED: usize = 32;

/// Of an uplink's datagrams, those of one remote address.
pub const REASSEMBLIES_PER_REMOTE: usize = 64;

/// Memory for datagrams in reassembly of one engine, bookkeeping included. Linux `net.ipv4.ipfrag_high_thresh` is
/// 4 MiB for all interfaces. Bytes.
pub const REASSEMBLY_BYTES: usize = 16 * 1024 * 1024;

/// Of this, memory of one link: room for a dozen datagrams of 64 KiB. Bytes.
pub const REASSEMBLY_BYTES_PER_LINK: usize = 1024 * 1024;

/// The same while half of [`REASSEMBLIES`] or of [`REASSEMBLY_BYTES`] is in use: room for one datagram. Bytes.
pub const REASSEMBLY_BYTES_PER_LINK_CROWDED: usize = 128 * 1024;

/// Of an uplink's memory, that of one remote address: room for three datagrams. Bytes.
pub const REASSEMBLY_BYTES_PER_REMOTE: usize = 256 * 1024;

/// Segments that one super-packet is cut into: 64 KiB of the smallest that Linux makes (`net.ipv4.tcp_min_snd_mss`,
/// 48 bytes).
pub const SEGMENTS_PER_SUPER_PACKET: usize = 1_366;

const _: () = assert!(TCP_ESTABLISHED.as_secs() > TCP_OPENING.as_secs());
const _: () = assert!(TCP_ESTABLISHED.as_secs() > TCP_CLOSING.as_secs());
const _: () = assert!(DEFAULT_PORTS.start().is_multiple_of(PORT_BLOCK));
const _: () = assert!(FRAGMENTS_PER_DATAGRAM * 552 > 65_535);
const _: () = assert!(SEGMENTS_PER_SUPER_PACKET * 48 > 65_535);
const _: () = assert!(WORKERS < 0xff);
// What waited for one neighbor leaves in one go.
const _: () = assert!(HELD_PACKETS_PER_NEIGHBOR < OUTBOX);
