//! Pure vocabulary shared by every crate: time as an argument, chance as an argument.
//!
//! Nothing here reads a clock, draws entropy or touches the system.

mod rng;
mod time;

pub use rng::Rng;
pub use time::{Instant, WallTime};
