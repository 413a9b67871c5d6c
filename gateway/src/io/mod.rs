//! Everything that is a system call: namespaces, links, TAP and packet devices. All of the crate's unsafe is here.

pub mod netns;
