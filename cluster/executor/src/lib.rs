//! Local operations and the Agent trait.
