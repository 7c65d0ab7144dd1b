//! Votes: what the configuration says of them, what was seen, and whether this partition may act.
//!
//! The options are votequorum's, as cluster options under their own names; a node's votes are its
//! attribute `quorum_votes`. What must be remembered from view to view is shared with every member, so
//! that all members of a partition judge alike. A lease and the log need more than half of the voters
//! whatever these options say; they only decide what else may run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_api::EventSeverity;
use haven_base::Instant;
use haven_cib::{Cib, NvSet};
use haven_quorum::{
    History, Kind, Member as Voter, Options, OptionsError, Reason, Rules, TieBreaker,
    TieBreakerNode, Verdict,
};
use haven_types::{BootId, NodeId};

use crate::command::{Command, Member, Role};
use crate::controller::{Controller, Purpose};
use crate::message::PeerMessage;
use crate::port::Clock;

/// What this node knows of votes.
#[derive(Clone, Debug)]
pub(crate) struct Quorum {
    /// What was seen, merged with what the members of the view told.
    pub(crate) history: History,
    /// What others told, in which life.
    told: BTreeMap<NodeId, (BootId, History)>,
    /// What `rules` was made of.
    made_of: Option<(haven_cib::Version, BTreeSet<NodeId>)>,
    rules: Rules,
    /// What the options say that cannot be: they are not in force then.
    pub(crate) complaints: Vec<String>,
    pub(crate) verdict: Verdict,
    /// The members present in `verdict`.
    present: BTreeSet<NodeId>,
    /// The highest number of votes proposed to the log.
    proposed: u32,
}

impl Quorum {
    pub(crate) fn new(history: History) -> Self {
        let rules = lenient(Options::default(), BTreeMap::new()).0;
        let verdict = rules.judge(&BTreeSet::new(), &history);
        Self {
            history,
            told: BTreeMap::new(),
            made_of: None,
            rules,
            complaints: Vec::new(),
            verdict,
            present: BTreeSet::new(),
            proposed: 0,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.history.deadline(&self.rules)
    }

    pub(crate) fn forget(&mut self, node: NodeId) {
        self.told.remove(&node);
    }

    /// A member's votes; nothing while it does not count yet.
    pub(crate) fn votes_of(&self, node: NodeId) -> u32 {
        self.rules.votes(node)
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// The options as written; what cannot be read is named and left out.
pub(crate) fn options(cib: &Cib, members: &BTreeMap<NodeId, Member>) -> (Options, Vec<String>) {
    let mut wrong = Vec::new();
    let flag = |name: &str| cib.option(name).map(is_on);
    let mut number = |name: &str| {
        let text = cib.option(name)?;
        let parsed = text.parse::<u32>().ok();
        if parsed.is_none() {
            wrong.push(format!("{name} is \"{text}\", expected a number of votes"));
        }
        parsed
    };
    let expected_votes = number("expected_votes");
    let window = cib.option("last_man_standing_window").and_then(window);
    let node = match cib.option("auto_tie_breaker_node").map(str::trim) {
        None | Some("lowest") => TieBreakerNode::Lowest,
        Some("highest") => TieBreakerNode::Highest,
        Some(list) => TieBreakerNode::List(named(list, members, &mut wrong)),
    };
    let defaults = Options::default();
    let options = Options {
        expected_votes,
        two_node: flag("two_node").unwrap_or(false),
        wait_for_all: flag("wait_for_all"),
        last_man_standing: flag("last_man_standing").unwrap_or(false),
        last_man_standing_window: window.unwrap_or(defaults.last_man_standing_window),
        auto_tie_breaker: TieBreaker { enabled: flag("auto_tie_breaker").unwrap_or(false), node },
        expected_votes_tracking: flag("expected_votes_tracking").unwrap_or(false),
    };
    (options, wrong)
}

/// votequorum gives the window in milliseconds; a unit may be written, too.
fn window(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit.trim() {
        "" | "ms" | "msec" => Some(Duration::from_millis(number)),
        "s" | "sec" => Some(Duration::from_secs(number)),
        "min" | "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

/// A list of members, by name or number, in the order of preference.
fn named(list: &str, members: &BTreeMap<NodeId, Member>, wrong: &mut Vec<String>) -> Vec<NodeId> {
    let words = list.split([' ', ',']).filter(|word| !word.is_empty());
    let mut found = Vec::new();
    for word in words {
        let by_name = members.values().find(|member| member.name == word).map(|m| m.id);
        match by_name.or_else(|| word.parse().ok().map(NodeId)) {
            Some(node) => found.push(node),
            None => wrong.push(format!(
                "auto_tie_breaker_node names \"{word}\", which is no member: say lowest, highest, \
                 or names of members"
            )),
        }
    }
    found
}

fn is_on(value: &str) -> bool {
    haven_cib::boolean(value) == Some(true)
}

/// The members as voters, with the votes that their attribute gives them.
pub(crate) fn voters(
    cib: &Cib,
    members: &BTreeMap<NodeId, Member>,
) -> (BTreeMap<NodeId, Voter>, Vec<String>) {
    let mut wrong = Vec::new();
    let mut voter = |member: &Member| {
        let kind = if member.role == Role::Witness { Kind::Witness } else { Kind::Full };
        let set = cib.nodes.iter().filter(|node| node.uname == member.name);
        let text = set.flat_map(|node| &node.attributes).find_map(quorum_votes);
        let votes = text.map_or(Some(1), |text| text.parse().ok());
        if votes.is_none() {
            let text = text.unwrap_or_default();
            wrong.push(format!(
                "quorum_votes of {} is \"{text}\", expected a number from 0 to 255",
                member.name
            ));
        }
        (member.id, Voter { votes: votes.unwrap_or(1), kind })
    };
    let voters = members.values().map(&mut voter).collect();
    (voters, wrong)
}

fn quorum_votes(set: &NvSet) -> Option<&str> {
    set.pairs.iter().find(|pair| pair.name == "quorum_votes")?.value.as_deref()
}

/// Rules in any case: with the options where they fit, else with what of them cannot do harm.
fn lenient(options: Options, members: BTreeMap<NodeId, Voter>) -> (Rules, Vec<OptionsError>) {
    // No device fences yet, so nothing may count on fencing.
    let refused = match Rules::check(options.clone(), members.clone(), false) {
        Ok(rules) => return (rules, Vec::new()),
        Err(refused) => refused,
    };
    let expected_votes = options.expected_votes.filter(|votes| *votes > 0);
    // Both only ever ask for more.
    let strict =
        Options { expected_votes, wait_for_all: options.wait_for_all, ..Options::default() };
    let one_each = members.iter().map(|(id, voter)| (*id, Voter { votes: 1, kind: voter.kind }));
    let fallback = Rules::check(strict.clone(), members.clone(), false)
        .unwrap_or_else(|_| Rules::of_any(strict, one_each.collect()));
    (fallback, refused)
}

/// What is wrong with the options of a configuration, for people who are about to load it.
pub(crate) fn judged(cib: &Cib, members: &BTreeMap<NodeId, Member>) -> Vec<String> {
    let (options, mut wrong) = options(cib, members);
    let (voters, votes) = voters(cib, members);
    wrong.extend(votes);
    wrong.extend(lenient(options, voters).1.iter().map(ToString::to_string));
    wrong
}

/// Options that are accepted and do less than their name promises.
pub(crate) fn hints(cib: &Cib) -> Vec<(&'static str, &'static str)> {
    let set = |name: &str| cib.option(name).is_some_and(is_on);
    let mut hints = Vec::new();
    if set("last_man_standing") {
        hints.push((
            "last_man_standing lowers the expected votes only once every missing node is confirmed \
             fenced, and nothing fences yet",
            "leave it out, and add members or a witness",
        ));
    }
    if set("auto_tie_breaker") {
        hints.push((
            "auto_tie_breaker keeps one half running what it runs; leases and changes still need \
             more than half of the members",
            "add a witness: it decides an even split for these, too",
        ));
    }
    hints
}

impl Controller {
    /// Judges anew where anything that matters changed. Call once in every step.
    pub(crate) fn update_quorum(&mut self, clock: Clock) {
        let renewed = self.renew_rules();
        let present = self.present_for_quorum();
        let due = self.quorum.deadline().is_some_and(|at| at <= clock.now);
        if !(renewed || due || present != self.quorum.present || self.quorum.made_of.is_none()) {
            return;
        }
        self.judge_quorum(clock, present);
    }

    pub(crate) fn judge_quorum(&mut self, clock: Clock, present: BTreeSet<NodeId>) {
        let quorum = &mut self.quorum;
        let others = quorum.told.iter().filter(|(node, (boot, _))| {
            present.contains(node) && self.alive.get(node).is_some_and(|(now, _)| now == boot)
        });
        let told = others.map(|(_, (_, history))| history);
        let mut merged = History::of_view(std::iter::once(&quorum.history).chain(told));
        merged.timing.clone_from(&quorum.history.timing);
        merged.highest_votes = merged.highest_votes.max(self.state.highest_votes);
        // Nobody is confirmed fenced, as nothing fences yet.
        let fenced = BTreeSet::new();
        let history = merged.note(&quorum.rules, &present, &fenced, clock.now);
        let verdict = quorum.rules.judge(&present, &history);
        let news = shared(&history) != shared(&quorum.history);
        let turned = verdict.quorate != quorum.verdict.quorate;
        quorum.history = history;
        quorum.present = present;
        quorum.verdict = verdict;
        if news {
            for node in self.others() {
                self.tell_quorum(node);
            }
            self.keep_highest_votes();
        }
        if turned {
            self.on_quorum_turned(clock);
        }
    }

    fn on_quorum_turned(&mut self, clock: Clock) {
        let quorate = self.quorum.verdict.quorate;
        let (severity, word) =
            if quorate { (EventSeverity::Info, "reached") } else { (EventSeverity::Error, "lost") };
        let text = format!("quorum {word}: {}", self.quorum_reason());
        self.event(clock, "HV1206", severity, "cluster/quorum".to_owned(), text);
        self.replan();
    }

    /// Makes the rules anew where the configuration or the voters changed; whether it did.
    pub(crate) fn renew_rules(&mut self) -> bool {
        let counted = self.counted_members();
        let ids: BTreeSet<NodeId> = counted.keys().copied().collect();
        let made_of = (self.state.cib.version, ids);
        if self.quorum.made_of.as_ref() == Some(&made_of) {
            return false;
        }
        let (options, mut complaints) = options(&self.state.cib, &self.state.members);
        let (voters, votes) = voters(&self.state.cib, &counted);
        let (rules, refused) = lenient(options, voters);
        complaints.extend(votes);
        complaints.extend(refused.iter().map(ToString::to_string));
        self.quorum.rules = rules;
        self.quorum.complaints = complaints;
        self.quorum.made_of = Some(made_of);
        true
    }

    /// Members that vote: one that has joined and never been heard does not count yet, as it does not
    /// for leases and the log.
    pub(crate) fn counted_members(&self) -> BTreeMap<NodeId, Member> {
        let members = &self.state.members;
        let Some(latest) = self.configurations.back() else { return members.clone() };
        let voting = |id: &NodeId| {
            let leaving = latest.outgoing.as_ref().is_some_and(|old| old.contains(id));
            latest.voters.contains(id) || leaving
        };
        let counted: BTreeMap<NodeId, Member> =
            members.iter().filter(|(id, _)| voting(id)).map(|(id, m)| (*id, m.clone())).collect();
        if counted.is_empty() { members.clone() } else { counted }
    }

    /// Names of those who do not vote yet and, as far as is known here, are not about to be removed.
    pub(crate) fn voteless(&self) -> Vec<&str> {
        let counted = self.counted_members();
        let leaves = |id| self.coordinator.as_ref().is_some_and(|it| it.leaving.contains_key(id));
        let others = self.state.members.values();
        let others = others.filter(|it| !counted.contains_key(&it.id) && !leaves(&it.id));
        others.map(|it| it.name.as_str()).collect()
    }

    /// The members that vote with this node: those it hears, and those that the view takes in though
    /// they have just fallen silent.
    pub(crate) fn present_for_quorum(&self) -> BTreeSet<NodeId> {
        let with_us =
            |node: &NodeId| !self.suspected.contains(node) || self.view.members.contains(node);
        let mut present = self.present();
        present.retain(with_us);
        present.insert(self.config.node);
        present
    }

    pub(crate) fn tell_quorum(&mut self, to: NodeId) {
        let history = shared(&self.quorum.history);
        if history != History::default() {
            self.send(to, &PeerMessage::Quorum(Box::new(history)));
        }
    }

    pub(crate) fn on_quorum_told(
        &mut self,
        clock: Clock,
        from: NodeId,
        boot: BootId,
        history: History,
    ) {
        self.quorum.told.insert(from, (boot, shared(&history)));
        let present = self.present_for_quorum();
        self.judge_quorum(clock, present);
    }

    /// `expected_votes_tracking`: what was once seen together outlives every process.
    pub(crate) fn keep_highest_votes(&mut self) {
        let votes = self.quorum.history.highest_votes;
        let tracked = self.quorum.rules.options().expected_votes_tracking;
        let known = self.state.highest_votes.max(self.quorum.proposed);
        let ready = self.coordinator.as_ref().is_some_and(|coordinator| coordinator.ready);
        if tracked && ready && votes > known {
            self.quorum.proposed = votes;
            self.propose(&Command::NoteVotes { votes }, Purpose::Other);
        }
    }

    /// Why this partition may act or not, in one sentence.
    pub(crate) fn quorum_reason(&self) -> String {
        let Verdict { reason, present, expected, needed, .. } = &self.quorum.verdict;
        match reason {
            Reason::Majority => {
                format!("{present} of {expected} votes are present, {needed} are needed")
            }
            Reason::TwoNode => format!("{present} of {expected} votes is enough by two_node"),
            Reason::TieWon { by } => format!(
                "an even split, {present} of {expected} votes, and auto_tie_breaker decides for the \
                 side of {}, which is this one",
                self.name_of(*by)
            ),
            Reason::TieLost { by: Some(by) } => format!(
                "an even split, {present} of {expected} votes, and auto_tie_breaker decides for the \
                 side of {}, which is not heard here",
                self.name_of(*by)
            ),
            Reason::TieLost { by: None } => format!(
                "an even split: {present} of {expected} votes are present, {needed} are needed"
            ),
            Reason::Minority => {
                format!("only {present} of {expected} votes are present, {needed} are needed")
            }
            Reason::WaitingForAll { missing } => format!(
                "wait_for_all: not all members have been seen together since the start; {} missing",
                self.are(missing)
            ),
        }
    }

    /// What to do about a partition that may not act; nothing where it may.
    pub(crate) fn quorum_remedy(&self) -> Option<String> {
        let verdict = &self.quorum.verdict;
        let absent: Vec<NodeId> = self
            .quorum
            .rules
            .members()
            .filter(|node| !self.quorum.present.contains(node))
            .collect();
        let names = || self.names(&absent, " or ");
        Some(match &verdict.reason {
            Reason::Majority | Reason::TwoNode | Reason::TieWon { .. } => return None,
            Reason::WaitingForAll { missing } => format!(
                "start {}; if that is not possible: property wait_for_all=no",
                self.names(missing, " and ")
            ),
            // More is expected than there is: nobody can come back to make it up.
            _ if absent.is_empty() => format!(
                "every member is present: lower expected_votes to at most {}",
                verdict.present
            ),
            Reason::TieLost { by: None } => format!(
                "start the daemon on {}, or mend the links to there; a witness would decide an even \
                 split",
                names()
            ),
            Reason::TieLost { by: Some(_) } | Reason::Minority => {
                format!("start the daemon on {}, or mend the links to there", names())
            }
        })
    }

    /// How many voters are heard and how many the log and every lease need.
    pub(crate) fn log_majority(&self) -> (usize, usize) {
        let members = || self.quorum.rules.members();
        let heard = members().filter(|node| self.quorum.present.contains(node)).count();
        (heard, members().count() / 2 + 1)
    }

    fn names(&self, nodes: &[NodeId], between: &str) -> String {
        nodes.iter().map(|node| self.name_of(*node)).collect::<Vec<_>>().join(between)
    }

    fn are(&self, nodes: &[NodeId]) -> String {
        let verb = if nodes.len() == 1 { "is" } else { "are" };
        format!("{} {verb}", self.names(nodes, ", "))
    }
}

/// What members tell each other: instants of another host mean nothing here.
fn shared(history: &History) -> History {
    History { timing: None, ..history.clone() }
}
