//! All tests of the crate as its users see it, in one program: each test program links the whole library, which takes
//! longer than most of what is tested. `cargo test --test all life::` runs those of one file.
//!
//! The tests run beside each other, and most of them wait. What looks at the whole process, or changes it, runs in a
//! process of its own: `support::alone`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unsafe_code
)]

#[path = "../support/mod.rs"]
mod support;

mod abi_changes;
mod acl;
mod api;
mod ask;
mod async_many;
mod c_api;
mod caller;
mod calls;
mod cancel;
mod change;
mod connect;
mod crashes;
mod docs;
mod environment;
mod exceptions;
mod faults;
mod header;
mod held;
mod holders;
mod idle;
mod kinds;
mod layers;
mod life;
mod line;
mod log;
mod memory;
mod null_matrix;
mod observe;
mod panic;
mod promises;
mod queue;
mod runtime;
mod runtime_hot;
mod scale;
mod secrets;
mod servers;
mod sessions;
mod sessions_ended;
mod several;
mod share;
mod shutdown;
mod soak;
mod stats;
mod support_self;
mod symbols;
mod tls;
