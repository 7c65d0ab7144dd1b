//! Names, defaults and values of options beside what Pacemaker says of its own: `tests/golden/options/pacemaker.txt`,
//! and `operations.txt` beside it for operations.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

use haven_cib::Cib;
use haven_cib::crm::vocabulary::{Allowed, Place, allowed, default_value, known};

/// Where haven differs on purpose: name, what differs, why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("resource-stickiness", "default", "0, and 1 for instances of clones; Pacemaker names neither"),
    ("allow-migrate", "default", "false but for remote connections; Pacemaker names neither"),
    ("fencing-action", "values", "poweroff is read for off, as Pacemaker's scheduler does, too"),
    ("requires", "values", "lease is haven's own"),
];

/// Names Pacemaker's tools do not list, and whose they are.
const MORE: &[(&str, &[&str])] = &[
    (
        "Corosync's votequorum, kept there by name",
        &[
            "auto_tie_breaker",
            "auto_tie_breaker_node",
            "expected_votes",
            "expected_votes_tracking",
            "last_man_standing",
            "last_man_standing_window",
            "two_node",
            "wait_for_all",
        ],
    ),
    ("written or read by older tools and schedulers", &["last-lrm-refresh", "remove-after-stop"]),
    (
        "of clones, which the tools leave out",
        &[
            "clone-max",
            "clone-min",
            "clone-node-max",
            "globally-unique",
            "interleave",
            "notify",
            "ordered",
            "promotable",
            "promoted-max",
            "promoted-node-max",
        ],
    ),
    ("of fencing devices that unfence, set by the device's metadata", &["provides"]),
    ("haven's own", &["lease"]),
];

/// A line of the golden file.
struct Fact {
    place: Place,
    name: String,
    kind: String,
    default: Option<String>,
    values: Vec<String>,
    present: Option<String>,
}

fn facts() -> Vec<Fact> {
    let text = include_str!("../../../tests/golden/options/pacemaker.txt");
    let facts: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(fact).collect();
    assert!(facts.len() > 70, "the golden file is not whole");
    facts
}

fn fact(line: &str) -> Fact {
    let words: Vec<&str> = line.split(' ').collect();
    let (place, rest) = (words[0], &words[4..]);
    Fact {
        place: if place == "property" { Place::Property } else { Place::Meta },
        name: words[1].to_owned(),
        kind: words[2].to_owned(),
        default: Some(words[3].to_owned()).filter(|word| word != "-"),
        values: rest
            .first()
            .filter(|_| words[2] == "select")
            .map(|list| list.split('|').map(str::to_owned).collect())
            .unwrap_or_default(),
        present: rest
            .iter()
            .position(|word| *word == "is")
            .and_then(|at| rest.get(at + 1))
            .map(|word| (*word).to_owned()),
    }
}

/// What haven's tables say otherwise of one fact.
fn differences(fact: &Fact) -> Vec<&'static str> {
    if !known(fact.place).contains(&fact.name.as_str()) {
        return vec!["unknown"];
    }
    let mut list = Vec::new();
    if default_value(fact.place, &fact.name) != fact.default.as_deref() {
        list.push("default");
    }
    let same = match (fact.kind.as_str(), allowed(fact.place, &fact.name)) {
        ("boolean", kind) => kind == Some(Allowed::Boolean),
        ("score", kind) => kind == Some(Allowed::Score),
        ("duration", kind) => kind == Some(Allowed::Duration),
        ("integer", kind) => kind == Some(Allowed::Integer),
        ("select", Some(Allowed::OneOf(words))) => {
            let (mut ours, mut theirs) = (words.to_vec(), fact.values.clone());
            ours.sort_unstable();
            theirs.sort_unstable();
            ours == theirs
        }
        ("select", _) => false,
        // Texts, versions, ports, shares and time limits with a meaning below zero are taken as they come.
        (_, kind) => kind.is_none(),
    };
    if !same {
        list.push("values");
    }
    list
}

#[test]
fn names_defaults_and_values_are_pacemakers_but_for_those_named_here() {
    let mut found: Vec<(String, &str)> = Vec::new();
    for fact in facts().iter().filter(|fact| fact.present.is_none()) {
        found.extend(differences(fact).into_iter().map(|what| (fact.name.clone(), what)));
    }
    found.sort();
    let mut named: Vec<_> =
        DIFFERENT.iter().map(|(name, what, _)| ((*name).to_owned(), *what)).collect();
    named.sort();
    assert_eq!(found, named);
}

#[test]
fn names_that_pacemaker_does_not_list_are_named_here() {
    let listed: BTreeSet<_> = facts().into_iter().map(|fact| fact.name).collect();
    let ours = [Place::Property, Place::Meta].into_iter().flat_map(known).copied();
    let more: BTreeSet<_> = ours.filter(|name| !listed.contains(*name)).collect();
    let named: BTreeSet<_> = MORE.iter().flat_map(|(_, names)| *names).copied().collect();
    assert_eq!(more, named);
}

#[test]
fn old_names_are_read_as_the_present_ones() {
    let mut old = 0;
    for fact in facts() {
        let Some(present) = &fact.present else { continue };
        let xml = format!(
            r#"<cib validate-with="pacemaker-3.9"><configuration><crm_config><cluster_property_set id="s">
            <nvpair id="n" name="{}" value="4711"/></cluster_property_set></crm_config></configuration></cib>"#,
            fact.name
        );
        let (cib, _) = Cib::from_xml(&xml).unwrap();
        assert_eq!(cib.option(present), Some("4711"), "{}", fact.name);
        old += 1;
    }
    assert!(old > 5);
}

/// Where attributes of operations differ on purpose: name, what differs, why.
const DIFFERENT_FOR_OPERATIONS: &[(&str, &str, &str)] = &[
    ("interval", "values", "a duration, which verify holds together with the operation's name"),
    ("on-fail", "default", "restart, which is that of nearly all; a failed stop fences or blocks"),
    ("on-fail", "values", "restart-container, which Pacemaker's scheduler reads, too"),
    ("requires", "values", "of schemas before 3.0; it is read, and nothing heeds it"),
    ("start-delay", "default", "0; Pacemaker does not say"),
    ("timeout", "default", "20s, Pacemaker's built-in; the documentation does not say"),
];

#[test]
fn attributes_of_operations_are_pacemakers_but_for_those_named_here() {
    let text = include_str!("../../../tests/golden/options/operations.txt");
    let mut found: Vec<(String, &str)> = Vec::new();
    let mut names = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, kind, default, values, source] = words[..] else { panic!("{line}") };
        assert!(matches!(source, "doc" | "schema"), "{line}");
        let fact = Fact {
            place: Place::Operation,
            name: name.to_owned(),
            kind: kind.to_owned(),
            default: Some(default.to_owned()).filter(|word| word != "-"),
            values: values.split('|').filter(|word| *word != "-").map(str::to_owned).collect(),
            present: None,
        };
        found.extend(differences(&fact).into_iter().map(|what| (name.to_owned(), what)));
        names.insert(name);
    }
    found.sort();
    let named: Vec<_> = DIFFERENT_FOR_OPERATIONS
        .iter()
        .map(|(name, what, _)| ((*name).to_owned(), *what))
        .collect();
    assert_eq!(found, named);
    assert_eq!(names, known(Place::Operation).iter().copied().collect());
}
