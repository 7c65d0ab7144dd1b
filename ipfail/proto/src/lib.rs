//! Pure core of address takeover: plans, announcements, conflicts.
