//! The `wharf` binary from end to end: driven by REST and by its command line, with real kernels on both sides.
//!
//! Every test has a daemon and namespaces of its own, so that all may run at the same time.

mod capture;
mod command_line;
mod crowd;
mod document;
mod explain;
mod fixture;
mod footprint;
mod gone;
mod inheritance;
mod intent;
mod leaks;
mod offload;
mod overlap;
mod policies;
mod quotas;
mod refusals;
mod restart;
mod scenarios;
