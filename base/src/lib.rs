//! Pure vocabulary shared by every crate: time as an argument, chance as an argument, the word that was meant.
//!
//! Nothing here reads a clock, draws entropy or touches the system.

mod nearest;
mod net;
mod rng;
mod time;

pub use nearest::nearest;
pub use net::{
    Address, AddressChange, AddressFlags, IfIndex, Lifetime, Link, MacAddr, Neighbour, OperState,
    Route,
};
pub use rng::Rng;
pub use time::{Instant, WallTime};
