//! The planner of one process as those who judge see it: the policy engine, and a note of each plan with all that it was
//! made from.

use std::sync::{Arc, Mutex, PoisonError};

use haven_base::WallTime;
use haven_cib::{Cib, Version};
use haven_controller::Planner;
use haven_policy::{Decision, Options};
use haven_types::status::{NodeState, Status};

use crate::settings::Mutant;

/// All that a plan follows from.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    cib: Cib,
    status: Status,
    now: WallTime,
    options: Options,
}

impl Asked {
    /// The same, as another node would ask if it coordinated: no rule of the configurations here asks who does.
    pub(crate) fn by_another(&self) -> Self {
        let another = |it: &&NodeState| Some(&it.id) != self.status.dc.as_ref();
        let dc = self.status.nodes.iter().find(another).map(|it| it.id.clone());
        Self { status: Status { dc, ..self.status.clone() }, ..self.clone() }
    }

    /// What the policy engine says to it.
    pub(crate) fn plan(&self) -> Decision {
        haven_policy::schedule(&self.cib, &self.status, self.now, &self.options)
    }
}

/// Plans that were made and not looked at yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plans(Arc<Mutex<Vec<(Asked, Decision)>>>);

impl Plans {
    /// The planner of a process that begins.
    pub(crate) fn planner(&self, mutant: Mutant) -> Planner {
        let (seen, known) = (self.clone(), Mutex::new(None));
        Planner::new(move |cib, status, now, options| {
            let (cib, status, options) = (cib.clone(), status.clone(), options.clone());
            let asked = Asked { cib, status, now, options };
            let decision = match mutant {
                Mutant::RememberedPlans => remembered(&known, &asked),
                _ => asked.plan(),
            };
            let mut seen = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push((asked, decision.clone()));
            decision
        })
    }

    pub(crate) fn take(&self) -> Vec<(Asked, Decision)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A mutant: the plan of before is good enough while the configuration stays the same.
fn remembered(known: &Mutex<Option<(Version, Decision)>>, asked: &Asked) -> Decision {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    match &*known {
        Some((version, decision)) if *version == asked.cib.version => decision.clone(),
        _ => {
            let decision = asked.plan();
            *known = Some((asked.cib.version, decision.clone()));
            decision
        }
    }
}
