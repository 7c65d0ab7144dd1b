//! Scores, and rules with their expressions.

use std::collections::BTreeMap;

use haven_base::nearest;

use super::cursor::Cursor;
use crate::crm::finding::Finding;
use crate::crm::lex::{Token, quote};
use crate::crm::names::{RENAMED_ROLES, present_name};
use crate::model::{AttributeTest, Condition, DateTest, Rule};
use crate::schema;
use crate::unknown::{Found, Surplus};

const BINARY: [&str; 6] = ["lt", "gt", "lte", "gte", "eq", "ne"];
const UNARY: [&str; 2] = ["defined", "not_defined"];
const TYPES: [&str; 4] = ["string", "version", "number", "integer"];
const SOURCES: [&str; 3] = ["literal", "param", "meta"];
const DEEPEST: usize = 16;

/// Fields of a date specification.
const FIELDS: &[&str] = &[
    "seconds",
    "minutes",
    "hours",
    "monthdays",
    "weekdays",
    "yeardays",
    "months",
    "weeks",
    "years",
    "weekyears",
    "moon",
];

/// Ends and length of a range of dates.
const RANGE: &[&str] =
    &["start", "end", "seconds", "minutes", "hours", "days", "weeks", "months", "years"];

/// A score as the document writes it: a number, or INFINITY with its sign. None when it is none.
pub(in crate::crm) fn score(text: &str) -> Option<String> {
    let (sign, number) = match text.strip_prefix(['+', '-']) {
        Some(number) => (if text.starts_with('-') { "-" } else { "" }, number),
        None => ("", text),
    };
    if number.eq_ignore_ascii_case("inf") || number.eq_ignore_ascii_case("infinity") {
        return Some(format!("{sign}INFINITY"));
    }
    let digits = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    (digits && number.len() <= 9).then(|| format!("{sign}{number}"))
}

/// Reports that `text` is no score.
pub(super) fn complain_score(cursor: &mut Cursor<'_>, token: &Token, text: &str) {
    cursor.complain_at(
        token,
        Finding::error("HV0106", format!("\"{text}\" is no score"))
            .near(nearest(text, ["inf", "-inf"]))
            .fix("write a whole number from -1000000 to 1000000, inf or -inf, then a colon"),
    );
}

/// Reads `[$id=ID] [$role=ROLE] [SCORE:] EXPRESSION` behind the word `rule`. In a constraint the score,
/// or the name of an attribute that holds it, is needed.
pub(super) fn rule(cursor: &mut Cursor<'_>, default_id: &str, score_needed: bool) -> Option<Rule> {
    let mut rule = Rule { id: default_id.to_owned(), ..Rule::default() };
    while let Some(token) = cursor.peek() {
        if let Some(id) = token.text.strip_prefix("$id=") {
            rule.id = id.to_owned();
        } else if let Some(role) = token.text.strip_prefix("$role=") {
            rule.role = Some(role_word(role));
        } else if let Some(text) = token.text.strip_suffix(':')
            && !token.quoted
            && !text.is_empty()
            && quote(text) == text
        {
            rule.score = score(text);
            if rule.score.is_none() {
                rule.score_attribute = Some(text.to_owned());
            }
        } else {
            break;
        }
        cursor.next();
    }
    if score_needed && rule.score.is_none() && rule.score_attribute.is_none() {
        match cursor.peek() {
            Some(token) => cursor.complain_at(
                token,
                Finding::error(
                    "HV0106",
                    format!("expected the rule's score, found \"{}\"", token.text),
                )
                .fix("write: rule SCORE: EXPRESSION, for example rule -inf: not_defined pingd"),
            ),
            None => cursor.complain_at_end("the rule's score", "write: rule SCORE: EXPRESSION"),
        }
    }
    expression(cursor, &mut rule, 0)?;
    Some(rule)
}

pub(super) fn role_word(role: &str) -> String {
    present_name(RENAMED_ROLES, role).to_owned()
}

/// Reads conditions joined by `and` or by `or`.
fn expression(cursor: &mut Cursor<'_>, rule: &mut Rule, depth: usize) -> Option<()> {
    loop {
        let id = match rule.conditions.len() {
            0 => format!("{}-expression", rule.id),
            n => format!("{}-expression-{}", rule.id, n - 1),
        };
        let condition = condition(cursor, &id, depth)?;
        rule.conditions.push(condition);
        let Some(token) = cursor.peek() else { return Some(()) };
        let joins = !token.quoted && (token.text == "and" || token.text == "or");
        if !joins {
            return Some(());
        }
        cursor.next();
        match &rule.boolean_op {
            Some(word) if *word != token.text => {
                cursor.complain_at(
                    token,
                    Finding::error("HV0103", "\"and\" and \"or\" stand side by side")
                        .fix("put parentheses around one of the parts"),
                );
                return None;
            }
            _ => rule.boolean_op = Some(token.text.clone()),
        }
    }
}

fn condition(cursor: &mut Cursor<'_>, id: &str, depth: usize) -> Option<Condition> {
    const FIX: &str = "for example: #uname eq n1, or defined pingd, or date gt 2026-01-01";
    let token = cursor.expect("a condition", FIX)?;
    match token.text.as_str() {
        "xml" if !token.quoted && names_an_element(cursor) => unknown(cursor),
        "(" if !token.quoted => nested(cursor, id, token, depth),
        "date" if !token.quoted => date(cursor, id).map(Condition::Date),
        "rsc" if names_parts(cursor) && !token.quoted => {
            let mut parts = parts(cursor, &["class", "provider", "type"]);
            Some(Condition::Resource {
                id: id.to_owned(),
                class: parts.remove("class"),
                provider: parts.remove("provider"),
                kind: parts.remove("type"),
            })
        }
        "op" if names_parts(cursor) && !token.quoted => {
            let mut parts = parts(cursor, &["name", "interval"]);
            let (name, interval) = (parts.remove("name"), parts.remove("interval"));
            Some(Condition::Operation { id: id.to_owned(), name, interval })
        }
        word if UNARY.contains(&word) && !token.quoted => {
            let attribute = cursor.expect("the name of a node attribute", FIX)?;
            Some(Condition::Attribute(AttributeTest {
                id: id.to_owned(),
                attribute: Some(attribute.text.clone()),
                operation: Some(word.to_owned()),
                ..AttributeTest::default()
            }))
        }
        _ => comparison(cursor, id, token).map(Condition::Attribute),
    }
}

fn names_an_element(cursor: &Cursor<'_>) -> bool {
    cursor.peek().is_some_and(|token| token.text.starts_with('<'))
}

/// `xml '<element …/>'`: a condition that no schema knows, kept as it was written; it never holds.
fn unknown(cursor: &mut Cursor<'_>) -> Option<Condition> {
    let token = cursor.next()?;
    let element = match crate::xml::parse(&token.text) {
        Ok(element) => element.without_lines(),
        Err(error) => {
            let fix = "write one element, for example: xml '<expression …/>'";
            cursor.complain_at(token, Finding::error("HV0109", error.to_string()).fix(fix));
            return None;
        }
    };
    let known = schema::element("rule").map_or(&[][..], |kind| kind.children);
    let mut finding = Finding::unknown(&Surplus {
        line: token.line,
        inside: "rule".to_owned(),
        object: None,
        nearest: nearest(&element.name, known.iter().copied()),
        found: Found::Element(element.name.clone()),
        allowed: known,
    });
    if known.contains(&element.name.as_str()) {
        let message = format!("<{}> has words of its own in a rule", element.name);
        finding = Finding::error("HV0109", message).fix("for example: #uname eq n1");
    }
    cursor.complain_at(token, finding);
    Some(Condition::Unknown(element))
}

fn nested(cursor: &mut Cursor<'_>, id: &str, open: &Token, depth: usize) -> Option<Condition> {
    if depth >= DEEPEST {
        cursor.complain_at(
            open,
            Finding::error("HV0103", format!("more than {DEEPEST} parentheses inside each other"))
                .fix("write the rule more simply"),
        );
        return None;
    }
    let mut inner = Rule { id: format!("{id}-rule"), ..Rule::default() };
    expression(cursor, &mut inner, depth + 1)?;
    let close = cursor.expect("a closing parenthesis", "put ) with a blank before it")?;
    if close.text != ")" {
        cursor.complain_at(
            close,
            Finding::error("HV0103", format!("expected ), found \"{}\"", close.text))
                .fix("put ) with a blank before it"),
        );
        return None;
    }
    Some(Condition::Rule(inner))
}

/// `ATTRIBUTE [TYPE:][SOURCE:]OPERATOR VALUE`
fn comparison(cursor: &mut Cursor<'_>, id: &str, attribute: &Token) -> Option<AttributeTest> {
    const FIX: &str = "compare with lt, gt, lte, gte, eq or ne, for example: #uname eq n1";
    let operator = cursor.expect("an operator", FIX)?;
    let mut test = AttributeTest {
        id: id.to_owned(),
        attribute: Some(attribute.text.clone()),
        ..AttributeTest::default()
    };
    let mut words: Vec<&str> = operator.text.split(':').collect();
    let word = words.pop().unwrap_or_default();
    for prefix in words {
        if TYPES.contains(&prefix) {
            test.kind = Some(prefix.to_owned());
        } else if SOURCES.contains(&prefix) {
            test.value_source = Some(prefix.to_owned());
        } else {
            cursor.complain_at(
                operator,
                Finding::error("HV0103", format!("\"{prefix}\" is no type of values"))
                    .near(nearest(prefix, TYPES.into_iter().chain(SOURCES)))
                    .fix("use string, integer, number or version"),
            );
        }
    }
    if !BINARY.contains(&word) {
        cursor.complain_at(
            operator,
            Finding::error("HV0103", format!("\"{word}\" is no operator"))
                .near(nearest(word, BINARY.into_iter().chain(UNARY)))
                .fix(FIX),
        );
    }
    test.operation = Some(word.to_owned());
    test.value = Some(cursor.expect("the value to compare with", FIX)?.text.clone());
    Some(test)
}

fn date(cursor: &mut Cursor<'_>, id: &str) -> Option<DateTest> {
    const FIX: &str = "date lt END, date gt START, date in start=… end=…, or date spec hours=9-17";
    let token = cursor.expect("lt, gt, in or spec", FIX)?;
    let mut test = DateTest { id: id.to_owned(), ..DateTest::default() };
    match token.text.as_str() {
        "lt" => test.end = Some(cursor.expect("the end date", FIX)?.text.clone()),
        "gt" => test.start = Some(cursor.expect("the start date", FIX)?.text.clone()),
        "in" | "in_range" => {
            let mut given = parts(cursor, RANGE);
            test.start = given.remove("start");
            test.end = given.remove("end");
            test.duration = Some(given).filter(|rest| !rest.is_empty());
        }
        "spec" | "date_spec" => test.spec = Some(parts(cursor, FIELDS)),
        other => {
            cursor.complain_at(
                token,
                Finding::error("HV0103", format!("\"{other}\" is no test of dates"))
                    .near(nearest(other, ["lt", "gt", "in", "spec"]))
                    .fix(FIX),
            );
            return None;
        }
    }
    let operation = match token.text.as_str() {
        "in" => "in_range",
        "spec" => "date_spec",
        word => word,
    };
    test.operation = Some(operation.to_owned());
    Some(test)
}

fn names_parts(cursor: &Cursor<'_>) -> bool {
    cursor.peek().is_some_and(|token| token.text.contains('='))
}

/// Reads `name=value` words while their names are among `known`.
fn parts(cursor: &mut Cursor<'_>, known: &[&str]) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    while let Some((name, value)) = cursor.peek().and_then(|token| token.text.split_once('='))
        && known.contains(&name)
    {
        parts.insert(name.to_owned(), value.to_owned());
        cursor.next();
    }
    parts
}
