//! Scores and rules.

use crate::crm::lex::quote;
use crate::model::{AttributeTest, Condition, DateTest, Rule};

/// Words that start another kind of condition, so that an attribute of that name is quoted.
const RESERVED: [&str; 10] =
    ["xml", "date", "defined", "not_defined", "rsc", "op", "(", ")", "and", "or"];

fn word(text: &str) -> String {
    if RESERVED.contains(&text) { format!("\"{text}\"") } else { quote(text) }
}

/// A score with its colon.
pub(super) fn score(score: &str) -> String {
    let short = match score {
        "INFINITY" | "+INFINITY" => "inf",
        "-INFINITY" => "-inf",
        other => other,
    };
    quote(&format!("{short}:"))
}

/// A rule with the word `rule`.
pub(super) fn rule(rule: &Rule, default_id: &str) -> String {
    let mut words = vec!["rule".to_owned()];
    if rule.id != default_id {
        words.push(format!("$id={}", quote(&rule.id)));
    }
    words.extend(rule.role.as_ref().map(|role| format!("$role={}", quote(role))));
    match (&rule.score, &rule.score_attribute) {
        (Some(text), _) => words.push(score(text)),
        (None, Some(attribute)) => words.push(quote(&format!("{attribute}:"))),
        (None, None) => {}
    }
    words.push(conditions(rule));
    words.join(" ")
}

fn conditions(rule: &Rule) -> String {
    let joint = format!(" {} ", rule.boolean_op.as_deref().unwrap_or("and"));
    rule.conditions.iter().map(condition).collect::<Vec<_>>().join(&joint)
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Rule(rule) => format!("( {} )", conditions(rule)),
        Condition::Attribute(test) => attribute(test),
        Condition::Date(test) => date(test),
        Condition::Resource { class, provider, kind, .. } => {
            let parts = [("class", class), ("provider", provider), ("type", kind)];
            format!("rsc{}", given(&parts))
        }
        Condition::Operation { name, interval, .. } => {
            format!("op{}", given(&[("name", name), ("interval", interval)]))
        }
        Condition::Unknown(element) => super::xml(element),
    }
}

fn given(parts: &[(&str, &Option<String>)]) -> String {
    parts
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!(" {name}={}", quote(value))))
        .collect()
}

fn attribute(test: &AttributeTest) -> String {
    let name = word(test.attribute.as_deref().unwrap_or_default());
    let operation = test.operation.as_deref().unwrap_or("eq");
    if operation == "defined" || operation == "not_defined" {
        return format!("{operation} {name}");
    }
    let prefix: String =
        [&test.kind, &test.value_source].into_iter().flatten().map(|p| format!("{p}:")).collect();
    let value = quote(test.value.as_deref().unwrap_or_default());
    format!("{name} {prefix}{operation} {value}")
}

fn date(test: &DateTest) -> String {
    let text = |value: &Option<String>| quote(value.as_deref().unwrap_or_default());
    let fields = |map: &Option<std::collections::BTreeMap<String, String>>| -> String {
        map.iter().flatten().map(|(name, value)| format!(" {name}={}", quote(value))).collect()
    };
    match test.operation.as_deref() {
        Some("lt") => format!("date lt {}", text(&test.end)),
        Some("gt") => format!("date gt {}", text(&test.start)),
        Some("date_spec") => format!("date spec{}", fields(&test.spec)),
        _ => {
            let ends = given(&[("start", &test.start), ("end", &test.end)]);
            format!("date in{ends}{}", fields(&test.duration))
        }
    }
}
