//! Documents in XML and JSON that cannot be taken: where, what, and what to do.

mod json;
mod places;

use haven_api::{Finding, Severity};
use haven_cib::crm;
use haven_cib::{Cib, CibError};

use crate::configure::finding;
pub(crate) use places::Places;

/// A document that cannot be taken.
pub(crate) struct Unread {
    pub(crate) findings: Vec<Finding>,
    /// What is known in it; none where it cannot be read at all.
    pub(crate) rest: Option<Box<Cib>>,
}

/// What is wrong with a document in XML: one thing, or everything in it that no schema knows.
pub(crate) fn bad_xml(error: &CibError) -> Vec<Finding> {
    if let CibError::Unknown(found) = error {
        return found.iter().map(|one| finding(crm::Finding::unknown(one))).collect();
    }
    #[allow(clippy::wildcard_enum_match_arm, reason = "other errors concern no line")]
    let line = match error {
        CibError::Syntax { line, .. }
        | CibError::Missing { line, .. }
        | CibError::Empty { line, .. }
        | CibError::DanglingReference { line, .. } => Some(*line),
        _ => None,
    };
    // The sentence ends with what to do.
    let text = error.to_string();
    let (message, remedy) = match text.rsplit_once("; ") {
        Some((message, remedy)) => (message.to_owned(), remedy.to_owned()),
        None => (text, "compare with `haven configure show --format xml`".to_owned()),
    };
    vec![unreadable(line, None, message, remedy)]
}

/// The configuration that a document in JSON holds. What it has no field for is refused, or where `lenient` left out:
/// nothing that JSON is made of has a place for it. Each such field is told.
pub(crate) fn from_json(text: &str, lenient: bool) -> Result<(Cib, Vec<Finding>), Unread> {
    let nothing = |findings| Unread { findings, rest: None };
    match json::read(text, !lenient) {
        Ok((cib, surplus)) if lenient || surplus.is_empty() => {
            Ok((cib, surplus.iter().map(left_out).collect()))
        }
        // What was misspelt is judged as what it was meant to be.
        Ok((cib, surplus)) => {
            let findings = surplus.iter().map(no_such_field).collect();
            Err(Unread { findings, rest: Some(Box::new(cib)) })
        }
        Err(json::BadJson::Syntax(error)) => {
            let place = |number: usize| u32::try_from(number).ok().filter(|number| *number > 0);
            let (line, column) = (place(error.line()), place(error.column()));
            let message = format!("cannot read the configuration: {error}");
            Err(nothing(vec![bad_json(line, column, message)]))
        }
        Err(json::BadJson::Shape { path, line, error, surplus }) => {
            let message = format!("cannot read the configuration at {path}: {error}");
            let mut findings: Vec<Finding> = surplus.iter().map(no_such_field).collect();
            findings.push(bad_json(line.or(Some(1)), None, message));
            Err(nothing(findings))
        }
    }
}

fn bad_json(line: Option<u32>, column: Option<u32>, message: String) -> Finding {
    let remedy = "compare with `haven configure show --format json`".to_owned();
    unreadable(line, column, message, remedy)
}

fn no_such_field(surplus: &json::Surplus) -> Finding {
    let json::Surplus { inside, field, allowed, .. } = surplus;
    let message = format!(
        "{inside} has a field \"{field}\" that there is none of; allowed: {}",
        allowed.join(", ")
    );
    let remedy = "remove it or correct its name, or give --lenient, which leaves it out".to_owned();
    Finding {
        code: "HV0401".to_owned(),
        object: surplus.object.clone(),
        nearest: surplus.nearest.map(str::to_owned),
        ..unreadable(surplus.line, None, message, remedy)
    }
}

fn left_out(surplus: &json::Surplus) -> Finding {
    let json::Surplus { inside, field, .. } = surplus;
    let message = format!(
        "{inside} has a field \"{field}\" that there is none of: it is left out and not kept"
    );
    let remedy = "remove it or correct its name".to_owned();
    Finding {
        code: "HV0403".to_owned(),
        severity: Severity::Warning,
        message,
        remedy: Some(remedy),
        ..no_such_field(surplus)
    }
}

fn unreadable(line: Option<u32>, column: Option<u32>, message: String, remedy: String) -> Finding {
    Finding {
        code: "HV0400".to_owned(),
        severity: Severity::Error,
        line,
        column,
        object: None,
        message,
        nearest: None,
        remedy: Some(remedy),
    }
}

#[cfg(test)]
mod tests {
    use haven_api::{Code, Format, Load, LoadMode, RequestBody};
    use haven_cib::Cib;

    use super::*;
    use crate::bench::Bench;

    const DOCUMENT: &str = "<cib><configuration>\n<resources>\n\
        <primitive id=\"a\" class=\"lsb\" type=\"a\"/>\n\
        <primitive id=\"b\" class=\"lsb\" type=\"b\"/>\n</resources>\n<constraints>\n\
        <rsc_location id=\"l\" rsc=\"a\" node=\"n1\" score=\"5\"/>\n</constraints>\n</configuration></cib>\n";

    fn refused(bench: &mut Bench, format: Format, text: &str) -> Vec<Finding> {
        let mode = LoadMode::Replace;
        let load = Load { text: text.to_owned(), format, mode, ..Load::default() };
        let body = RequestBody::ConfigureLoad(load);
        let error = bench.answer(1, body).unwrap_err();
        assert!(matches!(error.code, Code::BadData | Code::Configuration), "{error}");
        assert!(!error.findings.is_empty(), "{text}");
        error.findings
    }

    #[test]
    fn a_damaged_document_is_refused_with_line_and_remedy() {
        let mut bench = Bench::new("");
        for (damage, line, said) in [
            (DOCUMENT.replace("</resources>", "</resource>"), 5, "resource"),
            (
                DOCUMENT.replace("<primitive id=\"b\"", "<primitve id=\"b\""),
                4,
                "<primitve> in <resources>, where no schema knows",
            ),
            (DOCUMENT.replace(" id=\"l\"", ""), 7, "no attribute `id`"),
            (DOCUMENT.replace("type=\"b\"", "type=b"), 4, ""),
            (DOCUMENT.replace("rsc=\"a\"", "rsc=\"none\""), 7, "none"),
            (DOCUMENT.replace("id=\"b\"", "id=\"a\""), 3, "taken"),
        ] {
            let findings = refused(&mut bench, Format::Xml, &damage);
            let first = &findings[0];
            assert_eq!(first.line, Some(line), "{first}");
            assert!(first.message.contains(said), "{first}");
            assert!(first.remedy.is_some(), "{first}");
        }
        let cut = refused(&mut bench, Format::Xml, &DOCUMENT[..DOCUMENT.len() / 2]);
        assert!(cut[0].line.is_some() && cut[0].remedy.is_some(), "{}", cut[0]);
    }

    #[test]
    fn what_no_schema_knows_is_refused_as_a_whole_or_kept_and_told() {
        let mut bench = Bench::new("");
        let odd = DOCUMENT
            .replace("id=\"a\" class", "id=\"a\" colour=\"red\" class")
            .replace("score=\"5\"/>", "scor=\"5\" score=\"5\"/>");
        let findings = refused(&mut bench, Format::Xml, &odd);
        let told: Vec<_> =
            findings.iter().map(|f| (f.code.as_str(), f.line, f.nearest.as_deref())).collect();
        assert_eq!(told, [("HV0401", Some(3), None), ("HV0401", Some(7), Some("score"))]);
        assert!(findings.iter().all(|f| f.remedy.as_ref().unwrap().contains("--lenient")));
        let load = |text: String, lenient| {
            let (format, mode) = (Format::Xml, LoadMode::Replace);
            RequestBody::ConfigureLoad(Load { text, format, mode, lenient, ..Load::default() })
        };
        let reply = bench.answer(1, load(odd.clone(), true)).unwrap();
        let haven_api::ReplyBody::Committed { findings, .. } = reply else { panic!("{reply:?}") };
        let told: Vec<_> = findings
            .iter()
            .filter(|f| f.code == "HV0402")
            .map(|f| (f.severity, f.line, f.object.as_deref()))
            .collect();
        let warning = Severity::Warning;
        assert_eq!(told, [(warning, Some(3), Some("a")), (warning, Some(7), Some("l"))]);
        let show = RequestBody::ConfigureShow { format: Format::Xml };
        let reply = bench.answer(1, show).unwrap();
        let haven_api::ReplyBody::Configuration { text, .. } = reply else { panic!("{reply:?}") };
        assert!(text.contains("colour=\"red\"") && text.contains("scor=\"5\""), "{text}");
        // The same document without them takes them out again.
        bench.answer(1, load(DOCUMENT.to_owned(), false)).unwrap();
        let show = RequestBody::ConfigureShow { format: Format::Xml };
        let reply = bench.answer(1, show).unwrap();
        let haven_api::ReplyBody::Configuration { text, .. } = reply else { panic!("{reply:?}") };
        assert!(!text.contains("colour") && !text.contains("scor="), "{text}");
    }

    #[test]
    fn a_document_cut_or_changed_anywhere_is_taken_or_refused_never_worse() {
        let mut bench = Bench::new("");
        let cib = Cib::from_xml(DOCUMENT).unwrap().0;
        let json = serde_json::to_string_pretty(&cib).unwrap();
        for (format, text) in [(Format::Xml, DOCUMENT), (Format::Json, json.as_str())] {
            for at in (0..text.len()).step_by(7) {
                let cut = text[..at].to_owned();
                let swapped = format!("{}\u{1}{}", &text[..at], &text[at + 1..]);
                for damage in [cut, swapped] {
                    let body = RequestBody::ConfigureVerify {
                        text: Some(damage.clone()),
                        format,
                        mode: LoadMode::Replace,
                        lenient: false,
                    };
                    let answer = bench.ask(1, body);
                    let answer = bench.answers.remove(&answer).unwrap().remove(0);
                    let Ok(haven_api::ReplyBody::Verified { findings }) = answer else {
                        panic!("{damage}")
                    };
                    let unread = findings.iter().filter(|f| f.code == "HV0400");
                    for finding in unread {
                        assert!(finding.line.is_some(), "{finding}\n{damage}");
                        assert!(finding.remedy.is_some(), "{finding}");
                    }
                }
            }
        }
        let wrong = json.replacen("\"members\"", "\"membrs\"", 1).replacen(
            "\"resources\": [",
            "\"resources\": 7, \"x\": [",
            1,
        );
        let findings = refused(&mut bench, Format::Json, &wrong);
        assert!(findings[0].line.is_some_and(|line| line > 1), "{}", findings[0]);
    }

    const JSON: &str = r#"{
 "resources": [
  {"Primitive": {"id": "a", "class": "lsb", "type": "a",
   "kind": "a", "meta": [{"idd": "a-meta",
    "pairs": [{"name": "priority", "value": "5", "weight": 7}]}]}}
 ],
 "constraints": [{"Location": {"id": "l", "resource": "a", "nod": "n1", "score": "5"}}],
 "odd one": {}
}"#;

    #[test]
    fn fields_that_there_are_none_of_are_refused_all_at_once_with_path_and_nearest_name() {
        let mut bench = Bench::new("");
        let findings = refused(&mut bench, Format::Json, JSON);
        let told: Vec<_> = findings
            .iter()
            .map(|f| {
                let at = f.message.split(" that").next().unwrap_or_default();
                (f.code.as_str(), f.line, f.object.as_deref(), at, f.nearest.as_deref())
            })
            .collect();
        let primitive = ".resources[0].Primitive";
        let at = |inside: &str, field: &str| format!("{inside} has a field \"{field}\"");
        let (kind, id) = (at(primitive, "type"), at(&format!("{primitive}.meta[0]"), "idd"));
        let weight = at(&format!("{primitive}.meta[0].pairs[0]"), "weight");
        let node = at(".constraints[0].Location", "nod");
        assert_eq!(
            told,
            [
                ("HV0401", Some(3), Some("a"), kind.as_str(), None),
                ("HV0401", Some(4), Some("a"), id.as_str(), Some("id")),
                ("HV0401", Some(5), Some("a"), weight.as_str(), None),
                ("HV0401", Some(7), Some("l"), node.as_str(), Some("node")),
                ("HV0401", Some(8), None, ". has a field \"odd one\"", None),
            ]
        );
        assert!(
            findings[1].message.ends_with("allowed: id, score, rule, pairs"),
            "{}",
            findings[1]
        );
        assert!(findings.iter().all(|f| f.remedy.as_ref().unwrap().contains("--lenient")));
    }

    #[test]
    fn what_json_has_no_place_for_is_told_when_it_is_left_out() {
        let mut bench = Bench::new("");
        let text = JSON.replace("\"idd\"", "\"id\"").replace("\"nod\"", "\"node\"");
        let (format, mode) = (Format::Json, LoadMode::Replace);
        let load = Load { text, format, mode, lenient: true, ..Load::default() };
        let reply = bench.answer(1, RequestBody::ConfigureLoad(load)).unwrap();
        let haven_api::ReplyBody::Committed { findings, .. } = reply else { panic!("{reply:?}") };
        let told: Vec<_> = findings
            .iter()
            .filter(|f| f.code == "HV0403")
            .map(|f| (f.severity, f.line, f.nearest.as_deref()))
            .collect();
        let warning = Severity::Warning;
        assert_eq!(
            told,
            [(warning, Some(3), None), (warning, Some(5), None), (warning, Some(8), None)]
        );
        // Lenient is not guessing: what is misspelt is not heeded, and then an id is missing.
        let load = Load { text: JSON.to_owned(), format, mode, lenient: true, ..Load::default() };
        let error = bench.answer(1, RequestBody::ConfigureLoad(load)).unwrap_err();
        let last = error.findings.last().unwrap();
        assert!(
            last.message.contains("at .resources[0].Primitive.meta[0]: missing field `id`"),
            "{last}"
        );
        assert_eq!(last.line, Some(4), "{last}");
    }

    #[test]
    fn ten_thousand_findings_have_each_its_line() {
        // To read the document once for each of them would take minutes.
        let all = 10_000_u32;
        let element =
            |n| format!("<rsc_location id=\"l{n}\" rsc=\"r{n}\" node=\"n1\" score=\"5\"/>\n");
        let elements: String = (1..=all).map(element).collect();
        let text = format!(
            "<cib><configuration><constraints>\n{elements}</constraints></configuration></cib>\n"
        );
        let findings = refused(&mut Bench::new(""), Format::Xml, &text);
        let told: Vec<_> = findings.iter().map(|f| (f.object.clone(), f.line)).collect();
        let due: Vec<_> = (1..=all).map(|n| (Some(format!("l{n}")), Some(n + 1))).collect();
        assert_eq!(told, due);
    }
}
