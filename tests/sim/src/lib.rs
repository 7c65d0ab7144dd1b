//! Whole clusters in one process, driven by one seed.
