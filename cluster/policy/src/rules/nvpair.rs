//! Blocks of named values, by score and rule.

use std::borrow::Cow;
use std::collections::BTreeMap;

use haven_cib::NvSet;

use crate::world::values;

/// What rules may ask about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules<'a> {
    pub(crate) now: i64,
    pub(crate) node_attrs: Option<&'a BTreeMap<String, String>>,
    pub(crate) params: Option<&'a BTreeMap<String, String>>,
    pub(crate) meta: Option<&'a BTreeMap<String, String>>,
    pub(crate) class: Option<&'a str>,
    pub(crate) provider: Option<&'a str>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) op_name: Option<&'a str>,
    pub(crate) op_interval_ms: u64,
    /// Groups of the pattern that selected the resource.
    pub(crate) submatches: &'a [Option<String>],
}

impl<'a> Rules<'a> {
    /// Replaces `%0` to `%9` by what the pattern matched.
    pub(crate) fn replace_submatches<'b>(&self, text: &'b str) -> Cow<'b, str> {
        if self.submatches.is_empty() || !text.contains('%') {
            return Cow::Borrowed(text);
        }
        let mut out = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match chars.peek().and_then(|d| d.to_digit(10)) {
                Some(d) if c == '%' => {
                    chars.next();
                    if let Some(Some(m)) = self.submatches.get(d as usize) {
                        out.push_str(m);
                    }
                }
                _ => out.push(c),
            }
        }
        Cow::Owned(out)
    }
}

/// Adds the values of all blocks that count, the first definition winning. Returns the time at
/// which a rule among them may change.
pub(crate) fn unpack(
    sets: &[NvSet],
    first_id: Option<&str>,
    input: &Rules<'_>,
    values: &mut BTreeMap<String, String>,
) -> Option<i64> {
    let mut next = None;
    if let [set] = sets {
        add(set, input, values, &mut next);
        return next;
    }
    let score = |s: &NvSet| s.score.as_deref().and_then(|t| parse_score(t, (0, 0, 0))).unwrap_or(0);
    // Of blocks with one score the last written counts first.
    let mut order: Vec<&NvSet> = sets.iter().rev().collect();
    order.sort_by_key(|s| (first_id != Some(s.id.as_str()), -i64::from(score(s))));
    for set in order {
        add(set, input, values, &mut next);
    }
    next
}

fn add(
    set: &NvSet,
    input: &Rules<'_>,
    values: &mut BTreeMap<String, String>,
    next: &mut Option<i64>,
) {
    if let Some(rule) = &set.rule
        && !super::holds(rule, input, next)
    {
        return;
    }
    for pair in &set.pairs {
        let Some(value) = &pair.value else { continue };
        if value.eq_ignore_ascii_case("#default") {
            values.remove(&pair.name);
        } else if !values.contains_key(&pair.name) {
            values.insert(pair.name.clone(), value.clone());
        }
    }
}

/// Whether any of the blocks has a rule.
pub(crate) fn any_rule(sets: &[NvSet]) -> bool {
    sets.iter().any(|s| s.rule.is_some())
}

/// A score; `health` are the values of red, yellow and green.
pub(crate) fn parse_score(text: &str, health: (i32, i32, i32)) -> Option<i32> {
    match text {
        "-INFINITY" => return Some(-values::INFINITY),
        "INFINITY" | "+INFINITY" => return Some(values::INFINITY),
        _ => {}
    }
    if text.eq_ignore_ascii_case("red") {
        return Some(health.0);
    }
    if text.eq_ignore_ascii_case("yellow") {
        return Some(health.1);
    }
    if text.eq_ignore_ascii_case("green") {
        return Some(health.2);
    }
    let limit = i64::from(values::INFINITY);
    i32::try_from(values::int(text)?.clamp(-limit, limit)).ok()
}
