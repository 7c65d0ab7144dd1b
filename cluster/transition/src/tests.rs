//! The engine's rules, one test each.

use std::collections::BTreeMap;
use std::time::Duration;

use haven_base::Instant;
use haven_types::graph::{
    Action, ActionId, ActionKind, ActionNode, ActionResource, TransitionGraph,
};

use crate::{Engine, FlightId, Input, Output};

fn action(id: u32, resource: &str, operation: &str, node: &str, inputs: &[u32]) -> Action {
    Action {
        id: ActionId(id),
        kind: ActionKind::Resource,
        operation: operation.to_owned(),
        operation_key: format!("{resource}_{operation}_0"),
        internal_operation_key: None,
        node: Some(ActionNode { uname: node.to_owned(), id: node.to_owned(), router: None }),
        resource: Some(ActionResource {
            id: resource.to_owned(),
            long_id: None,
            class: "ocf".to_owned(),
            provider: None,
            kind: "x".to_owned(),
        }),
        params: BTreeMap::new(),
        meta: BTreeMap::new(),
        downed: Vec::new(),
        priority: 0,
        timeout: Some(Duration::from_secs(10)),
        shutdown_lock: None,
        inputs: inputs.iter().map(|i| ActionId(*i)).collect(),
    }
}

fn graph(actions: Vec<Action>) -> Input {
    Input::Graph(Box::new(TransitionGraph { actions, ..TransitionGraph::default() }))
}

fn step(engine: &mut Engine, input: Input) -> Vec<Output> {
    engine.step(Instant::from_nanos(1), input)
}

fn performed(out: &[Output]) -> Vec<(u64, String)> {
    out.iter()
        .filter_map(|o| match o {
            Output::Perform { flight, action } => {
                let node = action.node.as_ref().map_or("", |n| &n.uname);
                Some((flight.0, format!("{}@{node}", action.operation_key)))
            }
            Output::Overdue { .. } | Output::Complete { .. } => None,
        })
        .collect()
}

#[test]
fn an_action_waits_for_its_inputs_and_pseudo_actions_end_by_themselves() {
    let mut engine = Engine::new(1);
    let mut middle = action(1, "a", "stopped", "", &[0]);
    middle.kind = ActionKind::Pseudo;
    let plan =
        graph(vec![action(0, "a", "stop", "n1", &[]), middle, action(2, "a", "start", "n2", &[1])]);
    let out = step(&mut engine, plan);
    assert_eq!(performed(&out), vec![(1, "a_stop_0@n1".to_owned())]);
    let out = step(&mut engine, Input::Finished { flight: FlightId(1), ok: true });
    assert_eq!(performed(&out), vec![(2, "a_start_0@n2".to_owned())]);
    let out = step(&mut engine, Input::Finished { flight: FlightId(2), ok: true });
    assert_eq!(out, vec![Output::Complete { unreached: 0 }]);
    assert!(engine.idle());
}

#[test]
fn nothing_that_depends_on_a_failure_is_done() {
    let mut engine = Engine::new(1);
    step(
        &mut engine,
        graph(vec![action(0, "a", "stop", "n1", &[]), action(1, "a", "start", "n2", &[0])]),
    );
    let out = step(&mut engine, Input::Finished { flight: FlightId(1), ok: false });
    assert_eq!(out, vec![Output::Complete { unreached: 1 }]);
}

#[test]
fn a_newer_graph_recognises_what_is_under_way() {
    let mut engine = Engine::new(1);
    step(&mut engine, graph(vec![action(0, "a", "start", "n1", &[])]));
    let newer = graph(vec![action(0, "b", "start", "n1", &[]), action(1, "a", "start", "n1", &[])]);
    let out = step(&mut engine, newer);
    assert_eq!(performed(&out), vec![(2, "b_start_0@n1".to_owned())], "a is not started twice");
    let out = step(&mut engine, Input::Finished { flight: FlightId(2), ok: true });
    assert_eq!(out, vec![]);
    let out = step(&mut engine, Input::Finished { flight: FlightId(1), ok: true });
    assert_eq!(out, vec![Output::Complete { unreached: 0 }]);
}

#[test]
fn a_resource_waits_for_its_own_flight_of_an_older_graph_but_others_do_not() {
    let mut engine = Engine::new(1);
    step(&mut engine, graph(vec![action(0, "slow", "start", "n1", &[])]));
    let newer = graph(vec![
        action(0, "slow", "stop", "n1", &[]),
        action(1, "slow", "start", "n2", &[0]),
        action(2, "other", "start", "n1", &[]),
    ]);
    let out = step(&mut engine, newer);
    assert_eq!(performed(&out), vec![(2, "other_start_0@n1".to_owned())]);
    let out = step(&mut engine, Input::Finished { flight: FlightId(1), ok: true });
    assert_eq!(performed(&out), vec![(3, "slow_stop_0@n1".to_owned())]);
}

#[test]
fn probes_of_one_resource_on_several_nodes_run_together() {
    let mut engine = Engine::new(1);
    let plan = graph(vec![
        action(0, "a", "monitor", "n1", &[]),
        action(1, "a", "monitor", "n2", &[]),
        action(2, "a", "start", "n1", &[0, 1]),
    ]);
    assert_eq!(performed(&step(&mut engine, plan)).len(), 2);
}

#[test]
fn the_batch_limit_holds_and_priority_goes_first() {
    let mut engine = Engine::new(1);
    let mut urgent = action(1, "b", "start", "n1", &[]);
    urgent.priority = 10;
    let limited = TransitionGraph {
        batch_limit: "1".to_owned(),
        actions: vec![action(0, "a", "start", "n1", &[]), urgent],
        ..TransitionGraph::default()
    };
    let out = step(&mut engine, Input::Graph(Box::new(limited)));
    assert_eq!(performed(&out), vec![(1, "b_start_0@n1".to_owned())]);
    let out = step(&mut engine, Input::Finished { flight: FlightId(1), ok: true });
    assert_eq!(performed(&out), vec![(2, "a_start_0@n1".to_owned())]);
}

#[test]
fn a_lost_node_answers_nothing_any_more() {
    let mut engine = Engine::new(1);
    step(
        &mut engine,
        graph(vec![action(0, "a", "start", "n1", &[]), action(1, "b", "start", "n2", &[])]),
    );
    assert_eq!(step(&mut engine, Input::NodeLost("n1".to_owned())), vec![]);
    assert_eq!(engine.flights().len(), 1);
    let late = step(&mut engine, Input::Finished { flight: FlightId(1), ok: true });
    assert_eq!(late, vec![], "an answer that comes after all changes nothing");
}

#[test]
fn an_executor_that_never_answers_is_noticed() {
    let mut engine = Engine::new(1);
    step(&mut engine, graph(vec![action(0, "a", "start", "n1", &[])]));
    let deadline = engine.deadline().unwrap();
    assert_eq!(engine.step(deadline.before(Duration::from_nanos(1)), Input::Tick), vec![]);
    let out = engine.step(deadline, Input::Tick);
    assert!(matches!(&out[..], [Output::Overdue { .. }, Output::Complete { unreached: 0 }]));
    assert_eq!(engine.deadline(), None, "nothing spins");
}
