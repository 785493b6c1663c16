//! Cores of several processes against a model of Consul, in virtual time, with seeded random
//! schedules. See `docs/correctness.md` for what it shows.
//!
//! `make sim` runs a million; `SIM_SEED=N make sim` replays one and tells its history in words.

mod defects;
mod differential;
mod explore;
mod gate;
mod holders;
mod late;
mod line;
mod model;
mod network;
mod nodes;
mod notices;
mod odd;
mod plan;
#[path = "../support/ports.rs"]
mod ports;
mod proofs;
mod properties;
mod real;
mod records;
mod rights;
mod schedules;
mod script;
mod several;
mod share;
mod turns;
mod world;
