//! See `fuzz/properties/reply.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| consul_lock::fuzzing::check("reply", data));
