//! Keeps the gate in force on every device, on a thread of its own: whatever looks at devices waits for a
//! lock of the kernel that others may hold for longer than a lease lasts.

use std::sync::Weak;
use std::time::Duration;

use haven_base::Instant;
use haven_host::drive::boot_time;
use haven_host::gate::{GateError, Missing, Repair, Upkeep};
use haven_host::socket::wait;

use super::News;
use super::outbox::Outbox;

/// Events tell of changes at once, and of filters that somebody takes away; all devices are looked at every so often
/// for `tcx` programs, of whose end the kernel tells nobody.
const LOOK: Duration = Duration::from_secs(30);
/// The thread sees at least this often whether the heartbeat thread has ended.
const CHECK: Duration = Duration::from_secs(1);
/// Until the next look after one that failed: nobody knows then whether the gate is in force on a new device.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Starts the thread. It ends when nobody holds `alive` any more.
///
/// # Errors
/// When the system refuses a thread.
pub(super) fn spawn(upkeep: Upkeep, news: Outbox, alive: Weak<()>) -> std::io::Result<()> {
    let mut thread = Thread { upkeep, news, told: Vec::new(), trouble: None };
    thread.tell_missing();
    std::thread::Builder::new()
        .name("gate-upkeep".to_owned())
        .spawn(move || thread.run(&alive).say_the_rest())
        .map(drop)
}

struct Thread {
    upkeep: Upkeep,
    news: Outbox,
    /// What was last said to be missing.
    told: Vec<Missing>,
    /// Why the last look failed, so that it is said once.
    trouble: Option<String>,
}

impl Thread {
    /// Gives back the way to the main thread, for what waits there still.
    fn run(mut self, alive: &Weak<()>) -> Outbox {
        let mut next_look = boot_time() + LOOK;
        while alive.strong_count() > 0 {
            match self.wait(next_look) {
                Ok(true) => self.on_event(),
                Ok(false) => {}
                Err(error) => {
                    let line = format!("nobody watches the gate any more, poll failed: {error}");
                    self.tell(News::Alarm(line));
                    break;
                }
            }
            if boot_time() >= next_look {
                let looked = self.upkeep.repair();
                next_look = boot_time() + if looked.is_ok() { LOOK } else { LOOK_AGAIN };
                self.report(looked);
            }
            self.news.tell_lost();
        }
        self.news
    }

    fn on_event(&mut self) {
        let heard = self.upkeep.on_event();
        let unread = heard.is_err();
        self.report(heard);
        if unread {
            // What it told of may be any device. Whatever keeps it from being read may last.
            match self.upkeep.repair() {
                Ok(repair) => self.tell_restored(&repair),
                Err(error) => self.tell_trouble(&error),
            }
            self.tell_missing();
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Whether there is an event before `until`, or before it is time to see whether to end.
    fn wait(&self, until: Instant) -> std::io::Result<bool> {
        let events = self.upkeep.events().into_iter().map(Some);
        let ready = wait(events, Some(until.since(boot_time()).min(CHECK)))?;
        Ok(!ready.is_empty())
    }

    fn report(&mut self, looked: Result<Repair, GateError>) {
        match looked {
            Ok(repair) => {
                self.trouble = None;
                self.tell_restored(&repair);
            }
            Err(error) => self.tell_trouble(&error),
        }
        self.tell_missing();
    }

    fn tell_restored(&mut self, repair: &Repair) {
        if repair.restored.is_empty() {
            return;
        }
        let names: Vec<&str> = repair.restored.iter().map(|(name, _)| &**name).collect();
        self.tell(News::Mended(format!(
            "somebody took the gate away from {}; it is in force again",
            names.join(", ")
        )));
    }

    fn tell_trouble(&mut self, error: &GateError) {
        let line = format!("cannot look at the gate: {error}");
        if self.trouble.as_ref() != Some(&line) {
            self.tell(News::Line(line.clone()));
        }
        self.trouble = Some(line);
    }

    fn tell_missing(&mut self) {
        let missing = self.upkeep.status().missing;
        if missing != self.told {
            self.told.clone_from(&missing);
            self.tell(News::GateMissing(missing));
        }
    }

    fn tell(&mut self, item: News) {
        self.news.tell(item);
    }
}
