#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod errors;
mod facts;
mod history;
mod manual;
mod mutations;
mod one_go;
mod round_trip;
mod transactions;
