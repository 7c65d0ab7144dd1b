//! Questions about saved clusters: every option that makes something happen, for nodes, resources
//! and tickets that are there.

use std::fs;
use std::path::Path;

use haven_cib::xml::{self, Element};

use crate::generate::Dice;

/// What a document offers to ask about.
struct Offer {
    nodes: Vec<String>,
    resources: Vec<String>,
    tickets: Vec<String>,
}

fn collect(e: &Element, offer: &mut Offer) {
    match e.name.as_str() {
        "node" if e.attr("uname").is_some() => offer.nodes.push(e.get("uname").unwrap()),
        "primitive" => offer.resources.push(e.get("id").unwrap()),
        "rsc_ticket" => offer.tickets.extend(e.get("ticket")),
        _ => {}
    }
    e.children.iter().for_each(|c| collect(c, offer));
}

/// The options of one kind of question, if it can be asked of this document.
pub(crate) fn question(kind: usize, file: &Path, seed: u64) -> Option<Vec<String>> {
    let root = xml::parse(&fs::read_to_string(file).unwrap()).ok()?;
    let mut offer = Offer { nodes: Vec::new(), resources: Vec::new(), tickets: Vec::new() };
    collect(root.child("configuration")?, &mut offer);
    let mut d = Dice::new(seed);
    let node = offer.nodes.get(d.below(offer.nodes.len()))?.clone();
    let resource = offer.resources.get(d.below(offer.resources.len())).cloned();
    let ticket = offer.tickets.first().cloned();
    let option = |name: &str, value: String| vec!["-S".to_owned(), name.to_owned(), value];
    Some(match KINDS[kind] {
        "--op-inject" => {
            let op = d.pick(&["monitor_10000", "monitor_0", "start_0", "stop_0", "promote_0"]);
            let rc = d.pick(&["1", "7", "0", "5"]);
            option("-i", format!("{}_{op}@{node}={rc}", resource?))
        }
        "--op-fail" => {
            let op = d.pick(&["start_0", "stop_0", "monitor_0", "monitor_10000", "promote_0"]);
            option("-F", format!("{}_{op}@{node}=1", resource?))
        }
        name if name.starts_with("--ticket") => option(name, ticket?),
        "--quorum" => {
            let mut list = option("-q", d.pick(&["0", "1", "true", "false"]).to_owned());
            list.extend(["--node-fail".to_owned(), node]);
            list
        }
        "--watchdog" => option("-w", d.pick(&["0", "1"]).to_owned()),
        "--set-datetime" => option("-t", "2024-02-29 12:30:00".to_owned()),
        name if name.starts_with("--node") => option(name, node),
        flags => flags.split(' ').map(str::to_owned).collect(),
    })
}

/// Kinds of questions: options that need a value, or all that is typed.
pub(crate) const KINDS: [&str; 22] = [
    "--node-up",
    "--node-down",
    "--node-fail",
    "--op-inject",
    "--op-fail",
    "--ticket-grant",
    "--ticket-revoke",
    "--ticket-standby",
    "--ticket-activate",
    "--quorum",
    "--watchdog",
    "--set-datetime",
    "-S -s",
    "-S -U",
    "-s -U -S -Q",
    "-R",
    "-S -A",
    "-S -c",
    "-Q -S",
    "-Q -s -R",
    "-S -Q -U",
    "-c -A",
];
