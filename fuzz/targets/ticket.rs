//! See `fuzz/properties/ticket.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| consul_lock::fuzzing::check("ticket", data));
