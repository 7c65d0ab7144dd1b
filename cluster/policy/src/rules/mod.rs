//! Rules: when a block of values or a constraint counts.

pub(crate) mod nvpair;
pub(crate) mod time;

use std::cmp::Ordering;

use haven_cib::{AttributeTest, Condition, DateTest, Rule};

use crate::world::values;
use nvpair::Rules;

/// Whether a rule holds. `next` becomes the earliest time at which that may change.
pub(crate) fn holds(rule: &Rule, input: &Rules<'_>, next: &mut Option<i64>) -> bool {
    let any = match rule.boolean_op.as_deref() {
        None => false,
        Some(op) if op.eq_ignore_ascii_case("and") => false,
        Some(op) if op.eq_ignore_ascii_case("or") => true,
        Some(_) => return false,
    };
    for c in &rule.conditions {
        if condition(c, input, next) {
            if any {
                return true;
            }
        } else if !any {
            return false;
        }
    }
    !any || rule.conditions.is_empty()
}

fn condition(c: &Condition, input: &Rules<'_>, next: &mut Option<i64>) -> bool {
    match c {
        Condition::Rule(r) => holds(r, input, next),
        Condition::Attribute(t) => attribute(t, input).unwrap_or(false),
        Condition::Date(t) => date(t, input.now, next).unwrap_or(false),
        Condition::Resource { class, provider, kind, .. } => {
            let same = |want: &Option<String>, is: Option<&str>| {
                want.as_deref().is_none_or(|w| is == Some(w))
            };
            same(class, input.class) && same(provider, input.provider) && same(kind, input.kind)
        }
        Condition::Operation { name, interval, .. } => {
            name.as_deref().is_some_and(|n| input.op_name == Some(n))
                && interval.as_deref().is_none_or(|i| {
                    (i.starts_with('P') || values::millis(i).is_some())
                        && values::interval(Some(i)) == input.op_interval_ms
                })
        }
        Condition::Unknown(_) => false,
    }
}

/// `None` where the expression makes no sense, which counts as not holding.
fn attribute(t: &AttributeTest, input: &Rules<'_>) -> Option<bool> {
    let name = input.replace_submatches(t.attribute.as_deref()?);
    let op = t.operation.as_deref()?.to_ascii_lowercase();
    let actual = input.node_attrs.and_then(|a| a.get(name.as_ref())).map(String::as_str);
    match op.as_str() {
        "defined" => return t.value.is_none().then_some(actual.is_some()),
        "not_defined" => return t.value.is_none().then_some(actual.is_none()),
        _ => {}
    }
    let value = t.value.as_deref()?;
    let source = t.value_source.as_deref().unwrap_or("literal").to_ascii_lowercase();
    let reference = match source.as_str() {
        "literal" => Some(value),
        "param" => input.params.and_then(|p| p.get(value)).map(String::as_str),
        "meta" => input.meta.and_then(|p| p.get(value)).map(String::as_str),
        _ => return None,
    };
    let ordered = matches!(op.as_str(), "lt" | "lte" | "gt" | "gte");
    if !ordered && op != "eq" && op != "ne" {
        return None;
    }
    let dotted = |v: Option<&str>| v.is_some_and(|v| v.contains('.'));
    let kind = match t.kind.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None if !ordered => Kind::String,
        None if dotted(actual) || dotted(reference) => Kind::Number,
        None | Some("integer") => Kind::Integer,
        Some("string") => Kind::String,
        Some("number") => Kind::Number,
        Some("version") => Kind::Version,
        Some(_) => return None,
    };
    let order = compare(actual, reference, kind);
    Some(match op.as_str() {
        "eq" => order == Ordering::Equal,
        "ne" => order != Ordering::Equal,
        _ if actual.is_none() || reference.is_none() => false,
        "lt" => order == Ordering::Less,
        "lte" => order != Ordering::Greater,
        "gt" => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}

#[derive(Clone, Copy)]
enum Kind {
    String,
    Integer,
    Number,
    Version,
}

fn compare(a: Option<&str>, b: Option<&str>, kind: Kind) -> Ordering {
    let (a, b) = match (a, b) {
        (None, None) => return Ordering::Equal,
        (Some(_), None) => return Ordering::Greater,
        (None, Some(_)) => return Ordering::Less,
        (Some(a), Some(b)) => (a, b),
    };
    let text = || a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase());
    match kind {
        Kind::String => text(),
        Kind::Integer => match (values::int(a), values::int(b)) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => text(),
        },
        Kind::Number => match (number(a), number(b)) {
            (Some(x), Some(y)) => x.partial_cmp(&y).unwrap_or(Ordering::Equal),
            _ => text(),
        },
        Kind::Version => values::compare_versions(a, b),
    }
}

/// The number at the start of a text.
fn number(text: &str) -> Option<f64> {
    let t = text.trim_start();
    let mut end = t.len();
    while end > 0 {
        if let Some(v) = t.get(..end).and_then(|s| s.parse().ok()) {
            return Some(v);
        }
        end -= 1;
    }
    None
}

fn date(t: &DateTest, now: i64, next: &mut Option<i64>) -> Option<bool> {
    let op = t.operation.as_deref().unwrap_or("in_range").to_ascii_lowercase();
    let mut earlier = |at: i64| *next = Some(next.map_or(at, |n| n.min(at)));
    let parse = |text: &Option<String>| match text {
        None => Some(None),
        Some(s) => time::parse(s, now).map(Some),
    };
    match op.as_str() {
        "in_range" => {
            let start = parse(&t.start)?;
            let mut end = parse(&t.end)?;
            if start.is_none() && end.is_none() {
                return None;
            }
            if end.is_none()
                && let Some(d) = &t.duration
            {
                end = Some(time::add_duration(start?, d)?);
            }
            if let Some(s) = start
                && now < s
            {
                earlier(s);
                return Some(false);
            }
            if let Some(e) = end {
                if now > e {
                    return Some(false);
                }
                earlier(e + 1);
            }
            Some(true)
        }
        "gt" => {
            let start = parse(&t.start)??;
            if now > start {
                return Some(true);
            }
            earlier(start + 1);
            Some(false)
        }
        "lt" => {
            let end = parse(&t.end)??;
            if now < end {
                earlier(end);
                return Some(true);
            }
            Some(false)
        }
        "date_spec" => {
            let spec = t.spec.as_ref()?;
            let fields = time::fields(now);
            for (name, value) in fields {
                if let Some(range) = spec.get(name)
                    && !in_range(range, value)?
                {
                    return Some(false);
                }
            }
            Some(true)
        }
        _ => None,
    }
}

/// Whether a value lies in a range like `9-17`, `5`, `9-` or `-17`.
fn in_range(range: &str, value: i64) -> Option<bool> {
    let exact = |s: &str| values::scan(s).filter(|(_, rest)| rest.is_empty()).map(|(v, _)| v);
    let (low, high) = match range.split_once('-') {
        None => {
            let v = exact(range)?;
            (Some(v), Some(v))
        }
        Some(("", "")) => return None,
        Some((low, "")) => (Some(exact(low)?), None),
        Some(("", high)) => (None, Some(exact(high)?)),
        Some((low, high)) => (Some(exact(low)?), Some(exact(high)?)),
    };
    Some(low.is_none_or(|l| value >= l) && high.is_none_or(|h| value <= h))
}
