//! Differences name exactly what differs, and taking them back gives what was before.

use crate::Cib;
use crate::crm::{
    Mode, RevertError, Unknowns, changes, delete, joined, load, load_document, revert, show,
};

const BASE: &str = "\
node 1: n1 attributes rack=a
# keep me
primitive vip ocf:haven:ip params ip=192.0.2.10 op monitor interval=10s
primitive web systemd:nginx op monitor interval=10s
group site vip web
location l1 site 100: n1
fencing_topology n1: d1 d2
property no-quorum-policy=stop cluster-name=demo
";

fn base() -> Cib {
    load(&Cib::default(), BASE, Mode::Replace).unwrap().cib
}

fn update(cib: &Cib, text: &str) -> Cib {
    load(cib, text, Mode::Update).unwrap().cib
}

#[test]
fn taking_a_change_back_gives_what_was_before() {
    let base = base();
    let edits = [
        "primitive web systemd:apache2 op monitor interval=10s",
        "primitive db lsb:db\ngroup site vip web db",
        "property no-quorum-policy=freeze maintenance-mode=true",
        "node n1 attributes rack=b standby=on",
        "# another\nprimitive vip ocf:haven:ip params ip=192.0.2.11",
        "tag t: vip web\norder o Mandatory: vip web",
        "rsc_defaults resource-stickiness=100",
        "fencing_topology n1: d2",
    ];
    for text in edits {
        let new = update(&base, text);
        let found = changes(&base, &new);
        assert!(!found.is_empty(), "{text}");
        assert_eq!(show(&revert(&new, &found).unwrap()), BASE, "{text}");
    }
    let less = load(&base, "primitive web systemd:nginx", Mode::Replace).unwrap().cib;
    let found = changes(&base, &less);
    assert_eq!(show(&revert(&less, &found).unwrap()), BASE, "removals return to their places");
    assert_eq!(changes(&base, &base), []);
}

#[test]
fn an_older_change_is_taken_back_under_newer_ones_that_touch_other_things() {
    let first = base();
    let second = update(&first, "property no-quorum-policy=freeze");
    let third = update(&second, "property maintenance-mode=true\nlocation l1 site 50: n1");
    let found = changes(&first, &second);
    let text = show(&revert(&third, &found).unwrap());
    assert!(
        text.contains("no-quorum-policy=stop cluster-name=demo maintenance-mode=true"),
        "{text}"
    );
    assert!(text.contains("location l1 site 50: n1"), "{text}");
}

#[test]
fn a_change_of_the_same_thing_since_is_a_conflict_that_says_what_is_there() {
    let first = base();
    let second = update(&first, "property no-quorum-policy=freeze\nlocation l1 site 50: n1");
    let found = changes(&first, &second);
    let third = update(&second, "property no-quorum-policy=ignore");
    let error = revert(&third, &found).unwrap_err();
    let RevertError::Conflict { object, expected, found: now } = &error else { panic!("{error}") };
    assert_eq!(
        (object.as_str(), expected.as_str(), now.as_str()),
        ("property", "no-quorum-policy=freeze", "no-quorum-policy=ignore")
    );
    let third = update(&second, "location l1 site 51: n1");
    let error = revert(&third, &found).unwrap_err().to_string();
    assert!(
        error.contains("`location l1 site 50: n1`, found `location l1 site 51: n1`"),
        "{error}"
    );
}

#[test]
fn what_is_still_needed_cannot_be_taken_away() {
    let first = base();
    let second = update(&first, "primitive db lsb:db");
    let third = update(&second, "group site vip web db");
    let error = revert(&third, &changes(&first, &second)).unwrap_err();
    let RevertError::Contradiction(findings) = &error else { panic!("{error}") };
    assert_eq!(findings[0].code, "HV0201");
}

#[test]
fn several_changes_join_to_what_they_make_together() {
    let first = base();
    let second = update(&first, "location l1 site 50: n1\nprimitive db lsb:db");
    let third = update(&second, "location l1 site 100: n1\nprimitive db lsb:other");
    let steps = [changes(&first, &second), changes(&second, &third)].concat();
    let together = joined(&steps);
    assert_eq!(together, changes(&first, &third));
    assert_eq!(together.len(), 1, "the location is as it was");
}

#[test]
fn what_was_kept_unknown_comes_back_with_what_was_deleted_or_loaded_without_it() {
    let first = base();
    let document = first.to_xml().replace("id=\"web\" class", "id=\"web\" colour=\"red\" class");
    let with = Cib::from_xml_lenient(&document).unwrap().0;
    let coloured = load_document(&first, &with, Mode::Update, Unknowns::Keep).unwrap().cib;
    assert!(coloured.to_xml().contains("colour=\"red\""));
    // Deleted and brought back, and deleted again by undoing that.
    let names = ["l1", "site", "web"].map(str::to_owned);
    let without = delete(&coloured, &names, &[]).unwrap();
    let deletion = changes(&coloured, &without);
    let back = revert(&without, &deletion).unwrap();
    assert_eq!(back.to_xml(), coloured.to_xml());
    assert_eq!(revert(&back, &changes(&without, &back)).unwrap().to_xml(), without.to_xml());
    // Loaded again without it, which changes no line.
    let plain = Cib::from_xml(&first.to_xml()).unwrap().0;
    let taken_out = load_document(&coloured, &plain, Mode::Update, Unknowns::Refuse).unwrap().cib;
    assert!(!taken_out.to_xml().contains("colour"));
    let back = revert(&taken_out, &changes(&coloured, &taken_out)).unwrap();
    assert_eq!(back.to_xml(), coloured.to_xml());
    // And the other way: what lenience brought in is taken out again.
    assert_eq!(revert(&coloured, &changes(&first, &coloured)).unwrap().to_xml(), first.to_xml());
}
