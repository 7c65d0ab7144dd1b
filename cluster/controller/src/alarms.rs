//! What is wrong on this node, by subject: a later word on one takes the place of the one before, and of what is sound
//! again nothing more is said.

use std::time::Duration;

use haven_base::Instant;
use haven_types::{GroupId, NodeId};

use crate::controller::Controller;
use crate::port::Clock;

/// How long that is shown which was wrong and may not be any more.
pub const SHOWN_FOR: Duration = Duration::from_secs(5 * 60);
/// Alarms kept; one more takes the place of an older one.
const MAX_ALARMS: usize = 64;

/// What an alarm is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    /// The store of the log.
    Store,
    /// What the log says.
    Log,
    /// The messages of a node.
    Messages(NodeId),
    /// A node as which more than one daemon runs.
    Copies(NodeId),
    /// A lease group.
    Group(GroupId),
    /// Something of this host, by the name that the shell has for it.
    Host(String),
}

#[derive(Clone, Debug)]
struct Alarm {
    subject: Subject,
    text: String,
    /// None for what lasts until it is sound again.
    until: Option<Instant>,
}

/// The alarms of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarms {
    /// The oldest first.
    all: Vec<Alarm>,
    /// How many had to make room for others since there was room for all.
    displaced: u64,
}

impl Alarms {
    fn raise(&mut self, now: Instant, alarm: Alarm) {
        self.all.retain(|it| it.is_shown(now));
        if let Some(known) = self.all.iter_mut().find(|it| it.subject == alarm.subject) {
            *known = alarm;
            return;
        }
        if self.all.len() < MAX_ALARMS {
            self.displaced = 0;
        } else {
            let passing = self.all.iter().position(|it| it.until.is_some());
            let lesser = || self.all.iter().position(|it| !it.is_of_the_log());
            let oldest = passing.or_else(lesser).unwrap_or(0);
            self.all.remove(oldest);
            self.displaced += 1;
        }
        self.all.push(alarm);
    }

    fn end(&mut self, subject: &Subject) {
        self.all.retain(|it| it.subject != *subject);
    }

    /// What is wrong, the oldest first.
    pub(crate) fn texts(&self, now: Instant) -> Vec<String> {
        let shown = self.all.iter().filter(|it| it.is_shown(now));
        let mut texts: Vec<String> = shown.map(|it| it.text.clone()).collect();
        if texts.len() == MAX_ALARMS && self.displaced > 0 {
            texts.push(format!(
                "alarms that are older and not shown: {}; mend these first",
                self.displaced
            ));
        }
        texts
    }
}

impl Alarm {
    fn is_shown(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// Without its log a node is of no use: that makes room for nothing.
    fn is_of_the_log(&self) -> bool {
        matches!(self.subject, Subject::Store | Subject::Log)
    }
}

impl Controller {
    /// Something that stays true until somebody does something about it, or [`sound`](Self::sound) says that it is over.
    pub(crate) fn alarm(&mut self, clock: Clock, subject: Subject, text: String) {
        self.alarms.raise(clock.now, Alarm { subject, text, until: None });
    }

    /// Something that may be over: it is said again while it is not.
    pub(crate) fn alarm_for_a_while(&mut self, clock: Clock, subject: Subject, text: String) {
        let until = Some(clock.now + SHOWN_FOR);
        self.alarms.raise(clock.now, Alarm { subject, text, until });
    }

    /// Nothing is wrong with that any more.
    pub(crate) fn sound(&mut self, subject: &Subject) {
        self.alarms.end(subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn host(name: &str, text: &str, until: Option<Instant>) -> Alarm {
        Alarm { subject: Subject::Host(name.to_owned()), text: text.to_owned(), until }
    }

    #[test]
    fn an_alarm_is_shown_once_until_it_is_sound_or_its_time_is_over() {
        let mut alarms = Alarms::default();
        alarms.raise(at(0), host("keys", "not on disk: full", None));
        alarms.raise(at(1), host("gate", "taken away from eth0", Some(at(10))));
        alarms.raise(at(2), host("keys", "not on disk: read-only", None));
        assert_eq!(alarms.texts(at(9)), ["not on disk: read-only", "taken away from eth0"]);
        assert_eq!(alarms.texts(at(10)), ["not on disk: read-only"]);
        alarms.end(&Subject::Host("keys".to_owned()));
        assert_eq!(alarms.texts(at(10)), [""; 0]);
    }

    #[test]
    fn the_newest_is_always_shown_and_the_log_s_never_makes_room() {
        let mut alarms = Alarms::default();
        let store = Alarm { subject: Subject::Store, text: "store".to_owned(), until: None };
        alarms.raise(at(0), store);
        for n in 0..MAX_ALARMS {
            let name = format!("number {n}");
            alarms.raise(at(0), host(&name, &name, (n == 40).then_some(at(100))));
        }
        // What is mended goes first, then the oldest.
        let texts = alarms.texts(at(1));
        assert_eq!(texts.len(), MAX_ALARMS + 1);
        assert!(!texts.contains(&"number 40".to_owned()), "{texts:?}");
        assert_eq!(
            texts.last().unwrap(),
            "alarms that are older and not shown: 1; mend these first"
        );
        alarms.raise(at(1), host("one more", "one more", None));
        let texts = alarms.texts(at(1));
        assert_eq!(texts[..2], ["store", "number 1"]);
        assert_eq!(texts[MAX_ALARMS - 1], "one more");
        alarms.end(&Subject::Host("one more".to_owned()));
        assert_eq!(alarms.texts(at(1)).len(), MAX_ALARMS - 1, "no word of what is not shown");
    }
}
