//! Local checks: what this node can reach and has left, as attributes that rules read.
//!
//! ```text
//!  due ─▶ Probe ─▶ answer ─▶ so many failures, or successes, in a row ─▶ target up or down
//!                                                   sum of targets ─▶ Set the attribute
//! ```
//!
//! [`Checks`] decides, [`probe`] asks. Nothing is said before every target has been judged once, so that a
//! daemon that has just begun does not drive resources away.

pub(crate) mod probe;

use std::time::Duration;

use haven_base::Instant;

use crate::config::{CheckConfig, CheckKind};

/// What the machine is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Input {
    /// A probe ended.
    Answer {
        /// Which check, by its place in the configuration.
        check: usize,
        /// Which of its targets.
        target: usize,
        /// Whether it went well.
        ok: bool,
    },
    /// Time may have passed.
    Tick,
}

/// What the machine wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    /// Probe a target, and answer within the check's timeout.
    Probe {
        /// Which check.
        check: usize,
        /// Which of its targets.
        target: usize,
    },
    /// The attribute has another value.
    Set {
        /// Its name.
        attribute: String,
        /// Its value.
        value: String,
        /// How long changes are held back over all nodes.
        delay: Duration,
        /// For the log: what is down.
        down: Vec<String>,
    },
}

#[derive(Clone, Debug)]
struct Target {
    due: Instant,
    running: bool,
    /// How often in a row the last answer came.
    streak: u32,
    last: Option<bool>,
    /// The judgement; none before the first.
    up: Option<bool>,
}

#[derive(Clone, Debug)]
struct Check {
    config: CheckConfig,
    targets: Vec<Target>,
    told: Option<String>,
}

/// Every check of this node.
#[derive(Clone, Debug)]
pub(crate) struct Checks {
    checks: Vec<Check>,
}

impl Checks {
    /// Checks that are all due at once.
    pub(crate) fn new(configured: &[CheckConfig], now: Instant) -> Self {
        let target = || Target { due: now, running: false, streak: 0, last: None, up: None };
        let checks = configured.iter().map(|config| Check {
            config: config.clone(),
            targets: (0..config.kind.targets()).map(|_| target()).collect(),
            told: None,
        });
        Self { checks: checks.collect() }
    }

    /// What a check asks for.
    pub(crate) fn config(&self, check: usize) -> Option<&CheckConfig> {
        self.checks.get(check).map(|check| &check.config)
    }

    /// When the next probe is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let targets = self.checks.iter().flat_map(|check| &check.targets);
        targets.filter(|target| !target.running).map(|target| target.due).min()
    }

    /// Advances by one input.
    pub(crate) fn step(&mut self, now: Instant, input: Input) -> Vec<Output> {
        match input {
            Input::Tick => self.on_tick(now),
            Input::Answer { check, target, ok } => {
                let Some(check) = self.checks.get_mut(check) else { return Vec::new() };
                check.on_answer(target, ok).into_iter().collect()
            }
        }
    }

    fn on_tick(&mut self, now: Instant) -> Vec<Output> {
        let mut out = Vec::new();
        for (number, check) in self.checks.iter_mut().enumerate() {
            for (target, state) in check.targets.iter_mut().enumerate() {
                if state.running || state.due > now {
                    continue;
                }
                state.running = true;
                // From now, not from when it was due: what was missed is not made up for.
                state.due = now + check.config.interval;
                out.push(Output::Probe { check: number, target });
            }
        }
        out
    }
}

impl Check {
    fn on_answer(&mut self, target: usize, ok: bool) -> Option<Output> {
        let (failures, successes) = (self.config.failures, self.config.successes);
        let state = self.targets.get_mut(target)?;
        state.running = false;
        state.streak = if state.last == Some(ok) { state.streak.saturating_add(1) } else { 1 };
        state.last = Some(ok);
        let enough = if ok { successes } else { failures };
        // The first judgement needs as many answers as any other: one lost packet is no verdict.
        if state.streak >= enough {
            state.up = Some(ok);
        }
        self.tell()
    }

    fn tell(&mut self) -> Option<Output> {
        let judged: Option<Vec<bool>> = self.targets.iter().map(|target| target.up).collect();
        let judged = judged?;
        let up = judged.iter().filter(|up| **up).count();
        let value = self.config.value(up, judged.len());
        if self.told.as_ref() == Some(&value) {
            return None;
        }
        self.told = Some(value.clone());
        let down = judged.iter().enumerate().filter(|(_, up)| !**up);
        let down = down.map(|(target, _)| self.config.kind.target(target)).collect();
        let (attribute, delay) = (self.config.attribute.clone(), self.config.delay);
        Some(Output::Set { attribute, value, delay, down })
    }
}

impl CheckConfig {
    /// The attribute's value when so many of all targets are up.
    fn value(&self, up: usize, all: usize) -> String {
        match (&self.good, &self.bad) {
            (Some(good), Some(bad)) => if up == all { good } else { bad }.clone(),
            (Some(_), None) | (None, _) => {
                let up = u64::try_from(up).unwrap_or(u64::MAX);
                up.saturating_mul(u64::from(self.multiplier)).to_string()
            }
        }
    }
}

impl CheckKind {
    /// How many things it asks about.
    fn targets(&self) -> usize {
        match self {
            Self::Ping(targets) => targets.len(),
            Self::Router | Self::Disk { .. } | Self::Dns(_) | Self::Http(_) | Self::Script(_) => 1,
        }
    }

    /// One of them, in words.
    fn target(&self, number: usize) -> String {
        match self {
            Self::Router => "the default router".to_owned(),
            Self::Ping(targets) => targets.get(number).map(ToString::to_string).unwrap_or_default(),
            Self::Disk { path, .. } => path.display().to_string(),
            Self::Dns(name) => name.clone(),
            Self::Http(url) => url.to_string(),
            Self::Script(path) => path.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn ping() -> CheckConfig {
        CheckConfig {
            name: "out".to_owned(),
            kind: CheckKind::Ping(vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()]),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            failures: 3,
            successes: 1,
            attribute: "pingd".to_owned(),
            multiplier: 1000,
            delay: Duration::from_secs(5),
            good: None,
            bad: None,
        }
    }

    /// One round of probes and their answers; the values set by it.
    fn round(checks: &mut Checks, now: u64, answers: [bool; 2]) -> Vec<String> {
        let probes = checks.step(at(now), Input::Tick);
        let wanted = [0, 1].map(|target| Output::Probe { check: 0, target });
        assert_eq!(probes, wanted, "at {now}");
        assert_eq!(checks.deadline(), None, "one probe of a target at a time");
        let mut set = Vec::new();
        for (target, ok) in answers.into_iter().enumerate() {
            for output in checks.step(at(now + 1), Input::Answer { check: 0, target, ok }) {
                let Output::Set { attribute, value, delay, .. } = output else {
                    panic!("{output:?}")
                };
                assert_eq!((attribute.as_str(), delay), ("pingd", Duration::from_secs(5)));
                set.push(value);
            }
        }
        assert_eq!(checks.deadline(), Some(at(now + 10_000)), "counted from the probe");
        set
    }

    #[test]
    fn the_value_is_what_is_reached_once_it_is_sure() {
        let mut checks = Checks::new(&[ping()], at(0));
        assert_eq!(checks.deadline(), Some(at(0)));
        assert_eq!(round(&mut checks, 0, [true, false]), [] as [&str; 0], "one of two is judged");
        assert_eq!(round(&mut checks, 10_000, [true, false]), [] as [&str; 0]);
        assert_eq!(round(&mut checks, 20_000, [true, false]), ["1000"]);
        assert_eq!(round(&mut checks, 30_000, [true, true]), ["2000"], "one success is enough");
        assert_eq!(round(&mut checks, 40_000, [false, true]), [] as [&str; 0]);
        assert_eq!(round(&mut checks, 50_000, [true, true]), [] as [&str; 0], "in a row");
        assert_eq!(round(&mut checks, 60_000, [false, false]), [] as [&str; 0]);
        assert_eq!(round(&mut checks, 70_000, [false, false]), [] as [&str; 0]);
        assert_eq!(round(&mut checks, 80_000, [false, false]), ["1000", "0"]);
        assert!(checks.step(at(80_002), Input::Tick).is_empty(), "a spare tick is harmless");
        assert!(
            checks.step(at(80_003), Input::Answer { check: 7, target: 0, ok: true }).is_empty()
        );
    }

    #[test]
    fn words_stand_for_numbers_where_they_are_given() {
        let (good, bad) = (Some("green".to_owned()), Some("red".to_owned()));
        let check = CheckConfig { good, bad, ..ping() };
        assert_eq!(check.value(2, 2), "green");
        assert_eq!(check.value(1, 2), "red");
        assert_eq!(ping().value(1, 2), "1000");
    }
}
