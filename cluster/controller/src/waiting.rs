//! Whoever waits for a change: until it is committed, or until the cluster has carried it out.

use std::time::Duration;

use haven_api::{ApiError, Code, Finding, Notice, PendingAction, ReplyBody};
use haven_base::Instant;
use haven_cib::{Cib, CibError};
use haven_consensus::DropReason;

use crate::commits::api_version;
use crate::controller::{Controller, Purpose};
use crate::goals::Goal;
use crate::port::Clock;
use crate::replicated::Applied;
use crate::request::ReplyTo;

/// How long a request waits for the cluster to carry it out, unless it says otherwise.
const DEFAULT_WAIT: Duration = Duration::from_secs(60);

/// Whoever waits hears this often what is under way.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Requests waiting at once; one more is refused.
const MAX_WAITERS: usize = 256;

/// A request that is committed or about to be, and not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Waiter {
    pub(crate) reply_to: ReplyTo,
    /// What was done, for the answer.
    pub(crate) what: String,
    /// Answer only once the cluster has settled.
    pub(crate) wait: bool,
    pub(crate) committed: bool,
    pub(crate) since: Instant,
    pub(crate) deadline: Instant,
    /// Ids of configuration objects that the change touches.
    pub(crate) changed: Vec<String>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) kind: Kind,
    /// The version that the change was made from.
    pub(crate) base: haven_cib::Version,
    /// The version that the change made.
    pub(crate) version: Option<haven_cib::Version>,
    pub(crate) goal: Goal,
    /// When whoever waits is told next what is under way.
    pub(crate) told: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Configuration,
    Action,
}

/// How a change of the configuration is to be answered.
pub(crate) struct Change {
    pub(crate) what: String,
    pub(crate) wait: bool,
    pub(crate) timeout: Duration,
    pub(crate) changed: Vec<String>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) configuration: bool,
    pub(crate) goal: Goal,
}

impl Change {
    pub(crate) fn configuration(
        what: String,
        changed: Vec<String>,
        findings: Vec<Finding>,
    ) -> Self {
        let (wait, timeout) = (false, DEFAULT_WAIT);
        Self { what, wait, timeout, changed, findings, configuration: true, goal: Goal::Settled }
    }

    pub(crate) fn action(what: String, wait: bool, timeout_ms: Option<u64>) -> Self {
        let timeout = timeout_ms.map_or(DEFAULT_WAIT, Duration::from_millis);
        let (changed, findings) = (Vec::new(), Vec::new());
        let (configuration, goal) = (false, Goal::Settled);
        Self { what, wait, timeout, changed, findings, configuration, goal }
    }

    /// The same change, with what is wanted by it.
    pub(crate) fn towards(self, goal: Goal) -> Self {
        Self { goal, ..self }
    }
}

impl Controller {
    /// Makes a change of the configuration and commits it.
    pub(crate) fn edit(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        change: Change,
        edit: impl FnOnce(&mut Cib) -> Result<(), CibError>,
    ) -> Result<(), ApiError> {
        let mut cib = self.newest().clone();
        edit(&mut cib).map_err(|error| ApiError::new(Code::NoSuchObject, error.to_string()))?;
        self.commit(clock, to, author, cib, change)
    }

    pub(crate) fn commit(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        cib: Cib,
        change: Change,
    ) -> Result<(), ApiError> {
        if self.waiters.len() >= MAX_WAITERS {
            let message = format!("{MAX_WAITERS} requests are waiting already");
            return Err(ApiError::new(Code::Unavailable, message).remedy("try again later"));
        }
        let id = self.next_forward;
        self.next_forward += 1;
        let same = self.is_in_force(&cib);
        self.waiters.insert(
            id,
            Waiter {
                reply_to: to,
                what: change.what.clone(),
                wait: change.wait,
                committed: same,
                since: clock.now,
                deadline: clock.now + change.timeout,
                changed: change.changed,
                findings: change.findings,
                kind: if change.configuration { Kind::Configuration } else { Kind::Action },
                base: cib.version,
                version: None,
                goal: change.goal,
                told: clock.now + TOLD_EVERY,
            },
        );
        if !same && !self.joins_proposed(id, &cib) {
            let command = self.configure_command(clock, to, author, change.what, cib.clone());
            self.goes_ahead(id, cib);
            self.propose(&command, Purpose::Request(id));
        }
        Ok(())
    }

    /// A waiter for what is about to be proposed; its number.
    pub(crate) fn await_commit(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        change: Change,
    ) -> Result<u64, ApiError> {
        if self.waiters.len() >= MAX_WAITERS {
            let message = format!("{MAX_WAITERS} requests are waiting already");
            return Err(ApiError::new(Code::Unavailable, message).remedy("try again later"));
        }
        let id = self.next_forward;
        self.next_forward += 1;
        let waiter = Waiter {
            reply_to: to,
            what: change.what,
            wait: change.wait,
            committed: false,
            since: clock.now,
            deadline: clock.now + change.timeout,
            changed: change.changed,
            findings: change.findings,
            kind: Kind::Action,
            base: self.state.cib.version,
            version: None,
            goal: change.goal,
            told: clock.now + TOLD_EVERY,
        };
        self.waiters.insert(id, waiter);
        Ok(id)
    }

    /// How much of what people asked for is not finished, as far as this node knows: requests without their last
    /// answer, and members about to be removed.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        let leaving = self.coordinator.as_ref().map_or(0, |coordinator| coordinator.leaving.len());
        self.waiters.len() + self.forwarded.len() + usize::from(self.own_leave.is_some()) + leaving
    }

    /// A client of this node, which asked under this number, listens no more.
    pub(crate) fn on_request_gone(&mut self, client: u64) {
        self.waiters.retain(|_, waiter| waiter.reply_to != ReplyTo::Local(client));
        self.forwarded.retain(|_, forwarded| forwarded.request != client);
        self.own_leave.take_if(|(asked, _)| *asked == client);
    }

    pub(crate) fn on_request_applied(&mut self, id: u64, applied: &Applied) {
        for same in self.comes_true(id, applied) {
            self.on_request_applied(same, applied);
        }
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        if let Applied::Stale { current } = applied {
            let (to, base) = (waiter.reply_to, waiter.base);
            self.waiters.remove(&id);
            let error = self.stale(base, *current);
            self.reply(to, false, Err(error));
            return;
        }
        waiter.committed = true;
        if let Applied::Configured(version) = applied {
            waiter.version = Some(*version);
        }
    }

    pub(crate) fn on_request_dropped(&mut self, id: u64, why: &DropReason) {
        self.is_lost(id);
        let Some(waiter) = self.waiters.remove(&id) else { return };
        let error = match why {
            DropReason::NotLeader { .. } | DropReason::Superseded => {
                ApiError::new(Code::NoCoordinator, "the coordinator changed; nothing was committed")
                    .remedy("try again")
            }
            DropReason::Transferring => ApiError::new(
                Code::NoCoordinator,
                "the coordinator is handing over to another; nothing was committed",
            )
            .remedy("try again"),
            DropReason::Overloaded => {
                ApiError::new(Code::Unavailable, "too much waits to be committed")
                    .remedy("see `haven status` for members that do not answer; try again")
            }
            DropReason::TooBig { bytes, most } => {
                let mib = |bytes: &usize| bytes.div_ceil(1 << 20);
                let message = format!(
                    "with this change the configuration takes {} MiB, more than the {} MiB possible; \
                     nothing was changed",
                    mib(bytes),
                    mib(most)
                );
                ApiError::new(Code::BadData, message)
                    .remedy("shorten descriptions, or split the cluster")
            }
            DropReason::Unknown => ApiError::new(
                Code::Indeterminate,
                "the coordinator changed while this was being committed",
            )
            .remedy("look whether it is in force before trying again: haven configure show"),
            DropReason::Mute => ApiError::new(Code::Unavailable, "this node's store has failed")
                .remedy("make its disk sound and restart the daemon"),
        };
        self.reply(waiter.reply_to, false, Err(error));
    }

    /// Answers whoever has got what they wait for, or has waited long enough.
    pub(crate) fn serve_waiters(&mut self, clock: Clock) {
        let settled = self.coordinator.as_ref().is_some_and(|c| c.settled());
        let ready: Vec<u64> = self
            .waiters
            .iter()
            .filter(|(_, w)| (w.committed && (!w.wait || settled)) || w.deadline <= clock.now)
            .map(|(id, _)| *id)
            .collect();
        for id in ready {
            let Some(waiter) = self.waiters.remove(&id) else { continue };
            let answer = match (waiter.committed, waiter.wait, settled) {
                (true, true, true) => self.reached(&waiter.goal, &waiter.what).map(|what| {
                    let waiter = Waiter { what, ..waiter.clone() };
                    self.success(clock, &waiter)
                }),
                (true, false, _) => Ok(self.success(clock, &waiter)),
                (true, true, false) | (false, ..) => Err(self.too_late(&waiter)),
            };
            self.reply(waiter.reply_to, false, answer);
        }
        self.tell_waiters(clock);
    }

    /// Tells whoever waits what for.
    fn tell_waiters(&mut self, clock: Clock) {
        let due: Vec<u64> =
            self.waiters.iter().filter(|(_, w)| w.told <= clock.now).map(|(id, _)| *id).collect();
        for id in due {
            let pending = self.pending_actions(clock.now);
            let coordinator = self.coordinator.as_ref();
            let leaves = coordinator
                .is_some_and(|it| it.leaving.values().any(|it| it.waits() && it.is_of(id)));
            let Some(waiter) = self.waiters.get_mut(&id) else { continue };
            waiter.told = clock.now + TOLD_EVERY;
            let text = match (waiter.committed, pending.is_empty()) {
                (false, _) if leaves => {
                    "waiting until the member has no vote and runs nothing".to_owned()
                }
                (false, _) => "waiting for a majority to take the change".to_owned(),
                (true, true) => "waiting for the cluster to settle".to_owned(),
                (true, false) => format!("under way: {}", named(&pending)),
            };
            let elapsed_ms = millis(clock.now.since(waiter.since));
            let (to, notice) = (waiter.reply_to, Notice { text, elapsed_ms, pending });
            self.reply(to, true, Ok(ReplyBody::Progress(notice)));
        }
    }

    /// A waiter for the end of what has begun already.
    pub(crate) fn await_settled(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        change: Change,
    ) -> Result<(), ApiError> {
        let cib = self.state.cib.clone();
        self.commit(clock, to, String::new(), cib, change)
    }

    fn success(&self, clock: Clock, waiter: &Waiter) -> ReplyBody {
        match waiter.kind {
            Kind::Configuration => ReplyBody::Committed {
                version: waiter.version.map_or_else(|| self.api_version(), api_version),
                changed: waiter.changed.clone(),
                findings: waiter.findings.clone(),
            },
            Kind::Action => ReplyBody::Done(Notice {
                text: waiter.what.clone(),
                elapsed_ms: millis(clock.now.since(waiter.since)),
                pending: Vec::new(),
            }),
        }
    }

    fn too_late(&self, waiter: &Waiter) -> ApiError {
        if !waiter.committed {
            return ApiError::new(Code::Timeout, "no majority took the change in time").remedy(
                "it may still be committed; see `haven status` for members that do not answer",
            );
        }
        let pending = self.pending_actions(waiter.deadline);
        let message = format!(
            "committed, but not carried out in time; under way: {}",
            if pending.is_empty() { "nothing".to_owned() } else { named(&pending) }
        );
        ApiError::new(Code::Timeout, message).remedy("see `haven status`")
    }

    pub(crate) fn fail_waiters(&mut self) {
        for waiter in std::mem::take(&mut self.waiters).into_values() {
            let error = ApiError::new(
                Code::Indeterminate,
                "the coordinator changed while this was waiting",
            )
            .remedy("see `haven status` and `haven configure show` for what is in force");
            self.reply(waiter.reply_to, false, Err(error));
        }
    }
}

/// A few of the actions under way, in words.
fn named(pending: &[PendingAction]) -> String {
    const SHOWN: usize = 5;
    let words = |p: &PendingAction| match p.resource.is_empty() {
        true => format!("{} on {}", p.operation, p.node),
        false => format!("{} {} on {}", p.resource, p.operation, p.node),
    };
    let shown: Vec<String> = pending.iter().take(SHOWN).map(words).collect();
    let more = pending.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use haven_api::RequestBody;
    use haven_types::NodeId;

    use crate::bench::{Bench, VIP};
    use crate::port::{Input, Local};

    /// Clients and what waits are numbered apart: one who gives up takes no other's answer along.
    #[test]
    fn a_client_that_is_gone_is_waited_for_no_more_and_nobody_else_suffers() {
        let mut bench = Bench::new(VIP);
        let at = bench.coordinator();
        let asks = bench.ids().into_iter().find(|id| *id != at).unwrap();
        let node = Some(format!("n{asks}"));
        let body = RequestBody::ResourceCleanup { resource: None, node };
        let [stays, goes] = [0, 1].map(|_| bench.ask(at, body.clone()));
        let forwarded = bench.ask(asks, body);
        let of_others: Vec<u64> = bench.nodes[&NodeId(at)].waiters.keys().copied().collect();
        assert!(!of_others.is_empty() && !of_others.contains(&goes), "{of_others:?}");
        for gone in of_others.into_iter().chain([goes]) {
            bench.step(at, Input::Local(Local::RequestGone(gone)));
        }
        bench.step(asks, Input::Local(Local::RequestGone(forwarded)));
        assert!(bench.nodes[&NodeId(asks)].forwarded.is_empty());
        bench.run(2_000);
        assert_eq!(bench.answers.remove(&stays).map(|it| it.len()), Some(1));
        assert_eq!(bench.answers.remove(&goes), None);
        assert_eq!(bench.answers.remove(&forwarded), None);
    }
}
