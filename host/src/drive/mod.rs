//! Clocks, and the scheduling of the thread that must never be late.

mod clock;
mod realtime;

pub use clock::{boot_time, kernel_tick, wall_time};
pub use realtime::{RealtimeError, defer_this_process, prefer_this_process, realtime_thread};
