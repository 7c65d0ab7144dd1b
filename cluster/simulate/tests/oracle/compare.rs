//! One question, put to both: what is printed and what is to be done.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use haven_cib::xml::{self, Element};
use haven_simulate::Args;
use haven_skipped::skip;

/// Where the real crm_simulate is; says that `what` is skipped where there is none.
pub(crate) fn oracle(what: &str) -> Option<PathBuf> {
    let named = std::env::var_os("HAVEN_CRM_SIMULATE").map(PathBuf::from);
    let found = named.filter(|path| path.exists());
    if found.is_none() {
        skip("HAVEN_CRM_SIMULATE names no crm_simulate", &format!("{what}, beside Pacemaker"));
    }
    found
}

/// What a program answered.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) text: String,
    pub(crate) graph: Option<String>,
}

/// The answer of the real one.
pub(crate) fn asked(oracle: &Path, scratch: &Path, file: &Path, args: &[String]) -> Answer {
    let graph = scratch.join("theirs.graph");
    drop(fs::remove_file(&graph));
    let output = Command::new(oracle)
        .arg("-x")
        .arg(file)
        .arg("-G")
        .arg(&graph)
        .args(args)
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .env("CIB_shadow_dir", scratch)
        .output()
        .unwrap();
    Answer {
        code: output.status.code().unwrap_or(-1),
        text: String::from_utf8_lossy(&output.stdout).into_owned(),
        graph: fs::read_to_string(&graph).ok(),
    }
}

/// Our answer; `after` is where the resulting CIB goes.
pub(crate) fn ours(scratch: &Path, file: &Path, args: &[String], after: &Path) -> Answer {
    let graph = scratch.join("ours.graph");
    drop(fs::remove_file(&graph));
    let own = ["simulate", "-x", file.to_str().unwrap(), "-G", graph.to_str().unwrap(), "-O"];
    let typed = own.iter().map(|s| (*s).to_owned());
    let typed = typed.chain([after.to_str().unwrap().to_owned()]).chain(args.iter().cloned());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = haven_simulate::run(&Args::try_parse_from(typed).unwrap(), &mut out, &mut err);
    Answer {
        code: i32::from(code),
        text: String::from_utf8(out).unwrap(),
        graph: fs::read_to_string(&graph).ok(),
    }
}

/// Where two answers differ first, and how.
pub(crate) struct Difference {
    pub(crate) part: String,
    pub(crate) lines: Vec<String>,
}

/// What is carried out on paper.
const PAPER: [&str; 2] = ["Executing Cluster Transition", "Revised Cluster Status"];

/// Compares two answers to a question. What is made up is dated by the clock there.
pub(crate) fn difference(theirs: &Answer, ours: &Answer, args: &[String]) -> Option<Difference> {
    let by_clock = args.iter().any(|a| a == "--op-inject" || a == "--op-fail");
    let (mut t, mut o) = (sections(&theirs.text), sections(&ours.text));
    // Their graph may make an action wait for one that is not there: it is never done. We leave
    // such a wait out, so what is carried out cannot be compared.
    let waits_for_nothing = theirs.graph.as_ref().is_some_and(|g| facts(g).waits_for_nothing);
    if waits_for_nothing {
        t.retain(|(name, _)| !PAPER.contains(&name.as_str()));
        o.retain(|(name, _)| !PAPER.contains(&name.as_str()));
    } else if (theirs.code == 0) != (ours.code == 0) {
        let lines = vec![format!("- {}", theirs.code), format!("+ {}", ours.code)];
        return Some(Difference { part: "exit code".into(), lines });
    }
    for (name, lines) in &t {
        let mine = o.iter().find(|(n, _)| n == name).map_or(&[][..], |(_, l)| l);
        let diff = if name.starts_with("Assignment") {
            multiset(lines, mine)
        } else {
            by_line(lines, mine)
        };
        if !diff.is_empty() {
            return Some(Difference { part: name.clone(), lines: diff });
        }
        if name == "Transition Summary"
            && let Some(d) = graphs(theirs, ours, by_clock)
        {
            return Some(d);
        }
    }
    if o.len() != t.len() {
        let lines = vec![format!("- {} sections", t.len()), format!("+ {} sections", o.len())];
        return Some(Difference { part: "sections".into(), lines });
    }
    graphs(theirs, ours, by_clock)
}

fn graphs(theirs: &Answer, ours: &Answer, by_clock: bool) -> Option<Difference> {
    let (Some(t), Some(o)) = (&theirs.graph, &ours.graph) else {
        return (theirs.graph.is_some() != ours.graph.is_some())
            .then(|| Difference { part: "graph missing".into(), lines: Vec::new() });
    };
    let (mut t, mut o) = (facts(t), facts(o));
    if by_clock {
        t.details.retain(|l| !l.starts_with("graph recheck-by"));
        o.details.retain(|l| !l.starts_with("graph recheck-by"));
    }
    let mut lines = multiset(&t.actions, &o.actions);
    let mut part = "actions";
    if lines.is_empty() {
        lines = multiset(&t.edges, &o.edges);
        part = "edges";
    }
    if lines.is_empty() {
        lines = multiset(&t.details, &o.details);
        part = "details";
    }
    (!lines.is_empty()).then(|| Difference { part: part.into(), lines })
}

/// Headed parts of a report, in order.
fn sections(text: &str) -> Vec<(String, Vec<String>)> {
    let mut list = vec![("beginning".to_owned(), Vec::new())];
    for line in text.lines() {
        match line.strip_suffix(':').filter(|l| !l.starts_with(' ')) {
            Some(name) => list.push((name.to_owned(), Vec::new())),
            None => list.last_mut().unwrap().1.push(masked(line)),
        }
    }
    list
}

/// A line without what depends on the clock or on numbering.
fn masked(line: &str) -> String {
    let mut line = line.to_owned();
    if let Some(at) = line.find("last-failure-")
        && let Some(eq) = line[at..].find('=')
    {
        let from = at + eq + 1;
        let digits = line[from..].bytes().take_while(u8::is_ascii_digit).count();
        line.replace_range(from..from + digits, "TIME");
    }
    if let Some(rest) = line.strip_prefix("Pretending action ")
        && let Some((_, end)) = rest.split_once(' ')
    {
        return format!("Pretending action N {end}");
    }
    // The order of capacities is that of a hash table there.
    if let Some((head, list)) = line.split_once(" capacity:") {
        let mut words: Vec<&str> = list.split_whitespace().collect();
        words.sort_unstable();
        return format!("{head} capacity: {}", words.join(" "));
    }
    if let Some((head, list)) = line.split_once(" utilization on ") {
        let mut words: Vec<&str> = list.split_whitespace().collect();
        words.sort_unstable();
        return format!("{head} utilization on {}", words.join(" "));
    }
    line
}

fn by_line(theirs: &[String], ours: &[String]) -> Vec<String> {
    if theirs == ours {
        return Vec::new();
    }
    let diff = multiset(theirs, ours);
    if !diff.is_empty() {
        return diff;
    }
    let at = theirs.iter().zip(ours).position(|(a, b)| a != b).unwrap_or(0);
    let show = |s: &str, l: &[String]| -> Vec<String> {
        l.iter().skip(at).take(4).map(|x| format!("{s} {x}")).collect()
    };
    let mut lines = vec!["! same lines in another order".to_owned()];
    lines.extend(show("-", theirs));
    lines.extend(show("+", ours));
    lines
}

fn multiset(theirs: &[String], ours: &[String]) -> Vec<String> {
    let mut count: BTreeMap<&str, i64> = BTreeMap::new();
    theirs.iter().for_each(|l| *count.entry(l).or_default() += 1);
    ours.iter().for_each(|l| *count.entry(l).or_default() -= 1);
    let lines = count.into_iter().filter(|(_, n)| *n != 0);
    lines.map(|(l, n)| format!("{} {l}", if n > 0 { '-' } else { '+' })).collect()
}

/// A graph as lists of lines that do not depend on numbers.
struct Facts {
    actions: Vec<String>,
    edges: Vec<String>,
    details: Vec<String>,
    /// An action waits for one that is not in the graph.
    waits_for_nothing: bool,
}

fn facts(text: &str) -> Facts {
    let root = xml::parse(text).unwrap();
    let mut f = Facts {
        actions: Vec::new(),
        edges: Vec::new(),
        details: Vec::new(),
        waits_for_nothing: false,
    };
    let ids: Vec<&str> = root
        .children
        .iter()
        .filter_map(|s| s.child("action_set")?.children[0].attr("id"))
        .collect();
    for (k, v) in &root.attributes {
        if k != "transition_id" && k != "crm_feature_set" {
            // 3.0.0 still has the old name.
            let k = if k == "stonith-timeout" { "fencing-timeout" } else { k };
            f.details.push(format!("graph {k}={v}"));
        }
    }
    for synapse in &root.children {
        let action = &synapse.child("action_set").unwrap().children[0];
        let name = label(action);
        let priority = synapse.attr("priority").unwrap_or("0");
        f.details.push(format!("{name}: priority={priority}"));
        details(action, &name, &mut f.details);
        for input in synapse.child("inputs").iter().flat_map(|i| &i.children) {
            let first = &input.children[0];
            if first.attr("id").is_some_and(|id| ids.contains(&id)) {
                f.edges.push(format!("{} -> {name}", label(first)));
            } else {
                f.waits_for_nothing = true;
            }
        }
        f.actions.push(name);
    }
    f
}

fn label(a: &Element) -> String {
    let key = a.attr("internal_operation_key").or_else(|| a.attr("operation_key"));
    let on = a.attr("on_node").map_or_else(String::new, |n| format!(" on {n}"));
    format!("{} {}{on}", a.name, key.unwrap_or_default())
}

fn details(e: &Element, name: &str, out: &mut Vec<String>) {
    for (k, v) in e.attributes.iter().filter(|(k, _)| k != "id" || e.name != "rsc_op") {
        let number =
            matches!(e.name.as_str(), "rsc_op" | "pseudo_event" | "crm_event") && k == "id";
        if !number && k != "crm_feature_set" {
            out.push(format!("{name}: {}@{k}={v}", e.name));
        }
    }
    e.children.iter().for_each(|c| details(c, name, out));
}
