//! A datagram in pieces.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::fragments(data));
