//! What is told besides the graph.

mod summary;

use crate::graph::Graphed;
use crate::world::{Role, Variant, World};
use crate::{Decision, Options, Placement};

/// Everything that was asked for.
pub(crate) fn decision(graphed: Graphed<'_>, options: &Options) -> Decision {
    let mut w = graphed.world;
    let summary = if options.summary { w.summary() } else { Vec::new() };
    Decision {
        summary,
        placements: placements(&w),
        scores: w.scores.take().unwrap_or_default(),
        utilization: w.utilization.take().unwrap_or_default(),
        warnings: std::mem::take(&mut w.warnings),
        graph: graphed.graph,
    }
}

fn placements(w: &World<'_>) -> Vec<Placement> {
    let mut list = Vec::new();
    for rsc in &w.rscs {
        if rsc.variant != Variant::Primitive {
            continue;
        }
        if let Some(n) = rsc.assigned {
            list.push(Placement {
                resource: rsc.id.clone(),
                node: w[n].name.clone(),
                promoted: rsc.next_role == Role::Promoted,
            });
        }
    }
    list
}
