//! The gateway without its control plane, in this process: real devices, real namespaces, real kernels on both sides.

mod fixture;
mod hairpin;
mod packet_uplink;
mod path_mtu;
mod steering;
mod tap;
