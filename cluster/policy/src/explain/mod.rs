//! Why a resource is where it is, and what would change that.
//!
//! [`explain()`] runs the engine once with its terms written down ([`crate::world::terms`]) and makes an [`Explanation`] of
//! one resource from them; then it runs the engine anew for each single change that has to do with those terms,
//! and keeps the changes that alter the result. The number of runs is bounded, and the caller may end them.

mod change;
mod picture;
mod text;

use haven_base::WallTime;
use haven_cib::Cib;
use haven_types::status::Status;
use serde::{Deserialize, Serialize};

use crate::{Options, Placement, decide, deep, run};

/// Most single changes that are tried.
pub const MAX_CHANGES: usize = 100;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Id of a resource: a primitive, one instance, a group, clone or bundle.
    pub resource: String,
    /// Ask about this node only: why there, or why not.
    pub node: Option<String>,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// There is no such resource.
    #[error("cannot explain `{id}`: there is no resource of that name{}", nearest_text(.nearest))]
    NoSuchResource {
        /// The name asked for.
        id: String,
        /// A name that is much like it.
        nearest: Option<String>,
    },
    /// There is no such node.
    #[error("cannot explain `{resource}` on `{node}`: there is no node of that name")]
    NoSuchNode {
        /// The resource asked for.
        resource: String,
        /// The node asked for.
        node: String,
    },
}

fn nearest_text(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |n| format!("; did you mean `{n}`?"))
}

/// What a term comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A location constraint.
    Location,
    /// A location constraint's rule.
    Rule,
    /// A colocation constraint.
    Colocation,
    /// What being in a group or container implies.
    Group,
    /// An ordering constraint.
    Order,
    /// Stickiness.
    Stickiness,
    /// Health of the node.
    Health,
    /// Failures.
    Failure,
    /// Capacity of the node.
    Utilization,
    /// A ticket.
    Ticket,
    /// Quorum.
    Quorum,
    /// Fencing.
    Fencing,
    /// Promotion score.
    Promotion,
    /// State of the node: offline, standby, …
    Node,
    /// A role the resource is to have.
    Role,
    /// Management: unmanaged, maintenance.
    Managed,
    /// How many instances there may be.
    Instances,
    /// A clean shutdown locked the resource to its node.
    ShutdownLock,
    /// What kind of resource or node it is.
    Nature,
    /// Anything else, in words.
    Other,
}

/// One term of a sum, or a reason that forbids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// What it comes from.
    pub kind: Kind,
    /// Id of the object it comes from, or name of the option.
    pub source: String,
    /// More about it, in words; may be empty.
    pub detail: String,
    /// What it adds; −1000000 forbids, 1000000 compels.
    pub value: i32,
}

/// One node for one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the node.
    pub node: String,
    /// The score; −1000000 is never.
    pub total: i32,
    /// Whether the instance could be placed here.
    pub eligible: bool,
    /// What the total is made of, weightiest first.
    pub terms: Vec<Term>,
    /// What forbids the node.
    pub vetoes: Vec<Term>,
}

/// What becomes of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Runs, and stays.
    Run,
    /// Is started.
    Start,
    /// Goes to another node.
    Move,
    /// Is stopped and started where it is.
    Restart,
    /// Is stopped.
    Stop,
    /// Does not run, and is not started.
    Stopped,
    /// Has a node, but cannot be started there now.
    Blocked,
    /// Is left alone.
    Unmanaged,
}

/// What the choice of a node went by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Its score is higher.
    Score,
    /// No other node can run it.
    OnlyNode,
    /// No node can run it.
    NoNode,
    /// It runs there, and no other node is better.
    Stays,
    /// It has more room, or an instance is there already.
    Preferred,
    /// It has more capacity left.
    Capacity,
    /// Fewer resources had been placed there.
    FewerResources,
    /// Its name comes first.
    Name,
    /// It has a node, but cannot be started there now.
    Blocked,
    /// It is not managed.
    Unmanaged,
    /// Nothing is to run.
    StopAll,
}

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deciding {
    /// What the choice went by.
    pub rule: Rule,
    /// The next best node.
    pub against: Option<String>,
    /// By how much the node is better than that.
    pub margin: Option<i32>,
    /// The weightiest term in favour.
    pub term: Option<Term>,
}

/// An action of an instance, and what asks for it or stands in its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionTerms {
    /// `start`, `stop`, `promote`, …
    pub operation: String,
    /// Name of the node.
    pub node: String,
    /// False where something stands in its way.
    pub runnable: bool,
    /// What asks for it or stands in its way.
    pub terms: Vec<Term>,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub resource: String,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Its role then: `Started`, `Stopped`, `Promoted`, `Unpromoted`.
    pub role: String,
    /// Where it runs now.
    pub was: Vec<String>,
    /// Where it is to run.
    pub node: Option<String>,
    /// What decided that.
    pub deciding: Deciding,
    /// Each node with its score.
    pub table: Vec<Row>,
    /// What is to be done for it.
    pub actions: Vec<ActionTerms>,
}

/// A single change that would alter the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counterfactual {
    /// The change, in words.
    pub change: String,
    /// Where the resource would be then, in words.
    pub result: String,
    /// How many other instances would be elsewhere, too.
    pub others: usize,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The resource asked for.
    pub subject: String,
    /// The node asked for.
    pub about: Option<String>,
    /// The second (since 1970) it holds for.
    pub at: i64,
    /// Each instance of the resource.
    pub instances: Vec<Instance>,
    /// Single changes that would alter the result, those to the resource itself first.
    pub counterfactuals: Vec<Counterfactual>,
    /// How many changes were tried.
    pub tried: usize,
    /// How many were not, since the caller had enough or there were more than [`MAX_CHANGES`].
    pub untried: usize,
}

/// Explains where a resource is placed.
///
/// `go_on` is asked before each further run of the engine; once it says no, the changes not yet tried are only counted.
///
/// # Errors
/// [`ExplainError`] when there is no such resource or node.
pub fn explain(
    cib: &Cib,
    status: &Status,
    now: WallTime,
    options: &Options,
    question: &Question,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Explanation, ExplainError> {
    let picture = deep(cib, &|| {
        let graphed = run(cib, status, now, options, Some(Box::default()));
        picture::picture(graphed, cib, question)
    })?;
    let base = decide_again(cib, status, now, options);
    let mut answer = Explanation {
        subject: question.resource.clone(),
        about: question.node.clone(),
        at: now.seconds,
        instances: picture.instances,
        counterfactuals: Vec::new(),
        tried: 0,
        untried: 0,
    };
    let changes = change::candidates(cib, status, &answer.instances, question);
    for change in changes {
        if answer.tried >= MAX_CHANGES || !go_on() {
            answer.untried += 1;
            continue;
        }
        answer.tried += 1;
        let (mut cib, mut status) = (cib.clone(), status.clone());
        if !change.apply(&mut cib, &mut status) {
            continue;
        }
        let then = decide_again(&cib, &status, now, options);
        if let Some((result, others)) = difference(&picture.ids, question, &base, &then) {
            let change = change.to_string();
            answer.counterfactuals.push(Counterfactual { change, result, others });
        }
    }
    Ok(answer)
}

fn decide_again(cib: &Cib, status: &Status, now: WallTime, options: &Options) -> Vec<Placement> {
    let options = Options { scores: false, summary: false, utilization: false, ..options.clone() };
    deep(cib, &|| decide(cib, status, now, &options).placements)
}

/// Where the resource is then, if that is a difference, and how many others are elsewhere.
fn difference(
    ids: &[String],
    question: &Question,
    base: &[Placement],
    then: &[Placement],
) -> Option<(String, usize)> {
    let ours = |p: &&Placement| {
        ids.iter().any(|id| {
            crate::world::values::strip_instance(&p.resource)
                == crate::world::values::strip_instance(id)
        })
    };
    let places = |list: &[Placement]| -> Vec<(String, bool)> {
        let here = |p: &&Placement| question.node.as_ref().is_none_or(|n| *n == p.node);
        let found = list.iter().filter(ours).filter(here);
        let mut places: Vec<_> = found.map(|p| (p.node.clone(), p.promoted)).collect();
        places.sort();
        places
    };
    if places(base) == places(then) {
        return None;
    }
    let others = |from: &[Placement], to: &[Placement]| {
        from.iter().filter(|p| !ours(p) && !to.contains(p)).map(|p| p.resource.clone()).collect()
    };
    let mut elsewhere: std::collections::BTreeSet<String> = others(base, then);
    elsewhere.append(&mut others(then, base));
    let mut words: Vec<String> = then
        .iter()
        .filter(ours)
        .map(|p| {
            let role = if p.promoted { " (promoted)" } else { "" };
            let name = if ids.len() > 1 { format!("{} on ", p.resource) } else { "on ".into() };
            format!("{name}{}{role}", p.node)
        })
        .collect();
    if words.is_empty() {
        words.push("stopped".into());
    }
    Some((words.join(", "), elsewhere.len()))
}
