//! Wrong texts: each error with its place, code, nearest word and remedy, all of them at once.

use crate::Cib;
use crate::crm::{Finding, Mode, load};

fn errors(text: &str) -> Vec<Finding> {
    load(&Cib::default(), text, Mode::Update).unwrap_err()
}

/// The only error of `text`: its code, line, column and nearest word.
#[track_caller]
fn expect(text: &str, code: &str, line: u32, column: u32, nearest: Option<&str>) {
    let found = errors(text);
    let [one] = found.as_slice() else { panic!("{text}: {found:#?}") };
    assert_eq!(
        (one.code.as_str(), one.line, one.column, one.nearest.as_deref()),
        (code, Some(line), Some(column), nearest),
        "{text}: {one}"
    );
    assert!(one.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "{text}: {one}");
}

#[test]
fn each_error_has_its_place_and_the_nearest_word() {
    expect("primitve a lsb:b", "HV0101", 1, 1, Some("primitive"));
    expect("\n\nfrobnicate now", "HV0101", 3, 1, None);
    expect("primitive a", "HV0102", 1, 12, None);
    expect("primitive a lsb:b \\\n  op", "HV0102", 2, 5, None);
    expect("primitive a lsb:b parms ip=1", "HV0103", 1, 19, Some("params"));
    expect("primitive a lsb:b params ip=\"1", "HV0104", 1, 29, None);
    expect("primitive 1a lsb:b", "HV0105", 1, 11, None);
    expect("primitive a lsb:b op monitor intervall=10s", "HV0108", 1, 22, Some("interval"));
    expect("primitive a ofc:haven:ip", "HV0109", 1, 13, Some("ocf"));
    expect("primitive a ocf:haven:", "HV0109", 1, 13, None);
    expect("primitive a lsb:b params x=1 x=2", "HV0108", 1, 30, None);
    expect("location l a 10o: n1", "HV0106", 1, 14, None);
    expect("location l a 100 n1", "HV0106", 1, 14, None);
    expect("location l a 100:", "HV0102", 1, 18, None);
    expect("location l a", "HV0102", 1, 13, None);
    expect("location l a rul 100: #uname eq n1", "HV0103", 1, 14, Some("rule"));
    expect("location l a rule #uname eq n1", "HV0106", 1, 19, None);
    expect("location l a rule 1: #uname equals n1", "HV0103", 1, 29, None);
    expect("location l a rule 1: #uname eq", "HV0102", 1, 31, None);
    expect("location l a rule 1: defined a and b eq c or d eq e", "HV0103", 1, 43, None);
    expect("location l a rule 1: date lte 2026", "HV0103", 1, 27, Some("lt"));
    expect("colocation c a b", "HV0106", 1, 14, None);
    expect("colocation c inf: a", "HV0102", 1, 20, None);
    expect("colocation c inf: a b:Promted", "HV0109", 1, 21, Some("Promoted"));
    expect("order o Mandatroy: a b", "HV0109", 1, 9, Some("Mandatory"));
    expect("order o a b symetrical=false", "HV0108", 1, 13, Some("symmetrical"));
    expect("order o ( a b", "HV0102", 1, 14, None);
    expect("order o a ) b", "HV0103", 1, 11, None);
    expect("group g", "HV0102", 1, 8, None);
    expect("property", "HV0102", 1, 9, None);
    expect("property no-quorum-policy stop", "HV0103", 1, 10, None);
    expect("tag t:", "HV0102", 1, 7, None);
    expect("rsc_ticket r t: a loss-policy=stpo", "HV0109", 1, 19, Some("stop"));
    expect("node n1:ful", "HV0109", 1, 6, None);
    expect("bundle b podmn image=x", "HV0109", 1, 10, Some("podman"));
    expect("xml '<frob/>'", "HV0109", 1, 5, None);
    expect("xml '<alert'", "HV0109", 1, 5, None);
    expect("primitive a lsb:a\nclone c a metas interleave=true", "HV0103", 2, 11, Some("meta"));
}

#[test]
fn what_does_not_fit_together_is_found_with_its_line() {
    let two = "primitive a lsb:b\n";
    expect(&format!("{two}primitive a lsb:c"), "HV0107", 2, 1, None);
    expect(&format!("{two}group g a aa"), "HV0201", 2, 1, Some("a"));
    expect(&format!("{two}group g a\ngroup h a"), "HV0202", 3, 1, None);
    expect(&format!("{two}clone c a\nclone d c"), "HV0203", 3, 1, None);
    expect(&format!("{two}primitive b @tmpl\nrsc_template tmp lsb:x"), "HV0204", 2, 1, Some("tmp"));
    expect(&format!("{two}tag a: a"), "HV0107", 2, 1, None);
}

#[test]
fn all_errors_come_at_once_in_the_order_of_lines() {
    let text =
        "primitve a lsb:b\nprimitive b lsb:b op monitor intervall=1s\n\nlocation l b 1o: n1\n";
    let lines: Vec<Option<u32>> = errors(text).iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [Some(1), Some(2), Some(4)]);
    let text = "primitive v ocf:haven:ip parms ip=1 op monitor intervall=10s timout=1s";
    assert_eq!(errors(text).len(), 3, "{:#?}", errors(text));
}

#[test]
fn an_error_names_the_object_it_is_about() {
    let finding = &errors("primitive vip ocf:haven:ip op monitor intervall=10s")[0];
    assert_eq!(
        finding.to_string(),
        "HV0108 line 1:31 vip: an operation has no attribute \"intervall\" (did you mean \"interval\"?); \
         write interval=…, or op_params intervall=… if the agent knows it"
    );
}
