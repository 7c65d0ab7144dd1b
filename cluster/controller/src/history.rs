//! Status: each node owns its own part and streams it to all voters, so that whoever becomes the
//! coordinator knows it already.

use std::collections::BTreeMap;

use haven_types::operation::{ExecutionStatus, OcfCode, OperationRecord};
use haven_types::{BootId, NodeId};
use serde::{Deserialize, Serialize};

use crate::attributes::Traits;

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
    /// How attributes are kept, of those with anything to say about that.
    pub traits: BTreeMap<String, Traits>,
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
    /// How all of them are kept, where that changed.
    pub traits: Option<BTreeMap<String, Traits>>,
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
        // A notification changes nothing of the resource it is told to.
        if record.operation.action == "notify" {
            return;
        }
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
        let clears_recurring =
            matches!(record.operation.action.as_str(), "stop" | "start" | "demote")
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
        self.change_all(records, forgotten, attributes, None)
    }

    /// [`Self::change`], with how attributes are kept from now on.
    pub fn change_all(
        &mut self,
        records: Vec<OperationRecord>,
        forgotten: Vec<String>,
        attributes: Option<BTreeMap<String, String>>,
        traits: Option<BTreeMap<String, Traits>>,
    ) -> StatusDelta {
        let version = self.version + 1;
        let delta = StatusDelta {
            node: self.node,
            boot: self.boot,
            version,
            records,
            forgotten,
            attributes,
            traits,
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
        if let Some(traits) = &delta.traits {
            self.traits.clone_from(traits);
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

/// Degraded (OCF 1.1: 190, and 191 of a promoted instance) counts as well, and is shown.
pub(crate) const fn undegraded(code: OcfCode) -> OcfCode {
    match code.0 {
        190 => OcfCode(0),
        191 => OcfCode(8),
        _ => code,
    }
}

/// Whether a record is the answer the plan expected.
#[must_use]
pub(crate) fn as_expected(record: &OperationRecord) -> bool {
    record.outcome.as_ref().is_some_and(|outcome| {
        outcome.status == ExecutionStatus::Done && undegraded(outcome.code) == expected_code(record)
    })
}

/// Whether a record says that a recurring operation was ended as the coordinator wanted.
#[must_use]
pub(crate) fn cancelled_as_ordered(record: &OperationRecord) -> bool {
    let cancelled = |outcome: &haven_types::operation::Outcome| {
        outcome.status == ExecutionStatus::Cancelled && outcome.code == OcfCode::OK
    };
    !record.operation.interval.is_zero() && record.outcome.as_ref().is_some_and(cancelled)
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
    // Whatever a probe finds is an answer, a promoted instance among it.
    let told = matches!(undegraded(outcome.code).0, 0 | 7 | 8);
    let probe_answer = is_probe(record) && outcome.status == ExecutionStatus::Done && told;
    !probe_answer && !as_expected(record)
}

/// Whether an instance is promoted, by what its node last said of it.
#[must_use]
pub(crate) fn promoted(records: &ResourceRecords) -> bool {
    records.get(&Slot::Last).is_some_and(|record| {
        let code = record.outcome.as_ref().map(|outcome| undegraded(outcome.code).0);
        matches!(
            (record.operation.action.as_str(), code),
            ("promote", Some(0)) | ("monitor", Some(8))
        )
    })
}

/// Whether a resource may be running under no lease, by what its node last said of it. A probe that came to no answer
/// says nothing of that.
#[must_use]
pub(crate) fn unleased(records: &ResourceRecords) -> bool {
    let Some(last) = records.get(&Slot::Last).filter(|_| active(records)) else { return false };
    let found = last.outcome.as_ref().is_some_and(|it| undegraded(it.code) == OcfCode::OK);
    // A start and a stop end what recurs: what does is younger than the start.
    let recurring = |slot: &Slot| matches!(slot, Slot::Recurring(_));
    let leased = records.iter().any(|(slot, it)| recurring(slot) && it.lease.is_some());
    last.lease.is_none() && !leased && (found || !is_probe(last))
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
