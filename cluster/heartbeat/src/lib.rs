//! The machine of the heartbeat thread: membership and lease over one beat.
