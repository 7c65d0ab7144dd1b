//! Failures about which nothing is done, because the configuration says so.

use haven_api::{Active, Role};
use haven_cib::Primitive;
use haven_types::operation::OperationRecord;

use crate::controller::Controller;
use crate::history::{ResourceRecords, Slot, failed, undegraded};

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

impl Controller {
    /// What agents say is wrong with a resource that runs (190 and 191 of OCF 1.1).
    pub(crate) fn degraded(&self, p: &Primitive) -> Option<String> {
        self.histories.iter().filter(|(id, _)| self.heard(**id)).find_map(|(id, history)| {
            let records = history.resources.get(&p.id)?;
            let last = records.get(&Slot::Last).map_or(0, |record| record.call);
            let recurring = records.iter().filter(|(slot, _)| matches!(slot, Slot::Recurring(_)));
            let outcome = recurring
                .filter(|(_, record)| record.call > last)
                .filter_map(|(_, record)| record.outcome.as_ref())
                .find(|outcome| undegraded(outcome.code) != outcome.code)?;
            Some(format!("degraded on {}: {}", self.name_of(*id), outcome.reason))
        })
    }
}

/// A recurring operation whose last run failed since whatever was done last.
pub(crate) fn failing(records: &ResourceRecords) -> Option<&OperationRecord> {
    let last = records.get(&Slot::Last).map_or(0, |record| record.call);
    let recurring = records.iter().filter(|(slot, _)| matches!(slot, Slot::Recurring(_)));
    recurring.map(|(_, record)| record).find(|record| failed(record) && record.call > last)
}

#[cfg(test)]
mod tests {
    use haven_api::{ReplyBody, RequestBody, Role};

    use crate::bench::{Bench, VIP};

    #[test]
    fn what_runs_and_serves_nobody_is_told_and_nothing_moves() {
        let mut bench = Bench::new(VIP);
        let (at, owner) = (bench.coordinator(), bench.owner());
        for (code, told) in [(190, true), (0, false)] {
            bench.codes.insert((owner, "vip_monitor_10000".to_owned()), code);
            bench.run(11_000);
            let status = bench.answer(at, RequestBody::Status).unwrap();
            let ReplyBody::Status(status) = status else { panic!("{status:?}") };
            let vip = &status.resources[0];
            assert_eq!(vip.active[0].role, Role::Started);
            assert_eq!(vip.trouble.is_some(), told, "{:?}", vip.trouble);
            let named = |text: &String| text.starts_with(&format!("degraded on n{owner}"));
            assert!(vip.trouble.as_ref().is_none_or(named));
        }
        assert_eq!(bench.called("vip_start_0"), [owner]);
    }
}
