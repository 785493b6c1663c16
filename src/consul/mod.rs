//! Consul's HTTP API: a [`Request`](crate::core::messages::Request) becomes HTTP, HTTP becomes an
//! [`Answer`](crate::core::messages::Answer) or a [`Fault`](crate::core::messages::Fault).

pub(crate) mod encode;
pub(crate) mod http;
pub(crate) mod transport;
pub(crate) mod verdict;
