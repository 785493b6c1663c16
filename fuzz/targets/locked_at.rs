//! See `fuzz/properties/locked_at.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| consul_lock::fuzzing::check("locked_at", data));
