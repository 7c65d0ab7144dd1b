//! The engine's rules, one test each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_types::graph::{
    Action, ActionId, ActionKind, ActionNode, ActionResource, TransitionGraph,
};

use crate::{Engine, FlightId, Input, MAX_RECENT, Output, RECENT};

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
            Output::Overdue { .. } | Output::Outdated | Output::Complete { .. } => None,
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
    assert_eq!(out, vec![Output::Outdated], "it was made without knowing that it runs now");
    let knowing = graph(vec![
        action(0, "slow", "stop", "n1", &[]),
        action(1, "slow", "start", "n2", &[0]),
        action(2, "other", "start", "n1", &[]),
    ]);
    assert_eq!(performed(&step(&mut engine, knowing)), vec![(3, "slow_stop_0@n1".to_owned())]);
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
fn a_lost_node_clears_no_fail_count_but_is_fenced() {
    let mut engine = Engine::new(1);
    let mut clear = action(0, "a", "clear_failcount", "n1", &[]);
    clear.kind = ActionKind::Cluster;
    let mut fence = action(1, "n1", "stonith", "n1", &[]);
    fence.kind = ActionKind::Cluster;
    step(&mut engine, graph(vec![clear, fence]));
    step(&mut engine, Input::NodeLost("n1".to_owned()));
    let left: Vec<_> = engine.flights().values().map(|f| f.action.operation.as_str()).collect();
    assert_eq!(left, ["stonith"]);
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

#[test]
fn a_full_node_is_asked_nothing_more_and_others_do_not_wait_for_it() {
    let mut engine = Engine::new(1);
    step(&mut engine, Input::NodeLimit(1));
    let out = step(
        &mut engine,
        graph(vec![
            action(0, "a", "start", "n1", &[]),
            action(1, "b", "start", "n1", &[]),
            action(2, "c", "start", "n1", &[]),
            action(3, "d", "start", "n2", &[]),
        ]),
    );
    assert_eq!(
        performed(&out),
        vec![(1, "a_start_0@n1".to_owned()), (2, "d_start_0@n2".to_owned())]
    );
    let out = step(&mut engine, Input::Finished { flight: FlightId(1), ok: true });
    assert_eq!(performed(&out), vec![(3, "b_start_0@n1".to_owned())]);
    let out = step(&mut engine, Input::NodeLimit(0));
    assert_eq!(performed(&out), vec![(4, "c_start_0@n1".to_owned())], "the limit was lifted");
}

#[test]
fn what_an_unrelated_flight_holds_up_leaves_its_place_on_the_node_to_others() {
    let mut engine = Engine::new(1);
    step(&mut engine, Input::NodeLimit(1));
    step(&mut engine, graph(vec![action(0, "slow", "start", "n2", &[])]));
    step(&mut engine, graph(vec![action(0, "first", "start", "n1", &[])]));
    // The stop waits for the start on the other node, which no graph knows any more.
    let newer = graph(vec![
        action(0, "first", "start", "n1", &[]),
        action(1, "slow", "stop", "n1", &[]),
        action(2, "other", "start", "n1", &[]),
    ]);
    assert_eq!(performed(&step(&mut engine, newer)), vec![]);
    let out = step(&mut engine, Input::Finished { flight: FlightId(2), ok: true });
    assert_eq!(performed(&out), vec![(3, "other_start_0@n1".to_owned())]);
}

#[test]
fn a_flight_is_in_force_where_a_newer_graph_wants_the_same_of_it() {
    let mut engine = Engine::new(1);
    step(&mut engine, graph(vec![action(0, "a", "start", "n1", &[])]));
    step(
        &mut engine,
        graph(vec![action(0, "b", "start", "n1", &[]), action(1, "a", "start", "n1", &[0])]),
    );
    assert!(engine.in_force(FlightId(1)), "another place in the graph is no difference");
    let mut otherwise = action(0, "a", "start", "n1", &[]);
    otherwise.params.insert("state".to_owned(), "elsewhere".to_owned());
    step(&mut engine, graph(vec![otherwise]));
    assert!(!engine.in_force(FlightId(1)), "it was started with other parameters");
    step(&mut engine, graph(vec![action(0, "a", "stop", "n1", &[])]));
    assert!(!engine.in_force(FlightId(1)), "nobody wants it any more");
}

/// Random graphs, answered in random order: every rule at every step.
#[test]
fn random_graphs_are_worked_off_within_all_limits() {
    for seed in 0..200 {
        let mut rng = haven_base::Rng::new(seed);
        let mut pick = |below: u64| u32::try_from(rng.below(below)).unwrap();
        let (node_limit, batch_limit) = (pick(4) as usize, pick(6) as usize);
        let mut actions = Vec::new();
        for id in 0..40 {
            let inputs: Vec<u32> =
                (0..pick(4)).filter(|_| id > 0).map(|_| pick(u64::from(id.max(1)))).collect();
            let name = format!("r{}", pick(12));
            let mut new = action(id, &name, "start", &format!("n{}", pick(3)), &inputs);
            new.operation_key = format!("{name}_op{id}_0");
            new.priority = i32::try_from(pick(3)).unwrap();
            if pick(4) == 0 {
                new.kind = ActionKind::Pseudo;
            }
            actions.push(new);
        }
        let plan = TransitionGraph {
            actions: actions.clone(),
            batch_limit: batch_limit.to_string(),
            ..TransitionGraph::default()
        };
        let mut engine = Engine::new(1);
        step(&mut engine, Input::NodeLimit(node_limit));
        let mut out = step(&mut engine, Input::Graph(Box::new(plan)));
        let (mut flying, mut done) = (BTreeMap::new(), BTreeSet::new());
        loop {
            for output in out {
                let Output::Perform { flight, action } = output else { continue };
                flying.insert(flight, *action);
            }
            let on = |node: &str| {
                flying.values().filter(|a| a.node.as_ref().unwrap().uname == node).count()
            };
            for node in ["n0", "n1", "n2"] {
                assert!(node_limit == 0 || on(node) <= node_limit, "seed {seed}");
            }
            assert!(batch_limit == 0 || flying.len() <= batch_limit, "seed {seed}");
            for a in flying.values() {
                let same = |b: &&Action| b.resource == a.resource && b.node == a.node;
                assert_eq!(flying.values().filter(same).count(), 1, "seed {seed}: one at a time");
                let real = |id: &&ActionId| actions[id.index()].kind != ActionKind::Pseudo;
                assert!(a.inputs.iter().filter(real).all(|id| done.contains(id)), "seed {seed}");
            }
            if flying.is_empty() {
                break;
            }
            let at = pick(flying.len() as u64) as usize;
            let flight = *flying.keys().nth(at).unwrap();
            done.insert(flying.remove(&flight).unwrap().id);
            out = step(&mut engine, Input::Finished { flight, ok: true });
        }
        assert!(engine.idle(), "seed {seed}: nothing is left over");
    }
}

/// A node is not flooded, and what hangs there keeps nobody waiting.
#[test]
fn a_node_is_asked_so_much_at_once_and_more_for_each_answer_or_after_a_while() {
    let others = u32::try_from(MAX_RECENT).unwrap() + 10;
    let mut actions: Vec<Action> =
        (0..others).map(|id| action(id, &format!("r{id}"), "start", "n1", &[])).collect();
    actions.push(action(others, "other", "start", "n2", &[]));
    let mut engine = Engine::new(1);
    let out = performed(&step(&mut engine, graph(actions)));
    let on = |out: &[(u64, String)], node: &str| out.iter().filter(|a| a.1.ends_with(node)).count();
    assert_eq!((on(&out, "n1"), on(&out, "n2")), (MAX_RECENT, 1));
    let out = step(&mut engine, Input::Finished { flight: FlightId(out[0].0), ok: true });
    assert_eq!(on(&performed(&out), "n1"), 1, "one place for one answer");
    let later = Instant::from_nanos(1) + RECENT;
    assert_eq!(engine.deadline(), Some(later));
    let out = performed(&engine.step(later, Input::Tick));
    assert_eq!(on(&out, "n1"), 9, "all others hang: the rest need not wait for them");
    assert!(engine.deadline().is_some_and(|at| at > later + RECENT), "nothing waits any more");
}

/// With a search over the graph for each end this would take minutes.
#[test]
fn a_graph_of_thirty_thousand_actions_costs_no_more_for_each() {
    const RESOURCES: u32 = 10_000;
    let mut actions = Vec::new();
    for number in 0..RESOURCES {
        let (name, first) = (format!("r{number}"), number * 3);
        actions.push(action(first, &name, "monitor", "n1", &[]));
        let mut probed = action(first + 1, &name, "probed", "", &[first]);
        probed.kind = ActionKind::Pseudo;
        actions.push(probed);
        actions.push(action(first + 2, &name, "start", "n2", &[first + 1]));
    }
    let mut engine = Engine::new(1);
    let mut flying: std::collections::VecDeque<u64> = performed(&step(&mut engine, graph(actions)))
        .into_iter()
        .map(|(flight, _)| flight)
        .collect();
    let mut ended = 0;
    while let Some(flight) = flying.pop_front() {
        ended += 1;
        assert!(engine.in_force(FlightId(flight)));
        let out = step(&mut engine, Input::Finished { flight: FlightId(flight), ok: true });
        flying.extend(performed(&out).into_iter().map(|(flight, _)| flight));
        assert!(flying.is_empty() || engine.deadline().is_some());
    }
    assert_eq!(ended, 2 * RESOURCES);
    assert!(engine.idle());
}

/// A plan made while a start is under way does not know that the resource will run there.
#[test]
fn a_start_elsewhere_does_not_go_when_the_one_it_waited_for_ends_well() {
    let mut engine = Engine::new(1);
    step(&mut engine, graph(vec![action(0, "a", "start", "n2", &[])]));
    let unknowing = graph(vec![action(0, "a", "start", "n1", &[])]);
    assert_eq!(step(&mut engine, unknowing), vec![]);
    let ended = Input::Finished { flight: FlightId(1), ok: true };
    assert_eq!(step(&mut engine, ended), vec![Output::Outdated], "it would be active twice");
    assert!(!engine.idle(), "a graph is due");
    assert_eq!(step(&mut engine, Input::Tick), vec![]);
    let out = step(&mut engine, graph(vec![]));
    assert_eq!(out, vec![Output::Complete { unreached: 0 }]);
}

fn upon(pairs: &[(&str, &str)]) -> Input {
    let mut below: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (upper, lower) in pairs {
        below.entry((*upper).to_owned()).or_default().insert((*lower).to_owned());
    }
    Input::Upon(below)
}

#[test]
fn nothing_is_stopped_below_what_is_just_being_started() {
    let mut engine = Engine::new(1);
    step(&mut engine, upon(&[("db", "web"), ("web", "ip")]));
    let out = step(&mut engine, graph(vec![action(0, "db", "start", "n1", &[])]));
    assert_eq!(performed(&out), vec![(1, "db_start_0@n1".to_owned())]);
    // A plan that knows nothing of the start: what it stands upon stays, all else goes on.
    let plan = || {
        graph(vec![
            action(0, "ip", "stop", "n1", &[]),
            action(1, "ip", "stop", "n2", &[]),
            action(2, "other", "stop", "n1", &[]),
        ])
    };
    let out = step(&mut engine, plan());
    let given: Vec<String> = performed(&out).into_iter().map(|(_, key)| key).collect();
    assert_eq!(given, ["ip_stop_0@n2", "other_stop_0@n1"]);
    // It has ended: first comes the plan that knows.
    let out = step(&mut engine, Input::Finished { flight: FlightId(1), ok: true });
    assert!(performed(&out).is_empty() && out.contains(&Output::Outdated), "{out:?}");
    let stops =
        graph(vec![action(0, "db", "stop", "n1", &[]), action(1, "ip", "stop", "n1", &[0])]);
    let out = step(&mut engine, stops);
    let given: Vec<String> = performed(&out).into_iter().map(|(_, key)| key).collect();
    assert_eq!(given, ["db_stop_0@n1"]);
}

#[test]
fn nothing_is_started_upon_what_is_just_being_stopped() {
    let mut engine = Engine::new(1);
    step(&mut engine, upon(&[("db", "web")]));
    step(&mut engine, graph(vec![action(0, "web", "stop", "n1", &[])]));
    let plan = vec![action(0, "db", "start", "n1", &[]), action(1, "db2", "start", "n1", &[])];
    let out = step(&mut engine, graph(plan));
    let given: Vec<String> = performed(&out).into_iter().map(|(_, key)| key).collect();
    assert_eq!(given, ["db2_start_0@n1"]);
    let out = step(&mut engine, Input::NodeLost("n1".to_owned()));
    assert!(out.contains(&Output::Outdated), "{out:?}");
}
