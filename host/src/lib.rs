//! Every side effect of haven, one module each.

pub mod bpf;
pub mod gate;
pub mod netlink;
pub mod packet;
