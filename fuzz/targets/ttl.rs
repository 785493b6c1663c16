//! See `fuzz/properties/ttl.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| consul_lock::fuzzing::check("ttl", data));
