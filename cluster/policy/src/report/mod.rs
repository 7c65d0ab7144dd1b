//! What is told besides the graph.

pub(crate) mod considered;
pub(crate) mod state;
mod summary;

use crate::graph::Graphed;
use crate::world::action::af;
use crate::world::{N, R, Role, Variant, World};
use crate::{Decision, Options, Placement};

/// Everything that was asked for.
pub(crate) fn decision(graphed: Graphed<'_>, options: &Options) -> Decision {
    let mut w = graphed.world;
    let summary = if options.summary { w.summary() } else { Vec::new() };
    let decision = Decision {
        considered: options.considered.then(|| w.considered()),
        summary,
        placements: placements(&w),
        scores: w.scores.take().unwrap_or_default(),
        utilization: w.utilization.take().unwrap_or_default(),
        remarks: std::mem::take(&mut w.remarks),
        warnings: std::mem::take(&mut w.warnings),
        graph: graphed.graph,
    };
    if options.ends_soon {
        std::mem::forget(w);
    }
    decision
}

fn placements(w: &World<'_>) -> Vec<Placement> {
    let mut list = Vec::new();
    for i in 0..w.rscs.len() {
        let r = R(u32::try_from(i).unwrap_or(u32::MAX));
        let rsc = &w[r];
        let Some(n) =
            rsc.assigned.filter(|n| rsc.variant == Variant::Primitive && w.ends_on(r, *n))
        else {
            continue;
        };
        list.push(Placement {
            resource: rsc.id.clone(),
            node: w[n].name.clone(),
            promoted: rsc.next_role == Role::Promoted
                && w.will(r, "promote", n).is_none_or(|runnable| runnable),
        });
    }
    list
}

impl World<'_> {
    /// Whether an action is needed, and if so, whether it can be done.
    pub(crate) fn will(&self, r: R, task: &str, n: N) -> Option<bool> {
        let all = self.actions_exactly(r, task, n);
        let needed = all.into_iter().find(|a| !self[*a].is(af::OPTIONAL))?;
        Some(self[needed].is(af::RUNNABLE))
    }

    /// Where the resource is once all is done.
    pub(crate) fn ends_on_any(&self, r: R) -> Option<N> {
        let left = self[r].active.iter().copied().filter(|_| !self[r].managed);
        self[r].assigned.into_iter().chain(left).find(|n| self.ends_on(r, *n))
    }

    /// Whether the resource is on its node once all is done.
    fn ends_on(&self, r: R, n: N) -> bool {
        if !self[r].managed {
            return self[r].active.contains(&n);
        }
        if self[r].next_role == Role::Stopped {
            return false;
        }
        self.will(r, "start", n).unwrap_or_else(|| self[r].active.contains(&n))
    }
}
