//! Every side effect of haven, one module each.

pub mod bpf;
pub mod drive;
pub mod capture;
pub mod gate;
pub mod netlink;
pub mod packet;
