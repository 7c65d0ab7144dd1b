//! The test bed shared by this crate's tests.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

pub mod chaos;
pub mod clock;
pub mod gate;
pub mod log;
pub mod world;
