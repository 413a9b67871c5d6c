//! What the engine promises, from outside: frames in, verdicts, frames and counters out.
//!
//! One binary, because every file stands on `support`: a rig with two VPCs of equal addresses and containers of
//! equal address, which checks the counters of each step by itself.

mod addresses;
mod arp;
mod explain;
mod filtering;
mod fragments;
mod hairpin;
mod icmp_errors;
mod ipv6;
mod lifecycle;
mod mss;
mod nd;
mod paging;
mod policies;
mod properties;
mod rate_limit;
mod rates;
mod refusals;
mod requirements;
mod revision;
mod rules;
mod support;
mod timers;
mod translation;
mod vnet;
mod workers;
