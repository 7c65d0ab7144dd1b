//! Status: each node owns its own part and streams it to all voters, so that whoever becomes the
//! coordinator knows it already.

use std::collections::BTreeMap;

use haven_types::operation::{ExecutionStatus, OcfCode, OperationRecord};
use haven_types::{BootId, NodeId};
use serde::{Deserialize, Serialize};

/// Which entry of a resource's history a record replaces.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Slot {
    /// The last operation that was not recurring.
    Last,
    /// The last that failed.
    LastFailure,
    /// A recurring operation, by its key.
    Recurring(String),
}

/// The history of one resource on one node.
pub type ResourceRecords = BTreeMap<Slot, OperationRecord>;

/// One node's part of the status.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct NodeHistory {
    /// Whose.
    pub node: NodeId,
    /// Of which life of its daemon.
    pub boot: BootId,
    /// Rises by one with every change within a boot.
    pub version: u64,
    /// By resource.
    pub resources: BTreeMap<String, ResourceRecords>,
    /// Transient attributes: fail counts, `standby` until reboot, promotion scores.
    pub attributes: BTreeMap<String, String>,
}

/// What changed from one version of a [`NodeHistory`] to the next.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StatusDelta {
    /// Whose.
    pub node: NodeId,
    /// Of which life.
    pub boot: BootId,
    /// The version it makes; it applies to the one before.
    pub version: u64,
    /// New records, each with the slots it takes.
    pub records: Vec<OperationRecord>,
    /// Resources to forget.
    pub forgotten: Vec<String>,
    /// All attributes, where any changed.
    pub attributes: Option<BTreeMap<String, String>>,
}

/// What a delta did to a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merged {
    /// The copy is one version further.
    Applied,
    /// The copy had it already.
    Known,
    /// Something before it is missing: ask for the whole.
    Gap,
}

impl NodeHistory {
    /// An empty history.
    #[must_use]
    pub fn new(node: NodeId, boot: BootId) -> Self {
        Self { node, boot, ..Self::default() }
    }

    /// Puts a record into its slots.
    pub fn record(&mut self, record: OperationRecord) {
        let slots = self.resources.entry(record.operation.resource.clone()).or_default();
        let recurring = !record.operation.interval.is_zero();
        let cancelled = record
            .outcome
            .as_ref()
            .is_some_and(|outcome| outcome.status == ExecutionStatus::Cancelled);
        // What never ran says nothing about the resource.
        if cancelled && !recurring {
            return;
        }
        if failed(&record) {
            slots.insert(Slot::LastFailure, record.clone());
        }
        if recurring {
            let key = Slot::Recurring(record.operation.key());
            if cancelled {
                slots.remove(&key);
            } else {
                slots.insert(key, record);
            }
            return;
        }
        let clears_recurring = matches!(record.operation.action.as_str(), "stop" | "start")
            && record.outcome.is_some();
        if clears_recurring {
            slots.retain(|slot, _| !matches!(slot, Slot::Recurring(_)));
        }
        slots.insert(Slot::Last, record);
    }

    /// Makes the change and returns the delta that makes it elsewhere.
    pub fn change(
        &mut self,
        records: Vec<OperationRecord>,
        forgotten: Vec<String>,
        attributes: Option<BTreeMap<String, String>>,
    ) -> StatusDelta {
        let version = self.version + 1;
        let delta = StatusDelta {
            node: self.node,
            boot: self.boot,
            version,
            records,
            forgotten,
            attributes,
        };
        self.merge(&delta);
        delta
    }

    /// Applies a delta if it follows on this version.
    pub fn merge(&mut self, delta: &StatusDelta) -> Merged {
        if delta.boot < self.boot || (delta.boot == self.boot && delta.version <= self.version) {
            return Merged::Known;
        }
        if delta.boot != self.boot || delta.version != self.version + 1 {
            return Merged::Gap;
        }
        self.version = delta.version;
        for name in &delta.forgotten {
            self.resources.remove(name);
        }
        for record in &delta.records {
            self.record(record.clone());
        }
        if let Some(attributes) = &delta.attributes {
            self.attributes.clone_from(attributes);
        }
        Merged::Applied
    }
}

/// The result code that counts as success of an operation.
#[must_use]
pub(crate) fn expected_code(record: &OperationRecord) -> OcfCode {
    let wanted = record.operation.meta.get("op_target_rc").and_then(|rc| rc.parse().ok());
    OcfCode(wanted.unwrap_or(0))
}

/// Whether a record is the answer the plan expected.
#[must_use]
pub(crate) fn as_expected(record: &OperationRecord) -> bool {
    record.outcome.as_ref().is_some_and(|outcome| {
        outcome.status == ExecutionStatus::Done && outcome.code == expected_code(record)
    })
}

/// Whether a record is a probe: a single monitor that asks what is there.
#[must_use]
pub(crate) fn is_probe(record: &OperationRecord) -> bool {
    record.operation.action == "monitor" && record.operation.interval.is_zero()
}

/// Whether a record counts as a failure. A probe that finds something running, or nothing, does not.
#[must_use]
pub(crate) fn failed(record: &OperationRecord) -> bool {
    let Some(outcome) = &record.outcome else { return false };
    if outcome.status == ExecutionStatus::Cancelled {
        return false;
    }
    let told = matches!(outcome.code, OcfCode::OK | OcfCode::NOT_RUNNING);
    let probe_answer = is_probe(record) && outcome.status == ExecutionStatus::Done && told;
    !probe_answer && !as_expected(record)
}

/// Whether a resource may be running, by what its node last said of it.
#[must_use]
pub(crate) fn active(records: &ResourceRecords) -> bool {
    records.get(&Slot::Last).is_some_and(|record| {
        let code = record.outcome.as_ref().map(|outcome| outcome.code);
        match record.operation.action.as_str() {
            "stop" => code != Some(OcfCode::OK),
            "monitor" => code != Some(OcfCode::NOT_RUNNING),
            _ => true,
        }
    })
}
