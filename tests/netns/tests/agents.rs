//! Agents of others in a cluster of three: started, watched, restarted, ended.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use haven_lab::Family;
use haven_netns_tests::{Lab, lab};

const PATIENCE: Duration = Duration::from_secs(20);
const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// Whether Debian's agents are there; says why not otherwise.
fn debian(test: &str) -> bool {
    let there = ["pacemaker/Dummy", "pacemaker/Stateful", "heartbeat/Delay"]
        .iter()
        .all(|agent| Path::new("/usr/lib/ocf/resource.d").join(agent).exists());
    if !there {
        haven_netns_tests::skip(
            "resource-agents or pacemaker-resource-agents is not installed",
            test,
        );
    }
    there
}

/// Where an agent notes that its resource runs.
fn note(lab: &Lab, node: &str, file: &str) -> PathBuf {
    lab.cluster.bed.node_dir(node).join("agents").join(file)
}

fn runs_on(lab: &Lab, file: &str) -> Vec<&'static str> {
    NODES.into_iter().filter(|node| note(lab, node, file).exists()).collect()
}

fn load(lab: &Lab, text: &str) {
    let file = lab.cluster.bed.dir().join("agents.crm");
    std::fs::write(&file, text).unwrap();
    lab.haven("n1", &["configure", "load", &file.display().to_string()]).unwrap();
}

#[test]
fn debian_s_agents_start_are_watched_and_restarted_and_end() {
    let Some(lab) = lab("a-ocf", 3, false, Family::V4) else { return };
    if !debian("OCF agents in a cluster of three") {
        return;
    }
    load(
        &lab,
        "property stonith-enabled=false
primitive d ocf:pacemaker:Dummy op monitor interval=250ms
primitive e ocf:heartbeat:Delay params startdelay=1 stopdelay=0 mondelay=0
primitive hang ocf:heartbeat:Delay params startdelay=600 mondelay=0 stopdelay=0 op start timeout=2s interval=0
primitive none ocf:nobody:Missing
",
    );
    let dummy = "Dummy-d.state";
    lab.wait("the start of d", PATIENCE, |lab| runs_on(lab, dummy).len() == 1);
    let node = runs_on(&lab, dummy)[0];
    lab.wait("the start of e", PATIENCE, |lab| runs_on(lab, "Delay_e").len() == 1);
    // What it runs is lost behind the cluster's back; the agent that hangs meanwhile is nobody's affair.
    std::fs::remove_file(note(&lab, node, dummy)).unwrap();
    lab.wait("the restart of d", Duration::from_secs(5), |lab| runs_on(lab, dummy) == [node]);
    lab.wait("the failure of the one that hangs", PATIENCE, |lab| {
        NODES.iter().any(|node| {
            lab.log(node).contains("hang start") && lab.log(node).contains("did not answer")
        })
    });
    let status = lab.haven("n1", &["status"]).unwrap();
    assert!(status.contains("ocf:nobody:Missing is not installed on this node"), "{status}");
    lab.haven("n1", &["resource", "stop", "d"]).unwrap();
    lab.wait("the stop of d", PATIENCE, |lab| runs_on(lab, dummy).is_empty());
    let counters = lab.json(node, &["node", "counters"]);
    let count = |name: &str| counters[name].as_u64().unwrap_or_default();
    assert!(count("operation_d_monitor_250_count") >= 2, "{counters}");
    assert!(count("operation_d_start_0_p50_us") > 1000, "a shell takes longer: {counters}");
    assert!(count("operation_d_start_0_max_us") >= count("operation_d_start_0_p50_us"));
}

/// Where the shell of OCF agents writes traces unless told otherwise.
const TRACES: &str = "/var/lib/heartbeat/trace_ra/Dummy";

/// The traces of a resource's operation, removed at the end.
struct Traces(&'static str);

impl Traces {
    fn files(&self, operation: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(TRACES).into_iter().flatten().flatten();
        let begins = format!("{}.{operation}", self.0);
        let ours = |entry: &std::fs::DirEntry| {
            entry.file_name().to_string_lossy().starts_with(begins.as_str())
        };
        entries.filter(ours).map(|entry| entry.path()).collect()
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        self.files("").iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn a_trace_shows_what_an_agent_does_and_ends_without_a_mark() {
    let Some(lab) = lab("a-trace", 3, false, Family::V4) else { return };
    if !debian("traces of an agent") {
        return;
    }
    let traces = Traces("haven-traced");
    load(
        &lab,
        "property stonith-enabled=false
primitive haven-traced ocf:pacemaker:Dummy op monitor interval=1s
",
    );
    let state = "Dummy-haven-traced.state";
    lab.wait("the start", PATIENCE, |lab| runs_on(lab, state).len() == 1);
    let node = runs_on(&lab, state)[0];
    let (starts, before) =
        (count(&lab, node, "start_0"), lab.haven("n1", &["configure", "show"]).unwrap());
    assert_eq!(traces.files(""), [] as [PathBuf; 0], "nothing is traced that nobody asked for");

    let said = lab.haven("n2", &["resource", "trace", "haven-traced"]).unwrap();
    assert!(said.contains("/var/lib/heartbeat/trace_ra"), "where to look: {said}");
    // The newest may still be written.
    let shows = |file: &PathBuf| std::fs::read_to_string(file).unwrap().contains("dummy_monitor");
    lab.wait("two traces with each command of the monitor", PATIENCE, |_| {
        traces.files("monitor").iter().filter(|file| shows(file)).count() >= 2
    });
    let shown = lab.haven("n3", &["configure", "show"]).unwrap();
    assert!(shown.contains("trace_ra=1"), "{shown}");

    lab.haven("n2", &["resource", "trace", "haven-traced", "start"]).unwrap();
    assert_eq!(traces.files("start"), [] as [PathBuf; 0]);
    lab.haven("n2", &["resource", "restart", "haven-traced"]).unwrap();
    lab.wait("a trace of the start", PATIENCE, |_| traces.files("start").len() == 1);

    lab.haven("n2", &["resource", "untrace", "haven-traced"]).unwrap();
    assert_eq!(lab.haven("n1", &["configure", "show"]).unwrap(), before, "as it was before");
    // Two monitors that begin after the last trace ended leave none.
    let mut seen = (traces.files("monitor").len(), count(&lab, node, "monitor_1000"));
    lab.wait("monitors without a trace", PATIENCE, |lab| {
        let now = (traces.files("monitor").len(), count(lab, node, "monitor_1000"));
        if now.0 != seen.0 {
            seen = now;
        }
        now.1 >= seen.1 + 3
    });
    assert_eq!(runs_on(&lab, state), [node], "it was moved");
    assert_eq!(count(&lab, node, "start_0"), starts + 1, "no restart but the one asked for");
}

fn count(lab: &Lab, node: &str, operation: &str) -> u64 {
    let name = format!("operation_haven-traced_{operation}_count");
    lab.json(node, &["node", "counters"])[name].as_u64().unwrap_or_default()
}
