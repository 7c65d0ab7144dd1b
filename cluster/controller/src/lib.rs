//! Coordinator duties: when to plan, what to grant, whom to ask.
