//! Every side effect of haven, one module each.

pub mod bpf;
pub mod capture;
pub mod drive;
pub mod gate;
pub mod identity;
pub mod netlink;
pub mod packet;
pub mod socket;
pub mod store;
