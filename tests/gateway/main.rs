//! The gateway without its control plane, in this process: real devices, real namespaces, real kernels on both sides.

mod batch;
mod dns;
mod dual_stack;
mod endings;
mod fixture;
mod fragments;
mod hairpin;
mod icmp;
mod lasting;
mod offload;
mod packet_uplink;
mod path;
mod path_mtu;
mod policy;
mod publications;
mod raw;
mod routed;
mod steering;
mod tap;
mod world;
