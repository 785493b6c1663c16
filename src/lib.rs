//! Distributed ephemeral locks on Consul, as a C library.
//!
//! A call comes in at [`ffi`] and becomes an input of the client's [`core`]. The core is pure: it answers
//! with the requests for Consul. The runtime sends them and takes the answers back to the core, until the
//! core has an outcome for the call.
//!
//! Every arrow between modules points down, which `tests/all/layers.rs` checks:
//! `ffi → lock → client → runtime → consul, queue → log → core → key, clock, error and the like`.

mod callbacks;
pub mod client;
pub mod clock;
mod consul;
mod core;
pub mod defaults;
pub mod error;
pub mod ffi;
mod fork;
pub mod key;
pub mod lock;
mod lockorder;
pub mod log;
mod memory;
pub mod options;
pub mod queue;
mod runtime;
mod sys;
mod text;
mod threads;

#[cfg(any(fuzzing, test))]
#[path = "../fuzz/properties/mod.rs"]
pub mod fuzzing;
#[cfg(all(miri, test))]
#[allow(unsafe_code, missing_docs)]
mod miri {
    // No module of its own: cbindgen reads every module, whatever its conditions, and would declare these functions.
    include!("../tests/miri/libc.rs");
}
#[cfg(test)]
#[path = "../tests/sim/mod.rs"]
mod sim;
