//! Distributed ephemeral locks on Consul, as a C library.
//!
//! A call comes in at [`ffi`] and becomes an event for the client's [`core`]; the core, which is
//! pure, says what to ask Consul next; the runtime asks; the answer goes back into the core, until
//! there is an outcome to tell.
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

#[cfg(test)]
#[path = "../tests/sim/mod.rs"]
mod sim;
