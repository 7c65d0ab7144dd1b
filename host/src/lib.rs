//! Every side effect of haven, one module each.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        reason = "tests fail by panicking"
    )
)]

pub mod bpf;
pub mod capture;
pub mod drive;
pub mod gate;
pub mod identity;
pub mod memory;
pub mod netlink;
pub mod packet;
pub mod process;
pub mod socket;
pub mod store;
