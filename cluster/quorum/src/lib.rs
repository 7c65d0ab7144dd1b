//! Votes, tie-break, wait-for-all: a pure function.
