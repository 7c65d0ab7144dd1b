//! Fail counts, kept by the node where the failures happen, in the field's own attribute names:
//! `fail-count-RESOURCE#OPERATION_INTERVALMS` and `last-failure-…` (seconds since 1970).

use std::collections::BTreeMap;

use haven_api::FailureRow;
use haven_cib::Cib;
use haven_types::operation::OperationRecord;

use crate::history::{failed, is_probe};

/// What the configuration says about counting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// A failed start forbids the node at once.
    start_is_fatal: bool,
}

impl Options {
    pub(crate) fn of(cib: &Cib) -> Self {
        let value = cib.option("start-failure-is-fatal").unwrap_or("true");
        let start_is_fatal = !matches!(value, "false" | "no" | "off" | "0" | "n");
        Self { start_is_fatal }
    }
}

/// The attributes after these records; nothing where no record was a failure.
pub(crate) fn counted(
    attributes: &BTreeMap<String, String>,
    records: &[OperationRecord],
    options: Options,
) -> Option<BTreeMap<String, String>> {
    let mut changed = attributes.clone();
    for record in records.iter().filter(|record| failed(record) && !is_probe(record)) {
        let operation = &record.operation;
        let suffix = format!(
            "{}#{}_{}",
            operation.resource,
            operation.action,
            operation.interval.as_millis()
        );
        let fatal = match operation.action.as_str() {
            "start" => options.start_is_fatal,
            "stop" => true,
            _ => false,
        };
        let count = changed.get(&format!("fail-count-{suffix}")).map_or("0", String::as_str);
        let next = match (fatal, count.parse::<u64>()) {
            (true, _) | (false, Err(_)) => "INFINITY".to_owned(),
            (false, Ok(count)) => (count + 1).min(1_000_000).to_string(),
        };
        changed.insert(format!("fail-count-{suffix}"), next);
        let when = record.last_change.seconds.to_string();
        changed.insert(format!("last-failure-{suffix}"), when);
    }
    (changed != *attributes).then_some(changed)
}

/// The attributes without the failures of a resource; of all resources where the name is empty.
pub(crate) fn cleared(
    mut attributes: BTreeMap<String, String>,
    resource: &str,
) -> BTreeMap<String, String> {
    attributes.retain(|name, _| {
        let rest = name.strip_prefix("fail-count-").or_else(|| name.strip_prefix("last-failure-"));
        let Some(rest) = rest else { return true };
        let of = rest.split('#').next().unwrap_or(rest);
        !(resource.is_empty() || of == resource)
    });
    attributes
}

/// Every failure that is counted; where, and what the agent said, is for the caller to add.
pub(crate) fn all(attributes: &BTreeMap<String, String>) -> Vec<FailureRow> {
    attributes
        .iter()
        .filter_map(|(name, count)| {
            let key = name.strip_prefix("fail-count-")?;
            let (resource, what) = key.rsplit_once('#')?;
            let (operation, interval) = what.rsplit_once('_')?;
            let last = attributes.get(&format!("last-failure-{key}"));
            Some(FailureRow {
                resource: resource.to_owned(),
                node: String::new(),
                operation: operation.to_owned(),
                interval_ms: interval.parse().ok()?,
                count: count.parse().unwrap_or(1_000_000),
                last: last.and_then(|second| second.parse().ok()),
                rc: None,
                reason: String::new(),
            })
        })
        .collect()
}

/// What stands for a count that allows nothing more.
pub(crate) const INFINITY: u32 = 1_000_000;

/// How often each resource failed on a node, over all its operations, as [`count_of`] tells of one.
pub(crate) fn counts(attributes: &BTreeMap<String, String>) -> BTreeMap<String, u32> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for (name, value) in attributes {
        let key = name.strip_prefix("fail-count-").and_then(|key| key.rsplit_once('#'));
        let Some((resource, _)) = key else { continue };
        let sum = counts.entry(resource.to_owned()).or_default();
        *sum = sum.saturating_add(value.parse().unwrap_or(INFINITY)).min(INFINITY);
    }
    counts
}

/// How often a resource failed on a node, over all its operations; 1 000 000 stands for INFINITY.
pub(crate) fn count_of(attributes: &BTreeMap<String, String>, resource: &str) -> u32 {
    let prefix = format!("fail-count-{resource}#");
    attributes
        .iter()
        .filter(|(name, _)| name.starts_with(&prefix))
        .map(|(_, value)| value.parse().unwrap_or(INFINITY))
        .fold(0_u32, u32::saturating_add)
        .min(INFINITY)
}
