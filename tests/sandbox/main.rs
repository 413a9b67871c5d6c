//! Containers on a real kernel: what they are isolated from, what they cost, what they leave.

mod escape;
mod fixture;
mod isolation;
mod life;
mod roots;
