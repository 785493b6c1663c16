//! See `fuzz/properties/reader.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| consul_lock::fuzzing::check("reader", data));
