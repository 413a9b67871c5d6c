//! The API over HTTP, a real gateway and real namespaces. Needs root.

mod connectors;
mod dry;
mod functions;
mod lifecycle;
mod lists;
mod logs;
mod netns;
mod operations;
mod probing;
mod repeats;
mod roles;
mod server;
mod slow;
mod store;
mod tenants;
mod tokens;
mod watches;
