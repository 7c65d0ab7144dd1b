//! The stream of events: a bounded ring, and readers that follow it each at their own pace.
//!
//! ```text
//! controller ──Event──▶ Ring (the latest 4096) ──▶ reader 1 (next cursor) ──▶ its connection, while it has room
//!                          └ never waits           └ reader 2 …
//! ```
//!
//! A reader is never waited for. One that falls behind the ring is told which events it missed; one whose
//! connection takes nothing for [`PATIENCE`] is told so and dropped.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use haven_api::{ApiError, Code, Event, EventsMissed, ReplyBody};
use haven_base::Instant;
use haven_host::drive::boot_time;

use super::Daemon;

/// Events kept for readers that come later or fall behind.
pub(super) const EVENTS_KEPT: usize = 4096;
/// How long a connection may take nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How soon a reader that had no room is tried again.
const AGAIN: Duration = Duration::from_millis(50);
/// Replies that a connection must still have room for: the one that ends the stream.
const RESERVE: usize = 2;

/// The latest events, by rising cursors without gaps.
#[derive(Debug, Default)]
pub(super) struct Ring {
    kept: VecDeque<Event>,
}

impl Ring {
    /// Takes an event; the oldest makes room.
    pub(super) fn push(&mut self, event: Event) {
        self.kept.push_back(event);
        while self.kept.len() > EVENTS_KEPT {
            self.kept.pop_front();
        }
    }

    /// Cursor of the latest event; 0 before the first.
    pub(super) fn last(&self) -> u64 {
        self.kept.back().map_or(0, |event| event.cursor)
    }

    /// The event after a cursor, and how many before it are gone.
    pub(super) fn next(&self, after: u64) -> Option<(Option<EventsMissed>, &Event)> {
        let first = self.kept.front()?;
        if after + 1 < first.cursor {
            let missed =
                EventsMissed { first: after + 1, last: first.cursor - 1, restarted: false };
            return Some((Some(missed), first));
        }
        let place = usize::try_from(after + 1 - first.cursor).unwrap_or(usize::MAX);
        Some((None, self.kept.get(place)?))
    }

    /// Every event after a cursor that is kept.
    pub(super) fn after(&self, cursor: u64) -> impl Iterator<Item = &Event> {
        self.kept.iter().filter(move |event| event.cursor > cursor)
    }
}

/// A client that reads the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    /// Cursor of the last event it was given.
    after: u64,
    /// It stays for what is to come.
    follow: bool,
    /// Since when its connection takes nothing.
    stalled: Option<Instant>,
}

/// Where a reader starts, and what it must be told of events it asked for and cannot have.
fn begin(
    after: Option<u64>,
    boot: Option<u64>,
    now: u64,
    last: u64,
) -> (u64, Option<EventsMissed>) {
    let restarted = boot.is_some_and(|boot| boot != now);
    match after {
        // Cursors of another life of the daemon count other events.
        Some(after) if restarted || after > last => {
            (0, Some(EventsMissed { first: after.saturating_add(1), last: 0, restarted: true }))
        }
        Some(after) => (after, None),
        None => (last, None),
    }
}

impl Daemon {
    /// A client wants the stream.
    pub(super) fn read_events(
        &mut self,
        id: u64,
        (after, boot): (Option<u64>, Option<u64>),
        follow: bool,
    ) {
        // Without a cursor who does not follow wants what is kept.
        let after = if follow { after } else { Some(after.unwrap_or(0)) };
        let (after, missed) = begin(after, boot, self.boot.0, self.events.last());
        if let Some(missed) = missed {
            self.desk.answer(id, true, Ok(ReplyBody::EventsMissed(missed)));
        }
        self.readers.insert(id, Reader { after, follow, stalled: None });
        self.serve_readers(boot_time());
    }

    /// Gives every reader what is new and its connection has room for.
    pub(super) fn serve_readers(&mut self, now: Instant) {
        if self.readers.is_empty() {
            return;
        }
        let mut readers: BTreeMap<u64, Reader> = std::mem::take(&mut self.readers);
        readers.retain(|id, reader| self.serve_reader(now, *id, reader));
        self.readers = readers;
    }

    /// False when the reader has all it wanted, or is dropped.
    fn serve_reader(&mut self, now: Instant, id: u64, reader: &mut Reader) -> bool {
        loop {
            let Some(room) = self.desk.room(id) else { return false };
            let Some((missed, event)) = self.events.next(reader.after) else {
                reader.stalled = None;
                if reader.follow {
                    return true;
                }
                let end = ReplyBody::EventsEnd { cursor: reader.after, boot: self.boot.0 };
                self.desk.answer(id, false, Ok(end));
                return false;
            };
            if room <= RESERVE {
                let since = *reader.stalled.get_or_insert(now);
                if now.since(since) < PATIENCE {
                    return true;
                }
                let error = too_slow(reader.after);
                self.desk.answer(id, false, Err(error));
                return false;
            }
            reader.stalled = None;
            let event = event.clone();
            if let Some(missed) = missed {
                reader.after = missed.last;
                self.desk.answer(id, true, Ok(ReplyBody::EventsMissed(missed)));
                continue;
            }
            reader.after = event.cursor;
            self.desk.answer(id, true, Ok(ReplyBody::Event(event)));
        }
    }

    /// When a reader that had no room is tried again.
    pub(super) fn readers_due(&self) -> Option<Instant> {
        let stalled = self.readers.values().any(|reader| reader.stalled.is_some());
        stalled.then(|| boot_time() + AGAIN)
    }
}

fn too_slow(after: u64) -> ApiError {
    let seconds = PATIENCE.as_secs();
    let message = format!("the stream ends: for {seconds} s you took no event after {after}");
    ApiError::new(Code::Disconnected, message).remedy(format!(
        "read faster, and go on where you were: haven events --follow --after {after}"
    ))
}

#[cfg(test)]
mod tests {
    use haven_api::EventSeverity;
    use haven_base::WallTime;

    use super::*;

    fn event(cursor: u64) -> Event {
        Event {
            cursor,
            at: WallTime::from_seconds(1),
            node: "n1".to_owned(),
            code: "HV1101".to_owned(),
            severity: EventSeverity::Info,
            subject: "node/n2".to_owned(),
            text: String::new(),
        }
    }

    fn ring(events: u64) -> Ring {
        let mut ring = Ring::default();
        (1..=events).for_each(|cursor| ring.push(event(cursor)));
        ring
    }

    /// What a reader is given from a cursor on: cursors, and what it missed.
    fn read(ring: &Ring, mut after: u64) -> (Vec<u64>, Vec<EventsMissed>) {
        let (mut cursors, mut missed) = (Vec::new(), Vec::new());
        while let Some((gone, event)) = ring.next(after) {
            missed.extend(gone);
            cursors.push(event.cursor);
            after = event.cursor;
        }
        (cursors, missed)
    }

    #[test]
    fn a_reader_gets_every_event_once_and_in_order() {
        assert_eq!(read(&ring(0), 0), (vec![], vec![]));
        assert_eq!(read(&ring(3), 0), (vec![1, 2, 3], vec![]));
        assert_eq!(read(&ring(3), 2), (vec![3], vec![]));
        assert_eq!(read(&ring(3), 3), (vec![], vec![]));
        assert_eq!(ring(3).after(1).count(), 2);
    }

    #[test]
    fn who_comes_too_late_is_told_what_is_gone() {
        let kept = EVENTS_KEPT as u64;
        let ring = ring(kept + 10);
        let (cursors, missed) = read(&ring, 4);
        assert_eq!(missed, [EventsMissed { first: 5, last: 10, restarted: false }]);
        assert_eq!((cursors[0], cursors.len()), (11, EVENTS_KEPT));
        assert_eq!(read(&ring, 10).1, []);
    }

    #[test]
    fn a_cursor_of_another_life_is_not_taken_for_one_of_this() {
        let missed = |first| Some(EventsMissed { first, last: 0, restarted: true });
        assert_eq!(begin(None, None, 7, 20), (20, None), "only what is to come");
        assert_eq!(begin(Some(5), None, 7, 20), (5, None));
        assert_eq!(begin(Some(5), Some(7), 7, 20), (5, None));
        assert_eq!(begin(Some(5), Some(6), 7, 20), (0, missed(6)));
        assert_eq!(begin(Some(21), None, 7, 20), (0, missed(22)));
    }
}
