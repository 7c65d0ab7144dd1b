#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod errors;
mod facts;
mod history;
mod manual;
mod mutations;
mod round_trip;
mod transactions;
