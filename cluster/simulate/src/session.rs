//! One simulation from beginning to end, without reading or writing anything.

use haven_base::WallTime;
use haven_policy::{ClusterState, Decision, Options, cluster_state, schedule};

use crate::Args;
use crate::execute::{Execution, How, execute};
use crate::inject::{Modifications, inject, wanted};
use crate::input::Snapshot;

/// What was found, decided and done.
pub(crate) struct Session {
    /// How it was; empty where nobody is told.
    pub(crate) before: ClusterState,
    /// What was made up.
    pub(crate) modifications: Option<Modifications>,
    /// What the decision was made for.
    pub(crate) input: Snapshot,
    /// What is to be done.
    pub(crate) decision: Option<Decision>,
    /// What was done on paper.
    pub(crate) execution: Option<Execution>,
    /// What came of it.
    pub(crate) output: Option<Snapshot>,
    /// How it is then.
    pub(crate) after: Option<ClusterState>,
}

/// Simulates what `args` ask for, at `now`.
pub(crate) fn simulate(args: &Args, mut input: Snapshot, now: WallTime) -> Session {
    let options = Options {
        scores: args.show_scores,
        utilization: args.show_utilization,
        summary: !args.quiet,
        considered: args.save_dotfile.is_some(),
        sanitized: !args.live_check,
        ends_soon: true,
        ..Options::default()
    };
    let look = |s: &Snapshot| cluster_state(&s.cib, &s.status, now, &options);
    let told = !args.quiet || args.json || wanted(args);
    let before = if told { look(&input) } else { ClusterState::default() };
    let modifications = wanted(args).then(|| {
        let at = latest(&input, now);
        inject(args, &before, &mut input.cib, &mut input.status, at)
    });
    let mut session = Session {
        before,
        modifications,
        input,
        decision: None,
        execution: None,
        output: None,
        after: None,
    };
    if !args.decides() {
        return session;
    }
    let decision = schedule(&session.input.cib, &session.input.status, now, &options);
    if args.executes() {
        let state = look(&session.input);
        let mut output = session.input.clone();
        let how = How {
            fail: &args.op_fail,
            new_nodes: !args.node_up.is_empty(),
            now: latest(&output, now),
        };
        let told = execute(&decision.graph, &state, &mut output.cib, &mut output.status, &how);
        session.execution = Some(told);
        session.after = Some(look(&output));
        session.output = Some(output);
    }
    session.decision = Some(decision);
    session
}

/// When what is made up happens: now, but not before anything that is on record.
fn latest(input: &Snapshot, now: WallTime) -> i64 {
    let histories = input.status.nodes.iter().flat_map(|n| &n.resources);
    let times = histories.flat_map(|r| &r.operations).filter_map(|o| o.last_rc_change);
    times.fold(now.seconds, i64::max)
}
