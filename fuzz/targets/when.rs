//! See `fuzz/command/when.rs`.
#![no_main]

#[path = "../command/mod.rs"]
mod fuzzing;
#[path = "../../cli/src/when.rs"]
mod when;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::check(data));
