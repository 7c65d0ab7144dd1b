use crate::crm::{self, Facts, Mode, Unknowns};
use crate::{Cib, CibError, Condition, Constraint};

/// Something unknown in nearly every kind of place.
const DOCUMENT: &str = r##"<cib validate-with="pacemaker-4.0" admin_epoch="0" epoch="1" num_updates="0" surprise="x">
 <configuration depth="3">
  <crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="o" name="no-quorum-policy" value="stop" unit="s"/></cluster_property_set></crm_config>
  <nodes><node id="1" uname="a" rack="7"/></nodes>
  <weather id="w"><sun up="1">hot</sun></weather>
  <resources>
   <primitive id="a" class="ocf" provider="haven" type="Dummy" colour="red">
    <instance_attributes id="a-instance_attributes"><comment/><nvpair id="p" name="state" value="/run/a" secret="1"/></instance_attributes>
    <operations><op id="m" name="monitor" interval="10s" intervall="9s"/></operations><gadget id="g" n="1"/><gizmo/>
   </primitive>
   <group id="g1" size="2"><primitive id="b" class="ocf" provider="haven" type="Dummy"/><widget id="x"/><primitive id="c" class="ocf" provider="haven" type="Dummy"/></group>
  </resources>
  <constraints>
   <rsc_location id="l" rsc="a" weight="5"><rule id="r" score="5"><expresion id="e" attribute="x" operation="defined"/></rule></rsc_location>
   <rsc_colocation id="k" rsc="a" with-rsc="g1" sccore="INFINITY"/>
  </constraints>
  <fencing-topology><fencing-level id="f1" target="a" index="1" devices="b" hard="1"/><fencing-level id="f2" target="a" index="2" devices="c"/></fencing-topology>
  <alerts><alert id="al" path="/bin/true" loud="yes"/></alerts>
 </configuration>
 <status anything="goes"><node_state id="1" uname="a"><more/></node_state></status>
</cib>"##;

/// Every unknown name in the document with the line it is on.
const UNKNOWN: &[(u32, &str)] = &[
    (1, "surprise"),
    (2, "depth"),
    (3, "unit"),
    (4, "rack"),
    (5, "weather"),
    (7, "colour"),
    (8, "comment"),
    (8, "secret"),
    (9, "intervall"),
    (9, "gadget"),
    (9, "gizmo"),
    (11, "size"),
    (11, "widget"),
    (14, "weight"),
    (14, "expresion"),
    (15, "sccore"),
    (17, "hard"),
    (18, "loud"),
];

fn lenient() -> Cib {
    Cib::from_xml_lenient(DOCUMENT).unwrap().0
}

/// The text without blanks between tags.
fn squeezed(text: &str) -> String {
    text.lines().map(str::trim).collect()
}

#[test]
fn everything_unknown_is_refused_at_once_with_line_element_nearest_name_and_remedy() {
    let Err(CibError::Unknown(found)) = Cib::from_xml(DOCUMENT) else { panic!("taken") };
    let named: Vec<(u32, &str)> = found
        .iter()
        .map(|one| {
            let name = UNKNOWN.iter().find(|(line, name)| {
                *line == one.line
                    && (one.to_string().contains(&format!("\"{name}\""))
                        || one.to_string().contains(&format!("<{name}>")))
            });
            *name.unwrap_or_else(|| panic!("{one}"))
        })
        .collect();
    assert_eq!(named, UNKNOWN);
    let of = |name: &str| found.iter().find(|one| one.to_string().contains(name)).unwrap();
    assert_eq!(of("intervall").nearest, Some("interval"));
    assert_eq!(of("sccore").nearest, Some("score"));
    assert_eq!(of("expresion").nearest, Some("expression"));
    assert_eq!(of("colour").nearest, None);
    assert_eq!(of("colour").object.as_deref(), Some("a"));
    assert_eq!(of("rack").object.as_deref(), Some("a"));
    let text = Cib::from_xml(DOCUMENT).unwrap_err().to_string();
    assert!(text.contains("line 9: <op> has an attribute \"intervall\" that no schema knows; allowed: description, enabled,"), "{text}");
    assert!(text.contains("(did you mean \"interval\"?)"), "{text}");
    assert_eq!(text.matches("--lenient").count(), UNKNOWN.len(), "{text}");
    // A document that also lacks something names the unknown: it may be the same thing.
    let lacks = DOCUMENT.replace("<primitive id=\"a\"", "<primitive ident=\"a\"");
    let error = Cib::from_xml_lenient(&lacks).unwrap_err().to_string();
    assert!(error.contains("\"ident\""), "{error}");
}

#[test]
fn text_where_there_is_none_is_unknown_too() {
    let text = "<cib><configuration><resources>\n<primitive id=\"a\" class=\"lsb\" type=\"x\">hello</primitive></resources></configuration></cib>";
    let error = Cib::from_xml(text).unwrap_err().to_string();
    assert!(error.contains("line 2: text in <primitive>, which has none: \"hello\""), "{error}");
    let cib = Cib::from_xml_lenient(text).unwrap().0;
    assert!(cib.to_xml().contains(">hello</primitive>"), "{}", cib.to_xml());
}

#[test]
fn kept_things_are_written_back_where_they_were() {
    let cib = lenient();
    let text = squeezed(&cib.to_xml());
    for part in [
        "num_updates=\"0\" surprise=\"x\"><configuration depth=\"3\">",
        "name=\"no-quorum-policy\" value=\"stop\" unit=\"s\"/>",
        "<node id=\"1\" uname=\"a\" rack=\"7\"/></nodes><weather id=\"w\"><sun up=\"1\">hot</sun></weather><resources>",
        "type=\"Dummy\" colour=\"red\">",
        "<instance_attributes id=\"a-instance_attributes\"><comment/><nvpair id=\"p\" name=\"state\" value=\"/run/a\" secret=\"1\"/>",
        "interval=\"10s\" intervall=\"9s\"/></operations><gadget id=\"g\" n=\"1\"/><gizmo/></primitive>",
        "<group id=\"g1\" size=\"2\"><primitive id=\"b\" class=\"ocf\" provider=\"haven\" type=\"Dummy\"/><widget id=\"x\"/><primitive id=\"c\"",
        "<rsc_location id=\"l\" rsc=\"a\" weight=\"5\"><rule id=\"r\" score=\"5\"><expresion id=\"e\" attribute=\"x\" operation=\"defined\"/></rule>",
        "with-rsc=\"g1\" sccore=\"INFINITY\"/>",
        "index=\"1\" devices=\"b\" hard=\"1\"/><fencing-level id=\"f2\" target=\"a\" index=\"2\" devices=\"c\"/>",
        "<alert id=\"al\" path=\"/bin/true\" loud=\"yes\"/>",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let (again, _, found) = Cib::from_xml_lenient(&cib.to_xml()).unwrap();
    assert_eq!(again.unknown, cib.unknown);
    assert_eq!(squeezed(&again.to_xml()), text);
    assert_eq!(found.len(), UNKNOWN.len());
    let json = serde_json::to_string(&cib).unwrap();
    assert_eq!(serde_json::from_str::<Cib>(&json).unwrap(), cib);
}

#[test]
fn a_condition_that_is_unknown_never_holds_and_stays_in_its_rule() {
    let cib = lenient();
    let Constraint::Location(location) = &cib.constraints[0] else { panic!("no location") };
    assert!(
        matches!(&location.rules[0].conditions[0], Condition::Unknown(e) if e.name == "expresion")
    );
    let shown = crm::show(&cib);
    let line = "location l a rule $id=r 5: xml '<expresion id=\"e\" attribute=\"x\" operation=\"defined\"/>'";
    assert!(shown.contains(line), "{shown}");
    let again = crm::load_with(&Cib::default(), &shown, Mode::Replace, Unknowns::Keep).unwrap();
    assert_eq!(again.cib.constraints[0], cib.constraints[0]);
    let findings = crm::load(&Cib::default(), &shown, Mode::Replace).unwrap_err();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].code.as_str(), findings[0].object.as_deref()), ("HV0401", Some("l")));
    let known = line.replace("expresion", "expression");
    let findings = crm::load_with(&cib, &known, Mode::Update, Unknowns::Keep).unwrap_err();
    assert_eq!(findings[0].code, "HV0109");
}

#[test]
fn what_is_kept_lives_as_long_as_its_object() {
    let loaded =
        crm::load_document(&Cib::default(), &lenient(), Mode::Replace, Unknowns::Keep).unwrap();
    let base = loaded.cib;
    assert_eq!(base.unknown, lenient().unknown);
    // Each is told, whenever somebody looks.
    let told = crm::verify(&base, &Facts::default());
    let told: Vec<String> =
        told.iter().filter(|f| f.code == "HV0402").map(ToString::to_string).collect();
    // Neighbours are told together.
    assert_eq!(told.len(), UNKNOWN.len() - 1, "{told:#?}");
    assert!(told.iter().any(|text| text.contains("<gadget> and <gizmo> in <primitive> are known to no schema")));

    // Lines do not say what is kept: it stays. The whole as lines changes nothing.
    let same = crm::load(&base, &crm::show(&base), Mode::Replace).unwrap();
    assert_eq!((same.changed, &same.cib), (Vec::new(), &base));
    let edited = crm::load(
        &base,
        "primitive a ocf:haven:Dummy params state=/run/b op monitor interval=20s",
        Mode::Update,
    )
    .unwrap()
    .cib;
    let text = squeezed(&edited.to_xml());
    assert!(
        text.contains("colour=\"red\"")
            && text.contains("secret=\"1\"")
            && text.contains("interval=\"20s\" intervall=\"9s\""),
        "{text}"
    );

    // It moves with its object and goes with it.
    let renamed = crm::rename(&base, "a", "z").unwrap();
    assert!(squeezed(&renamed.to_xml()).contains("<primitive id=\"z\" class=\"ocf\" provider=\"haven\" type=\"Dummy\" colour=\"red\"><instance_attributes id=\"z-instance_attributes\"><comment/>"), "{}", renamed.to_xml());
    let lines: String = crm::show(&base)
        .lines()
        .filter(|line| !line.contains("g1"))
        .map(|line| format!("{line}\n"))
        .collect();
    let without = crm::load(&base, &lines, Mode::Replace).unwrap();
    assert!(without.cib.unknown.contains_key("a") && !without.cib.unknown.contains_key("g1"));

    // A document in XML says it all: without the attribute there is none.
    let plain = "<cib><configuration><resources><primitive id=\"a\" class=\"ocf\" provider=\"haven\" type=\"Dummy\"/></resources></configuration></cib>";
    let plain = Cib::from_xml(plain).unwrap().0;
    let cleaned = crm::load_document(&base, &plain, Mode::Update, Unknowns::Refuse).unwrap();
    assert_eq!(cleaned.changed, ["a"]);
    assert!(!cleaned.cib.to_xml().contains("colour") && cleaned.cib.to_xml().contains("surprise"));
}

#[test]
fn kept_things_in_json_are_new_only_where_that_is_wanted() {
    let cib = lenient();
    let refused = crm::load_document(&Cib::default(), &cib, Mode::Replace, Unknowns::Refuse);
    let findings = refused.unwrap_err();
    assert!(findings.iter().all(|f| f.code == "HV0401" && f.remedy.is_some()), "{findings:?}");
    assert!(findings.iter().any(|f| f.object.as_deref() == Some("cib")), "{findings:?}");
    let base =
        crm::load_document(&Cib::default(), &cib, Mode::Replace, Unknowns::Keep).unwrap().cib;
    let again = crm::load_document(&base, &base, Mode::Replace, Unknowns::Refuse).unwrap();
    assert_eq!(again.changed, Vec::<String>::new());
    assert_eq!(again.cib, base);
    // What no element or attribute can be called is never taken.
    let json = serde_json::to_string(&cib).unwrap().replace("\"colour\"", "\"colour of it\"");
    let odd: Cib = serde_json::from_str(&json).unwrap();
    let refused = crm::load_document(&Cib::default(), &odd, Mode::Replace, Unknowns::Keep);
    assert_eq!(refused.unwrap_err()[0].code, "HV0400");
}
