//! Wharf beside what users would pick instead: the same client, server and traffic through every subject, in turns.
//!
//! A [`subject`] is brought up between a namespace with the client and one with the server. [`bout`] sends one kind of traffic
//! through it and refuses what did not go as it should; [`contest`] does so in rounds; [`result`] keeps the numbers, and
//! [`report`] shows them. [`load`] makes the traffic and knows nothing of subjects. [`control`] asks Wharf's API instead, and
//! [`functions`] invokes functions.
#![deny(unsafe_code)]

pub mod arguments;
pub mod attach;
pub mod bout;
pub mod contest;
pub mod control;
pub mod crowd;
pub mod end;
pub mod functions;
pub mod load;
pub mod metric;
pub mod packages;
pub mod plugins;
pub mod program;
pub mod refusal;
pub mod report;
pub mod rest;
pub mod result;
pub mod settings;
pub mod statistics;
pub mod subject;
