//! The subsystems behind the `Agent` trait: the one place that knows both the cluster and them.

mod ip;

pub use ip::{IpResource, ip_facts};
