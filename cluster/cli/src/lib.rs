//! Commands that speak the control API.
