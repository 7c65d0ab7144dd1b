//! Sealed frames, keys, replay windows and express delivery between nodes.
