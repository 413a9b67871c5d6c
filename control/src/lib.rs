//! The API plane of Wharf: REST in front, resources in a store, the gateway behind.
//!
//! It never touches a packet or a device; those are the gateway's. To drive it: bind the listeners, start a gateway, and
//! [`serve`] until the shutdown future ends.
//!
//! ```text
//!   http/  extract, convert     app/  decide, in the right order     registry/  remember
//!   knows HTTP                  knows no HTTP                        knows neither
//!            └──────────────────────►│└──────────────────────────────────►│
//!                                    └──► gateway::Handle
//! ```
//!
//! A mutation reserves what it needs in the registry, then tells the gateway, then writes down the outcome. It runs in a task of its
//! own, so that a client that hangs up leaves nothing half done.

#![forbid(unsafe_code)]

mod app;
mod deliveries;
mod events;
mod fleet;
mod functions;
mod http;
mod medium;
mod reconcile;
mod registry;
mod serve;
mod server;
pub mod state;

pub use functions::Functions;
pub use http::openapi;
pub use serve::{State, StateError, serve};
pub use server::{Listeners, Settings, Tcp, Tls, TlsError, TlsFiles};
