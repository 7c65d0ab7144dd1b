//! What the executor is told, and what it wants done.

use haven_types::operation::{Lease, Operation, OperationRecord, Order, OrderId, Outcome};
use haven_types::{GroupId, Term};
use serde::{Deserialize, Serialize};

/// Names one call of an agent.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct RunId(pub u64);

/// What the executor reacts to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "an input is taken apart at once, never stored")]
pub enum Input {
    /// The coordinator wants something done.
    Order(Order),
    /// This node stops, or demotes, a resource by itself. Nothing where that is under way or waits.
    Stop(Operation),
    /// A coordinator of this term exists; orders of lower terms are refused from now on.
    Term(Term),
    /// The agent answered.
    AgentFinished {
        /// Which call.
        run: RunId,
        /// Its answer.
        outcome: Outcome,
    },
    /// What the agent of a call that is about to end well says of reloading.
    Restarting {
        /// Which call.
        run: RunId,
        /// The parameters of which a change asks for a restart.
        parameters: Vec<String>,
    },
    /// The lease is held and the gate is open.
    LeaseGained(Lease),
    /// The lease ended. The gate has closed by itself.
    LeaseLost {
        /// Which lease.
        lease: Lease,
        /// True when another grant took its place, so that it can never come back.
        superseded: bool,
    },
    /// The gate is closed, acknowledged by the kernel, and the release has been sent.
    LeaseReleased(GroupId),
    /// Nobody is asked for a lease of this group: the node has no room for one more. It is asked for again when
    /// another is released within a second; else what waits for it fails.
    ClaimRefused {
        /// What the claim was for.
        group: GroupId,
        /// What to tell the coordinator.
        reason: String,
    },
    /// So many calls of agents outside of the daemon may keep its host's processors busy at once; 0
    /// is no limit.
    Pace(usize),
    /// Time may have passed.
    Tick,
}

/// What the shell does for the executor, in this order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// Call the agent.
    RunAgent {
        /// Names the call.
        run: RunId,
        /// What to ask of it.
        operation: Operation,
        /// The lease the resource runs under.
        lease: Option<Lease>,
    },
    /// The call took too long: stop waiting, kill what it started.
    AbortAgent(RunId),
    /// Ask the voters for this lease.
    Claim(Lease),
    /// Close the gate, then tell the voters.
    Release(GroupId),
    /// Status changed: keep it and pass it on.
    Recorded(Box<OperationRecord>),
    /// The order cannot be carried out; nothing was done.
    Refused {
        /// Which order.
        order: OrderId,
        /// What to tell the coordinator.
        reason: String,
    },
}
