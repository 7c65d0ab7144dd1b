//! Failures about which nothing is done, because the configuration says so.

use haven_api::{Active, Role};
use haven_cib::Primitive;
use haven_types::operation::OperationRecord;

use crate::controller::Controller;
use crate::history::{ResourceRecords, Slot, failed};

impl Controller {
    /// Marks the places where a recurring operation fails whose `on-fail` is `block`, and says what happened
    /// and how to go on.
    pub(crate) fn blocked(&self, p: &Primitive, active: &mut [Active]) -> Option<String> {
        let blocks = |record: &&OperationRecord| {
            let of = |op: &&haven_cib::Operation| op.name == record.operation.action;
            let word = |op: &haven_cib::Operation| op.options.get("on-fail").cloned();
            p.operations.iter().filter(of).filter_map(word).any(|word| word == "block")
        };
        let mut told = None;
        for (id, history) in &self.histories {
            let records = history.resources.get(&p.id);
            let Some(record) = records.and_then(failing).filter(blocks) else { continue };
            let node = self.name_of(*id);
            for place in active.iter_mut().filter(|place| place.node == node) {
                place.role = Role::Failed;
                let outcome = record.outcome.as_ref();
                let why = outcome.map(|o| format!("{} {}", o.code, o.reason)).unwrap_or_default();
                told = Some(format!(
                    "{} on {node} failed: {}; on-fail=block, so nothing is done about it until \
                     `haven resource cleanup {}`",
                    record.operation.action,
                    why.trim(),
                    p.id
                ));
            }
        }
        told
    }
}

/// A recurring operation whose last run failed since whatever was done last.
pub(crate) fn failing(records: &ResourceRecords) -> Option<&OperationRecord> {
    let last = records.get(&Slot::Last).map_or(0, |record| record.call);
    let recurring = records.iter().filter(|(slot, _)| matches!(slot, Slot::Recurring(_)));
    recurring.map(|(_, record)| record).find(|record| failed(record) && record.call > last)
}
