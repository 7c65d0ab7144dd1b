//! The same lines in the crm shell and here: the documents they make, beside each other. Order of attributes, order of
//! blocks within an object and ids that nobody wrote may differ; what else differs is named in [`ONLY_HERE`] and [`present`].
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the crate has no effects; its tests run another program"
)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use haven_cib::Cib;
use haven_cib::crm::{Mode, load};
use haven_cib::xml::{Element, parse};
use haven_skipped::skip;

const EMPTY: &str = r#"<cib validate-with="pacemaker-3.9" admin_epoch="0" epoch="1" num_updates="0" crm_feature_set="3.16.2">
<configuration><crm_config/><nodes/><resources/><constraints/></configuration><status/></cib>"#;

/// Resources for constraints to speak of.
const RESOURCES: &str = "node 1: alpha\nnode 2: beta\n\
    primitive a ocf:pacemaker:Dummy op monitor interval=10s\n\
    primitive b ocf:pacemaker:Dummy\nprimitive c ocf:pacemaker:Dummy\nprimitive d ocf:pacemaker:Stateful\n\
    clone p d meta promotable=true\n";

/// Documents by what they show. Each is loaded behind [`RESOURCES`].
const DOCUMENTS: &[(&str, &str)] = &[
    (
        "nodes",
        "node 3: gamma attributes memory=64 rack=\"upper one\" utilization cpu=8\n\
         node 4: delta:member description=\"the fourth\"\nnode 5: far:remote\n",
    ),
    (
        "primitives",
        "primitive p1 ocf:pacemaker:Dummy params state=/run/x fake=\"two words\" meta target-role=Stopped priority=5 \
         utilization cpu=2 op start timeout=60s op monitor interval=10s timeout=20s role=Started on-fail=restart\n\
         primitive p2 stonith:null params hostlist=\"alpha beta\" op monitor interval=30m timeout=60s\n\
         primitive p3 systemd:chrony description=\"the clock\"\nprimitive p4 lsb:rc.local\n\
         primitive p5 Dummy\n\
         primitive p6 ocf:pacemaker:Dummy operations $id=p6-ops op monitor interval=5s op_params OCF_CHECK_LEVEL=10\n\
         primitive p7 ocf:pacemaker:Stateful op monitor interval=10s role=Master op monitor interval=11s role=Slave\n\
         primitive p8 ocf:pacemaker:Dummy params $id=p8-params state=/run/8 meta $id=p8-meta priority=1\n",
    ),
    (
        "rules in parameters",
        "primitive r1 ocf:pacemaker:Dummy params rule #uname eq alpha state=/run/a params state=/run/b\n\
         primitive r2 ocf:pacemaker:Dummy params 3: rule #uname eq alpha state=/run/a params 2: rule defined rack state=/run/r \
         params 1: state=/run/b\n",
    ),
    (
        "templates",
        "rsc_template vm ocf:pacemaker:Dummy params state=/run/t op monitor interval=20s meta priority=3\n\
         primitive v1 @vm params fake=1\nprimitive v2 @vm\n",
    ),
    (
        "containers",
        "group g a b params x=1 meta target-role=Started\nclone cl c meta clone-max=2 interleave=true\n\
         primitive s1 ocf:pacemaker:Stateful\nms m1 s1 meta master-max=1 notify=true\n\
         primitive s2 ocf:pacemaker:Stateful\nclone m2 s2 meta promotable=true promoted-max=1\n\
         primitive e1 ocf:pacemaker:Dummy\nprimitive e2 ocf:pacemaker:Dummy\ngroup ge e1 e2\nclone cg ge\n",
    ),
    (
        "bundles",
        "primitive web ocf:pacemaker:Dummy\n\
         bundle httpd docker image=web:7 replicas=3 options=\"--log-driver=journald\" \
         network ip-range-start=192.0.2.131 host-interface=eth0 host-netmask=24 port-mapping id=http port=80 \
         storage storage-mapping id=logs source-dir-root=/var/log/web target-dir=/var/log options=rw primitive web\n",
    ),
    (
        "locations",
        "location l1 a 100: alpha\nlocation l2 a -inf: beta\nlocation l3 { a b } 10: alpha\nlocation l4 /web.*/ 10: beta\n\
         location l5 p role=Master 100: alpha\nlocation l6 a resource-discovery=never -inf: alpha\n\
         location l7 a rule 50: #uname eq alpha and defined pingd\n\
         location l8 a rule -inf: not_defined pingd or pingd number:lte 0\n\
         location l9 p rule $role=Master 10: #uname eq beta\n\
         location l10 a rule pingd: defined pingd\n",
    ),
    (
        "dates",
        "location d1 a rule inf: date lt 2027-01-01\nlocation d2 a rule inf: date gt 2026-01-01\n\
         location d3 a rule inf: date in start=2026-06-01 end=2026-07-01\n\
         location d4 a rule inf: date in start=2026-06-01 hours=48\n\
         location d5 a rule inf: date spec hours=9-17 weekdays=1-5\n\
         location d6 a rule 5: #uname eq alpha and date lt 2027-01-01\n",
    ),
    (
        "colocations",
        "colocation c1 inf: a b\ncolocation c2 -inf: a c\ncolocation c3 10: a p:Master\n\
         colocation c4 inf: a ( b c )\ncolocation c5 inf: [ a b ] c\ncolocation c6 inf: a b c\n\
         colocation c7 inf: a b node-attribute=rack\n",
    ),
    (
        "orders",
        "order o1 Mandatory: a b\norder o2 Optional: a:start b:start symmetrical=false\norder o3 Serialize: a ( b c )\n\
         order o4 Mandatory: p:promote a:start\norder o5 Mandatory: a ( b c ) d\norder o6 inf: a b\norder o7 0: a b\n\
         order o8 Mandatory: [ a b ] c\n",
    ),
    (
        "tickets",
        "rsc_ticket t1 siteA: a\nrsc_ticket t2 siteA: a loss-policy=fence\nrsc_ticket t3 siteB: p:Master b loss-policy=stop\n",
    ),
    (
        "fencing",
        "primitive f1 stonith:null params hostlist=\"alpha beta\"\nprimitive f2 stonith:null params hostlist=\"alpha beta\"\n\
         fencing_topology alpha: f1 f2 beta: f1,f2\n",
    ),
    (
        "fencing by pattern and attribute",
        "primitive f1 stonith:null params hostlist=\"alpha beta\"\nprimitive f2 stonith:null params hostlist=\"alpha beta\"\n\
         fencing_topology pattern:al.* f1 f2 attr:rack=1 f2\n",
    ),
    (
        "fencing of all nodes",
        "primitive f1 stonith:null params hostlist=\"alpha beta\"\nprimitive f2 stonith:null params hostlist=\"alpha beta\"\n\
         fencing_topology f1 f2\n",
    ),
    (
        "options",
        "property no-quorum-policy=stop symmetric-cluster=true\nrsc_defaults failure-timeout=3m migration-threshold=5\n\
         op_defaults timeout=30s record-pending=true\n",
    ),
    (
        "options with rules",
        "property nights: rule date spec hours=0-5 migration-limit=1\n\
         rsc_defaults late: rule date gt 2026-01-01 priority=3\nop_defaults slow: rule #uname eq alpha timeout=40s\n",
    ),
    ("tags", "tag t1: a b\ntag t2 c\nlocation lt t1 100: alpha\n"),
    (
        "alerts",
        "alert one /usr/local/bin/tell to /var/log/alerts\n\
         alert two /usr/local/bin/tell attributes level=2 meta timeout=60s to { ops@example.org meta timeout=5s }\n\
         alert three /usr/local/bin/tell select nodes fencing resources to x\n\
         alert four /usr/local/bin/tell select attributes { pingd rack } to { b attributes quiet=yes }\n",
    ),
    (
        "access",
        "role keeper write xpath:\"//rsc_location\" read ref:a deny type:nvpair attribute:value\nrole reader read xpath:\"/cib\"\n\
         acl_target joe keeper reader\n",
    ),
    ("monitors", "monitor b 60s:30s\nmonitor c 10s\n"),
    (
        "references",
        "primitive w1 ocf:pacemaker:Dummy params $id=shared state=/run/w op monitor interval=7s\n\
         primitive w2 ocf:pacemaker:Dummy params fake=1\n",
    ),
];

/// What differs on purpose: the document, what only this one makes of it, and why.
const ONLY_HERE: &[(&str, &str, &str)] = &[(
    "fencing of all nodes",
    "target-pattern=.*",
    "the crm shell writes the levels of each node that it knows; a pattern is for nodes to come, too",
)];

/// What the crm shell makes of lines; none where it cannot be run.
fn theirs(lines: &str) -> Option<Result<Element, String>> {
    let dir =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("crmsh-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let (cib, text, commands) = (dir.join("cib.xml"), dir.join("lines"), dir.join("commands"));
    fs::write(&cib, EMPTY).unwrap();
    fs::write(&text, lines).unwrap();
    let typed = format!("configure\nload replace {}\nshow xml\nquit\n", text.display());
    fs::write(&commands, typed).unwrap();
    let run = Command::new("crm")
        .args(["-D", "plain", "-F", "-f"])
        .arg(&commands)
        .env("CIB_file", &cib)
        .env("HOME", &dir)
        .env("TERM", "dumb")
        .output();
    fs::remove_dir_all(&dir).unwrap();
    let run = run.ok()?;
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let begin = said.find("<?xml");
    let end = said.find("</cib>").map(|at| at + "</cib>".len());
    Some(match (begin, end) {
        (Some(begin), Some(end)) => parse(&said[begin..end]).map_err(|e| e.to_string()),
        _ => Err(format!("{said}{}", String::from_utf8_lossy(&run.stderr))),
    })
}

fn ours(lines: &str) -> Element {
    let loaded = load(&Cib::default(), lines, Mode::Replace).unwrap_or_else(|findings| {
        let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
        panic!("{lines}\n{}", all.join("\n"))
    });
    parse(&loaded.cib.to_xml()).unwrap()
}

/// Elements whose id is an object's name, or means something.
const NAMED: &[&str] = &[
    "node",
    "primitive",
    "group",
    "clone",
    "master",
    "bundle",
    "template",
    "rsc_location",
    "rsc_colocation",
    "rsc_order",
    "rsc_ticket",
    "tag",
    "obj_ref",
    "resource_ref",
    "alert",
    "acl_role",
    "acl_target",
    "role",
    "cluster_property_set",
];

/// An attribute in the words of the present, of which the crm shell keeps old ones as they were typed; none where it only
/// says what counts anyway: conditions are joined by `and`, and a rule outside of locations has no score.
fn present(e: &Element, name: &str, value: &str) -> Option<String> {
    if e.name == "rule" && matches!((name, value), ("boolean-op", "and") | ("score", "INFINITY")) {
        return None;
    }
    let value = match value {
        "Master" => "Promoted",
        "Slave" => "Unpromoted",
        "master-max" => "promoted-max",
        value => value,
    };
    Some(format!("{name}={value}"))
}

/// A line for each element, attribute and value, in an order that does not depend on how it was written.
fn facts(e: &Element, way: &str, lines: &mut Vec<String>) {
    let mut attributes: Vec<String> = e
        .attributes
        .iter()
        .filter(|(name, _)| name != "id" || NAMED.contains(&e.name.as_str()))
        .filter_map(|(name, value)| present(e, name, value))
        .collect();
    attributes.sort();
    let way = format!("{way}/{}[{}]", e.name, attributes.join(" "));
    // Sets of one kind, operations and members count in order; blocks of different kinds do not.
    let mut children: Vec<&Element> = e.children.iter().collect();
    children.sort_by(|a, b| a.name.cmp(&b.name));
    if children.is_empty() {
        lines.push(way);
        return;
    }
    for child in children {
        facts(child, &way, lines);
    }
}

fn objects(cib: &Element) -> Vec<String> {
    let mut lines = Vec::new();
    let configuration = cib.child("configuration").unwrap();
    for section in configuration.children.iter().filter(|section| !section.children.is_empty()) {
        for object in &section.children {
            facts(object, &section.name, &mut lines);
        }
    }
    lines.sort();
    lines
}

#[test]
fn what_lines_make_is_valid_by_pacemakers_schema() {
    let rng = "/usr/share/pacemaker/pacemaker-3.9.rng";
    for (name, text) in DOCUMENTS {
        let mut cib =
            load(&Cib::default(), &format!("{RESOURCES}{text}"), Mode::Replace).unwrap().cib;
        cib.validate_with = Some("pacemaker-3.9".to_owned());
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("valid-{}.xml", std::process::id()));
        fs::write(&file, cib.to_xml()).unwrap();
        let judged =
            Command::new("xmllint").args(["--noout", "--relaxng", rng]).arg(&file).output();
        fs::remove_file(&file).unwrap();
        let Some(judged) = judged.ok().filter(|_| PathBuf::from(rng).exists()) else {
            return skip(
                &format!("xmllint or {rng} is not installed"),
                "lines made valid by Pacemaker's schema",
            );
        };
        let said = String::from_utf8_lossy(&judged.stderr);
        assert!(judged.status.success(), "{name}: {said}\n{}", cib.to_xml());
    }
}

#[test]
fn the_crm_shell_makes_the_same_documents() {
    let mut differences = Vec::new();
    for (name, text) in DOCUMENTS {
        let lines = format!("{RESOURCES}{text}");
        let Some(theirs) = theirs(&lines) else {
            return skip(
                "`crm` is not here (package crmsh)",
                "the crm shell's documents beside ours",
            );
        };
        let theirs = objects(&theirs.unwrap_or_else(|said| panic!("{name}: {said}")));
        let ours = objects(&ours(&lines));
        for line in theirs.iter().filter(|line| !ours.contains(line)) {
            differences.push(format!("{name}: crm  {line}"));
        }
        for line in ours.iter().filter(|line| !theirs.contains(line)) {
            differences.push(format!("{name}: here {line}"));
        }
    }
    for (name, what, _) in ONLY_HERE {
        let before = differences.len();
        let meant =
            |line: &String| line.starts_with(&format!("{name}: here")) && line.contains(what);
        differences.retain(|line| !meant(line));
        assert!(differences.len() < before, "{name}: the crm shell makes {what}, too");
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
