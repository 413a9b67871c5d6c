//! One frame of the VPC.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::step(fuzz::OUTSIDE, data));
