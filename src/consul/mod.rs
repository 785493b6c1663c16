//! Consul's HTTP API: a [`Request`](crate::core::messages::Request) becomes HTTP, HTTP becomes an
//! [`Answer`](crate::core::messages::Answer) or a [`Fault`](crate::core::messages::Fault).

pub(crate) mod address;
pub(crate) mod connect;
pub(crate) mod credentials;
pub(crate) mod encode;
pub(crate) mod errand;
pub(crate) mod facts;
mod files;
pub(crate) mod http;
pub(crate) mod interrupt;
mod names;
mod operations;
mod replaceable;
pub(crate) mod secrets;
mod stream;
pub(crate) mod tls;
pub(crate) mod transport;
pub(crate) mod verdict;
