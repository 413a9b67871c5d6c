//! Any bytes as an archive of code.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::archives(data));
