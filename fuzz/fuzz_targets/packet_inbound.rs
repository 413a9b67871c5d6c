//! One frame of the VPC.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::packet_inbound(data));
