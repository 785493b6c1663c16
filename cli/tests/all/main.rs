//! All tests of `consul-lock` as people run it, in one program: `cargo test -p consul-lock-cli --test all run::` runs
//! those of one file. They need a real Consul (`CONSUL_BIN`, else `scripts/get-consul`).
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[path = "../support/mod.rs"]
mod support;

mod dev;
mod doctor;
mod free;
mod ls;
mod output;
mod real;
mod run;
mod run_group;
mod run_loss;
mod run_signals;
mod run_terminal;
mod wait;
mod who;
