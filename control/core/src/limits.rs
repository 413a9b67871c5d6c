//! Every bound of the control plane's resources, with unit and source, in one place.

use std::time::Duration;

/// Bytes of a resource's name. RFC 1035 §2.3.4: a label of a domain name.
pub const NAME_BYTES: usize = 63;

/// Bytes of a device's name. Linux `IFNAMSIZ` less the terminating zero.
pub const DEVICE_NAME_BYTES: usize = 15;

/// Bytes of a namespace's name. Linux `NAME_MAX`: it is a file name below `/run/netns`.
pub const NETNS_NAME_BYTES: usize = 255;

/// Bytes of a namespace's path. Linux `PATH_MAX` less the terminating zero.
pub const NETNS_PATH_BYTES: usize = 4_095;

/// Largest process id. Linux `PID_MAX_LIMIT` on 64-bit machines.
pub const PID: u32 = 4_194_304;

/// Smallest MTU. RFC 791: what every host accepts. Bytes.
pub const MTU_MIN: u16 = 576;

/// Smallest MTU of a link with IPv6. RFC 8200 §5. Bytes.
pub const IPV6_MTU_MIN: u16 = 1_280;

/// Largest MTU: an Ethernet header and the packet fit into 65,535 bytes. Bytes.
pub const MTU_MAX: u16 = 65_521;

/// MTU unless asked for. RFC 894. Bytes.
pub const MTU_DEFAULT: u16 = 1_500;

/// VPCs. DESIGN: 1,000; this is the engine's table.
pub const VPCS: usize = 4_096;

/// Connectors. DESIGN: 10,000.
pub const CONNECTORS: usize = 16_384;

/// Containers. DESIGN: 10,000; this is the engine's table.
pub const CONTAINERS: usize = 16_384;

/// External addresses of one VPC.
pub const EXTERNAL_ADDRESSES: usize = 64;

/// External ports of one block. The gateway gives out such blocks; its number is the same.
pub const PORT_BLOCK: u16 = 64;

/// Ranges of ports that one VPC excludes.
pub const PORT_EXCLUSIONS: usize = 64;

/// Rules of one connector: twice as many, for both families, and those for DNS servers, fit the engine's table.
pub const RULES: usize = 100;

/// DNS servers of one connector. resolv.conf(5): `MAXNS`.
pub const DNS_SERVERS: usize = 3;

/// Patterns of containers that may use one connector.
pub const USERS: usize = 64;

/// Longest time that a connector keeps its addresses while nothing is attached. A day. Seconds.
pub const LINGER_MAX_S: u64 = 86_400;

/// The same unless asked for. Seconds.
pub const LINGER_DEFAULT_S: u64 = 60;

/// Tenants, the one that is always there included.
pub const TENANTS: usize = 1_024;

/// Tokens of one tenant.
pub const TOKENS_PER_TENANT: usize = 256;

/// Shortest life of a token. Seconds.
pub const TOKEN_LIFE_MIN_S: u64 = 60;

/// Longest life of a token that ends: ten years. Seconds.
pub const TOKEN_LIFE_MAX_S: u64 = 315_360_000;

/// Destinations of one connector.
pub const DESTINATIONS: usize = 64;

/// Publications of one connector.
pub const PUBLICATIONS: usize = 64;

/// Connectors attached to one container.
pub const CONNECTORS_PER_CONTAINER: usize = 16;

/// Functions of all tenants.
pub const FUNCTIONS: usize = 4_096;

/// Versions of one function that are kept.
pub const VERSIONS: usize = 16;

/// Bytes of a handler's name. As AWS Lambda.
pub const HANDLER_BYTES: usize = 128;

/// Arguments of a function's own command, the program included.
pub const COMMAND_ARGUMENTS: usize = 64;

/// Bytes of a function's own command.
pub const COMMAND_BYTES: usize = 4_096;

/// Bytes of names and values of a function's environment variables together. As AWS Lambda.
pub const VARIABLES_BYTES: usize = 4_096;

/// Longest time of an invocation. As AWS Lambda. Seconds.
pub const TIMEOUT_MAX_S: u32 = 900;

/// The same unless asked for. As AWS Lambda. Seconds.
pub const TIMEOUT_DEFAULT_S: u32 = 3;

/// Least memory of an environment: both languages' bootstraps run in it. MiB.
pub const MEMORY_MIN_MB: u32 = 64;

/// Most memory of an environment. MiB.
pub const MEMORY_MAX_MB: u32 = 3_008;

/// Memory of an environment unless asked for. As AWS Lambda. MiB.
pub const MEMORY_DEFAULT_MB: u32 = 128;

/// Most environments that one function may ask for.
pub const CONCURRENCY_MAX: u32 = 1_000;

/// Longest time that an environment waits for the next event. A day. Seconds.
pub const KEEP_ALIVE_MAX_S: u32 = 86_400;

/// The same unless asked for. Seconds.
pub const KEEP_ALIVE_DEFAULT_S: u32 = 300;

/// Pools: one for each runtime.
pub const POOLS: usize = 64;

/// Most warm containers of one pool.
pub const WARM_MAX: u32 = 1_000;

/// Warm containers that a pool keeps at least, unless asked for.
pub const WARM_MIN_DEFAULT: u32 = 2;

/// Warm containers that a pool keeps at most, unless asked for.
pub const WARM_MAX_DEFAULT: u32 = 16;

/// Fastest refill of a pool. Containers a second.
pub const REFILL_MAX_PER_S: u32 = 1_000;

/// The same unless asked for: what one processor can make. Containers a second.
pub const REFILL_DEFAULT_PER_S: u32 = 20;

/// Most memory of one pool's environments. A TiB, in MiB.
pub const POOL_MEMORY_MAX_MB: u32 = 1_048_576;

/// The same unless asked for. MiB.
pub const POOL_MEMORY_DEFAULT_MB: u32 = 16_384;

/// A packet or frame to be explained: what most switches call a jumbo frame. Bytes.
pub const PROBE_BYTES: usize = 9_216;

/// Payload of a packet to be explained: with the headers of IPv6 and TCP it fits the largest MTU. Bytes.
pub const PROBE_PAYLOAD: u16 = MTU_MAX - 60;

/// Sessions of one page, unless asked for.
pub const PAGE_DEFAULT: usize = 100;

/// Most sessions of one page.
pub const PAGE_MAX: usize = 1_000;

/// Environments of all functions and pools together: each has a container, and the engine's table is shared with the others.
pub const ENVIRONMENTS: usize = 4_096;

/// Steps that an environment remembers.
pub const TRANSITIONS_PER_ENVIRONMENT: usize = 16;

/// Steps of all environments that nobody has asked for yet; older ones are dropped.
pub const TRANSITIONS: usize = 4_096;

/// Requests that wait for an environment, all together.
pub const REQUESTS_WAITING: usize = 10_000;

/// Requests that wait for an environment of one version of a function.
pub const REQUESTS_WAITING_PER_VERSION: usize = 1_000;

/// Percent of a pool's memory that functions may have reserved together. The rest is for those that reserve none.
pub const RESERVED_PERCENT: u64 = 75;

/// What a container without a function is counted as: a language runtime with its common modules. MiB.
pub const WARM_CONTAINER_MB: u32 = 32;

/// Containers of one runtime in creation at once. More of them delay each other.
pub const CREATIONS_AT_ONCE: usize = 4;

/// After a creation that failed, the shortest pause until the next.
pub const CREATION_PAUSE_MIN: Duration = Duration::from_millis(100);

/// The same after many that failed.
pub const CREATION_PAUSE_MAX: Duration = Duration::from_secs(30);

/// After handlers of a function that could not be loaded, the shortest pause until the next try.
pub const INIT_PAUSE_MIN: Duration = Duration::from_millis(100);

/// The same after many that failed.
pub const INIT_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Asynchronous invocations that are kept, those that have ended included.
pub const DELIVERIES: usize = 100_000;

/// What it takes to keep them: events that wait, and answers. Bytes.
pub const DELIVERIES_BYTES: u64 = 256 << 20;

/// Those of one tenant that have not ended: however many functions it has, as many are left to others.
pub const DELIVERIES_PER_TENANT: usize = DELIVERIES / 2;

/// What it takes to keep those. Bytes.
pub const DELIVERIES_BYTES_PER_TENANT: u64 = DELIVERIES_BYTES / 2;

/// Those of one function that have not ended.
pub const DELIVERIES_PER_FUNCTION: usize = 10_000;

/// What it takes to keep those. Bytes.
pub const DELIVERIES_BYTES_PER_FUNCTION: u64 = 64 << 20;

/// What it takes to keep one, beside its event, its answer and its fault. Bytes.
pub const DELIVERY_RECORD_BYTES: u64 = 1_024;

/// Asynchronous invocations that run at a time.
pub const DELIVERIES_RUNNING: usize = 64;

/// The same of one function.
pub const DELIVERIES_RUNNING_PER_FUNCTION: usize = 16;

/// How often one is tried again after faults of the function. As AWS Lambda.
pub const DELIVERY_FUNCTION_RETRIES: u32 = 2;

/// How old one gets before it is not tried again. As AWS Lambda. Milliseconds.
pub const DELIVERY_AGE_MS: u64 = 6 * 3_600 * 1_000;

/// From the first fault to the second try; doubled after each. As AWS Lambda. Milliseconds.
pub const DELIVERY_BACKOFF_MIN_MS: u64 = 1_000;

/// Longest time between two tries. As AWS Lambda. Milliseconds.
pub const DELIVERY_BACKOFF_MAX_MS: u64 = 300_000;

/// How long the outcome is kept. Milliseconds.
pub const DELIVERY_RETENTION_MS: u64 = 24 * 3_600 * 1_000;

/// Longest answer of an asynchronous invocation that is kept. Bytes.
pub const DELIVERY_ANSWER_BYTES: usize = 256 * 1024;

/// Longest event of an asynchronous invocation. Bytes.
pub const DELIVERY_EVENT_BYTES: usize = 1024 * 1024;

/// Longest event of an invocation whose caller waits. As AWS Lambda. Bytes.
pub const EVENT_BYTES: usize = 6 * 1024 * 1024;

const _: () = assert!(DELIVERY_EVENT_BYTES as u64 + DELIVERY_RECORD_BYTES <= DELIVERIES_BYTES_PER_FUNCTION);
const _: () = assert!(DELIVERIES_BYTES_PER_FUNCTION <= DELIVERIES_BYTES_PER_TENANT);
const _: () = assert!(MTU_MIN <= MTU_DEFAULT && MTU_DEFAULT <= MTU_MAX);
const _: () = assert!(PAGE_DEFAULT <= PAGE_MAX);
const _: () = assert!(TIMEOUT_DEFAULT_S <= TIMEOUT_MAX_S && KEEP_ALIVE_DEFAULT_S <= KEEP_ALIVE_MAX_S);
const _: () = assert!(MEMORY_MIN_MB <= MEMORY_DEFAULT_MB && MEMORY_DEFAULT_MB <= MEMORY_MAX_MB);
const _: () = assert!(WARM_MIN_DEFAULT <= WARM_MAX_DEFAULT && WARM_MAX_DEFAULT <= WARM_MAX);
const _: () = assert!(ENVIRONMENTS < CONTAINERS);
const _: () = assert!(REQUESTS_WAITING_PER_VERSION <= REQUESTS_WAITING);
