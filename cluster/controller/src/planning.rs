//! What plans are made with: the status as the policy engine takes it, from all that this node knows.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use haven_api::{Format, ReplyBody};
use haven_base::WallTime;
use haven_cib::Cib;
use haven_policy::{Decision, Options};
use haven_types::NodeId;
use haven_types::status::Status;

use crate::controller::Controller;
use crate::picture::{self, Known};
use crate::port::Clock;

type Schedule = dyn Fn(&Cib, &Status, WallTime, &Options) -> Decision + Send + Sync;

/// Who makes the plans: the policy engine, or somebody who looks on while it does.
#[derive(Clone)]
pub struct Planner(Arc<Schedule>);

impl Planner {
    /// One that does what `haven_policy::schedule` does, and must keep its promise: a function of its arguments.
    pub fn new(
        schedule: impl Fn(&Cib, &Status, WallTime, &Options) -> Decision + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(schedule))
    }
}

impl Default for Planner {
    fn default() -> Self {
        Self::new(haven_policy::schedule)
    }
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planner")
    }
}

impl Controller {
    /// Plans are made by another planner than the policy engine as it is.
    #[must_use]
    pub fn planned_by(mut self, planner: Planner) -> Self {
        self.planner = planner;
        self
    }

    /// What is to be done in this status and the configuration in force.
    pub(crate) fn decide(&self, clock: Clock, status: &Status) -> Decision {
        let options = Options { facts: self.config.facts.clone(), ..Options::default() };
        (self.planner.0)(&self.state.cib, status, clock.wall, &options)
    }

    /// The status that plans are made with.
    pub(crate) fn planning_status(&self) -> Status {
        self.picture(&self.members_for_policy(), self.quorum.verdict.quorate)
    }

    /// What is known, as the policy engine takes it.
    pub(crate) fn picture(&self, present: &BTreeSet<NodeId>, quorate: bool) -> Status {
        let known = &Known {
            state: &self.state,
            present,
            alive: &self.alive.keys().copied().collect(),
            dead: &self.dead.keys().copied().collect(),
            confirmed: &self.confirmed_dead(),
            facts: &self.config.facts,
            histories: &self.histories,
            quorate,
            coordinator: self.config.node,
        };
        let mut status = picture::status(known);
        let fences = picture::fences(&self.state.cib);
        for node in &mut status.nodes {
            let member = self.state.member_named(&node.uname);
            node.attributes = member.map(|member| self.transient(member.id)).unwrap_or_default();
            let on_its_way = |id| !fences && picture::is_on_its_way(known, id);
            if member.is_some_and(|member| on_its_way(member.id)) {
                node.attributes.insert("maintenance".to_owned(), "true".to_owned());
            }
            let leaving =
                |id| self.coordinator.as_ref().is_some_and(|it| it.leaving.contains_key(&id));
            if member.is_some_and(|member| leaving(member.id)) {
                node.attributes.insert("standby".to_owned(), "on".to_owned());
            }
        }
        self.mark_restarts(&mut status);
        status
    }

    /// What plans are made with, as a document.
    pub(crate) fn planning_input(&self, clock: Clock) -> ReplyBody {
        let mut status = self.planning_status();
        status.recorded_at = Some(clock.wall.seconds);
        let text = self.state.cib.to_xml_with(&status);
        ReplyBody::Configuration { version: self.api_version(), format: Format::Xml, text }
    }

    /// The view, less the nodes whose daemon was declared dead in the meantime.
    pub(crate) fn members_for_policy(&self) -> BTreeSet<NodeId> {
        self.view.members.iter().filter(|node| !self.dead.contains_key(node)).copied().collect()
    }
}
