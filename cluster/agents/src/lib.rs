//! The subsystems behind the Agent trait.
