//! Small messages between members, each delivered exactly once over datagrams that get lost.
