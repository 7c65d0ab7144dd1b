//! The graph executor: carries a transition out.
