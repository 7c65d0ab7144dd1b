//! What crosses a boundary between two cluster crates, and nothing else.

pub mod agent;
pub mod graph;
mod ids;
pub mod operation;
pub mod status;

pub use ids::{BootId, Epoch, GroupId, LinkId, LogIndex, LogPosition, NodeId, Seq, Term};
