//! One small case for each rule of the policy engine: `tests/golden/policy/RULE.xml` and what is
//! decided, `RULE.expected`. `BLESS=1` writes the latter anew; read the difference before keeping it.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use haven_base::WallTime;
use haven_cib::Cib;
use haven_policy::{Decision, Options, schedule};
use haven_types::graph::{Action, ActionKind};
use haven_types::status::Status;

fn cases() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/policy");
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let mut list: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == "xml")).collect();
    list.sort();
    assert!(list.len() > 20, "the golden cases are not where they should be");
    list
}

fn read(path: &Path) -> (Cib, Status) {
    Cib::from_xml(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn decide(cib: &Cib, status: &Status) -> Decision {
    let now = WallTime::from_seconds(status.recorded_at.unwrap());
    let options = Options { summary: true, scores: true, ..Options::default() };
    schedule(cib, status, now, &options)
}

fn label(a: &Action) -> String {
    let kind = match a.kind {
        ActionKind::Resource => "",
        ActionKind::Pseudo => "pseudo ",
        ActionKind::Cluster => "cluster ",
    };
    let node = a.node.as_ref().map_or_else(String::new, |n| format!(" on {}", n.uname));
    format!("{kind}{}{node}", a.operation_key)
}

/// What is decided, independent of the numbers of actions.
fn readable(d: &Decision) -> String {
    let mut out = String::from("Summary\n");
    for line in &d.summary {
        writeln!(out, "  {line}").unwrap();
    }
    out.push_str("Placement\n");
    for p in &d.placements {
        let role = if p.promoted { " promoted" } else { "" };
        writeln!(out, "  {} on {}{role}", p.resource, p.node).unwrap();
    }
    out.push_str("Actions\n");
    let mut lines = BTreeSet::new();
    for a in &d.graph.actions {
        let mut inputs: Vec<String> =
            a.inputs.iter().map(|i| label(d.graph.action(*i).unwrap())).collect();
        inputs.sort();
        let after = if inputs.is_empty() { String::new() } else { inputs.join(", ") };
        lines.insert(format!(
            "  {}{}{after}",
            label(a),
            if after.is_empty() { "" } else { " after " }
        ));
    }
    for line in lines {
        writeln!(out, "{line}").unwrap();
    }
    if let Some(t) = d.graph.recheck_by {
        writeln!(out, "Look again at {t}").unwrap();
    }
    out
}

#[test]
fn each_rule_decides_as_written_down() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for path in cases() {
        let (cib, status) = read(&path);
        let got = readable(&decide(&cib, &status));
        let file = path.with_extension("expected");
        if bless {
            std::fs::write(&file, &got).unwrap();
        }
        let want = std::fs::read_to_string(&file).unwrap_or_default();
        if got != want {
            wrong.push(format!("{}\n--- expected\n{want}--- got\n{got}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for path in cases() {
        let (cib, status) = read(&path);
        let once = decide(&cib, &status);
        let again = decide(&cib.clone(), &status.clone());
        assert_eq!(once, again, "{}", path.display());
        let xml = haven_policy::xml::to_xml(&once.graph, 1);
        assert_eq!(xml, haven_policy::xml::to_xml(&again.graph, 1), "{}", path.display());
    }
}

/// The order in which nodes are listed and told of is no input of the decision.
#[test]
fn the_order_of_nodes_and_of_status_does_not_matter() {
    for path in cases() {
        let (cib, status) = read(&path);
        let want = readable(&decide(&cib, &status));
        let (mut cib2, mut status2) = (cib.clone(), status.clone());
        cib2.nodes.reverse();
        status2.nodes.reverse();
        for n in &mut status2.nodes {
            n.resources.reverse();
        }
        assert_eq!(readable(&decide(&cib2, &status2)), want, "{}", path.display());
    }
}

#[test]
fn the_graph_has_no_cycle() {
    for path in cases() {
        let (cib, status) = read(&path);
        let graph = decide(&cib, &status).graph;
        let mut done = vec![false; graph.actions.len()];
        loop {
            let ready: Vec<usize> = (0..done.len())
                .filter(|i| !done[*i] && graph.actions[*i].inputs.iter().all(|x| done[x.index()]))
                .collect();
            if ready.is_empty() {
                break;
            }
            ready.into_iter().for_each(|i| done[i] = true);
        }
        assert!(done.iter().all(|d| *d), "{} has a cycle", path.display());
    }
}

/// Numbers that are the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }
}

/// Where the attributes of a document begin and end.
fn attributes(text: &str) -> Vec<(usize, usize)> {
    let mut list = Vec::new();
    let mut at = 0;
    while let Some(i) = text[at..].find("=\"") {
        let start = text[..at + i].rfind(' ').unwrap_or(0);
        let Some(end) = text[at + i + 2..].find('"') else { break };
        at += i + 2 + end + 1;
        list.push((start, at));
    }
    list
}

/// Damaged configurations are refused or planned for; they never bring the planner down.
#[test]
fn damaged_input_is_refused_or_planned_for() {
    const ODD: [&str; 6] = ["", "-1", "99999999999999999999", "INFINITY", "n1", "true"];
    let mut dice = Dice(1);
    let mut planned = 0;
    for path in cases() {
        let whole = std::fs::read_to_string(&path).unwrap();
        for _ in 0..40 {
            let mut text = whole.clone();
            for _ in 0..=dice.below(4) {
                let places = attributes(&text);
                let (start, end) = places[dice.below(places.len())];
                let new = match text[start..end].split_once('=') {
                    Some((name, _)) if dice.below(3) > 0 => {
                        format!("{name}=\"{}\"", ODD[dice.below(ODD.len())])
                    }
                    _ => String::new(),
                };
                text.replace_range(start..end, &new);
            }
            if let Ok((cib, status)) = Cib::from_xml(&text) {
                let now = WallTime::from_seconds(1_700_000_000);
                let options = Options { summary: true, scores: true, ..Options::default() };
                let graph = schedule(&cib, &status, now, &options).graph;
                assert!(
                    Cib::from_xml(&cib.to_xml()).is_ok(),
                    "{} cannot be read back",
                    path.display()
                );
                assert!(
                    graph
                        .actions
                        .iter()
                        .flat_map(|a| &a.inputs)
                        .all(|i| graph.action(*i).is_some())
                );
                planned += 1;
            }
        }
    }
    assert!(planned > 100, "only {planned} of the damaged cases could be planned for");
}
