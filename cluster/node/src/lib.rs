//! The daemon: drives the machines over the host.
