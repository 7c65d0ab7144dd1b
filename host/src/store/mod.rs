//! The durable store of a node: a log of opaque entries, a snapshot, and small values, in one
//! directory that one process at a time has open.
//!
//! ```text
//!  log-0000000000000001   fixed size, written with zeroes when made; header, checkpoint, batches
//!  log-0000000000000002   …                                          ◀── appends go here
//!  snapshot-1f-8c         the newest snapshot: index and batch in hexadecimal
//!  spare                  zeroes, the next segment
//!  lock                   held while open
//! ```
//!
//! One append is one frame and one `fdatasync`: the file's size and blocks were settled when it
//! was made, so the sync has no metadata to write. A frame that does not check is told apart by
//! what is missing from it: a write cut short by a crash was never acknowledged and is dropped;
//! anything else is damage and is reported, never skipped. (See `frame`, and ADR 0002 for why the
//! log is not kept in a database.)
//!
//! After the first failed write or sync the store refuses everything: what the kernel dropped
//! then cannot be known. Opening it writes the newest segment anew and syncs it before anything read from
//! it is believed: the kernel may still show what a failed sync never brought to the disk.

mod disk;
mod error;
mod frame;
mod replay;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use disk::{Directory, Disk};
pub use error::StoreError;
use frame::{FRAME_ALIGN, HEADER_LEN, SegmentHeader};
pub use worker::{Done, Worker};

/// Size of a segment unless one batch needs more, in bytes.
const SEGMENT_LEN: u64 = 1 << 20;
/// The most that values may hold together, keys included, in bytes.
const MAX_VALUES: usize = 256 << 10;
/// The largest batch without its snapshot, in bytes.
const MAX_BATCH: usize = 64 << 20;

/// One atomic, durable change. Effects in this order: clear, snapshot, entries, values, compact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Every entry goes first.
    pub clear_entries: bool,
    /// Replaces the snapshot: the index it stands for, and its bytes.
    pub snapshot: Option<(u64, Vec<u8>)>,
    /// Index and bytes, without gaps. Entries from the first one's index on go first.
    pub entries: Vec<(u64, Vec<u8>)>,
    /// Values to set, or with `None` to remove.
    pub values: Vec<(String, Option<Vec<u8>>)>,
    /// Entries before this index may go.
    pub compact_before: Option<u64>,
}

/// What a store held when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The newest snapshot: the index it stands for, and its bytes.
    pub snapshot: Option<(u64, Vec<u8>)>,
    /// Index and bytes, ascending, without gaps.
    pub entries: Vec<(u64, Vec<u8>)>,
    /// Every value.
    pub values: BTreeMap<String, Vec<u8>>,
}

/// Where the newest snapshot is, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SnapshotRef {
    index: u64,
    name: String,
    len: u64,
    crc: u32,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Record {
    /// Everything but entries; the first of each segment.
    Checkpoint {
        values: BTreeMap<String, Vec<u8>>,
        snapshot: Option<SnapshotRef>,
        compact_before: u64,
    },
    /// One change.
    Batch {
        clear_entries: bool,
        snapshot: Option<SnapshotRef>,
        entries: Vec<(u64, Vec<u8>)>,
        values: Vec<(String, Option<Vec<u8>>)>,
        compact_before: Option<u64>,
    },
}

/// A record with its place in the sequence of all records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Numbered {
    sequence: u64,
    record: Record,
}

/// A segment on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    number: u64,
    /// The highest entry index in it, or 0.
    highest: u64,
}

impl Segment {
    fn name(number: u64) -> String {
        format!("log-{number:016x}")
    }
}

/// An open store. Every call blocks on the disk: give it a thread of its own ([`Worker`]).
#[derive(Debug)]
pub struct Store {
    inner: Engine<Directory>,
}

impl Store {
    /// Makes an empty store in `dir`, which is created if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where there is one already, and what the disk reports.
    pub fn create(dir: &Path) -> Result<Self, StoreError> {
        Engine::create(Directory::open(dir)?, SEGMENT_LEN).map(|inner| Self { inner })
    }

    /// Opens the store in `dir`.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Locked`], [`StoreError::NewerFormat`];
    /// [`StoreError::Corrupt`] after the whole directory was set aside under another name; and
    /// what the disk reports.
    pub fn open(dir: &Path) -> Result<(Self, Contents), StoreError> {
        if !dir.is_dir() {
            return Err(StoreError::Missing { dir: dir.to_owned() });
        }
        match Engine::open(Directory::open(dir)?, SEGMENT_LEN) {
            Ok((inner, contents)) => Ok((Self { inner }, contents)),
            Err(StoreError::Corrupt { path, what, .. }) => {
                let set_aside = set_aside(dir)?;
                Err(StoreError::Corrupt { path, what, set_aside: Some(set_aside) })
            }
            Err(e) => Err(e),
        }
    }

    /// Makes `batch` durable: when this returns, a crash cannot undo it.
    ///
    /// # Errors
    /// What the disk reports; after any error but [`StoreError::TooLarge`] every later call fails
    /// with [`StoreError::Failed`].
    pub fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.inner.append(batch)
    }

    /// Prepares the next segment and removes what is obsolete. Call when nothing waits.
    ///
    /// # Errors
    /// What the disk reports. Appends go on as long as the current segment has room.
    pub fn maintain(&mut self) -> Result<(), StoreError> {
        self.inner.maintain()
    }

    /// A value as it stands.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        self.inner.values.get(key).map(Vec::as_slice)
    }
}

/// The share of a file system that is free for ordinary users, in hundredths.
///
/// # Errors
/// When there is no such file, or its file system does not say.
pub fn free_percent(path: &Path) -> std::io::Result<u32> {
    let facts = rustix::fs::statvfs(path)?;
    let share = facts.f_bavail.saturating_mul(100) / facts.f_blocks.max(1);
    Ok(u32::try_from(share).unwrap_or(100))
}

/// Moves a store nobody can use out of the way, keeping every byte.
fn set_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = since.map_or(0, |it| it.as_secs());
    let mut target = dir.as_os_str().to_owned();
    target.push(format!(".corrupt-{seconds}"));
    let target = PathBuf::from(target);
    std::fs::rename(dir, &target)
        .map_err(|source| StoreError::io("set aside the damaged store", dir, source))?;
    Ok(target)
}

/// The store over any disk.
#[derive(Debug)]
struct Engine<D> {
    disk: D,
    /// Size of a segment unless a batch needs more.
    segment_len: u64,
    segments: Vec<Segment>,
    /// Size of the current segment.
    len: u64,
    /// Where the next frame goes.
    offset: u64,
    sequence: u64,
    values: BTreeMap<String, Vec<u8>>,
    snapshot: Option<SnapshotRef>,
    compact_before: u64,
    spare: bool,
    obsolete: Vec<String>,
    failed: bool,
}

const SPARE: &str = "spare";

impl<D: Disk> Engine<D> {
    fn empty(disk: D, segment_len: u64) -> Self {
        Self {
            disk,
            segment_len,
            segments: Vec::new(),
            len: 0,
            offset: 0,
            sequence: 1,
            values: BTreeMap::new(),
            snapshot: None,
            compact_before: 0,
            spare: false,
            obsolete: Vec::new(),
            failed: false,
        }
    }

    fn create(disk: D, segment_len: u64) -> Result<Self, StoreError> {
        if disk.list()?.iter().any(|it| it.starts_with("log-")) {
            return Err(StoreError::Exists { dir: disk.path("") });
        }
        let mut it = Self::empty(disk, segment_len);
        it.rotate(0)?;
        Ok(it)
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Failed { dir: self.disk.path("") });
        }
        self.check(batch)?;
        let result = self.write(batch);
        self.failed = result.is_err();
        result
    }

    fn check(&self, batch: &Batch) -> Result<(), StoreError> {
        let entries: usize = batch.entries.iter().map(|(_, bytes)| bytes.len() + 16).sum();
        let gap = batch.entries.windows(2).any(|pair| pair[0].0 + 1 != pair[1].0);
        assert!(!gap, "the entries of a batch have no gap");
        let size = |key: &str, bytes: usize| key.len() + bytes;
        let old: usize = self.values.iter().map(|(key, it)| size(key, it.len())).sum();
        let new: usize =
            batch.values.iter().map(|(key, it)| size(key, it.as_ref().map_or(0, Vec::len))).sum();
        if entries > MAX_BATCH || old + new > MAX_VALUES {
            return Err(StoreError::TooLarge { bytes: (entries + old + new) as u64 });
        }
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let snapshot = match &batch.snapshot {
            None => None,
            Some((index, bytes)) => Some(self.write_snapshot(*index, bytes)?),
        };
        let record = Record::Batch {
            clear_entries: batch.clear_entries,
            snapshot: snapshot.clone(),
            entries: batch.entries.clone(),
            values: batch.values.clone(),
            compact_before: batch.compact_before,
        };
        self.write_record(record)?;
        if let Some(new) = snapshot
            && let Some(old) = self.snapshot.replace(new)
        {
            self.obsolete.push(old.name);
        }
        for (key, value) in &batch.values {
            match value {
                Some(bytes) => self.values.insert(key.clone(), bytes.clone()),
                None => self.values.remove(key),
            };
        }
        if batch.clear_entries {
            for segment in &mut self.segments {
                segment.highest = 0;
            }
        }
        if let (Some((last, _)), Some(segment)) = (batch.entries.last(), self.segments.last_mut()) {
            segment.highest = segment.highest.max(*last);
        }
        self.compact_before = self.compact_before.max(batch.compact_before.unwrap_or(0));
        Ok(())
    }

    fn write_snapshot(&mut self, index: u64, bytes: &[u8]) -> Result<SnapshotRef, StoreError> {
        let name = format!("snapshot-{index:x}-{:x}", self.sequence);
        let temporary = format!("{name}.tmp");
        self.disk.write_new(&temporary, bytes)?;
        self.disk.sync(&temporary)?;
        self.disk.rename(&temporary, &name)?;
        self.disk.sync_dir()?;
        Ok(SnapshotRef { index, name, len: bytes.len() as u64, crc: frame::crc(bytes) })
    }

    fn write_record(&mut self, record: Record) -> Result<(), StoreError> {
        let numbered = Numbered { sequence: self.sequence, record };
        // Serialising our own types into memory has no way to fail.
        let payload = postcard::to_stdvec(&numbered).unwrap_or_default();
        let needed = frame::frame_len(payload.len());
        if self.offset + needed > self.len {
            // The checkpoint takes a number of its own, so the record gets the next one.
            self.rotate(needed)?;
            return self.write_record(numbered.record);
        }
        let number = self.current();
        let bytes = frame::encode(number, self.offset, &payload);
        self.disk.write_at(&Segment::name(number), self.offset, &bytes)?;
        self.disk.sync(&Segment::name(number))?;
        self.offset += needed;
        self.sequence += 1;
        Ok(())
    }

    fn current(&self) -> u64 {
        self.segments.last().map_or(0, |it| it.number)
    }

    /// Begins a new segment with room for `needed` bytes after its checkpoint.
    fn rotate(&mut self, needed: u64) -> Result<(), StoreError> {
        let number = self.current() + 1;
        let record = Record::Checkpoint {
            values: self.values.clone(),
            snapshot: self.snapshot.clone(),
            compact_before: self.compact_before,
        };
        let numbered = Numbered { sequence: self.sequence, record };
        let payload = postcard::to_stdvec(&numbered).unwrap_or_default();
        let first = HEADER_LEN + frame::frame_len(payload.len());
        let len = self.segment_len.max((first + needed).next_multiple_of(FRAME_ALIGN));
        if len > self.segment_len || !self.spare {
            self.make_spare(len)?;
        }
        let mut bytes = SegmentHeader { number, len }.encode();
        bytes.extend(frame::encode(number, HEADER_LEN, &payload));
        self.spare = false;
        self.disk.write_at(SPARE, 0, &bytes)?;
        self.disk.sync(SPARE)?;
        self.disk.rename(SPARE, &Segment::name(number))?;
        self.disk.sync_dir()?;
        self.segments.push(Segment { number, highest: 0 });
        self.len = len;
        self.offset = first;
        self.sequence += 1;
        Ok(())
    }

    fn make_spare(&mut self, len: u64) -> Result<(), StoreError> {
        self.spare = false;
        self.disk.remove(SPARE)?;
        let zeroes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        self.disk.write_new(SPARE, &zeroes)?;
        self.disk.sync(SPARE)?;
        self.spare = len == self.segment_len;
        Ok(())
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Failed { dir: self.disk.path("") });
        }
        if !self.spare {
            self.make_spare(self.segment_len)?;
        }
        if self.offset > self.len / 4 * 3 {
            let result = self.rotate(0);
            self.failed = result.is_err();
            result?;
        }
        // Oldest first: a later segment's checkpoint stands for all that came before it.
        let floor = self.compact_before.max(1);
        while self.segments.len() > 1 && self.segments[0].highest < floor {
            self.disk.remove(&Segment::name(self.segments[0].number))?;
            self.segments.remove(0);
        }
        for name in std::mem::take(&mut self.obsolete) {
            self.disk.remove(&name)?;
        }
        Ok(())
    }
}
