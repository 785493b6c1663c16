//! The library as a C program calls it, loaded from its file.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

type Object = *mut c_void;

/// The functions of a cycle, and an options object that names the server.
pub(crate) struct Library {
    new: unsafe extern "C" fn(*const c_char, Object, *mut Object) -> Object,
    acquire: unsafe extern "C" fn(Object, *mut Object) -> c_int,
    release: unsafe extern "C" fn(Object, *mut Object) -> c_int,
    free: unsafe extern "C" fn(Object),
    options: Object,
}

// SAFETY: the header allows each function on any thread, and the options are not changed after `load`.
unsafe impl Sync for Library {}

/// A function of the library.
///
/// # Safety
/// `F` must be the type of the function of that name.
unsafe fn function<F: Copy>(library: Object, name: &CStr) -> F {
    // SAFETY: the library stays loaded; the caller answers for the type, which is a pointer's.
    unsafe {
        let address = libc::dlsym(library, name.as_ptr());
        assert!(!address.is_null(), "{name:?}");
        std::mem::transmute_copy(&address)
    }
}

impl Library {
    pub(crate) fn load(file: &Path, address: &str) -> Library {
        let file = CString::new(file.to_str().expect("UTF-8")).expect("a path");
        let address = CString::new(address).expect("an address");
        // SAFETY: the types are those of include/consul_lock.h; the texts live through the calls.
        unsafe {
            let library = libc::dlopen(file.as_ptr(), libc::RTLD_NOW);
            assert!(!library.is_null(), "{file:?}");
            let options_new: unsafe extern "C" fn() -> Object =
                function(library, c"consul_lock_options_new");
            let set: unsafe extern "C" fn(
                Object,
                *const c_char,
                *const c_char,
                *mut Object,
            ) -> c_int = function(library, c"consul_lock_options_set");
            let client_new: unsafe extern "C" fn(Object, *mut Object) -> Object =
                function(library, c"consul_lock_client_new");
            let set_client: unsafe extern "C" fn(Object, Object, *mut Object) -> c_int =
                function(library, c"consul_lock_options_set_client");
            let of_client = options_new();
            assert_eq!(
                set(
                    of_client,
                    c"address".as_ptr(),
                    address.as_ptr(),
                    ptr::null_mut()
                ),
                0
            );
            let client = client_new(of_client, ptr::null_mut());
            let options = options_new();
            assert_eq!(set_client(options, client, ptr::null_mut()), 0);
            Library {
                new: function(library, c"consul_lock_new"),
                acquire: function(library, c"consul_lock_acquire"),
                release: function(library, c"consul_lock_release"),
                free: function(library, c"consul_lock_free"),
                options,
            }
        }
    }

    /// Makes, takes, gives back and frees one lock.
    pub(crate) fn cycle(&self) {
        self.cycle_on(c"cycle");
    }

    /// The same on that key. Several threads may do so at once: an options object is only read from here on.
    pub(crate) fn cycle_on(&self, key: &CStr) {
        // SAFETY: as the header asks: each object is used between its making and its freeing.
        unsafe {
            let lock = (self.new)(key.as_ptr(), self.options, ptr::null_mut());
            assert!(!lock.is_null());
            assert_eq!((self.acquire)(lock, ptr::null_mut()), 0);
            assert_eq!((self.release)(lock, ptr::null_mut()), 0);
            (self.free)(lock);
        }
    }
}
