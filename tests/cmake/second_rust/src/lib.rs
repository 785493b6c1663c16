//! Another Rust library in the same program, with a standard library of its own.

/// Panics, catches it, and answers 42.
#[unsafe(no_mangle)]
pub extern "C" fn second_rust_catches_a_panic() -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    match std::panic::catch_unwind(|| panic!("on purpose")) {
        Ok(()) => 0,
        Err(_) => 42,
    }
}
