//! What a store gives back of the log, as bytes: record after record, each with its kind, index and length.

use haven_consensus::{Consensus, Recovered, RecoveredRecords};

use crate::life::{Member, Step, config};

const SNAPSHOT: u8 = 0;
const ENTRY: u8 = 1;
const HARD_STATE: u8 = 2;

/// The bytes of these records.
#[must_use]
pub fn write(records: &RecoveredRecords) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |kind: u8, index: u64, bytes: &[u8]| {
        out.push(kind);
        out.extend(index.to_le_bytes());
        out.extend(u16::try_from(bytes.len()).unwrap().to_le_bytes());
        out.extend(bytes);
    };
    if let Some((index, bytes)) = &records.snapshot {
        add(SNAPSHOT, *index, bytes);
    }
    for (index, bytes) in &records.entries {
        add(ENTRY, *index, bytes);
    }
    if let Some(bytes) = &records.hard_state {
        add(HARD_STATE, 0, bytes);
    }
    out
}

fn read(mut bytes: &[u8]) -> RecoveredRecords {
    let mut records = RecoveredRecords::default();
    while let Some(([kind, head @ ..], rest)) = bytes.split_first_chunk::<11>() {
        let [index @ .., low, high] = *head;
        let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (value, after) = rest.split_at(length);
        let (index, value) = (u64::from_le_bytes(index), value.to_vec());
        match *kind {
            SNAPSHOT => records.snapshot = Some((index, value)),
            ENTRY => records.entries.push((index, value)),
            _ => records.hard_state = Some(value),
        }
        bytes = after;
    }
    records
}

/// Starts a member from these records where they can be read, and lets it live a while.
pub fn recover(bytes: &[u8]) {
    let Ok(recovered) = Recovered::from_records(&read(bytes)) else { return };
    let batch = recovered.clone().into_batch().to_records();
    let again = RecoveredRecords {
        snapshot: batch.snapshot,
        entries: batch.entries,
        hard_state: batch.values.into_iter().next().map(|(_, bytes)| bytes),
    };
    assert_eq!(Recovered::from_records(&again), Ok(recovered.clone()));
    let Ok(machine) = Consensus::new(config(1), recovered, 1) else { return };
    let mut member = Member::of(machine);
    for step in [Step::Pass(20), Step::Force, Step::Propose(9), Step::Change(0b11, 0)] {
        member.step(&step);
    }
    member.step(&Step::Pass(20));
}
