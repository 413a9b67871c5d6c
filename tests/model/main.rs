//! Random operations on the engine, compared with a model of a correct NAT; what the ports are good for; floods.
//!
//! `WHARF_MODEL_STEPS` says how many steps each mode takes, `WHARF_MODEL_SEED` repeats a run.

mod capacity;
mod driver;
mod floods;
mod frame;
mod model;
mod modes;
mod tcp;
mod world;
