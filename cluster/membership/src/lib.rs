//! Failure detection per link and node, and view formation.
