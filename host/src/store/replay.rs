//! From the files of a store to what it holds.

use std::collections::BTreeMap;

use super::disk::Disk;
use super::error::StoreError;
use super::frame::{self, FORMAT, HeaderError, SegmentHeader};
use super::{Contents, Engine, Numbered, Record, SPARE, Segment, SnapshotRef};

/// What replaying has come to.
struct Replay {
    entries: BTreeMap<u64, Vec<u8>>,
    values: BTreeMap<String, Vec<u8>>,
    snapshot: Option<SnapshotRef>,
    compact_before: u64,
    /// The number the next record must have.
    sequence: Option<u64>,
}

impl<D: Disk> Engine<D> {
    /// Opens the store on `disk` and reads all of it.
    pub(super) fn open(disk: D, segment_len: u64) -> Result<(Self, Contents), StoreError> {
        let names = disk.list()?;
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|it| u64::from_str_radix(it.strip_prefix("log-")?, 16).ok())
            .collect();
        numbers.sort_unstable();
        if numbers.is_empty() {
            return Err(StoreError::Missing { dir: disk.path("") });
        }
        let mut engine = Self::empty(disk, segment_len);
        let mut replay = Replay {
            entries: BTreeMap::new(),
            values: BTreeMap::new(),
            snapshot: None,
            compact_before: 0,
            sequence: None,
        };
        let mut torn = false;
        for number in numbers {
            torn = engine.replay_segment(number, &mut replay)?;
        }
        let contents = engine.adopt(replay)?;
        engine.settle()?;
        engine.tidy(&names)?;
        if torn {
            // Never write over what was cut short: a new segment leaves it as evidence.
            engine.rotate(0)?;
        }
        Ok((engine, contents))
    }

    /// Reads one segment; whether its end was cut short.
    fn replay_segment(&mut self, number: u64, replay: &mut Replay) -> Result<bool, StoreError> {
        let name = Segment::name(number);
        let path = self.disk.path(&name);
        if self.segments.last().is_some_and(|it| it.number + 1 != number) {
            return Err(StoreError::corrupt(path, "the segment before it is missing"));
        }
        let bytes = self.disk.read(&name)?;
        let header = SegmentHeader::decode(&bytes).map_err(|e| match e {
            HeaderError::Newer(found) => {
                StoreError::NewerFormat { path: path.clone(), found, known: FORMAT }
            }
            HeaderError::Damaged => StoreError::corrupt(path.clone(), "its header does not check"),
        })?;
        if header.number != number {
            return Err(StoreError::corrupt(path, "it is another segment by its header"));
        }
        if header.len != bytes.len() as u64 {
            let what = format!("it has {} bytes instead of {}", bytes.len(), header.len);
            return Err(StoreError::corrupt(path, what));
        }
        let scan = frame::scan(number, &bytes).map_err(|it| {
            StoreError::corrupt(path.clone(), format!("at byte {}: {}", it.offset, it.what))
        })?;
        self.segments.push(Segment { number, highest: 0 });
        for (place, payload) in scan.payloads.iter().enumerate() {
            let Ok((record, [])) = postcard::take_from_bytes::<Numbered>(payload) else {
                let what = format!("record {place} does not decode");
                return Err(StoreError::corrupt(path, what));
            };
            if replay.sequence.is_some_and(|it| it != record.sequence) {
                let what = format!("record {} is missing", replay.sequence.unwrap_or(0));
                return Err(StoreError::corrupt(path, what));
            }
            replay.sequence = Some(record.sequence + 1);
            self.replay_record(place == 0, record.record, replay)
                .map_err(|what| StoreError::corrupt(path.clone(), what))?;
        }
        if scan.payloads.is_empty() {
            return Err(StoreError::corrupt(path, "its checkpoint is missing"));
        }
        self.len = header.len;
        self.offset = scan.end;
        Ok(scan.torn)
    }

    fn replay_record(
        &mut self,
        first: bool,
        record: Record,
        replay: &mut Replay,
    ) -> Result<(), &'static str> {
        match record {
            Record::Checkpoint { values, snapshot, compact_before } if first => {
                replay.values = values;
                replay.snapshot = snapshot;
                replay.compact_before = compact_before;
            }
            Record::Batch { clear_entries, snapshot, entries, values, compact_before }
                if !first =>
            {
                if clear_entries {
                    replay.entries.clear();
                    for segment in &mut self.segments {
                        segment.highest = 0;
                    }
                }
                if snapshot.is_some() {
                    replay.snapshot = snapshot;
                }
                if let Some((from, _)) = entries.first() {
                    replay.entries.split_off(from);
                }
                for (index, bytes) in entries {
                    replay.entries.insert(index, bytes);
                    if let Some(segment) = self.segments.last_mut() {
                        segment.highest = segment.highest.max(index);
                    }
                }
                for (key, value) in values {
                    match value {
                        Some(bytes) => replay.values.insert(key, bytes),
                        None => replay.values.remove(&key),
                    };
                }
                replay.compact_before = replay.compact_before.max(compact_before.unwrap_or(0));
            }
            Record::Checkpoint { .. } | Record::Batch { .. } => {
                return Err("its records are out of place");
            }
        }
        Ok(())
    }

    /// Takes over what replaying came to.
    fn adopt(&mut self, replay: Replay) -> Result<Contents, StoreError> {
        let Replay { mut entries, values, snapshot, compact_before, sequence } = replay;
        let entries: Vec<_> = entries.split_off(&compact_before).into_iter().collect();
        if let Some(gap) = entries.windows(2).find(|pair| pair[0].0 + 1 != pair[1].0) {
            let what = format!("entries between {} and {} are missing", gap[0].0, gap[1].0);
            return Err(StoreError::corrupt(self.disk.path(""), what));
        }
        let bytes = match &snapshot {
            None => None,
            Some(it) => {
                let path = self.disk.path(&it.name);
                if !self.disk.list()?.contains(&it.name) {
                    return Err(StoreError::corrupt(path, "it is missing"));
                }
                let bytes = self.disk.read(&it.name)?;
                if bytes.len() as u64 != it.len || frame::crc(&bytes) != it.crc {
                    return Err(StoreError::corrupt(path, "it is not what was written"));
                }
                Some((it.index, bytes))
            }
        };
        self.values.clone_from(&values);
        self.snapshot = snapshot;
        self.compact_before = compact_before;
        self.sequence = sequence.unwrap_or(1);
        Ok(Contents { snapshot: bytes, entries, values })
    }

    /// Makes durable what was read. Whoever wrote it may have ended between the write and its sync, or
    /// because the sync failed: then the kernel reads out what it takes for written and is not, and no
    /// further sync would change that. Only the newest segment can hold such frames.
    fn settle(&mut self) -> Result<(), StoreError> {
        let name = Segment::name(self.current());
        let mut bytes = self.disk.read(&name)?;
        bytes.truncate(usize::try_from(self.offset).unwrap_or(usize::MAX));
        self.disk.write_at(&name, 0, &bytes)?;
        self.disk.sync(&name)?;
        self.disk.sync_dir()
    }

    /// Forgets what a crash left half made.
    fn tidy(&mut self, names: &[String]) -> Result<(), StoreError> {
        let current = self.snapshot.as_ref().map(|it| it.name.clone());
        for name in names {
            let stale = name.starts_with("snapshot-") && Some(name) != current.as_ref();
            if stale || name == SPARE {
                self.disk.remove(name)?;
            }
        }
        Ok(())
    }
}
