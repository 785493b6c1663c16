//! A model of Consul: its rules in virtual time ([`Model`]), and a [`server`] that follows them in real time.
//!
//! The model knows what a lock asks for: sessions, the KV store, transactions and blocking queries, and a little of the
//! catalog. It answers any other request with the status 501 and a text that says what it does not know. The simulation
//! of the library runs against this model, and `tests/sim/differential.rs` compares it with a real Consul, request by
//! request.

mod catalog;
mod edition;
mod keys;
mod model;
mod random;
mod requests;
pub mod server;
mod sessions;
mod state;
mod store;
mod time;
mod transactions;
mod wire;

pub use self::edition::Edition;
pub use self::model::{Model, NODE, Reply, Request, Served, Ticket, WatchId};
pub use self::random::Random;
pub use self::store::Flaw;
pub use self::time::Time;
