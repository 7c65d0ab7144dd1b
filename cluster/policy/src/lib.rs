//! The policy engine: what runs where and in which order.
