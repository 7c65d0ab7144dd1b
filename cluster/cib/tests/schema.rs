//! The words of a CIB beside those of Pacemaker's schemas (`tests/golden/schema/pacemaker.txt`), and beside a validator
//! where one is installed.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the crate has no effects; its tests read documents and run a validator"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use haven_cib::{Cib, schema};
use haven_skipped::skip;

/// Words that no schema of Pacemaker has, and why they are read: element, attribute or element in it.
const MORE: &[(&str, &str)] = &[
    // Pacemaker's schema of things to come has them, and its scheduler heeds them.
    ("rsc_colocation", "rsc-instance"),
    ("rsc_colocation", "with-rsc-instance"),
    ("rsc_order", "first-instance"),
    ("rsc_order", "then-instance"),
    // Before schema 1.0, values stood in an element of their own.
    ("cluster_property_set", "attributes"),
    ("instance_attributes", "attributes"),
    ("meta_attributes", "attributes"),
    ("utilization", "attributes"),
];

/// Known attributes that are not written again, and why.
const NOT_WRITTEN: &[(&str, &[&str], &str)] = &[
    (
        "cib",
        &[
            "cib-last-written",
            "dc-uuid",
            "execution-date",
            "have-quorum",
            "no-quorum-panic",
            "update-client",
            "update-origin",
            "update-user",
        ],
        "the cluster's own record of its state; the commit log says who changed what",
    ),
    ("cib", &["remote-clear-port", "remote-tls-port"], "haven listens on a socket of its own"),
    (
        "rsc_colocation",
        &["score-attribute", "score-attribute-mangle"],
        "of schemas before 4.0, where nothing heeded them",
    ),
    ("operations", &["id"], "the operations themselves are written"),
    ("date_spec", &["id"], "it follows from that of the condition"),
    ("duration", &["id"], "it follows from that of the condition"),
];

type Words = BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>;

fn golden() -> Words {
    let text = include_str!("../../../tests/golden/schema/pacemaker.txt");
    let words = |list: &str| -> BTreeSet<String> {
        list.split(' ').filter(|word| *word != "-").map(str::to_owned).collect()
    };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let found: Words = lines
        .map(|line| {
            let parts: Vec<&str> = line.split(" | ").collect();
            (parts[0].to_owned(), (words(parts[1]), words(parts[2])))
        })
        .collect();
    assert!(found.len() > 60, "the golden file is not whole");
    found
}

#[test]
fn elements_and_attributes_are_pacemakers_but_for_those_named_here() {
    let mut theirs = golden();
    for (element, word) in MORE {
        let (attributes, children) = theirs.get_mut(*element).unwrap();
        let list = if *word == "attributes" { children } else { attributes };
        assert!(list.insert((*word).to_owned()), "{word} has no need to be named here");
    }
    let only = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    theirs.insert("attributes".into(), (BTreeSet::new(), only(&["nvpair", "rule"])));
    theirs.insert("status".into(), Default::default());
    let ours: Words = schema::elements()
        .iter()
        .map(|kind| (kind.name.to_owned(), (only(kind.attributes), only(kind.children))))
        .collect();
    assert_eq!(ours, theirs);
    assert!(schema::elements().is_sorted_by(|a, b| a.name < b.name));
}

/// A document with one element of this kind, which has the attributes, as short as can be.
fn document(kind: &schema::ElementKind, attributes: &str) -> String {
    let mut way = vec![kind.name];
    while way[0] != "cib" {
        let around = schema::elements()
            .iter()
            .find(|outer| outer.children.contains(&way[0]) && outer.name != way[0]);
        way.insert(0, around.unwrap().name);
    }
    let (mut open, mut close) = (String::new(), String::new());
    for (depth, name) in way.iter().enumerate() {
        let kind = schema::element(name).unwrap();
        let own = if depth + 1 == way.len() { attributes } else { "" };
        let mut needed = String::new();
        for needs in ["id", "name", "uname"] {
            if kind.attributes.contains(&needs) && !own.contains(&format!(" {needs}=")) {
                needed.push_str(&format!(" {needs}=\"n{depth}\""));
            }
        }
        open.push_str(&format!("<{name}{needed}{own}>"));
        if matches!(*name, "clone" | "master") && depth + 1 == way.len() {
            open.push_str("<primitive id=\"inner\" class=\"lsb\" type=\"x\"/>");
        }
        close.insert_str(0, &format!("</{name}>"));
    }
    open + &close
}

#[test]
fn every_known_attribute_is_written_again_but_for_those_named_here() {
    let mut dropped = BTreeSet::new();
    for kind in schema::elements() {
        for attribute in kind.attributes.iter().filter(|name| **name != "id-ref") {
            let pair = format!(" {attribute}=\"4711\"");
            let text = document(kind, &pair);
            let cib = Cib::from_xml(&text).unwrap_or_else(|error| panic!("{text}: {error}")).0;
            if !cib.to_xml().contains(&pair) {
                dropped.insert((kind.name, *attribute));
            }
        }
    }
    let named = NOT_WRITTEN.iter().flat_map(|(e, list, _)| list.iter().map(move |a| (*e, *a)));
    assert_eq!(dropped, named.collect());
}

fn inputs() -> Option<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = std::env::var_os("HAVEN_SCHEDULER_CORPUS").map(PathBuf::from);
    let dir = given.unwrap_or_else(|| root.join("../shared/scheduler-corpus")).join("xml");
    let files = std::fs::read_dir(dir).ok()?.map(|entry| entry.unwrap().path());
    Some(files.filter(|file| file.extension().is_some_and(|e| e == "xml")).collect())
}

#[test]
fn nothing_in_real_documents_is_unknown() {
    let Some(files) = inputs() else {
        return skip(
            "the scheduler corpus is not here (HAVEN_SCHEDULER_CORPUS names its folder)",
            "real documents with nothing unknown in them",
        );
    };
    assert!(files.len() > 600);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let (_, _, unknown) = Cib::from_xml_lenient(&text).unwrap();
        assert!(unknown.is_empty(), "{}: {unknown:?}", file.display());
    }
}

/// Whether Pacemaker's own schema of this version takes a document; none where neither it nor a validator is here.
fn valid(version: &str, text: &str) -> Option<bool> {
    let schema = Path::new("/usr/share/pacemaker").join(format!("{version}.rng"));
    if !schema.exists() {
        return None;
    }
    let file = std::env::temp_dir().join(format!("haven-schema-{}.xml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let mut validator = Command::new("xmllint");
    let judged = validator.arg("--noout").arg("--relaxng").arg(&schema).arg(&file).output().ok();
    std::fs::remove_file(&file).unwrap();
    judged.map(|output| output.status.success())
}

#[test]
fn a_validator_with_pacemakers_schema_refuses_the_same_words() {
    let version = "pacemaker-3.9";
    let sound = format!(
        r#"<cib validate-with="{version}" admin_epoch="0" epoch="0" num_updates="0"><configuration>
        <crm_config/><nodes><node id="1" uname="n1"/></nodes><resources>
        <primitive id="a" class="ocf" provider="p" type="t"><operations><op id="o" name="monitor" interval="10s"/></operations></primitive>
        <group id="g"><primitive id="b" class="ocf" provider="p" type="t"/></group></resources>
        <constraints><rsc_location id="l" rsc="a" node="n1" score="1"/></constraints>
        <tags><tag id="t"><obj_ref id="a"/></tag></tags></configuration><status/></cib>"#
    );
    if valid(version, &sound).is_none() {
        let missing = format!("xmllint or /usr/share/pacemaker/{version}.rng is not installed");
        return skip(&missing, "words refused as by Pacemaker's schema");
    }
    assert_eq!(valid(version, &sound), Some(true));
    assert!(Cib::from_xml(&sound).is_ok());
    for tag in
        ["<node ", "<primitive ", "<op ", "<group ", "<rsc_location ", "<tag ", "<configuration"]
    {
        let attribute = sound.replacen(tag, &format!("{} surprise=\"1\" ", tag.trim_end()), 1);
        assert_eq!(valid(version, &attribute), Some(false), "{attribute}");
        assert!(Cib::from_xml(&attribute).is_err(), "{attribute}");
        let end = sound.find(tag).unwrap();
        let element = format!("{}<surprise/>{}", &sound[..end], &sound[end..]);
        assert_eq!(valid(version, &element), Some(false), "{element}");
        assert!(Cib::from_xml(&element).is_err(), "{element}");
    }
}
