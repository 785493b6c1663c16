//! A panic below the C functions becomes a status of the call, and spoils nothing else.

use std::ffi::CStr;
use std::ptr;
use std::sync::Arc;

use consul_lock::defaults;
use consul_lock::error::Status;
use consul_lock::ffi::client::{consul_lock_client_free, consul_lock_client_new};
use consul_lock::ffi::error::{consul_lock_error_free, consul_lock_error_message};
use consul_lock::ffi::lock::{consul_lock_acquire, consul_lock_free, consul_lock_new};
use consul_lock::ffi::options::{
    consul_lock_options_free, consul_lock_options_new, consul_lock_options_set,
    consul_lock_options_set_client,
};

use crate::support::alone::ran_alone;

#[test]
fn a_panic_becomes_a_status() {
    if ran_alone(a_panic_becomes_a_status) {
        return;
    }
    // SAFETY: every handle is made here and freed once; every text is a literal.
    unsafe {
        let connection = consul_lock_options_new();
        let nowhere = c"127.0.0.1:1".as_ptr();
        let status =
            consul_lock_options_set(connection, c"address".as_ptr(), nowhere, ptr::null_mut());
        assert_eq!(status, Status::Ok);
        let client = consul_lock_client_new(connection, ptr::null_mut());
        let options = consul_lock_options_new();
        consul_lock_options_set_client(options, client, ptr::null_mut());

        defaults::set_value_generator(Some(Arc::new(|| panic!("on purpose"))));
        let lock = consul_lock_new(c"panic".as_ptr(), options, ptr::null_mut());
        assert!(!lock.is_null());
        let mut error = ptr::null_mut();
        assert_eq!(consul_lock_acquire(lock, &mut error), Status::Internal);
        let message = CStr::from_ptr(consul_lock_error_message(error))
            .to_str()
            .expect("UTF-8");
        assert!(message.contains("on purpose"), "{message}");
        consul_lock_error_free(error);
        consul_lock_free(lock);

        defaults::set_value_generator(None);
        let lock = consul_lock_new(c"panic".as_ptr(), options, ptr::null_mut());
        assert_eq!(
            consul_lock_acquire(lock, ptr::null_mut()),
            Status::Unavailable
        );
        consul_lock_free(lock);

        consul_lock_options_free(options);
        consul_lock_options_free(connection);
        consul_lock_client_free(client);
    }
}
