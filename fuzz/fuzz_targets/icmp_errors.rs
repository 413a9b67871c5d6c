//! ICMP errors about packets of live sessions.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::icmp_errors(data));
