//! Addresses that move: the shell over the takeover core.
