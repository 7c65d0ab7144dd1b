//! What crosses a boundary between two cluster crates, and nothing else.

mod ids;
pub mod operation;

pub use ids::{BootId, Epoch, GroupId, LinkId, LogIndex, LogPosition, NodeId, Seq, Term};
