//! Versioned requests, replies and events of the control socket.
