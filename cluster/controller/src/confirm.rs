//! Confirmation by hand that a node is dead, where no device can fence it: what waited for its fencing goes on.
//!
//! A confirmation stands for the fencing of one life of a node, no more: it counts while that life is dead, and is over as
//! soon as the node is heard, or comes back in another. Addresses and whatever else runs under a lease are not concerned:
//! who may own them, the lease decides, and it neither asks for confirmations nor heeds them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_api::{ApiError, Code, EventSeverity, Notice, ReplyBody};
use haven_types::{NodeId, Term};

use crate::alerts::Happened;
use crate::command::{Authorship, Command};
use crate::commits::one_line;
use crate::controller::{Controller, Purpose};
use crate::port::Clock;
use crate::request::ReplyTo;
use crate::waiting::Change;

/// A node must have been silent for everybody for so long before a person's word is taken: a link that has just gone
/// down looks the same, and whoever is woken takes longer.
pub(crate) const SILENT_FOR: Duration = Duration::from_secs(60);

/// What was heard of nodes that are confirmed dead.
#[derive(Debug, Default)]
pub(crate) struct Reappeared {
    /// Heard here since they were confirmed dead.
    nodes: BTreeSet<NodeId>,
    /// Those of which the log is to learn that, with the term in which it was proposed.
    proposed: BTreeMap<NodeId, Term>,
}

impl Controller {
    /// Commits that a node is dead: whoever asks has made sure that it is.
    pub(crate) fn confirm_dead(
        &mut self,
        clock: Clock,
        to: ReplyTo,
        author: String,
        (name, reason): (String, String),
        (wait, timeout_ms): (bool, Option<u64>),
    ) -> Result<(), ApiError> {
        let node = self.known_node(&name)?;
        self.is_silent(clock, node, &name)?;
        let waits = self.resources_on(node);
        let boot = self.histories.get(&node).map(|history| history.boot);
        let (Some(boot), false) = (boot, waits.is_empty()) else {
            let text = format!("nothing waits for {name}: what it may still run needs no fencing");
            let notice = Notice { text, elapsed_ms: 0, pending: Vec::new() };
            self.reply(to, false, Ok(ReplyBody::Done(notice)));
            return Ok(());
        };
        let asked = match to {
            ReplyTo::Local(_) => self.config.name.clone(),
            ReplyTo::Peer(node, _) => self.name_of(node),
        };
        let waits = waits.join(", ");
        let message = one_line(&format!("{name} is confirmed dead ({waits}): {reason}"));
        let what = format!("{name} is confirmed dead: {waits} may start elsewhere");
        let by = Authorship { author, node: asked, message, at: clock.wall };
        let change = Change::action(what, wait, timeout_ms);
        let id = self.await_commit(clock, to, change)?;
        self.propose(&Command::ConfirmDead { node, boot, by }, Purpose::Request(id));
        Ok(())
    }

    fn is_silent(&self, clock: Clock, node: NodeId, name: &str) -> Result<(), ApiError> {
        if self.alive.contains_key(&node) || self.view.members.contains(&node) {
            let message = format!(
                "cannot confirm that {name} is dead: it is heard, and whatever it runs would run twice"
            );
            return Err(ApiError::new(Code::Unsafe, message).remedy(format!(
                "haven node standby {name}; or switch it off, make sure that it is, and try again"
            )));
        }
        let silent = self.dead.get(&node).map(|at| clock.now.since(*at));
        let left = SILENT_FOR.saturating_sub(silent.unwrap_or(SILENT_FOR));
        if left.is_zero() {
            return Ok(());
        }
        let message = format!(
            "cannot confirm that {name} is dead yet: it was heard less than {} s ago",
            SILENT_FOR.as_secs()
        );
        let seconds = left.as_secs() + 1;
        Err(ApiError::new(Code::Unsafe, message)
            .remedy(format!("make sure meanwhile that it is off, and try again in {seconds} s")))
    }

    /// Whether a node's present life is confirmed dead, and nothing was heard of it since.
    pub(crate) fn is_confirmed_dead(&self, node: NodeId) -> bool {
        let boot = self.histories.get(&node).map(|history| history.boot);
        boot.is_some()
            && self.state.confirmed_dead.get(&node).copied() == boot
            && !self.reappeared.nodes.contains(&node)
            && !self.alive.contains_key(&node)
    }

    /// The nodes that are confirmed dead.
    pub(crate) fn confirmed_dead(&self) -> BTreeSet<NodeId> {
        let all = self.state.confirmed_dead.keys().copied();
        all.filter(|node| self.is_confirmed_dead(*node)).collect()
    }

    /// The log holds a confirmation now.
    pub(crate) fn on_confirmed_dead(&mut self, clock: Clock, node: NodeId) {
        self.reappeared.nodes.remove(&node);
        self.reappeared.proposed.remove(&node);
        if self.alive.contains_key(&node) {
            self.reappeared.nodes.insert(node);
        }
        let name = self.name_of(node);
        if let Some(commit) = self.state.commits.last().filter(|_| self.coordinator.is_some()) {
            let by = &commit.by;
            let text = format!("{}; by {} on {}", by.message, by.author, by.node);
            let (target, operation) = (name.clone(), "off".to_owned());
            let told = Happened::Fencing { target, operation, rc: 0, text: text.clone() };
            self.alert(clock, &told);
            self.event(clock, "HV1702", EventSeverity::Warning, format!("node/{name}"), text);
        }
        self.replan();
    }

    /// A node is heard: if it was confirmed dead, that is over.
    pub(crate) fn on_heard_again(&mut self, node: NodeId) {
        if self.state.confirmed_dead.contains_key(&node) {
            self.reappeared.nodes.insert(node);
        }
    }

    /// Has the log forget confirmations that are over.
    pub(crate) fn forget_confirmations(&mut self) {
        if self.coordinator.is_none() || self.state.confirmed_dead.is_empty() {
            return;
        }
        let term = self.term;
        let heard =
            |node: &NodeId| self.alive.contains_key(node) || self.reappeared.nodes.contains(node);
        let all = self.state.confirmed_dead.keys().copied();
        let over: Vec<NodeId> = all
            .filter(|node| heard(node) && self.reappeared.proposed.get(node) != Some(&term))
            .collect();
        for node in over {
            self.reappeared.proposed.insert(node, term);
            self.propose(&Command::Reappeared { node }, Purpose::Other);
        }
    }
}
