//! Makes the library panic inside `consul_lock_acquire`, as a defect of it would.

// All of its C functions go into the archive.
pub use consul_lock::ffi;

/// From now on acquire panics.
#[unsafe(no_mangle)]
pub extern "C" fn test_make_acquire_panic() {
    std::panic::set_hook(Box::new(|_| {}));
    consul_lock::defaults::set_value_generator(Some(std::sync::Arc::new(|| panic!("on purpose"))));
}
