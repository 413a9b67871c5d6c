//! Any sequence of commands, frames and time.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::engine(data));
