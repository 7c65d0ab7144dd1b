//! Commits a second of the raft crate alone: three replicas in one process, each a thread with a log file
//! of its own, written in place and synced before anything is acknowledged.
//!
//! ```text
//! cargo bench -p haven-consensus --bench commits -- [DIRECTORY]     on the disk of that directory
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, has a disk, and may panic"
)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use raft::eraftpb::{Entry, Message};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};

const REPLICAS: u64 = 3;
/// What one change of an attribute takes in haven's log, in bytes.
const ENTRY: usize = 300;
/// Written before the clock runs, so that a sync has no metadata to write.
const LOG: usize = 64 << 20;
const TICK: Duration = Duration::from_millis(100);
const SPAN: Duration = Duration::from_secs(10);

fn main() {
    let given = std::env::args().skip(1).find(|word| !word.starts_with("--"));
    let dir = given.map_or_else(std::env::temp_dir, PathBuf::from);
    let scratch = dir.join(format!("raft-commits-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    for window in [1, 16] {
        let commits = run(&scratch, window);
        let rate = f64::from(commits) / SPAN.as_secs_f64();
        println!("{REPLICAS} replicas with fsync, {window} under way: {rate:.0} commits a second");
    }
    std::fs::remove_dir_all(&scratch).unwrap();
}

/// Entries committed within the span, so many proposed at once.
fn run(dir: &Path, window: u32) -> u32 {
    let over = Arc::new(AtomicBool::new(false));
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..REPLICAS).map(|_| channel()).unzip();
    let threads: Vec<_> = (1..=REPLICAS)
        .zip(inboxes)
        .map(|(id, inbox)| {
            let (peers, over) = (senders.clone(), over.clone());
            let mut replica = Replica::new(id, dir, peers);
            std::thread::spawn(move || replica.serve(&inbox, window, &over))
        })
        .collect();
    drop(senders);
    let counts = threads.into_iter().map(|thread| thread.join().unwrap());
    counts.max().unwrap()
}

struct Replica {
    id: u64,
    raw: RawNode<MemStorage>,
    file: File,
    at: usize,
    peers: Vec<Sender<Message>>,
    under_way: u32,
    /// Committed since the first one.
    commits: u32,
}

impl Replica {
    fn new(id: u64, dir: &Path, peers: Vec<Sender<Message>>) -> Self {
        let voters: Vec<u64> = (1..=REPLICAS).collect();
        let storage = MemStorage::new_with_conf_state((voters, Vec::new()));
        let config = Config {
            id,
            election_tick: 10,
            heartbeat_tick: 3,
            max_size_per_msg: 48 << 10,
            max_inflight_msgs: 64,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config, storage, &logger).unwrap();
        let file = File::create(dir.join(format!("log-{id}"))).unwrap();
        file.write_all_at(&vec![0; LOG], 0).unwrap();
        file.sync_all().unwrap();
        Self { id, raw, file, at: 0, peers, under_way: 0, commits: 0 }
    }

    /// Until the leader's span is over.
    fn serve(&mut self, inbox: &Receiver<Message>, window: u32, over: &AtomicBool) -> u32 {
        if self.id == 1 {
            self.raw.campaign().unwrap();
        }
        let mut next_tick = Instant::now() + TICK;
        let mut end = None;
        while !over.load(Ordering::Relaxed) {
            let now = Instant::now();
            if now >= next_tick {
                self.raw.tick();
                next_tick = now + TICK;
            }
            if self.raw.raft.state == StateRole::Leader {
                let end = *end.get_or_insert(now + SPAN);
                if now >= end {
                    over.store(true, Ordering::Relaxed);
                }
                while self.under_way < window {
                    self.raw.propose(Vec::new(), vec![7; ENTRY]).unwrap();
                    self.under_way += 1;
                }
            }
            while self.raw.has_ready() {
                self.one_ready();
            }
            let patience = next_tick.saturating_duration_since(Instant::now());
            if self.under_way < window && end.is_some() {
                continue;
            }
            let first = inbox.recv_timeout(patience).into_iter();
            first.chain(inbox.try_iter()).for_each(|message| drop(self.raw.step(message)));
        }
        self.commits
    }

    fn one_ready(&mut self) {
        let mut ready = self.raw.ready();
        self.send(ready.take_messages());
        let entries = ready.take_entries();
        self.raw.mut_store().wl().append(&entries).unwrap();
        if let Some(state) = ready.hs() {
            self.raw.mut_store().wl().set_hardstate(state.clone());
        }
        if ready.must_sync() {
            self.write(&entries);
        }
        let committed = ready.take_committed_entries();
        self.apply(&committed);
        self.send(ready.take_persisted_messages());
        let mut light = self.raw.advance(ready);
        self.send(light.take_messages());
        let committed = light.take_committed_entries();
        self.apply(&committed);
        self.raw.advance_apply();
    }

    /// Entries, or a term and a vote, on disk.
    fn write(&mut self, entries: &[Entry]) {
        let mut bytes = vec![1; 64];
        entries.iter().for_each(|entry| bytes.extend_from_slice(&entry.data));
        if self.at + bytes.len() > LOG {
            self.at = 0;
        }
        self.file.write_all_at(&bytes, u64::try_from(self.at).unwrap()).unwrap();
        self.at += bytes.len();
        self.file.sync_data().unwrap();
    }

    fn apply(&mut self, committed: &[Entry]) {
        let proposals = committed.iter().filter(|entry| !entry.data.is_empty()).count();
        let proposals = u32::try_from(proposals).unwrap();
        self.commits += proposals;
        self.under_way = self.under_way.saturating_sub(proposals);
    }

    fn send(&self, messages: Vec<Message>) {
        for message in messages {
            let to = usize::try_from(message.to - 1).unwrap();
            // Whoever has ended hears nothing any more.
            drop(self.peers[to].send(message));
        }
    }
}
