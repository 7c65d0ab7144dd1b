//! What makes a node itself: entropy, boot ids, and files that hold secrets.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::print_stderr,
        reason = "tests fail by panicking, and say what they could not try"
    )
)]

mod boot;
mod entropy;
mod files;

pub use boot::{BootIdError, last_boot_id, mark_first_life, next_boot_id, take_first_life};
pub use entropy::{EntropyError, fill, random_u64};
pub use files::{
    FileError, close_directory, read_secret, sync_directory, write_durable, write_secret,
};
