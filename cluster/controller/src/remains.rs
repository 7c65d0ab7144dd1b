//! What keeps a node's daemon from ending: what runs there, and whether anybody is about to take it away.

use std::collections::BTreeSet;

use haven_types::graph::{Action, ActionKind};

use crate::controller::Controller;
use crate::history::{ResourceRecords, Slot, is_probe};
use crate::port::Clock;

impl Controller {
    /// What runs on this node, or may: what was started and not stopped since, whatever came of either, and what was
    /// found there without having been started.
    #[must_use]
    pub fn remains(&self) -> BTreeSet<String> {
        let touched = self.executor.touched().map(|(start, _)| start.resource.clone());
        touched.chain(self.found_here().cloned()).collect()
    }

    /// Whether there is nothing of that.
    #[must_use]
    pub fn nothing_remains(&self) -> bool {
        self.executor.started_count() == 0
            && self.executor.touched().next().is_none()
            && self.found_here().next().is_none()
    }

    fn found_here(&self) -> impl Iterator<Item = &String> {
        let own = self.histories.get(&self.config.node);
        let known = own.into_iter().flat_map(|own| &own.resources);
        known.filter(|(_, records)| found(records)).map(|(name, _)| name)
    }

    /// Whether something is to be stopped here by the plan that follows from what this node knows, and somebody
    /// coordinates who carries such plans out. Costs a plan.
    #[must_use]
    pub fn stops_are_planned_here(&self, clock: Clock) -> bool {
        let here = |action: &Action| {
            action.kind == ActionKind::Resource
                && action.operation == "stop"
                && action.node.as_ref().is_some_and(|node| node.uname == self.config.name)
        };
        self.leader.is_some()
            && self.decide(clock, &self.planning_status()).graph.actions.iter().any(here)
    }
}

/// Whether the last that is known of a resource is a probe that did not rule out that it runs.
fn found(records: &ResourceRecords) -> bool {
    let last = records.get(&Slot::Last).filter(|last| is_probe(last));
    let outcome = last.and_then(|last| last.outcome.as_ref());
    // From 2 to 6 an agent says that it cannot work here at all, 7 is not running.
    outcome.is_some_and(|outcome| !matches!(outcome.code.0, 2..=7))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use haven_api::{NodeState, ReplyBody, RequestBody};
    use haven_types::NodeId;
    use haven_types::operation::{OcfCode, Outcome};

    use crate::bench::Bench;
    use crate::port::Input;

    /// `db` runs on a node that does not coordinate and is told to end; its stop is never answered.
    fn ending(lines: &str) -> (Bench, u16) {
        let mut bench = Bench::new("");
        let at = bench.coordinator();
        let home = bench.ids().into_iter().find(|id| *id != at).unwrap();
        bench.hanging.insert("db_stop_0".to_owned());
        let place = format!("location there db 100: n{home}");
        bench.load(at, &format!("{lines}\n{place}"), true).unwrap();
        bench.run(5_000);
        assert_eq!(bench.called("db_start_0"), [home]);
        bench.step(home, Input::Shutdown);
        bench.run(500);
        assert_eq!(bench.called("db_stop_0"), [home]);
        (bench, home)
    }

    const DB: &str = "primitive db ocf:heartbeat:Dummy op stop timeout=60s";

    #[test]
    fn what_is_being_stopped_remains_until_it_has_stopped() {
        let (mut bench, home) = ending(&format!("property stonith-enabled=false\n{DB}"));
        let remains = |bench: &Bench| bench.nodes[&NodeId(home)].remains();
        assert_eq!(remains(&bench), BTreeSet::from(["db".to_owned()]));
        assert!(bench.nodes[&NodeId(home)].busy());
        let (_, run) = bench.hung[0];
        let outcome = Outcome::done(OcfCode::OK, "");
        bench.step(home, Input::AgentFinished { run, outcome });
        assert!(bench.nodes[&NodeId(home)].nothing_remains(), "{:?}", remains(&bench));
        bench.run(1_000);
        let started = bench.called("db_start_0");
        assert!(started.len() == 2 && started[1] != home, "{started:?}");
    }

    #[test]
    fn a_stop_that_follows_another_elsewhere_is_planned_and_one_that_failed_is_not() {
        let mut bench = Bench::new("");
        let at = bench.coordinator();
        let home = bench.ids().into_iter().find(|id| *id != at).unwrap();
        bench.hanging.insert("app_stop_0".to_owned());
        bench.codes.insert((home, "db_stop_0".to_owned()), 1);
        let lines = format!(
            "property stonith-enabled=false\n{DB}\nprimitive app ocf:heartbeat:Dummy op stop timeout=60s\n\
             order o Mandatory: db app\nlocation db-there db 100: n{home}\nlocation app-there app 100: n{at}"
        );
        bench.load(at, &lines, true).unwrap();
        bench.run(5_000);
        assert_eq!(
            (bench.called("db_start_0"), bench.called("app_start_0")),
            (vec![home], vec![at])
        );
        bench.step(home, Input::Shutdown);
        bench.run(30_000);
        let moves = |bench: &Bench| {
            let (node, clock) = (&bench.nodes[&NodeId(home)], bench.clock());
            (node.busy(), node.stops_are_planned_here(clock))
        };
        assert_eq!((bench.called("app_stop_0"), bench.called("db_stop_0")), (vec![at], vec![]));
        assert_eq!(moves(&bench), (false, true), "what stands upon it stops first");
        let (_, run) = bench.hung[0];
        bench.step(at, Input::AgentFinished { run, outcome: Outcome::done(OcfCode::OK, "") });
        bench.run(2_000);
        assert_eq!(bench.called("db_stop_0"), [home]);
        assert_eq!(moves(&bench), (false, false), "it failed, and nobody tries again");
        assert!(!bench.nodes[&NodeId(home)].nothing_remains());
    }

    #[test]
    fn what_a_probe_found_remains_though_this_life_has_not_started_it() {
        let mut bench = Bench::new("property stonith-enabled=false");
        let at = bench.coordinator();
        let home = bench.ids().into_iter().find(|id| *id != at).unwrap();
        bench.codes.insert((home, "db_monitor_0".to_owned()), 0);
        bench.load(at, &format!("{DB}\nlocation there db 100: n{home}"), true).unwrap();
        bench.run(2_000);
        assert_eq!(bench.called("db_start_0"), [0_u16; 0], "it runs already");
        let of = |bench: &Bench, id| bench.nodes[&NodeId(id)].remains();
        assert_eq!(of(&bench, home), BTreeSet::from(["db".to_owned()]));
        assert_eq!(of(&bench, at), BTreeSet::new(), "what is not running there, or cannot");
    }

    /// It may run on for a minute: nobody starts it a second time, whatever the node wanted.
    #[test]
    fn who_ends_with_something_still_running_is_not_taken_for_empty() {
        let (mut bench, home) = ending(&format!("primitive fence stonith:fence_none\n{DB}"));
        bench.kill(home);
        bench.notice(home);
        bench.run(5_000);
        assert_eq!(bench.called("db_start_0"), [home]);
        let at = bench.coordinator();
        let answer = bench.answer(at, RequestBody::Status).unwrap();
        let ReplyBody::Status(status) = answer else { panic!("{answer:?}") };
        let gone = status.nodes.iter().find(|node| node.name == format!("n{home}")).unwrap();
        assert_eq!(gone.state, NodeState::Unclean);
    }
}
