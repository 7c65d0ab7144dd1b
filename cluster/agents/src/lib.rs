//! The subsystems behind the `Agent` trait: the one place that knows both the cluster and them.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod dummy;
mod ip;

pub use dummy::{DummyResource, dummy_facts};
pub use ip::{IpResource, ip_facts};
