//! Child processes: agents, check scripts.
//!
//! ```text
//! Launcher::call ─▶ turn of the scope ─▶ thread of the launcher ─▶ child in its own group and cgroup
//!        │                                                            │ ends: output, status, rest stays
//!        └─ dropped: TERM to all of it, after the grace KILL ◀────────┘
//! ```
//!
//! A child has nothing of the daemon's but its network namespace and its user: no environment, no
//! descriptor, no ignored signal, no priority, no working directory, no file mode mask. It is started
//! with `vfork` from a thread that has these already, so that no copy of the daemon's memory is made and
//! no call between fork and exec can go wrong. Between it and the daemon stands a shell: whoever kills its
//! parent ends its own call.
//!
//! Two calls of one scope never overlap, also not while a given up call is still dying.
//!
//! What it never does: wait on the caller's thread, keep more of a child's output than agreed, end what
//! a successful call left running (a service), signal a process that it did not start.

mod call;
mod cgroup;
mod family;
mod launch;
mod output;

pub use call::{Call, CallError, Ended, GRACE};
pub use cgroup::Cgroups;
pub use launch::{LaunchError, Launcher, bury_inherited};
