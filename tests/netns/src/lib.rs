//! Whole clusters on real kernel networking.
