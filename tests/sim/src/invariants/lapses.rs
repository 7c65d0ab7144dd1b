//! L6: a lapse alone moves nothing. Who lost a lease because no majority answered in time neither stops nor starts anything
//! for that, and nobody asks for a lease that the log has not granted to it: an owner that falls silent is succeeded by
//! a decision of the coordinator only.

use std::collections::{BTreeMap, BTreeSet};

use haven_consensus::{Role, Status};
use haven_controller::{Controller, Input, Output};
use haven_heartbeat::{Input as ToBeat, LossCause, Output as Beat};
use haven_types::{Epoch, GroupId, NodeId};

use super::Verdict;

pub(crate) const RULE: &str = "lapses (L6): a lapse alone moves nothing";

#[derive(Debug, Default)]
pub(crate) struct Lapses {
    /// To whom the log granted what.
    granted: BTreeMap<(GroupId, Epoch), NodeId>,
    /// Who coordinated at the end of its last round.
    leads: BTreeSet<NodeId>,
    /// Who has made a plan in the present round: what it does then may follow from that.
    planned: BTreeSet<NodeId>,
    /// What nodes asked for in the present round, which some log must have granted to them by its end.
    claimed: BTreeMap<NodeId, Vec<(GroupId, Epoch)>>,
    /// What nodes did at a lapse in the present round.
    moved: BTreeMap<NodeId, String>,
}

impl Lapses {
    pub(crate) fn on_start(&mut self, node: NodeId) {
        self.leads.remove(&node);
        self.planned.remove(&node);
        self.claimed.remove(&node);
        self.moved.remove(&node);
    }

    pub(crate) fn on_plan(&mut self, node: NodeId) {
        self.planned.insert(node);
    }

    pub(crate) fn on_controller(
        &mut self,
        node: NodeId,
        input: &Input,
        outputs: &[Output],
    ) -> Verdict {
        if let Input::Heartbeat(Beat::LeaseLost { cause: LossCause::Lapsed, group, .. }) = input
            && let Some(output) = outputs.iter().find(moves)
        {
            let what = format!("the lease of group {group} lapses on {node}, and: {output:?}");
            self.moved.insert(node, what);
        }
        for output in outputs {
            let Output::Heartbeat(order) = output else { continue };
            let ToBeat::Claim { group, epoch } = **order else { continue };
            self.claimed.entry(node).or_default().push((group, epoch));
        }
        Ok(())
    }

    /// The orders of a coordinator to itself, and its plans, may fall into the same step.
    pub(crate) fn after_round(
        &mut self,
        node: NodeId,
        controller: &Controller,
        status: &Status,
    ) -> Verdict {
        for grant in controller.state().grants.values() {
            if let Some(holder) = grant.holder {
                self.granted.entry((grant.group, grant.epoch)).or_insert(holder);
            }
        }
        for (group, epoch) in self.claimed.remove(&node).unwrap_or_default() {
            let holder = self.granted.get(&(group, epoch));
            // A grant that the next entry of the same round took away was never seen here.
            let gone =
                controller.state().grants.values().any(|it| it.group == group && it.epoch > epoch);
            if holder.map_or(!gone, |holder| *holder != node) {
                let to = holder.map_or_else(|| "nobody".to_owned(), ToString::to_string);
                return Err(format!(
                    "{node} asks for group {group} at epoch {epoch}, granted to {to}"
                ));
            }
        }
        let led = match status.role {
            Role::Leader => !self.leads.insert(node),
            _ => self.leads.remove(&node),
        };
        let decided = self.planned.remove(&node) || led || self.leads.contains(&node);
        match self.moved.remove(&node) {
            Some(what) if !decided => Err(what),
            _ => Ok(()),
        }
    }
}

fn moves(output: &&Output) -> bool {
    let Output::RunAgent { operation, .. } = output else { return false };
    matches!(operation.action.as_str(), "start" | "stop")
}
