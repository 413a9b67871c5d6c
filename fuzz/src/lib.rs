//! What the fuzz targets share.

mod frames;
mod primed;

pub use frames::{
    CONTAINER, EXTERNAL, EXTERNAL_PORT, Finish, GATEWAY, INTERNAL_PORT, REMOTE_PORT, SERVER, back,
    container_asks, frame, frame_with, out, out_to, server_answers,
};
pub use primed::{INSIDE, OUTSIDE, step, verdict};
