//! Shared pieces of the benches: a network of containers and VPCs, an engine full of sessions, and frames that belong to
//! them.
//!
//! They measure as RFC 9693 asks for tables: fill first, then packets of sessions chosen at random over all of it. Frames
//! are written outside of the time that is taken, in batches as the data plane reads them, so that nothing has to be taken
//! off: what is measured begins with a frame that has just been read, and ends with its verdict.

pub mod adversary;
pub mod batch;
pub mod floor;
pub mod frame;
pub mod growth;
pub mod hits;
pub mod instructions;
pub mod network;
pub mod population;
pub mod random;
pub mod statistics;
pub mod times;
