//! When to announce one address, and whether anybody has noticed.
//!
//! ```text
//!            Begin, Again                    an answer
//!  (quiet) ───────────────▶ burst + asking ────────────▶ verified ──┐ refresh every 60 s ± 10 %
//!                             ▲        │ 3 tries, no answer         │
//!                             └────────┴── unverified: back off 1, 2, 4 … 60 s, then again
//! ```
//! A frame that tells a neighbour the new owner may be lost: a link flap, a switch that learns, a busy
//! host. So a burst is spread over seconds, and the address itself asks the gateway and some neighbours
//! (a unicast ARP request or solicitation from the address): an answer to our hardware address proves
//! the path.
//!
//! Inputs: [`Input`]. Outputs: [`Output`]. It never sends: pacing between many addresses, the hardware
//! address and the lease's last word belong to whoever carries the outputs out. It never gives up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use haven_base::{Instant, MacAddr, Neighbour, Rng};
use serde::{Deserialize, Serialize};

use crate::event::Confirmation;
use crate::params::{Announce, Burst};

/// The default burst, from its first frame. Never all within milliseconds: one link flap or one learning
/// pause of a switch would swallow it whole.
pub const SCHEDULE: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(600),
    Duration::from_millis(1200),
    Duration::from_millis(2500),
    Duration::from_millis(5000),
];
/// Pause between the two halves of an even burst (keepalived's garp_master_delay).
const SECOND_BURST: Duration = Duration::from_secs(5);
/// Refresh without jitter, below the usual ageing time of switches (300 s).
const REFRESH: Duration = Duration::from_secs(60);
/// Questions of one round, from its start, and when the round has failed.
const TRIES: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(1000)];
const ROUND: Duration = Duration::from_millis(1500);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Most stations asked in one round.
pub const TARGETS_MAX: usize = 16;

/// A station to ask.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Its address.
    pub ip: IpAddr,
    /// Its hardware address, where known.
    pub mac: Option<MacAddr>,
}

/// What an announcer is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// The address is up: announce from the start.
    Begin,
    /// Neighbours may have been told otherwise (a conflict, a returning peer, a link that came back, an
    /// operator): burst and ask again.
    Again,
    /// This many announcements now, spaced like a burst's first ones (arp_count_refresh).
    Refresh(u32),
    /// The stations to ask, in reply to [`Output::FindTargets`]; those beyond [`TARGETS_MAX`] are left out.
    Targets(Vec<Target>),
    /// This station answered to the address.
    Answer(IpAddr),
    /// The deadline may have passed.
    Tick,
}

/// What an announcer wants done, in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// Send one announcement.
    Announce,
    /// Say whom to ask ([`Input::Targets`]).
    FindTargets,
    /// Ask this station from the address.
    Ask(Target),
    /// The burst's first part has been sent: a start that waits for it may return.
    BurstEnded,
    /// Nobody has answered a whole round. Told once until somebody does.
    Unverified {
        /// Stations asked.
        asked: Vec<IpAddr>,
    },
    /// A station answered.
    Verified {
        /// The station.
        by: IpAddr,
        /// Since the announcing began.
        took: Duration,
    },
}

/// Announces one address. See the [module](self).
#[derive(Clone, Debug, PartialEq)]
pub struct Announcer {
    wanted: Announce,
    steps: Vec<Duration>,
    /// Steps that a waiting start waits for.
    first_part: usize,
    rng: Rng,
    began: Option<Instant>,
    burst: Option<Running>,
    refresh_at: Option<Instant>,
    /// When the next frame of a refresh on monitor is due, and how many are left.
    extra: Option<(Instant, u32)>,
    spacing: Duration,
    confirm: Confirm,
    backoff: Duration,
    told_unverified: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Running {
    since: Instant,
    next: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Confirm {
    Idle,
    Finding,
    Asking { targets: Vec<Target>, since: Instant, next: usize },
    Waiting { targets: Vec<Target>, until: Instant },
    Verified,
}

impl Announcer {
    /// An announcer that is quiet until [`Input::Begin`].
    #[must_use]
    pub fn new(wanted: Announce, burst: Burst, rng: Rng) -> Self {
        let (steps, first_part) = steps(burst);
        Self {
            wanted,
            steps,
            first_part,
            rng,
            began: None,
            burst: None,
            refresh_at: None,
            extra: None,
            spacing: spacing(burst),
            confirm: Confirm::Idle,
            backoff: BACKOFF_FIRST,
            told_unverified: false,
        }
    }

    /// One input, and what follows from it.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Begin => {
                self.began = Some(now);
                self.backoff = BACKOFF_FIRST;
                self.told_unverified = false;
                self.restart(now, &mut out);
            }
            Input::Again if self.began.is_some() => {
                self.backoff = BACKOFF_FIRST;
                self.restart(now, &mut out);
            }
            Input::Refresh(count) if self.began.is_some() => {
                self.extra = (count > 0).then_some((now, count));
            }
            Input::Targets(targets) if self.confirm == Confirm::Finding => {
                self.on_targets(now, targets);
            }
            Input::Answer(by) => self.on_answer(now, by, &mut out),
            Input::Again | Input::Refresh(_) | Input::Targets(_) | Input::Tick => {}
        }
        self.tick(now, &mut out);
        debug_assert!(self.deadline().is_none_or(|at| at > now), "a tick must not spin");
        out
    }

    /// When the next [`Input::Tick`] is due; none while nothing is.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let burst = self.burst.and_then(|b| Some(b.since + *self.steps.get(b.next)?));
        let confirm = match &self.confirm {
            Confirm::Idle | Confirm::Finding | Confirm::Verified => None,
            Confirm::Asking { since, next, .. } => {
                Some(*since + TRIES.get(*next).copied().unwrap_or(ROUND))
            }
            Confirm::Waiting { until, .. } => Some(*until),
        };
        let extra = self.extra.map(|(at, _)| at);
        [burst, confirm, extra, self.refresh_at].into_iter().flatten().min()
    }

    /// Whether neighbours were seen to find the address.
    #[must_use]
    pub const fn confirmation(&self) -> Confirmation {
        match self.confirm {
            Confirm::Idle => Confirmation::NotAsked,
            Confirm::Verified => Confirmation::Verified,
            Confirm::Finding | Confirm::Asking { .. } | Confirm::Waiting { .. } => {
                if self.told_unverified { Confirmation::Unverified } else { Confirmation::Waiting }
            }
        }
    }

    fn restart(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.wanted.burst {
            self.burst = Some(Running { since: now, next: 0 });
        } else {
            out.push(Output::BurstEnded);
            self.plan_refresh(now);
        }
        if self.wanted.confirm {
            // Asked after the first frame: its answer costs nothing on the way to it.
            self.confirm = Confirm::Finding;
        }
        self.tick(now, out);
        if self.wanted.confirm {
            out.push(Output::FindTargets);
        }
    }

    fn on_targets(&mut self, now: Instant, mut targets: Vec<Target>) {
        targets.truncate(TARGETS_MAX);
        self.confirm = if targets.is_empty() {
            Confirm::Idle
        } else {
            Confirm::Asking { targets, since: now, next: 0 }
        };
    }

    fn on_answer(&mut self, now: Instant, by: IpAddr, out: &mut Vec<Output>) {
        let (Confirm::Asking { targets, .. } | Confirm::Waiting { targets, .. }) = &self.confirm
        else {
            return;
        };
        if targets.iter().any(|target| target.ip == by) {
            let took = self.began.map_or(Duration::ZERO, |began| now.since(began));
            self.confirm = Confirm::Verified;
            self.told_unverified = false;
            self.backoff = BACKOFF_FIRST;
            out.push(Output::Verified { by, took });
        }
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.tick_burst(now, out);
        self.tick_confirm(now, out);
        if let Some((at, left)) = self.extra
            && at <= now
        {
            out.push(Output::Announce);
            self.extra = (left > 1).then(|| (now + self.spacing, left - 1));
            self.plan_refresh(now);
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            out.push(Output::Announce);
            self.plan_refresh(now);
        }
    }

    fn tick_burst(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Some(mut burst) = self.burst else { return };
        let passed = now.since(burst.since);
        let due = self.steps.iter().take_while(|step| **step <= passed).count();
        if due <= burst.next {
            return;
        }
        // Frames missed while this process slept are not made up for all at once.
        out.push(Output::Announce);
        if burst.next < self.first_part && due >= self.first_part {
            out.push(Output::BurstEnded);
        }
        burst.next = due;
        self.burst = (due < self.steps.len()).then_some(burst);
        self.plan_refresh(now);
    }

    fn tick_confirm(&mut self, now: Instant, out: &mut Vec<Output>) {
        match &mut self.confirm {
            Confirm::Idle | Confirm::Finding | Confirm::Verified => {}
            Confirm::Asking { targets, since, next } => {
                let passed = now.since(*since);
                let due = TRIES.iter().take_while(|at| **at <= passed).count();
                if due > *next {
                    *next = due;
                    out.extend(targets.iter().cloned().map(Output::Ask));
                }
                if passed >= ROUND {
                    let targets = std::mem::take(targets);
                    if !std::mem::replace(&mut self.told_unverified, true) {
                        let asked = targets.iter().map(|target| target.ip).collect();
                        out.push(Output::Unverified { asked });
                    }
                    let until = now + self.backoff;
                    self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
                    self.confirm = Confirm::Waiting { targets, until };
                }
            }
            Confirm::Waiting { until, .. } if *until <= now => self.restart(now, out),
            Confirm::Waiting { .. } => {}
        }
    }

    fn plan_refresh(&mut self, now: Instant) {
        let jitter = self.rng.between(Duration::ZERO, REFRESH / 5);
        self.refresh_at = self.wanted.refresh.then(|| now + (REFRESH - REFRESH / 10 + jitter));
    }
}

const fn spacing(burst: Burst) -> Duration {
    match burst {
        Burst::Schedule => Duration::from_millis(200),
        Burst::Even { interval, .. } => interval,
    }
}

fn steps(burst: Burst) -> (Vec<Duration>, usize) {
    match burst {
        Burst::Schedule => (SCHEDULE.to_vec(), SCHEDULE.len()),
        Burst::Even { interval, count } => {
            let half: Vec<Duration> = (0..count).map(|i| interval * i).collect();
            let gap = half.last().copied().unwrap_or_default() + SECOND_BURST;
            let steps = half.iter().copied().chain(half.iter().map(|at| *at + gap)).collect();
            (steps, half.len())
        }
    }
}

/// Whom to ask about `vip` on an interface: its configured targets, or gateways of default routes and
/// recently active neighbours (8 at most, routers first, lowest address first).
#[must_use]
pub fn targets(
    vip: IpAddr,
    configured: &[IpAddr],
    gateways: &[IpAddr],
    neighbours: &[Neighbour],
    ours: &dyn Fn(IpAddr) -> bool,
) -> Vec<Target> {
    const NEIGHBOURS_MAX: usize = 8;
    let same_family = |ip: &IpAddr| ip.is_ipv4() == vip.is_ipv4();
    let known: BTreeMap<IpAddr, Option<MacAddr>> =
        neighbours.iter().map(|n| (n.ip, n.mac)).collect();
    let mac = |ip: IpAddr| known.get(&ip).copied().flatten();
    let mut found: Vec<IpAddr> = if configured.is_empty() {
        let mut recent: Vec<&Neighbour> =
            neighbours.iter().filter(|n| n.recent && n.mac.is_some()).collect();
        recent.sort_by_key(|n| (!n.router, n.ip));
        let recent = recent.iter().map(|n| n.ip).filter(same_family).take(NEIGHBOURS_MAX);
        gateways.iter().copied().filter(same_family).chain(recent).collect()
    } else {
        configured.iter().copied().filter(same_family).collect()
    };
    let mut seen = BTreeSet::new();
    found.retain(|ip| !ours(*ip) && !ip.is_multicast() && seen.insert(*ip));
    found.truncate(TARGETS_MAX);
    found.into_iter().map(|ip| Target { ip, mac: mac(ip) }).collect()
}

#[cfg(test)]
mod tests;
