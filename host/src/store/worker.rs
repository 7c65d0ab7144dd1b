//! The thread that owns a store.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::thread::JoinHandle;

use super::{Batch, Store, StoreError};

/// What became of batches.
#[derive(Debug)]
pub enum Done {
    /// Every batch up to this token is durable.
    Persisted {
        /// The caller's name for the newest of them.
        token: u64,
    },
    /// A batch could not be made durable; nothing after it will be.
    Failed {
        /// Why.
        error: StoreError,
    },
}

/// A thread that makes batches durable in the order they come. Batches that queue up while a sync
/// runs share the next one where that keeps each atomic.
#[derive(Debug)]
pub struct Worker {
    queue: Option<mpsc::Sender<(u64, Batch)>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread; `done` is called on it. It returns from maintenance before the next
    /// batch, so an append waits for at most the making of one segment.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the system refuses a thread.
    pub fn start(
        mut store: Store,
        mut done: impl FnMut(Done) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (queue, batches) = mpsc::channel();
        let dir = super::disk::Disk::path(&store.inner.disk, "");
        let thread = std::thread::Builder::new()
            .name("haven-store".to_owned())
            .spawn(move || run(&mut store, &batches, &mut done))
            .map_err(|source| StoreError::io("start the thread of", &dir, source))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues a batch. Tokens rise.
    pub fn submit(&self, token: u64, batch: Batch) {
        if let Some(queue) = &self.queue {
            // A stopped thread has reported why; what comes after it has no fate to report.
            drop(queue.send((token, batch)));
        }
    }
}

impl Drop for Worker {
    /// Waits until everything queued is durable.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(store: &mut Store, batches: &mpsc::Receiver<(u64, Batch)>, done: &mut impl FnMut(Done)) {
    let dir = super::disk::Disk::path(&store.inner.disk, "");
    let dir = dir.display();
    if let Err(error) = store.maintain() {
        tracing::warn!(%error, "cannot prepare the next segment of the store in {dir}: check space and rights");
    }
    while let Ok(first) = batches.recv() {
        let mut queued = VecDeque::from([first]);
        queued.extend(batches.try_iter());
        while let Some((mut token, mut batch)) = queued.pop_front() {
            while let Some((next, more)) = queued.pop_front() {
                match merge(batch, more) {
                    Ok(both) => {
                        batch = both;
                        token = next;
                    }
                    Err(apart) => {
                        let (one, two) = *apart;
                        batch = one;
                        queued.push_front((next, two));
                        break;
                    }
                }
            }
            match store.append(&batch) {
                Ok(()) => done(Done::Persisted { token }),
                Err(error) => {
                    done(Done::Failed { error });
                    return;
                }
            }
        }
        if let Err(error) = store.maintain() {
            tracing::warn!(%error, "cannot tidy the store in {dir}: check space and rights");
        }
    }
}

/// One batch with the effect of both, where simple; otherwise both as they were.
fn merge(mut one: Batch, two: Batch) -> Result<Batch, Box<(Batch, Batch)>> {
    let follows = match (one.entries.last(), two.entries.first()) {
        (Some((last, _)), Some((first, _))) => last + 1 == *first,
        _ => true,
    };
    if two.clear_entries || two.snapshot.is_some() || one.compact_before.is_some() || !follows {
        return Err(Box::new((one, two)));
    }
    one.entries.extend(two.entries);
    one.values.extend(two.values);
    one.compact_before = two.compact_before;
    Ok(one)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn entries(range: std::ops::Range<u64>) -> Batch {
        Batch { entries: range.map(|it| (it, vec![7])).collect(), ..Batch::default() }
    }

    #[test]
    fn only_batches_that_stay_whole_are_merged() {
        let both = merge(entries(1..3), entries(3..4)).unwrap();
        assert_eq!(both, entries(1..4));
        assert!(merge(entries(1..3), entries(2..4)).is_err());
        let clearing = Batch { clear_entries: true, ..Batch::default() };
        assert!(merge(entries(1..3), clearing).is_err());
    }

    #[test]
    fn everything_submitted_is_reported_and_survives() {
        let dir = tempfile::tempdir().unwrap();
        let (tell, told) = mpsc::channel();
        let store = Store::create(dir.path()).unwrap();
        let worker = Worker::start(store, move |it| tell.send(it).unwrap()).unwrap();
        for token in 1..=50 {
            worker.submit(token, entries(token..token + 1));
        }
        drop(worker);
        let newest = told.iter().map(|it| match it {
            Done::Persisted { token } => token,
            Done::Failed { error } => panic!("{error}"),
        });
        assert_eq!(newest.max(), Some(50));
        let (_, contents) = Store::open(dir.path()).unwrap();
        assert_eq!(contents.entries, entries(1..51).entries);
    }
}
