//! Every vnet header over TCP and UDP.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::vnet(data));
