//! The machine's durable state as opaque bytes, for a store that knows nothing of consensus.
//!
//! Every value starts with a version byte; what follows is postcard. An entry is stored under its
//! index, the hard state under [`HARD_STATE_KEY`], the snapshot beside its index.

use haven_types::LogIndex;
use serde::{Deserialize, Serialize};

use crate::persist::{Batch, HardState, LogEntry, Recovered, Snapshot};

/// The version this build writes. It reads the same.
const VERSION: u8 = 1;

/// Key of the hard state among the store's values.
const HARD_STATE_KEY: &str = "consensus.hard-state";

/// A [`Batch`] as the store takes it: one atomic, durable write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchRecords {
    /// Index and bytes of the new snapshot.
    pub snapshot: Option<(u64, Vec<u8>)>,
    /// Every entry goes first.
    pub clear_entries: bool,
    /// Index and bytes, without gaps; entries from the first index on go first.
    pub entries: Vec<(u64, Vec<u8>)>,
    /// Key and bytes of values to replace.
    pub values: Vec<(String, Vec<u8>)>,
    /// Entries before this index may go.
    pub compact_before: Option<u64>,
}

/// What the store gives back at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredRecords {
    /// Index and bytes of the newest snapshot.
    pub snapshot: Option<(u64, Vec<u8>)>,
    /// Index and bytes, ascending.
    pub entries: Vec<(u64, Vec<u8>)>,
    /// Bytes of the value under [`RecoveredRecords::VALUE_KEY`].
    pub hard_state: Option<Vec<u8>>,
}

impl RecoveredRecords {
    /// The one key among the store's values that belongs to consensus.
    pub const VALUE_KEY: &'static str = HARD_STATE_KEY;
}

/// Why stored bytes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer build.
    #[error(
        "cannot read {what}: it has format {found}, this build knows {VERSION}; run the newer haven again"
    )]
    NewerVersion {
        /// Which record.
        what: String,
        /// Its version byte.
        found: u8,
    },
    /// Does not decode, or contradicts its place.
    #[error("cannot read {what}: its bytes are damaged; set the store aside and join again")]
    Damaged {
        /// Which record.
        what: String,
    },
}

impl Batch {
    /// This batch in bytes.
    #[must_use]
    pub fn to_records(&self) -> BatchRecords {
        BatchRecords {
            snapshot: self.snapshot.as_ref().map(|it| (it.position.index.0, encode(it))),
            clear_entries: self.clear_entries,
            entries: self.entries.iter().map(|it| (it.position.index.0, encode(it))).collect(),
            values: self
                .hard_state
                .iter()
                .map(|it| (HARD_STATE_KEY.to_owned(), encode(it)))
                .collect(),
            compact_before: self.compact_before.map(|LogIndex(index)| index),
        }
    }
}

impl Recovered {
    /// What these bytes mean.
    ///
    /// # Errors
    /// A record of a newer version, or one that does not decode or stands in the wrong place.
    pub fn from_records(records: &RecoveredRecords) -> Result<Self, RecordError> {
        let snapshot = match &records.snapshot {
            None => None,
            Some((index, bytes)) => {
                let what = || format!("the snapshot at index {index}");
                let it: Snapshot = decode(bytes, what)?;
                if it.position.index.0 != *index || it.configuration.check().is_err() {
                    return Err(RecordError::Damaged { what: what() });
                }
                Some(it)
            }
        };
        let mut entries = Vec::with_capacity(records.entries.len());
        for (index, bytes) in &records.entries {
            let what = || format!("the log entry at index {index}");
            let it: LogEntry = decode(bytes, what)?;
            if it.position.index.0 != *index {
                return Err(RecordError::Damaged { what: what() });
            }
            entries.push(it);
        }
        let hard_state = match &records.hard_state {
            None => HardState::default(),
            Some(bytes) => decode(bytes, || "term and vote".to_owned())?,
        };
        Ok(Self { snapshot, entries, hard_state })
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Serialising our own types into memory has no way to fail.
    postcard::to_extend(value, vec![VERSION]).unwrap_or_default()
}

fn decode<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    what: impl Fn() -> String,
) -> Result<T, RecordError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            Ok(_) | Err(_) => Err(RecordError::Damaged { what: what() }),
        },
        Some((&found, _)) if found > VERSION => {
            Err(RecordError::NewerVersion { what: what(), found })
        }
        Some(_) | None => Err(RecordError::Damaged { what: what() }),
    }
}
