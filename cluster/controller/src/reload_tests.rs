//! Parameters that change while a resource runs.

use crate::bench::Bench;

fn dummy(fake: &str, state: &str) -> String {
    format!(
        "primitive d ocf:pacemaker:Dummy params fake={fake} state={state} op monitor interval=10s"
    )
}

/// What was called since the first `from` calls, monitors left out.
fn called(bench: &Bench, from: usize) -> Vec<&str> {
    let calls = bench.calls[from..].iter().map(|call| call.2.as_str());
    calls.filter(|key| !key.contains("monitor")).collect()
}

fn running(restarting: Option<&[&str]>) -> Bench {
    let mut bench = Bench::new("property stonith-enabled=false");
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    bench.restarting = restarting.map(owned);
    let coordinator = bench.coordinator();
    bench.load(coordinator, &dummy("1", "/a"), false).unwrap();
    assert_eq!(bench.called("d_start_0").len(), 1);
    bench
}

#[test]
fn a_parameter_that_can_be_reloaded_is_reloaded_and_any_other_restarts() {
    let mut bench = running(Some(&["state"]));
    let (coordinator, node) = (bench.coordinator(), bench.called("d_start_0")[0]);
    let before = bench.calls.len();
    bench.load(coordinator, &dummy("2", "/a"), false).unwrap();
    assert_eq!(called(&bench, before), ["d_reload-agent_0"]);
    assert_eq!(bench.called("d_reload-agent_0"), [node]);
    let again = bench.calls[before..].iter().any(|call| call.2 == "d_monitor_10000");
    assert!(again, "its monitor goes on with the new value");
    // Reloaded once is enough.
    let before = bench.calls.len();
    bench.load(coordinator, "primitive other ocf:pacemaker:Dummy", false).unwrap();
    assert_eq!(called(&bench, before), ["other_start_0"]);
    let before = bench.calls.len();
    bench.load(coordinator, &dummy("2", "/b"), false).unwrap();
    assert_eq!(called(&bench, before), ["d_stop_0", "d_start_0"]);
    let before = bench.calls.len();
    bench.load(coordinator, &dummy("3", "/c"), false).unwrap();
    assert_eq!(called(&bench, before), ["d_stop_0", "d_start_0"], "one of both is enough");
}

#[test]
fn without_the_action_in_its_metadata_an_agent_is_restarted() {
    let mut bench = running(None);
    let coordinator = bench.coordinator();
    let before = bench.calls.len();
    bench.load(coordinator, &dummy("2", "/a"), false).unwrap();
    assert_eq!(called(&bench, before), ["d_stop_0", "d_start_0"]);
}

#[test]
fn a_reload_that_fails_is_mended_by_a_restart() {
    let mut bench = running(Some(&["state"]));
    let coordinator = bench.coordinator();
    for id in 1..=3 {
        bench.codes.insert((id, "d_reload-agent_0".to_owned()), 1);
    }
    let before = bench.calls.len();
    bench.load(coordinator, &dummy("2", "/a"), false).unwrap();
    assert_eq!(called(&bench, before), ["d_reload-agent_0", "d_stop_0", "d_start_0"]);
}
