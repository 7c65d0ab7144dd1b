//! Errors of different stages are told in one go, and none that only follows from another.

use std::collections::{BTreeMap, BTreeSet};

use crate::Cib;
use crate::crm::{
    AgentFacts, Facts, Finding, MemberFacts, Mode, ParamFacts, Unknowns, agents_in, attempt,
    attempt_rest, load,
};

fn facts() -> Facts {
    let member = |name: &str| MemberFacts { name: name.to_owned(), witness: false, votes: true };
    let required = ParamFacts { required: true, unique: true, alias_of: None };
    let params = BTreeMap::from([("ip".to_owned(), required)]);
    let ip = AgentFacts { lease: true, params, judge: None };
    Facts {
        members: Some(vec![member("n1"), member("n2")]),
        agents: BTreeMap::from([("ocf:haven:ip".to_owned(), ip)]),
        complete: vec!["ocf:haven:".to_owned()],
        ..Facts::default()
    }
}

fn told(base: &Cib, text: &str, facts: &Facts) -> Vec<Finding> {
    attempt(base, text, Mode::Update, Unknowns::Refuse).verify(facts)
}

fn codes(findings: &[Finding]) -> Vec<(&str, u32)> {
    findings.iter().map(|f| (f.code.as_str(), f.line.unwrap_or_default())).collect()
}

/// The text has just these findings: codes with lines.
#[track_caller]
fn expect(text: &str, expected: &[(&str, u32)]) {
    let found = told(&Cib::default(), text, &facts());
    assert_eq!(codes(&found), expected, "{text}\n{found:#?}");
}

#[test]
fn a_slip_in_each_of_four_lines_is_told_in_one_go() {
    let text = "primitive a lsb:a op monitor interval=10s\nlocation l zz 100: n1\n\
                property no-quorum-polcy=stop\ngroup g a q\nprimitve k lsb:k\n";
    let found = told(&Cib::default(), text, &Facts::default());
    assert_eq!(codes(&found), [("HV0306", 2), ("HV0308", 3), ("HV0201", 4), ("HV0101", 5)]);
    assert!(found.iter().all(|it| it.remedy.is_some() && it.is_error()), "{found:#?}");
    assert_eq!(found[1].nearest.as_deref(), Some("no-quorum-policy"));
    assert_eq!(found[3].nearest.as_deref(), Some("primitive"));
}

/// An error of each stage, a line each.
const STAGES: &[(&str, &str)] = &[
    ("HV0104", "primitive lx lsb:a params x=\"1"),
    ("HV0101", "primitve pa lsb:a"),
    ("HV0102", "primitive pb"),
    ("HV0108", "primitive pp lsb:a op monitor intervall=10s"),
    ("HV0401", "xml '<alert id=\"al\" path=\"/a\" colour=\"red\"/>'"),
    ("HV0205", "primitive re lsb:a params $id-ref=nowhere op monitor interval=10s"),
    ("HV0201", "monitor mo 10s"),
    ("HV0107", "primitive good lsb:b"),
    ("HV0201", "group gr member qq"),
    ("HV0204", "primitive te @nope"),
    ("HV0306", "location lo zz 100: n1"),
    ("HV0307", "location no good 100: n7"),
    ("HV0308", "property no-quorum-polcy=stop"),
    ("HV0310", "rsc_defaults target-role=Startd"),
    ("HV0303", "primitive vi ocf:haven:ip meta lease=on requires=quorum op monitor interval=1s"),
];

#[test]
fn whichever_errors_meet_each_is_told_and_no_other() {
    const GOOD: &str = "primitive good lsb:a op monitor interval=10s\n\
                        primitive member lsb:a op monitor interval=10s\n";
    let mut chosen: Vec<Vec<usize>> = vec![(0..STAGES.len()).collect()];
    for a in 0..STAGES.len() {
        chosen.push(vec![a]);
        for b in a + 1..STAGES.len() {
            chosen.extend([vec![a, b], vec![b, a]]);
        }
    }
    let facts = facts();
    for chosen in chosen {
        let mut text = GOOD.to_owned();
        let mut expected = Vec::new();
        for (line, stage) in (3..).zip(chosen) {
            let (code, words) = STAGES[stage];
            text.push_str(words);
            text.push('\n');
            expected.push((code, line));
        }
        let mut found = told(&Cib::default(), &text, &facts);
        // Said of the line that is to lack a parameter, and true.
        found.retain(|it| it.code != "HV0319");
        assert_eq!(codes(&found), expected, "{text}\n{found:#?}");
        assert!(load(&Cib::default(), &text, Mode::Update).map_or(true, |loaded| {
            crate::crm::verify(&loaded.cib, &facts).iter().any(Finding::is_error)
        }));
    }
}

#[test]
fn what_a_broken_line_may_have_declared_is_not_missed() {
    let a = "primitive a lsb:a op monitor interval=10s\n";
    let named = "group g a k\nlocation l k 1: n1\ntag t: k\norder o a k\nmonitor k 5s\n";
    expect(&format!("{a}primitve k lsb:k\n{named}"), &[("HV0101", 2)]);
    expect(&format!("{a}primitive k\n{named}"), &[("HV0102", 2)]);
    expect(&format!("{a}xml '<primitive id=\"k\" class=\"lsb\"'\n{named}"), &[("HV0109", 2)]);
    expect("primitive k\nclone c k meta interleave=true\nlocation l c 1: n1", &[("HV0102", 1)]);
    expect("rsc_templat t ocf:haven:ip\nprimitive p @t", &[("HV0101", 1)]);
    expect(&format!("{a}tga t: a\nlocation l t 1: n1"), &[("HV0101", 2)]);
    expect(&format!("{a}bundel b podman image=x\nlocation l a 1: b-0"), &[("HV0101", 2)]);
    let refers = "primitive r lsb:r params $id-ref=b op monitor interval=1s";
    expect(&format!("primitve b lsb:b params x=1\n{refers}"), &[("HV0101", 1)]);
    expect(&format!("primitve q lsb:b params $id=b x=1\n{refers}"), &[("HV0101", 1)]);
    expect(&format!("primitive b lsb:b parms y=1\n{refers}"), &[("HV0103", 1)]);
    // What no broken line names is missed all the same.
    expect(&format!("{a}primitve k lsb:k\ngroup g a q"), &[("HV0101", 2), ("HV0201", 3)]);
    let both = [("HV0201", 1), ("HV0306", 3)];
    expect("clone c q meta interleave=true\nlocation l c 1: n1\nlocation m q 1: n1", &both);
}

#[test]
fn what_a_broken_line_may_have_said_is_not_missed() {
    expect("primitive k lsb:k\nop monitor interval=10s", &[("HV0101", 2)]);
    expect("primitive k lsb:k\nmonitor k x", &[("HV0109", 2)]);
    expect("primitive k lsb:k\nmonitro k 10s", &[("HV0101", 2)]);
    expect("primitive v ocf:haven:ip meta requires=nothing lease=off x", &[("HV0103", 1)]);
    let vip = "primitive v ocf:haven:ip ip=192.0.2.1 op monitor interval=10s\n";
    expect(vip, &[("HV0311", 1)]);
    expect(&format!("{vip}grop g v meta lease=off"), &[("HV0101", 2)]);
    expect(&format!("{vip}group g v meta leas off"), &[("HV0103", 2)]);
    expect(&format!("{vip}rsc_default lease=off"), &[("HV0101", 2)]);
    expect(&format!("{vip}locaton l v 1: n1"), &[("HV0311", 1), ("HV0101", 2)]);
    let a = "primitive a lsb:a op monitor interval=10s\n";
    expect(&format!("{a}location l a 1o: n1\nlocation m a -inf: n1"), &[("HV0106", 2)]);
    expect(&format!("{a}xml '<alert id=\"al\" path=\"/a\" colour=\"red\"/>'"), &[("HV0401", 2)]);
    // Where a quote is open, nothing is certain of the line.
    let open = "group g a \"k\nlocation l k 1: n1";
    let found = told(&Cib::default(), &format!("{a}{open}"), &facts());
    assert!(found.iter().all(|it| it.line == Some(2)), "{found:#?}");
}

#[test]
fn what_is_wrong_in_a_broken_line_besides_is_told() {
    expect(
        "primitive a lsb:a meta priorty=1 op monitor intervall=10s interval=5s",
        &[("HV0309", 1), ("HV0108", 1)],
    );
    expect("group g q parms x=1", &[("HV0201", 1), ("HV0103", 1)]);
    expect("location l zz 1o: n1", &[("HV0306", 1), ("HV0106", 1)]);
}

#[test]
fn what_a_broken_line_would_take_the_place_of_contradicts_nothing() {
    let vip = "primitive v ocf:haven:ip ip=192.0.2.1 op monitor interval=10s\ngroup g v\n";
    let base = load(&Cib::default(), vip, Mode::Replace).unwrap().cib;
    let lease = Facts { members: None, ..facts() };
    let other = vip.lines().next().unwrap().replace("primitive v", "primitive w");
    let text = format!("{other}\nprimitve v ocf:haven:ip ip=192.0.2.2");
    let found = told(&base, &text, &lease);
    assert_eq!(codes(&found), [("HV0101", 2)], "{found:#?}");
    let found = told(&base, &other, &lease);
    assert_eq!(found.len(), 1, "{found:#?}");
}

/// What judging finds in what is known of a document whose objects of these ids have something unknown.
fn judged_rest(inside: &str, objects: &[&str]) -> Vec<String> {
    let text = format!("<cib><configuration>{inside}</configuration></cib>");
    let (cib, ..) = Cib::from_xml_lenient(&text).unwrap();
    let objects: BTreeSet<&str> = objects.iter().copied().collect();
    let attempt = attempt_rest(&Cib::default(), &cib, Mode::Replace, &objects);
    let found = attempt.verify(&facts());
    found.into_iter().filter(Finding::is_error).map(|it| it.code).collect()
}

#[test]
fn what_an_unknown_word_in_a_document_may_have_said_is_not_missed() {
    let vip = r#"<primitive id="v" class="ocf" provider="haven" type="ip"><instance_attributes id="p">
<nvpair id="i" name="ip" value="192.0.2.1"/></instance_attributes>
<operations><op id="o" name="monitor" interval="10s"/></operations></primitive>"#;
    let off = |id: &str, nvpair: &str| {
        format!(
            r#"<meta_attributes id="{id}"><{nvpair} id="x" name="lease" value="off"/></meta_attributes>"#
        )
    };
    let plain = format!("<resources>{vip}</resources>");
    assert_eq!(judged_rest(&plain, &[]), ["HV0311"]);
    let group =
        format!(r#"<resources><group id="g">{}{vip}</group></resources>"#, off("m", "nvpiar"));
    assert_eq!(judged_rest(&group, &["g"]), [""; 0]);
    let defaults = format!("{plain}<rsc_defaults>{}</rsc_defaults>", off("d", "nvpiar"));
    assert_eq!(judged_rest(&defaults, &["d"]), [""; 0]);
    let defaults = format!("{plain}<rsc_defalts>{}</rsc_defalts>", off("d", "nvpair"));
    assert_eq!(judged_rest(&defaults, &[]), [""; 0]);
}

#[test]
fn no_agent_is_asked_for_of_a_line_with_an_open_quote() {
    let agents = |text: &str| agents_in(text).into_iter().map(|agent| agent.2).collect::<Vec<_>>();
    let lines = "primitive a lsb:one\nprimitive b lsb:two params x=\"1";
    assert_eq!(agents(lines), ["one"]);
}
