//! One owner per address: promises, claims and the gate's orders.
