//! Functions over the REST API of a real daemon: deployed, invoked in real containers, reaching real VPCs.

mod asynchronous;
mod crowd;
mod demo;
mod deploying;
mod escape;
mod faults;
mod fixture;
mod logs;
mod path;
mod permissions;
mod pools;
