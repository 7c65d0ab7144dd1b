//! A crash at every operation, a tear at every byte, a flip of every bit.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking, and their numbers are small"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use haven_base::Rng;

use super::disk::Disk;
use super::error::StoreError;
use super::{Batch, Contents, Engine, Store};

/// Small, so that a short script fills several.
const LEN: u64 = 4096;

/// A file: what a crash leaves for certain, and what was written since.
#[derive(Clone, Debug, Default)]
struct SimFile {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Clone, Debug, Default)]
struct World {
    files: Vec<SimFile>,
    durable_names: BTreeMap<String, usize>,
    names: BTreeMap<String, usize>,
    name_changes: Vec<NameChange>,
    operations: usize,
    fail_at: Option<(usize, io::ErrorKind)>,
    /// A sync that fails takes what was written for clean, as kernels do: no other sync writes it.
    forgets: bool,
}

fn change(names: &mut BTreeMap<String, usize>, it: &NameChange) {
    match it {
        NameChange::Add(name, file) => {
            names.insert(name.clone(), *file);
        }
        NameChange::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
    }
}

impl World {
    /// What the disk holds after the power went: some of what was not synced, in some shape.
    fn crash(&self, rng: &mut Rng) -> Self {
        let mut after = Self { durable_names: self.durable_names.clone(), ..Self::default() };
        let kept = rng.below(self.name_changes.len() as u64 + 1) as usize;
        for it in &self.name_changes[..kept] {
            change(&mut after.durable_names, it);
        }
        after.names = after.durable_names.clone();
        for file in &self.files {
            let mut bytes = file.durable.clone();
            for (offset, written) in &file.pending {
                tear(&mut bytes, *offset, written, rng);
            }
            after.files.push(SimFile { durable: bytes.clone(), current: bytes, pending: vec![] });
        }
        after
    }
}

fn tear(bytes: &mut Vec<u8>, offset: usize, written: &[u8], rng: &mut Rng) {
    let end = offset + written.len();
    let keep = |at: usize, shape: u64, cut: usize, lost: u64| match shape {
        0 => false,
        1 => true,
        2 => at < cut,
        _ => lost >> ((at / 512) % 64) & 1 == 0,
    };
    let (shape, cut, lost) =
        (rng.below(5), offset + rng.below(written.len() as u64 + 1) as usize, rng.next_u64());
    if bytes.len() < end && shape != 0 {
        bytes.resize(end, 0);
    }
    for (at, it) in (offset..end).zip(written) {
        if at < bytes.len() && keep(at, shape, cut, lost) {
            bytes[at] = *it;
        }
    }
}

#[derive(Clone, Debug, Default)]
struct SimDisk(Rc<RefCell<World>>);

impl SimDisk {
    fn operation(&self, name: &str) -> Result<(), StoreError> {
        let mut world = self.0.borrow_mut();
        world.operations += 1;
        match world.fail_at {
            Some((at, kind)) if world.operations >= at => {
                Err(StoreError::io("touch", Path::new(name), kind.into()))
            }
            _ => Ok(()),
        }
    }

    fn file<T>(&self, name: &str, act: impl FnOnce(&mut SimFile) -> T) -> Result<T, StoreError> {
        let mut world = self.0.borrow_mut();
        match world.names.get(name).copied() {
            Some(file) => Ok(act(&mut world.files[file])),
            None => Err(StoreError::io("open", Path::new(name), io::ErrorKind::NotFound.into())),
        }
    }

    fn change(&self, it: NameChange) {
        let mut world = self.0.borrow_mut();
        change(&mut world.names, &it);
        world.name_changes.push(it);
    }
}

impl Disk for SimDisk {
    fn path(&self, name: &str) -> PathBuf {
        Path::new("/sim").join(name)
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.0.borrow().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.file(name, |it| it.current.clone())
    }

    fn write_new(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let file = {
            let mut world = self.0.borrow_mut();
            world.files.push(SimFile {
                current: bytes.to_vec(),
                pending: vec![(0, bytes.to_vec())],
                ..SimFile::default()
            });
            world.files.len() - 1
        };
        self.change(NameChange::Add(name.to_owned(), file));
        self.operation(name)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let offset = offset as usize;
        self.file(name, |it| {
            it.current[offset..offset + bytes.len()].copy_from_slice(bytes);
            it.pending.push((offset, bytes.to_vec()));
        })?;
        self.operation(name)
    }

    fn sync(&mut self, name: &str) -> Result<(), StoreError> {
        if let Err(e) = self.operation(name) {
            if self.0.borrow().forgets {
                self.file(name, |it| it.pending.clear())?;
            }
            return Err(e);
        }
        self.file(name, |it| {
            it.durable.resize(it.current.len(), 0);
            for (offset, bytes) in it.pending.drain(..) {
                it.durable[offset..offset + bytes.len()].copy_from_slice(&bytes);
            }
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        self.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        self.operation(from)
    }

    fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        self.change(NameChange::Remove(name.to_owned()));
        self.operation(name)
    }

    fn sync_dir(&mut self) -> Result<(), StoreError> {
        self.operation("")?;
        let mut world = self.0.borrow_mut();
        world.durable_names = world.names.clone();
        world.name_changes.clear();
        Ok(())
    }
}

/// What a store must hold after a batch, computed the simple way.
fn model(before: &Contents, batch: &Batch) -> Contents {
    let mut it = before.clone();
    if batch.clear_entries {
        it.entries.clear();
    }
    if batch.snapshot.is_some() {
        it.snapshot.clone_from(&batch.snapshot);
    }
    if let Some((from, _)) = batch.entries.first() {
        it.entries.retain(|(index, _)| index < from);
        it.entries.extend(batch.entries.clone());
    }
    for (key, value) in &batch.values {
        match value {
            Some(bytes) => it.values.insert(key.clone(), bytes.clone()),
            None => it.values.remove(key),
        };
    }
    if let Some(before) = batch.compact_before {
        it.entries.retain(|(index, _)| *index >= before);
    }
    it
}

/// Batches as a log makes them: appends, replaced tails, values, snapshots, compaction, all sizes.
fn script(seed: u64, count: usize) -> Vec<Batch> {
    let mut rng = Rng::new(seed);
    let mut next = 1;
    let mut floor = 1;
    (0..count)
        .map(|_| {
            let mut batch = Batch::default();
            if next > floor && rng.chance(1, 6) {
                next -= rng.below((next - floor).min(4)) + 1;
                next = next.max(floor);
            }
            for _ in 0..rng.below(4) {
                let len = if rng.chance(1, 8) { 2000 } else { 60 };
                let fill = if rng.chance(1, 4) { 0 } else { rng.below(256) as u8 };
                batch.entries.push((next, vec![fill; rng.below(len) as usize]));
                next += 1;
            }
            if rng.chance(1, 3) {
                let key = format!("key-{}", rng.below(4));
                let value = rng.chance(3, 4).then(|| vec![rng.below(256) as u8; 9]);
                batch.values.push((key, value));
            }
            if rng.chance(1, 8) && next > floor + 3 {
                floor = next - 2;
                batch.snapshot = Some((floor, vec![rng.below(256) as u8; 700]));
                batch.compact_before = Some(floor);
            } else if rng.chance(1, 25) {
                next += 10;
                floor = next;
                batch.entries.clear();
                batch.snapshot = Some((next - 1, vec![rng.below(256) as u8; 90]));
                batch.clear_entries = true;
                batch.compact_before = Some(floor);
            }
            batch
        })
        .collect()
}

/// Runs the script until it ends or the disk fails; how many batches were acknowledged.
fn run(disk: &SimDisk, batches: &[Batch]) -> Option<usize> {
    let mut store = Engine::create(disk.clone(), LEN).ok()?;
    for (done, batch) in batches.iter().enumerate() {
        if store.append(batch).is_err() {
            return Some(done);
        }
        if done % 3 == 0 && store.maintain().is_err() {
            return Some(done + 1);
        }
    }
    Some(batches.len())
}

fn models(batches: &[Batch]) -> Vec<Contents> {
    let mut all = vec![Contents::default()];
    for batch in batches {
        all.push(model(&all[all.len() - 1], batch));
    }
    all
}

#[test]
fn a_crash_at_every_operation_loses_nothing_acknowledged_and_invents_nothing() {
    let seeds: u64 = std::env::var("HAVEN_SEEDS").map_or(12, |it| it.parse().unwrap_or(12).min(60));
    let batches = script(1, 60);
    let models = models(&batches);
    let whole = SimDisk::default();
    assert_eq!(run(&whole, &batches), Some(batches.len()));
    let operations = whole.0.borrow().operations;
    assert!(operations > 150, "the script touches the disk often: {operations}");
    for at in 1..=operations {
        let disk = SimDisk::default();
        disk.0.borrow_mut().fail_at = Some((at, io::ErrorKind::Other));
        let done = run(&disk, &batches);
        for seed in 0..seeds {
            let after = disk.0.borrow().crash(&mut Rng::new(seed ^ (at as u64) << 8));
            check_reopened(SimDisk(Rc::new(RefCell::new(after))), done, &models, at, seed);
        }
    }
}

fn check_reopened(disk: SimDisk, done: Option<usize>, models: &[Contents], at: usize, seed: u64) {
    let Some(done) = done else { return }; // Creation itself failed: nothing was promised.
    let (mut store, contents) = match Engine::open(disk.clone(), LEN) {
        Ok(it) => it,
        Err(e) => panic!("operation {at} seed {seed}: {done} acknowledged, then {e}"),
    };
    let in_flight = models.get(done + 1);
    assert!(
        contents == models[done] || Some(&contents) == in_flight,
        "operation {at} seed {seed}: {done} acknowledged, found something else"
    );
    // It goes on from there, through another crash.
    let more = Batch { values: vec![("after".to_owned(), Some(vec![1]))], ..Batch::default() };
    store.append(&more).unwrap();
    let again = disk.0.borrow().crash(&mut Rng::new(seed));
    let (_, found) = Engine::open(SimDisk(Rc::new(RefCell::new(again))), LEN).unwrap();
    assert_eq!(found, model(&contents, &more), "operation {at} seed {seed}");
}

#[test]
fn what_a_failed_sync_left_in_memory_is_written_again_before_it_is_believed() {
    let batches = script(1, 60);
    let models = models(&batches);
    let whole = SimDisk::default();
    assert_eq!(run(&whole, &batches), Some(batches.len()));
    let operations = whole.0.borrow().operations;
    let mut shown = 0;
    for at in 1..=operations {
        let disk = SimDisk::default();
        disk.0.borrow_mut().fail_at = Some((at, io::ErrorKind::Other));
        disk.0.borrow_mut().forgets = true;
        let Some(done) = run(&disk, &batches) else { continue };
        // The daemon ends and starts anew, the machine goes on, and the disk is sound again.
        disk.0.borrow_mut().fail_at = None;
        let (_, believed) = Engine::open(disk.clone(), LEN).unwrap();
        shown += usize::from(believed != models[done]);
        for seed in 0..4 {
            let after = disk.0.borrow().crash(&mut Rng::new(seed ^ (at as u64) << 8));
            let (_, found) = Engine::open(SimDisk(Rc::new(RefCell::new(after))), LEN).unwrap();
            assert_eq!(found, believed, "operation {at} seed {seed}");
        }
    }
    assert!(shown > 10, "what was not acknowledged is read at times: {shown}");
}

fn finished(batches: &[Batch]) -> World {
    let disk = SimDisk::default();
    assert_eq!(run(&disk, batches), Some(batches.len()));
    disk.0.borrow().clone()
}

fn open_world(world: &World) -> Result<Contents, StoreError> {
    let mut copy = world.clone();
    copy.fail_at = None;
    Engine::open(SimDisk(Rc::new(RefCell::new(copy))), LEN).map(|(_, it)| it)
}

fn last_segment(world: &World) -> usize {
    let (_, file) = world.names.iter().rfind(|(name, _)| name.starts_with("log-")).unwrap();
    *file
}

#[test]
fn a_file_cut_at_every_byte_is_refused_or_whole() {
    let batches = script(2, 40);
    let world = finished(&batches);
    let whole = open_world(&world).unwrap();
    assert_eq!(whole, models(&batches)[batches.len()]);
    let live: Vec<usize> = world.names.values().copied().collect();
    for file in live {
        for cut in 0..world.files[file].current.len() {
            let mut damaged = world.clone();
            damaged.files[file].current.truncate(cut);
            match open_world(&damaged) {
                Ok(found) => assert_eq!(found, whole, "file {file} cut at {cut}"),
                Err(StoreError::Corrupt { .. }) => {}
                Err(e) => panic!("file {file} cut at {cut}: {e}"),
            }
        }
    }
}

#[test]
fn the_last_write_torn_at_every_byte_is_dropped_and_nothing_else() {
    for last in [40, 600, 1800] {
        let mut batches = script(3, 20);
        let next = 1000;
        batches.push(Batch {
            clear_entries: true,
            entries: vec![(next, vec![0; last])],
            ..Batch::default()
        });
        let models = models(&batches);
        let world = finished(&batches);
        let file = last_segment(&world);
        let bytes = &world.files[file].current;
        let end = bytes.len() - bytes.iter().rev().take_while(|it| **it == 0).count();
        let (before, after) = (&models[batches.len() - 1], &models[batches.len()]);
        let from = end - last;
        for cut in from..end {
            let mut torn = world.clone();
            torn.files[file].current[cut..].fill(0);
            assert_eq!(&open_world(&torn).unwrap(), before, "{last} bytes, torn at {cut}");
        }
        assert_eq!(&open_world(&world).unwrap(), after);
    }
}

#[test]
fn a_flipped_bit_is_refused_or_harmless() {
    let batches = script(4, 25);
    let world = finished(&batches);
    let whole = open_world(&world).unwrap();
    let mut refused = 0;
    let live: Vec<usize> = world.names.values().copied().collect();
    for file in live {
        for at in 0..world.files[file].current.len() {
            for bit in 0..8 {
                let mut damaged = world.clone();
                damaged.files[file].current[at] ^= 1 << bit;
                match open_world(&damaged) {
                    Ok(found) => assert_eq!(found, whole, "file {file} byte {at} bit {bit}"),
                    Err(StoreError::Corrupt { .. }) => refused += 1,
                    Err(e) => panic!("file {file} byte {at} bit {bit}: {e}"),
                }
            }
        }
    }
    assert!(refused > 1000, "flips in what is used are found: {refused}");
}

#[test]
fn after_a_failed_sync_nothing_more_is_taken() {
    for (kind, expected) in [
        (io::ErrorKind::Other, "cannot touch"),
        (io::ErrorKind::StorageFull, "the disk is full; free some space"),
        (io::ErrorKind::ReadOnlyFilesystem, "the file system is read-only"),
    ] {
        let disk = SimDisk::default();
        let mut store = Engine::create(disk.clone(), LEN).unwrap();
        let batch = Batch { entries: vec![(1, vec![1])], ..Batch::default() };
        store.append(&batch).unwrap();
        let now = disk.0.borrow().operations;
        disk.0.borrow_mut().fail_at = Some((now + 1, kind));
        let error = store.append(&batch).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        disk.0.borrow_mut().fail_at = None;
        assert!(matches!(store.append(&batch), Err(StoreError::Failed { .. })));
        assert!(matches!(store.maintain(), Err(StoreError::Failed { .. })));
    }
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    drop(Store::create(&path).unwrap());
    let segment = path.join("log-0000000000000001");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[8] = 9;
    let check = super::frame::crc(&bytes[..60]);
    bytes[60..64].copy_from_slice(&check.to_le_bytes());
    std::fs::write(&segment, &bytes).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 9, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("run the newer haven again"));
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
}

#[test]
fn a_corrupt_store_is_set_aside_whole_and_does_not_come_back_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut store = Store::create(&path).unwrap();
    store.append(&Batch { entries: vec![(1, vec![5; 300])], ..Batch::default() }).unwrap();
    drop(store);
    let segment = path.join("log-0000000000000001");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[200] ^= 4;
    std::fs::write(&segment, &bytes).unwrap();
    let error = Store::open(&path).unwrap_err();
    let StoreError::Corrupt { set_aside: Some(aside), .. } = &error else { panic!("{error}") };
    assert_eq!(std::fs::read(aside.join("log-0000000000000001")).unwrap(), bytes);
    assert!(aside.to_string_lossy().contains("store.corrupt-"));
    assert!(error.to_string().contains("join it again"), "{error}");
    assert!(matches!(Store::open(&path), Err(StoreError::Missing { .. })));
}

#[test]
fn one_process_at_a_time_and_no_creation_over_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Locked { .. })));
    drop(store);
    assert!(matches!(Store::create(dir.path()), Err(StoreError::Exists { .. })));
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(Store::open(&nowhere), Err(StoreError::Missing { .. })));
    assert!(!nowhere.exists());
}

/// The right bits of a directory and of every file in it that differ from 0700 and 0600.
fn exposed(dir: &Path) -> Vec<(PathBuf, u32)> {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files = std::fs::read_dir(dir).unwrap().map(|it| (it.unwrap().path(), 0o600));
    let all = files.chain([(dir.to_owned(), 0o700)]);
    all.map(|(path, due)| (mode(&path), due, path))
        .filter(|(found, due, _)| found != due)
        .map(|(found, _, path)| (path, found))
        .collect()
}

#[test]
fn nobody_but_its_owner_reads_a_store_also_one_that_was_made_readable() {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("state/store");
    let mut store = Store::create(&dir).unwrap();
    let mut batch = Batch { entries: vec![(1, vec![7; 300])], ..Batch::default() };
    batch.snapshot = Some((1, vec![3; 5000]));
    store.append(&batch).unwrap();
    store.maintain().unwrap();
    assert_eq!(exposed(&dir), []);
    assert_eq!(exposed(dir.parent().unwrap())[0].0, dir, "what is above it: 0700, too");
    assert_eq!(exposed(dir.parent().unwrap()).len(), 1);
    drop(store);
    // As a store of an earlier version is.
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for entry in std::fs::read_dir(&dir).unwrap() {
        set(&entry.unwrap().path(), 0o644);
    }
    set(&dir, 0o755);
    let (_, found) = Store::open(&dir).unwrap();
    assert_eq!(exposed(&dir), []);
    assert_eq!(found.snapshot, batch.snapshot);
}

#[test]
fn a_store_on_a_real_disk_keeps_everything_through_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::create(dir.path()).unwrap();
    let mut expected = Contents::default();
    for round in 0..200_u64 {
        let mut batch =
            Batch { entries: vec![(round + 1, vec![round as u8; 20_000])], ..Batch::default() };
        batch.values.push(("round".to_owned(), Some(vec![round as u8])));
        if round % 50 == 49 {
            batch.snapshot = Some((round, vec![3; 5000]));
            batch.compact_before = Some(round);
        }
        store.append(&batch).unwrap();
        store.maintain().unwrap();
        expected = model(&expected, &batch);
    }
    assert_eq!(store.value("round"), Some(&[199][..]));
    drop(store);
    let (_, found) = Store::open(dir.path()).unwrap();
    assert_eq!(found, expected);
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    assert!(files <= 7, "obsolete files go: {files} left");
}
