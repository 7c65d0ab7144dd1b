//! Each old way to say something beside the present one.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use crate::Cib;

/// A document of a schema with these sections.
fn read(schema: &str, sections: &str) -> Cib {
    let text = format!(
        "<cib validate-with=\"pacemaker-{schema}\"><configuration>{sections}</configuration></cib>"
    );
    let mut cib = Cib::from_xml(&text).unwrap().0;
    cib.validate_with = None;
    cib
}

#[track_caller]
fn means(schema: &str, old: &str, new: &str) {
    assert_eq!(read(schema, old).to_xml(), read("4.0", new).to_xml(), "{old}");
}

fn options(pairs: &str) -> String {
    format!(
        "<crm_config><cluster_property_set id=\"o\">{pairs}</cluster_property_set></crm_config>"
    )
}

fn dummy(inside: &str) -> String {
    format!(
        "<resources><primitive id=\"p\" class=\"ocf\" provider=\"x\" type=\"D\">{inside}</primitive></resources>"
    )
}

#[test]
fn options_that_became_defaults_are_read_as_defaults() {
    let old = options("<nvpair name=\"default-resource-stickiness\" value=\"7\"/>");
    let set = "<meta_attributes id=\"d\"><nvpair name=\"x\" value=\"1\"/></meta_attributes>";
    let with = "<meta_attributes id=\"d\"><nvpair name=\"x\" value=\"1\"/>\
                <nvpair name=\"resource-stickiness\" value=\"7\"/></meta_attributes>";
    let new = format!("{}<rsc_defaults>{with}</rsc_defaults>", options(""));
    means("2.10", &format!("{old}<rsc_defaults>{set}</rsc_defaults>"), &new);
    // Of schemas that know the name no more it means nothing.
    assert!(read("3.0", &old).rsc_defaults.is_empty());
    let made = read("1.2", &options("<nvpair name=\"default_action_timeout\" value=\"33s\"/>"));
    assert_eq!(made.op_defaults[0].pairs[0].name, "timeout");
    let never =
        options("<nvpair name=\"default-resource-failure-stickiness\" value=\"-INFINITY\"/>");
    let never = read("1.0", &never);
    assert_eq!(never.rsc_defaults[0].pairs[0].name, "migration-threshold");
    assert_eq!(never.rsc_defaults[0].pairs[0].value.as_deref(), Some("1"));
}

#[test]
fn options_with_underscores_are_read() {
    let old = "<nvpair id=\"a\" name=\"no_quorum_policy\" value=\"freeze\"/>\
               <nvpair id=\"b\" name=\"transition_idle_timeout\" value=\"9s\"/>\
               <nvpair id=\"c\" name=\"expected-quorum-votes\" value=\"2\"/>";
    let new = "<nvpair id=\"a\" name=\"no-quorum-policy\" value=\"freeze\"/>\
               <nvpair id=\"b\" name=\"cluster-delay\" value=\"9s\"/>";
    means("2.0", &options(old), &options(new));
}

#[test]
fn what_a_start_requires_its_resource_requires() {
    let old = dummy(
        "<operations><op id=\"s\" name=\"start\" interval=\"0\" requires=\"nothing\"/></operations>",
    );
    let cib = read("1.3", &old);
    let crate::Resource::Primitive(p) = &cib.resources[0] else { panic!("{cib:?}") };
    assert_eq!(p.meta[0].pairs[0].name, "requires");
    assert_eq!(p.meta[0].pairs[0].value.as_deref(), Some("nothing"));
    let monitor = old.replace("\"start\"", "\"monitor\"");
    let cib = read("1.3", &monitor);
    let crate::Resource::Primitive(p) = &cib.resources[0] else { panic!("{cib:?}") };
    assert!(p.meta.is_empty());
}

#[test]
fn a_location_with_several_rules_is_several_locations() {
    let rule = |id: &str, score: &str| {
        format!(
            "<rule id=\"{id}\" score=\"{score}\"><expression id=\"{id}e\" attribute=\"x\" operation=\"defined\"/></rule>"
        )
    };
    let location = |id: &str, rules: &str| {
        format!("<rsc_location id=\"{id}\" rsc=\"p\">{rules}</rsc_location>")
    };
    let old = location("l", &format!("{}{}", rule("a", "1"), rule("b", "2")));
    let new = location("l-1", &rule("a", "1")) + &location("l-2", &rule("b", "2"));
    let section = |c: &str| format!("{}<constraints>{c}</constraints>", dummy(""));
    means("3.9", &section(&old), &section(&new));
}

#[test]
fn on_a_ping_node_nothing_runs() {
    let cib = read("3.0", "<nodes><node id=\"1\" uname=\"n1\" type=\"ping\"/></nodes>");
    assert_eq!(cib.nodes[0].kind.as_deref(), Some("member"));
    let crate::Constraint::Location(ban) = &cib.constraints[0] else { panic!("{cib:?}") };
    assert_eq!((ban.node.as_deref(), ban.score.as_deref()), (Some("n1"), Some("-INFINITY")));
    assert_eq!(ban.pattern.as_deref(), Some(".*"));
}

#[test]
fn of_several_values_in_one_set_the_first_counts_and_none_before_a_default() {
    let set = |pairs: &str| dummy(&format!("<meta_attributes id=\"m\">{pairs}</meta_attributes>"));
    let pair = |value: &str| format!("<nvpair name=\"a\" value=\"{value}\"/>");
    means("3.0", &set(&(pair("1") + &pair("2"))), &set(&pair("1")));
    means("3.0", &set(&(pair("1") + &pair("#default"))), &set(&pair("#default")));
    means("3.0", &set(&(pair("#default") + &pair("2"))), &set(&pair("2")));
    means("3.0", &set(&format!("<nvpair name=\"a\"/>{}", pair("2"))), &set(&pair("2")));
}

#[test]
fn resources_of_classes_that_are_gone_go_with_what_names_them() {
    let gone = "<primitive id=\"u\" class=\"upstart\" type=\"x\"/>";
    let kept = "<primitive id=\"k\" class=\"ocf\" provider=\"x\" type=\"D\"/>";
    let old = format!(
        "<resources><group id=\"g\">{gone}</group>{kept}</resources><constraints>\
         <rsc_order id=\"o\" first=\"g\" then=\"k\"/><rsc_order id=\"o2\">\
         <resource_set id=\"s\"><resource_ref id=\"u\"/><resource_ref id=\"k\"/></resource_set></rsc_order></constraints>"
    );
    let new = format!(
        "<resources>{kept}</resources><constraints><rsc_order id=\"o2\">\
         <resource_set id=\"s\"><resource_ref id=\"k\"/></resource_set></rsc_order></constraints>"
    );
    means("3.10", &old, &new);
}

#[test]
fn new_documents_stay_as_they_are() {
    let option = options("<nvpair id=\"a\" name=\"no_quorum_policy\" value=\"freeze\"/>");
    let names = |cib: &Cib| cib.options[0].pairs[0].name.clone();
    assert_eq!(names(&read("4.0", &option)), "no_quorum_policy");
    let text = format!("<cib><configuration>{option}</configuration></cib>");
    assert_eq!(names(&Cib::from_xml(&text).unwrap().0), "no_quorum_policy");
}

#[test]
fn users_of_old_access_lists_become_targets_with_roles() {
    let old = "<acls><acl_role id=\"r\"><write id=\"w\" tag=\"nvpair\" attribute=\"value\"/>\
               <read id=\"x\" xpath=\"//node\"/><deny id=\"y\" xpath=\"//lrm\" attribute=\"id\"/></acl_role>\
               <acl_user id=\"ann\"><role_ref id=\"r\"/></acl_user><acl_user id=\"bob\"/>\
               <acl_user id=\"eve\"><deny id=\"d\" ref=\"vip\" attribute=\"id\" tag=\"primitive\"/></acl_user></acls>";
    let new = "<acls><acl_role id=\"r\">\
               <acl_permission id=\"w\" kind=\"write\" object-type=\"nvpair\" attribute=\"value\"/>\
               <acl_permission id=\"x\" kind=\"read\" xpath=\"//node\"/>\
               <acl_permission id=\"y\" kind=\"deny\" xpath=\"//lrm[@id]\"/></acl_role>\
               <acl_target id=\"ann\"><role id=\"r\"/></acl_target><acl_target id=\"bob\"/>\
               <acl_target id=\"eve\"><role id=\"auto-eve\"/></acl_target>\
               <acl_role id=\"auto-eve\"><acl_permission id=\"d\" kind=\"deny\" reference=\"vip\"/></acl_role></acls>";
    means("1.2", old, new);
    means("1.3", old, new);
    // Later schemas have no such words: they stay as they are, to be seen.
    assert!(read("2.0", old).to_xml().contains("<acl_user"));
}
