#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use crate::crm::{Mode, load, show};

const LINES: &str = "\
node n1
rsc_template t ocf:haven:Dummy op monitor interval=10s
primitive a @t params state=/run/a
# the second
primitive b lsb:b params x=1 meta priority=5 op monitor interval=10s timeout=20s op monitor interval=30s role=Started
primitive c lsb:c
primitive d lsb:d
primitive fence-it stonith:null
group g b c
clone copies a meta interleave=true
location l g 100: n1
colocation col inf: g copies
order o Mandatory: ( b c ) d
order both Mandatory: b:start c
rsc_ticket tick T: b d
tag all: a b
fencing_topology n1: fence-it
role reader read ref:b write xpath:\"//primitive[@id='b']\"
acl_target alice reader
property maintenance-mode=true
";

fn cib() -> Cib {
    load(&Cib::default(), LINES, Mode::Replace).unwrap().cib
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn without(objects: &[&str]) -> Result<String, Vec<Finding>> {
    delete(&cib(), &names(objects), &names(&["n1"])).map(|cib| show(&cib))
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Vec<Finding>>) -> String {
    let findings = result.unwrap_err();
    assert!(findings.iter().all(|finding| finding.remedy.is_some()), "{findings:?}");
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_deleted_resource_leaves_nothing_that_names_it() {
    let shown = without(&["b"]).unwrap();
    assert!(shown.contains("group g c"), "{shown}");
    assert!(shown.contains("order o Mandatory: c d\n"), "{shown}");
    for gone in ["primitive b", "# the second", "order both", "ref:b"] {
        assert!(!shown.contains(gone), "{gone} is still there:\n{shown}");
    }
    assert!(shown.contains("tag all: a\n"), "{shown}");
    assert!(shown.contains("rsc_ticket tick T: d"), "{shown}");
    // What is left loads.
    assert!(load(&Cib::default(), &shown, Mode::Replace).is_ok());
}

#[test]
fn a_deleted_container_leaves_its_members_and_an_emptied_one_goes_too() {
    let shown = without(&["g"]).unwrap();
    assert!(shown.contains("primitive b") && shown.contains("primitive c"), "{shown}");
    assert!(!shown.contains("location l") && !shown.contains("colocation col"), "{shown}");
    let shown = without(&["b", "c"]).unwrap();
    assert!(!shown.contains("group g") && !shown.contains("location l"), "{shown}");
    assert!(!shown.contains("order o"), "one resource is in no order:\n{shown}");
    let shown = without(&["a"]).unwrap();
    assert!(!shown.contains("clone copies") && !shown.contains("colocation col"), "{shown}");
    let shown = without(&["fence-it"]).unwrap();
    assert!(!shown.contains("fencing_topology"), "{shown}");
    let shown = without(&["reader", "property", "l", "all"]).unwrap();
    assert!(shown.contains("acl_target alice") && !shown.contains("reader"), "{shown}");
    assert!(!shown.contains("property") && !shown.contains("tag all"), "{shown}");
}

#[test]
fn what_is_needed_or_not_there_is_not_deleted() {
    assert!(refusal(without(&["bb"])).contains("did you mean \"b\""));
    assert!(refusal(without(&["t"])).contains("\"a\" is made from the template"));
    assert!(without(&["t", "a"]).is_ok());
    let told = refusal(without(&["n1", "nothing"]));
    assert!(told.contains("haven cluster remove n1") && told.contains("\"nothing\""), "{told}");
}

#[test]
fn a_renamed_object_is_renamed_wherever_it_is_named() {
    let shown = show(&rename(&cib(), "b", "web").unwrap());
    let expected = LINES
        .replace("primitive b lsb:b", "primitive web lsb:b")
        .replace("group g b c", "group g web c")
        .replace("( b c )", "( web c )")
        .replace("b:start", "web:start")
        .replace("T: b d", "T: web d")
        .replace("all: a b", "all: a web")
        .replace("ref:b", "ref:web")
        .replace("[@id='b']", "[@id='web']");
    let expected = show(&load(&Cib::default(), &expected, Mode::Replace).unwrap().cib);
    assert_eq!(shown, expected);
    let renamed = rename(&cib(), "b", "web").unwrap();
    assert!(!renamed.to_xml().contains("\"b-"), "inner ids follow:\n{}", renamed.to_xml());
    for (from, to, line) in [
        ("t", "base", "primitive a @base"),
        ("g", "site", "location l site 100: n1"),
        ("copies", "many", "colocation col inf: g many"),
        ("fence-it", "ipmi", "fencing_topology n1: ipmi"),
        ("reader", "viewer", "acl_target alice viewer"),
        ("l", "prefers", "location prefers g 100: n1"),
    ] {
        let shown = show(&rename(&cib(), from, to).unwrap());
        assert!(shown.contains(line), "{line}:\n{shown}");
    }
}

#[test]
fn an_id_that_is_taken_fixed_or_none_is_refused() {
    let told = |from: &str, to: &str| refusal(rename(&cib(), from, to));
    assert!(told("b", "c").contains("taken by the primitive"));
    assert!(told("b", "1x").contains("HV0105"));
    assert!(told("n1", "n2").contains("cannot be renamed"));
    assert!(told("property", "x").contains("cannot be renamed"));
    assert!(told("none", "x").contains("HV0211"));
}

#[test]
fn members_come_and_go_where_they_are_wanted() {
    let with =
        |beside: Option<Beside>| show(&add_member(&cib(), "g", "d", beside.as_ref()).unwrap());
    assert!(with(None).contains("group g b c d"));
    assert!(with(Some(Beside::Before("b".into()))).contains("group g d b c"));
    assert!(with(Some(Beside::After("b".into()))).contains("group g b d c"));
    assert!(show(&remove_member(&cib(), "g", "b").unwrap()).contains("group g c"));
    let refused = |group: &str, member: &str, beside: Option<Beside>| {
        refusal(add_member(&cib(), group, member, beside.as_ref()))
    };
    assert!(refused("g", "a", None).contains("already a member"));
    assert!(refused("g", "b", None).contains("already a member"));
    assert!(refused("g", "z", None).contains("HV0211"));
    assert!(refused("copies", "d", None).contains("a clone, not a group"));
    assert!(refused("g", "d", Some(Beside::After("d".into()))).contains("no member"));
    let one = remove_member(&cib(), "g", "b").unwrap();
    assert!(refusal(remove_member(&one, "g", "c")).contains("haven configure delete g"));
}

#[test]
fn only_schemas_of_the_meaning_that_is_written_can_be_named() {
    let named = with_schema(&cib(), "pacemaker-4.0").unwrap();
    assert!(named.to_xml().contains("validate-with=\"pacemaker-4.0\""));
    for wrong in ["pacemaker-3.9", "pacemaker-5.0", "pacemaker-x", "relax", ""] {
        assert!(refusal(with_schema(&cib(), wrong)).contains("HV0214"), "{wrong}");
    }
}

#[test]
fn a_value_is_set_by_its_path() {
    let set = |path: &str, value: &str| show(&set_value(&cib(), path, value).unwrap());
    assert!(set("b.x", "2").contains("params x=2"));
    assert!(set("b.params.y", "3").contains("x=1 y=3"));
    assert!(set("b.meta.priority", "7").contains("priority=7"));
    assert!(set("b.target-role", "Stopped").contains("target-role=Stopped"));
    assert!(set("c.utilization.cpu", "2").contains("utilization cpu=2"));
    assert!(set("b.op.monitor-10s.timeout", "40s").contains("interval=10s timeout=40s"));
    assert!(set("property.batch-limit", "5").contains("batch-limit=5"));
    assert!(set("property.maintenance-mode", "false").contains("maintenance-mode=false"));
    assert!(set("n1.rack", "7").contains("attributes rack=7"));
    assert!(set("copies.interleave", "false").contains("interleave=false"));
    for (path, line) in [
        ("property.batch-limit", "property batch-limit=5"),
        ("rsc_defaults.resource-stickiness", "rsc_defaults resource-stickiness=5"),
        ("op_defaults.timeout", "op_defaults timeout=5"),
    ] {
        let first = show(&set_value(&Cib::default(), path, "5").unwrap());
        assert!(first.contains(line), "{path}: {first}");
    }
    for (path, told) in [
        ("b.nothing", "b.params.nothing"),
        ("b.op.monitor.timeout", "2 operations"),
        ("b.op.start.timeout", "no operation"),
        ("l.score", "no values"),
        ("zz.x", "HV0211"),
        ("b", "names no value"),
        ("b.", "names no value"),
        ("l.params.x", "has no params"),
    ] {
        let refused = refusal(set_value(&cib(), path, "1"));
        assert!(refused.contains(told), "{path}: {refused}");
    }
}
