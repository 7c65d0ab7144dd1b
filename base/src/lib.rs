//! Pure vocabulary shared by every crate: time as an argument, chance as an argument.
//!
//! Nothing here reads a clock, draws entropy or touches the system.

mod net;
mod rng;
mod time;

pub use net::{
    Address, AddressChange, AddressFlags, IfIndex, Lifetime, Link, MacAddr, Neighbour, OperState,
    Route,
};
pub use rng::Rng;
pub use time::{Instant, WallTime};
