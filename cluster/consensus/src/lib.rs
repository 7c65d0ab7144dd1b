//! The replicated log over the raft crate.
