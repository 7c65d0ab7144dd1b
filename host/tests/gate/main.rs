//! The gate on real devices: a node with the address still configured, a client that sees every frame.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "tests fail by panicking, and the daemon they start talks on its standard output"
)]

mod bed;
mod daemon;
mod devices;
mod enforcement;
mod figures;
mod frames;
mod nft;
mod pauses;
mod process;
mod trace;
