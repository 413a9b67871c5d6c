//! The harness of the end-to-end tests: a `wharf` daemon of one's own, and the REST API as a function call.
//!
//! ```no_run
//! let daemon = tests::Daemon::start();
//! let lab = netlab::Lab::new("example").unwrap();
//! let (vpc, c1) = (lab.namespace("vpc").unwrap(), lab.namespace("c1").unwrap());
//! let api = daemon.api();
//! api.vpc_tap("orders", &vpc);
//! api.connector("db", "orders");
//! api.container("c1", &c1);
//! api.attach("c1", "db");
//! let server = netlab::traffic::Http::start(&vpc, tests::SERVER, "orders").unwrap();
//! let page = c1.run(|| netlab::traffic::fetch(server.address(), tests::PATIENCE)).unwrap();
//! ```
//!
//! A failing test shows the daemon's log. Nothing is left by either.

mod api;
mod connection;
mod daemon;
mod random;
mod wait;

pub use api::{Api, CIDR, EXTERNAL, SERVER};
pub use connection::{Answer, Connection};
pub use daemon::{Daemon, program};
pub use random::Random;
pub use wait::{PATIENCE, eventually};
