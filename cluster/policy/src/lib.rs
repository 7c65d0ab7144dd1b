//! The policy engine: what runs where and in which order.
//!
//! [`schedule`] is a pure function of configuration, status and time. It never reads a clock, a
//! file or the environment; the same arguments give the same bytes everywhere.

mod constrain;
mod explain;
mod facts;
mod graph;
mod leases;
mod order;
mod place;
mod report;
mod rules;
mod unpack;
mod world;

use haven_base::WallTime;
use haven_cib::{Cib, Constraint, Resource};
use haven_types::graph::TransitionGraph;
use haven_types::status::Status;
use serde::{Deserialize, Serialize};

pub use explain::{
    ActionTerms, Counterfactual, Deciding, ExplainError, Explanation, Instance, Kind, MAX_CHANGES,
    Question, Row, Rule, Term, Verdict, explain,
};
pub use facts::{AgentFacts, AgentId};
pub use graph::xml;
pub use haven_cib::{Exposure, Leasing};
pub use leases::{leasing, leasings};
pub use report::considered::{Considered, ConsideredAction, ConsideredInput};
pub use report::state::{
    ClusterState, FailedOperation, Health, NodeFailures, NodeKind, NodeView, ReplicaView,
    ResourceFailures, ResourceKind, ResourceView, TicketView,
};
pub use unpack::digest::operation_digest;

/// The version of Pacemaker's feature set whose behaviour this is.
pub const FEATURE_SET: &str = "3.20.1";

/// What is asked for besides the graph. The default asks for nothing, and what is not asked for
/// costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// What the metadata of agents says.
    pub facts: AgentFacts,
    /// Fill [`Decision::scores`].
    pub scores: bool,
    /// Fill [`Decision::utilization`].
    pub utilization: bool,
    /// Fill [`Decision::summary`].
    pub summary: bool,
    /// Fill [`Decision::considered`].
    pub considered: bool,
    /// The program ends soon after: leave the engine's memory to the system instead of giving it back piece by piece.
    pub ends_soon: bool,
    /// The configuration is a saved one whose passwords may have been masked: a change of nothing
    /// but private parameters counts as none.
    pub sanitized: bool,
}

/// What was decided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What to do, in which order.
    pub graph: TransitionGraph,
    /// What runs where once the graph is carried out: one entry for each primitive instance on
    /// each node it is to be on, in configuration order.
    pub placements: Vec<Placement>,
    /// Lines of scores, as `crm_simulate --show-scores` prints them; only when asked for. Where
    /// utilization is asked for, too, its lines stand among them in the order of events.
    pub scores: Vec<String>,
    /// One line for each thing that changes, with the reason; only when asked for.
    pub summary: Vec<String>,
    /// Lines of capacity and use; only when asked for.
    pub utilization: Vec<String>,
    /// All actions thought of; only when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub considered: Option<Considered>,
    /// What was overlooked on purpose, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// What the operator should know about the input: unknown values, missing devices.
    pub warnings: Vec<String>,
}

/// Where an instance is to be, once the graph is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Id of the primitive, with the instance number if it is cloned.
    pub resource: String,
    /// Node name.
    pub node: String,
    /// True for a promoted instance.
    pub promoted: bool,
}

/// Decides what is to be done in this configuration and status at this time.
///
/// Never fails: what is wrong in the configuration is left out and told in
/// [`Decision::warnings`].
#[must_use]
pub fn schedule(cib: &Cib, status: &Status, now: WallTime, options: &Options) -> Decision {
    deep(cib, &|| decide(cib, status, now, options))
}

/// Does something with a stack that is deep enough for a configuration: long chains of constraints need one. Only what
/// is used of it takes memory.
fn deep<T: Send>(cib: &Cib, work: &(dyn Fn() -> T + Sync)) -> T {
    if longest_chain(cib) < SMALL {
        return work();
    }
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(DEEP_STACK)
            .spawn_scoped(scope, work)
            .ok()
            .and_then(|thread| thread.join().ok())
    })
    .unwrap_or_else(work)
}

/// No chain of resources that place each other has more links than there are colocations and members of groups.
fn longest_chain(cib: &Cib) -> usize {
    let pairs = cib.constraints.iter().map(|c| match c {
        Constraint::Colocation(c) => 1 + c.sets.iter().map(|s| s.members.len()).sum::<usize>(),
        Constraint::Location(_) | Constraint::Order(_) | Constraint::Ticket(_) => 0,
    });
    let members = cib.resources.iter().map(|r| match r {
        Resource::Primitive(_) => 0,
        Resource::Group(_) | Resource::Clone(_) | Resource::Bundle(_) => r.primitives().len(),
    });
    pairs.sum::<usize>() + members.sum::<usize>()
}

/// Links of a chain for which any stack is deep enough.
const SMALL: usize = 300;
/// Bytes of stack for all others.
const DEEP_STACK: usize = 256 << 20;

fn decide(cib: &Cib, status: &Status, now: WallTime, options: &Options) -> Decision {
    report::decision(run(cib, status, now, options, None), options)
}

/// All phases. Terms are written down if there is something to write them in.
fn run<'a>(
    cib: &Cib,
    status: &'a Status,
    now: WallTime,
    options: &'a Options,
    terms: Option<Box<world::terms::Terms>>,
) -> graph::Graphed<'a> {
    let unpacked = unpack::unpack(cib, status, now.seconds, options, terms);
    let constrained = constrain::constrain(unpacked, cib);
    let placed = place::place(constrained, &place::Greedy);
    graph::graph(order::order(placed))
}

/// Reads what the cluster is like, without deciding anything.
#[must_use]
pub fn cluster_state(cib: &Cib, status: &Status, now: WallTime, options: &Options) -> ClusterState {
    unpack::unpack(cib, status, now.seconds, options, None).0.state(cib)
}

/// Reads an ISO 8601 time; what it leaves out is taken from midnight, without a zone it is UTC.
#[must_use]
pub fn parse_time(text: &str) -> Option<WallTime> {
    rules::time::parse(text, 0).map(WallTime::from_seconds)
}
