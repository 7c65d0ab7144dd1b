//! The whole cluster in one line: how well it is, and what it would survive.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Gate, LeaseState, NodeState, NodeStatus, ResourceStatus, Role, Status};

/// How well the cluster is, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Everything runs, and the loss of one node would be survived.
    #[default]
    Ok,
    /// Everything that should run does, but something has failed.
    Degraded,
    /// Services run, but the next failure may stop them or they are not protected.
    AtRisk,
    /// No quorum, or a service that should run does not.
    Down,
}

impl Level {
    /// The word that starts the verdict line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Degraded => "DEGRADED",
            Self::AtRisk => "AT RISK",
            Self::Down => "DOWN",
        }
    }
}

/// The verdict: a level, and the causes that decided it, gravest first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// How well the cluster is.
    pub level: Level,
    /// What decided that; empty when all is well.
    pub causes: Vec<String>,
    /// How many nodes may fail, whichever they are, before quorum or the last node for services is lost.
    pub survives: u32,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.level.word())?;
        match self.causes.first() {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl Status {
    /// Fills [`Status::verdict`] from the rest.
    pub fn judge(&mut self) {
        self.verdict = judge(self);
    }
}

fn judge(status: &Status) -> Verdict {
    let survives = survivable_losses(status);
    let mut causes: Vec<(Level, String)> = Vec::new();
    let mut found = |level, cause: String| causes.push((level, cause));

    if !status.quorum.quorate {
        let remedy = status.quorum.remedy.as_ref();
        let remedy = remedy.map_or(String::new(), |remedy| format!(" – {remedy}"));
        found(Level::Down, format!("no quorum: {}{remedy}", status.quorum.reason));
    } else if status.coordinator.is_none() {
        found(Level::AtRisk, "no coordinator is elected".to_owned());
    }
    for resource in flatten(&status.resources) {
        judge_resource(resource, &mut found);
    }
    for node in &status.nodes {
        judge_node(node, &mut found);
    }
    if status.quorum.quorate && survives == 0 {
        found(Level::AtRisk, "the loss of one more node would stop services".to_owned());
    }
    for alarm in &status.alarms {
        found(Level::Degraded, alarm.clone());
    }
    let open = status.failed.iter().filter(|action| !action.later_succeeded).count();
    if open > 0 {
        let plural = if open == 1 { "" } else { "s" };
        found(Level::Degraded, format!("{open} failed action{plural} not cleaned up"));
    }

    causes.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    let level = causes.first().map_or(Level::Ok, |(level, _)| *level);
    Verdict { level, causes: causes.into_iter().map(|(_, cause)| cause).collect(), survives }
}

fn judge_resource(resource: &ResourceStatus, found: &mut impl FnMut(Level, String)) {
    let wanted = resource.target != Role::Stopped;
    if wanted && resource.children.is_empty() {
        let why = || resource.trouble.as_ref().map_or(String::new(), |why| format!(": {why}"));
        if resource.active.is_empty() {
            found(Level::Down, format!("{} is stopped{}", resource.id, why()));
        } else if resource.lease.as_ref().is_some_and(is_silent) {
            found(Level::Down, format!("{} is silent{}", resource.id, why()));
        } else if !resource.is_well() {
            found(Level::Degraded, format!("{} has trouble{}", resource.id, why()));
        }
    }
    if let Some(reason) = &resource.unprotected {
        found(Level::AtRisk, format!("{} is UNPROTECTED: {reason}", resource.id));
    }
}

/// Whether the holder of a lease is known to have no leave to speak at this moment.
fn is_silent(lease: &LeaseState) -> bool {
    lease.holder.is_some() && lease.gate == Gate::Closed
}

fn judge_node(node: &NodeStatus, found: &mut impl FnMut(Level, String)) {
    let trouble = node.trouble.as_ref().map_or(String::new(), |why| format!(": {why}"));
    match node.state {
        NodeState::Unclean | NodeState::Offline | NodeState::Pending | NodeState::Suspect => {
            found(Level::Degraded, format!("{} is {}{trouble}", node.name, node.state.word()));
        }
        NodeState::Online | NodeState::Standby | NodeState::Maintenance => {
            if node.trouble.is_some() {
                found(Level::Degraded, format!("{}{trouble}", node.name));
            }
            for link in node.links.iter().filter(|link| link.state != crate::LinkState::Up) {
                let state = if link.state == crate::LinkState::Down { "down" } else { "degraded" };
                found(Level::Degraded, format!("link {} to {} is {state}", link.number, node.name));
            }
        }
    }
}

fn flatten(resources: &[ResourceStatus]) -> Vec<&ResourceStatus> {
    let mut all = Vec::new();
    let mut left: Vec<&ResourceStatus> = resources.iter().rev().collect();
    while let Some(resource) = left.pop() {
        all.push(resource);
        left.extend(resource.children.iter().rev());
    }
    all
}

/// How many members may fail, the ones with most votes first, while the rest stays quorate and one node
/// that runs services is left.
fn survivable_losses(status: &Status) -> u32 {
    if !status.quorum.quorate {
        return 0;
    }
    let mut votes: Vec<u32> =
        status.quorum.votes.iter().filter(|vote| vote.present).map(|vote| vote.votes).collect();
    votes.sort_unstable_by(|a, b| b.cmp(a));
    let mut left: u32 = votes.iter().sum();
    let mut by_votes = 0_u32;
    for lost in votes {
        left = left.saturating_sub(lost);
        if left < status.quorum.needed {
            break;
        }
        by_votes += 1;
    }
    let hosts =
        status.nodes.iter().filter(|node| !node.witness && node.state == NodeState::Online).count();
    by_votes.min(u32::try_from(hosts.saturating_sub(1)).unwrap_or(u32::MAX))
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
