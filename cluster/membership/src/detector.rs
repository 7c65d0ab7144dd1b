//! Who is heard, who is suspected, who is dead (L6).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Instant;
use haven_types::{BootId, LinkId, LogPosition, NodeId, Seq};
use serde::{Deserialize, Serialize};

use crate::view::{PART_AFTER, Reach, largest_clique, pair};
use crate::{Peer, PeerState, View};

/// The shortest silence a verdict may rest on (L6).
pub const SILENCE_FLOOR: Duration = Duration::from_millis(60);
/// The silence a verdict rests on while those who agree to it are themselves heard irregularly:
/// then the network has just become noisy, and the suspect's beats may still be on their way.
pub const SILENCE_UNSURE: Duration = Duration::from_millis(160);
/// Longer gaps between arrivals are outages, not the network's jitter: nothing is learned from them.
/// Neither is from those above [`SILENCE_UNSURE`] that a majority took for an outage, or that a majority
/// of the cluster kept at once: two short outages within a minute would double the time to notice a third.
pub const JITTER_MAX: Duration = Duration::from_millis(600);
/// A member never heard counts as silent when it, and this process, have been known for so long.
pub const NEVER_HEARD_AFTER: Duration = Duration::from_secs(1);
/// The longest announced absence that is believed.
pub const AWAY_MAX: Duration = Duration::from_secs(5);

/// What the detector says, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// See [`PeerState::Suspected`].
    Suspect {
        /// The silent node.
        node: NodeId,
        /// Its boot.
        boot: BootId,
        /// How long it has been silent on all links.
        silent: Duration,
    },
    /// Heard: for the first time, again, or with a new boot.
    Alive {
        /// The node.
        node: NodeId,
        /// Its boot.
        boot: BootId,
        /// True when it had been suspected only.
        withdrawn: bool,
    },
    /// A majority agrees that the node is silent.
    Dead {
        /// The node.
        node: NodeId,
        /// The boot the verdict is about; 0 when this process never heard the node.
        boot: BootId,
    },
    /// A link of a peer went up or down.
    Link {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// True when frames arrive by it.
        up: bool,
    },
    /// The view changed.
    View(View),
}

/// What a beat says about reachability.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The beat's seq.
    pub seq: Seq,
    /// Counts the sender's beats by this link.
    pub copy: u64,
    /// The sender's beat interval.
    pub interval: Duration,
    /// The same while nothing is amiss and each beat takes one link.
    pub spare_interval: Duration,
    /// The sender's last log entry.
    pub log: LogPosition,
    /// Members the sender does not hear, with the boot it heard last.
    pub unheard: &'a [(NodeId, Option<BootId>)],
    /// What others, whom we may not hear, do not hear.
    pub relayed: &'a [(NodeId, Vec<NodeId>)],
    /// An absence the sender announces.
    pub away: Option<Duration>,
}

/// Which safety clauses of L6 are in force; both, but in simulations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Clauses {
    /// A verdict needs a majority's agreement.
    pub majority: bool,
    /// A verdict needs [`SILENCE_FLOOR`] of silence.
    pub silence: bool,
}

/// The failure detector of one node.
///
/// Inputs: arrivals, what beats report, round trips, time. Outputs: [`Verdict`]s. It never calls a
/// node dead alone, and takes a verdict back the moment anything of the node arrives.
#[derive(Clone, Debug)]
pub struct Detector {
    node: NodeId,
    clauses: Clauses,
    peers: BTreeMap<NodeId, Peer>,
    relayed: BTreeMap<NodeId, BTreeSet<NodeId>>,
    coordinator: Option<NodeId>,
    reach: Reach,
    view: View,
    view_is_majority: bool,
    /// A majority says that it does not hear this node.
    written_off: bool,
    /// Something changed that the view may depend on.
    stale: bool,
}

impl Detector {
    /// A detector for `node`.
    #[must_use]
    pub fn new(node: NodeId, clauses: Clauses) -> Self {
        Self {
            node,
            clauses,
            peers: BTreeMap::new(),
            relayed: BTreeMap::new(),
            coordinator: None,
            reach: Reach::default(),
            view: View { number: 0, members: BTreeSet::from([node]) },
            view_is_majority: false,
            written_off: false,
            stale: true,
        }
    }

    /// The other members and their links. What is known of those that stay is kept.
    pub fn set_members(&mut self, now: Instant, members: &BTreeMap<NodeId, BTreeSet<LinkId>>) {
        let gone: Vec<NodeId> =
            self.peers.keys().filter(|node| !members.contains_key(node)).copied().collect();
        for node in gone {
            self.peers.remove(&node);
            self.relayed.remove(&node);
            self.reach.forget(node);
        }
        for (&node, links) in members.iter().filter(|&(&node, _)| node != self.node) {
            let peer = self.peers.entry(node).or_insert_with(|| Peer::new(now));
            peer.links.retain(|link, _| links.contains(link));
            for &link in links {
                peer.links.entry(link).or_default();
            }
        }
        self.stale = true;
    }

    /// Who leads; decides between views of equal size.
    pub fn set_coordinator(&mut self, node: Option<NodeId>) {
        self.stale |= self.coordinator != node;
        self.coordinator = node;
    }

    /// An authentic frame arrived. False when it is of a boot older than the newest known.
    pub fn heard(
        &mut self,
        now: Instant,
        node: NodeId,
        boot: BootId,
        link: LinkId,
        out: &mut Vec<Verdict>,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(&node) else { return false };
        if peer.boot.is_some_and(|newest| boot < newest) {
            return false;
        }
        let reborn = peer.boot != Some(boot);
        if reborn {
            peer.newest_report = None;
            peer.away_until = None;
            peer.boot = Some(boot);
        }
        let jitter_max = if std::mem::take(&mut peer.outage) { SILENCE_UNSURE } else { JITTER_MAX };
        if let Some(last) = peer.last_heard.replace(now)
            && !reborn
            && now - last <= jitter_max
        {
            peer.gaps.note(now, now - last);
        }
        if let Some(state) = peer.links.get_mut(&link)
            && state.heard(now)
        {
            out.push(Verdict::Link { peer: node, link, up: true });
        }
        let before = std::mem::replace(&mut peer.state, PeerState::Alive);
        peer.parted = false;
        if before != PeerState::Alive || reborn {
            let withdrawn = before == PeerState::Suspected && !reborn;
            out.push(Verdict::Alive { node, boot, withdrawn });
            // What its beats said before the silence, or in an earlier life, agrees to nothing now.
            peer.reported = false;
            if !withdrawn {
                self.reach.forget(node);
            }
            self.stale = true;
        }
        true
    }

    /// What a beat of `node`, heard just now by `link`, reports. Older ones are ignored.
    pub fn report(&mut self, now: Instant, node: NodeId, link: LinkId, report: Report<'_>) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let boot = peer.boot.unwrap_or_default();
        if let Some(state) = peer.links.get_mut(&link) {
            state.beat(boot, report.copy);
        }
        if peer.newest_report.is_some_and(|newest| report.seq <= newest) {
            return;
        }
        peer.newest_report = Some(report.seq);
        peer.reported = true;
        peer.interval = report.interval;
        peer.spare_interval = report.spare_interval;
        peer.log = report.log;
        peer.away_until = report.away.map(|away| now + away.min(AWAY_MAX));
        let unheard: BTreeMap<_, _> = report.unheard.iter().copied().collect();
        self.stale |= unheard != peer.unheard;
        peer.unheard = unheard;
        for (other, deaf_to) in report.relayed {
            let deaf_to: BTreeSet<NodeId> = deaf_to.iter().copied().collect();
            let silent = self.peers.get(other).is_some_and(|p| p.state != PeerState::Alive);
            if silent && self.relayed.get(other) != Some(&deaf_to) {
                self.relayed.insert(*other, deaf_to);
                self.stale = true;
            }
        }
    }

    /// `node` answered the beat we sent at `sent`, having kept the answer for `held`; by `link` there and
    /// back, or none when it took one there and another back.
    pub fn round_trip(
        &mut self,
        now: Instant,
        node: NodeId,
        link: Option<LinkId>,
        sent: Instant,
        held: Duration,
    ) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let rtt = (now - sent).saturating_sub(held);
        if let Some(state) = link.and_then(|link| peer.links.get_mut(&link)) {
            state.round_trip(now, rtt);
        }
        peer.note_answer(sent, rtt);
    }

    /// The last `late` before `now` were no time of silence: this thread stood still, and what
    /// arrived meanwhile waits in the sockets.
    pub fn excuse(&mut self, now: Instant, late: Duration) {
        for peer in self.peers.values_mut() {
            peer.since = (peer.since + late).min(now);
            peer.last_heard = peer.last_heard.map(|last| (last + late).min(now));
            for link in peer.links.values_mut() {
                link.last_heard = link.last_heard.map(|last| (last + late).min(now));
            }
        }
    }

    /// True while every member is heard: then nobody waits for another's word about a third.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.peers.values().all(|peer| peer.state == PeerState::Alive)
    }

    /// True while nobody is suspected and the view depends on nothing new: then there is nothing to
    /// judge before [`Detector::deadline`].
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.stale && self.peers.values().all(|peer| peer.state != PeerState::Suspected)
    }

    /// Judges silence. `interval` is this node's beat interval in a quiet network; `majority` tells whether the
    /// nodes for which its argument holds are a majority of the voters.
    pub fn judge(
        &mut self,
        now: Instant,
        interval: Duration,
        majority: impl Fn(&dyn Fn(NodeId) -> bool) -> bool,
        out: &mut Vec<Verdict>,
    ) {
        self.suspect(now, out);
        self.notice_outage(&majority);
        self.condemn(now, interval, &majority, out);
        for (&peer, known) in &mut self.peers {
            let regular = known.link_threshold(known.threshold(now, self.clauses));
            for (&link, state) in &mut known.links {
                if state.fall(now, regular) {
                    out.push(Verdict::Link { peer, link, up: false });
                }
            }
        }
        self.notice_return(&majority);
        let waiting = self.reach.deadline(self.view_is_majority).is_some_and(|at| now >= at);
        if self.stale || waiting {
            self.form_view(now, &majority, out);
        }
    }

    /// Silence of a majority at once is a cut of this node's own, or theirs: see [`JITTER_MAX`].
    fn notice_outage(&mut self, majority: &impl Fn(&dyn Fn(NodeId) -> bool) -> bool) {
        let silent = |peer: &Peer| peer.state == PeerState::Suspected && !peer.outage;
        if !self.peers.values().any(silent) {
            return;
        }
        let heard = |voter: NodeId| {
            voter == self.node
                || self.peers.get(&voter).is_some_and(|peer| peer.state == PeerState::Alive)
        };
        if !majority(&heard) {
            for peer in self.peers.values_mut().filter(|peer| peer.state == PeerState::Suspected) {
                peer.outage = true;
            }
        }
    }

    /// What a majority did not hear it took for dead; from its return on others forget how this node was
    /// reached before, and so does the node itself.
    fn notice_return(&mut self, majority: &impl Fn(&dyn Fn(NodeId) -> bool) -> bool) {
        if !self.stale {
            return;
        }
        let before = self.written_off;
        self.written_off = majority(&|voter| voter != self.node && self.unheard_by(voter));
        if before && !self.written_off {
            self.reach.forget(self.node);
        }
    }

    fn suspect(&mut self, now: Instant, out: &mut Vec<Verdict>) {
        for (&node, peer) in &mut self.peers {
            let (PeerState::Alive, Some(boot), Some(last)) =
                (peer.state, peer.boot, peer.last_heard)
            else {
                let last = peer.last_heard.unwrap_or(peer.since);
                if peer.state == PeerState::Suspected && !peer.parted && now - last >= PART_AFTER {
                    peer.parted = true;
                    self.stale = true;
                }
                let never = peer.state == PeerState::Unknown;
                if never && now - peer.since >= NEVER_HEARD_AFTER {
                    peer.state = PeerState::Suspected;
                    self.stale = true;
                }
                continue;
            };
            let silent = now - last;
            if silent >= peer.threshold(now, self.clauses) {
                peer.state = PeerState::Suspected;
                self.stale = true;
                out.push(Verdict::Suspect { node, boot, silent });
            }
        }
    }

    fn condemn(
        &mut self,
        now: Instant,
        interval: Duration,
        majority: &impl Fn(&dyn Fn(NodeId) -> bool) -> bool,
        out: &mut Vec<Verdict>,
    ) {
        let suspects: Vec<(NodeId, Option<BootId>, Duration)> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.state == PeerState::Suspected)
            .map(|(&node, peer)| (node, peer.boot, now - peer.last_heard.unwrap_or(peer.since)))
            .collect();
        for (node, boot, silent) in suspects {
            // spec: L6 "at least 60 ms of silence on all links"; with reporters who are themselves
            // heard irregularly, longer.
            let sure = silent >= SILENCE_UNSURE;
            // spec: L6 "A death verdict needs a majority's agreement", a current one: the newest
            // beat of each, and of none that is silent itself, names this boot, or says that no
            // boot was ever heard.
            let agrees = |voter: NodeId| {
                voter == self.node
                    || self.peers.get(&voter).is_some_and(|peer| {
                        peer.state == PeerState::Alive
                            && peer.agrees(node, boot)
                            && (sure || peer.is_prompt(now, interval))
                    })
            };
            if majority(&agrees) || !self.clauses.majority {
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.state = PeerState::Dead;
                    peer.outage = true;
                }
                self.reach.forget(node);
                self.stale = true;
                out.push(Verdict::Dead { node, boot: boot.unwrap_or_default() });
            }
        }
    }

    fn form_view(
        &mut self,
        now: Instant,
        majority: &impl Fn(&dyn Fn(NodeId) -> bool) -> bool,
        out: &mut Vec<Verdict>,
    ) {
        let mut nodes: BTreeSet<NodeId> = self
            .peers
            .iter()
            .filter(|&(&node, p)| {
                let may = p.state != PeerState::Dead && p.boot.is_some();
                may && (!p.parted || self.is_heard_by_another(node))
            })
            .map(|(&node, _)| node)
            .collect();
        nodes.insert(self.node);
        self.reach.keep(&nodes);
        let list: Vec<NodeId> = nodes.iter().copied().collect();
        for (i, &a) in list.iter().enumerate() {
            for &b in &list[i + 1..] {
                let raw = self.hears(a, b) && self.hears(b, a);
                self.reach.observe(now, pair(a, b), raw, self.view_is_majority);
            }
        }
        self.stale = false;
        let members = largest_clique(&nodes, self.coordinator, |a, b| self.reach.linked(a, b));
        self.view_is_majority = majority(&|node| members.contains(&node));
        if members != self.view.members || self.view.number == 0 {
            self.view = View { number: self.view.number + 1, members };
            out.push(Verdict::View(self.view.clone()));
        }
    }

    fn is_heard_by_another(&self, node: NodeId) -> bool {
        let alive = self.peers.iter().filter(|(_, peer)| peer.state == PeerState::Alive);
        alive.into_iter().any(|(&n, peer)| n != node && !peer.unheard.contains_key(&node))
    }

    /// Whether `a` hears `b`, as far as this node knows.
    fn hears(&self, a: NodeId, b: NodeId) -> bool {
        if a == self.node {
            return self.peers.get(&b).is_some_and(|peer| peer.state == PeerState::Alive);
        }
        match self.peers.get(&a) {
            Some(peer) if peer.state == PeerState::Alive => !peer.unheard.contains_key(&b),
            _ => self.relayed.get(&a).is_none_or(|deaf_to| !deaf_to.contains(&b)),
        }
    }

    /// When [`Detector::judge`] is due.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let clauses = self.clauses;
        let mut at = self.reach.deadline(self.view_is_majority);
        for peer in self.peers.values() {
            let threshold = peer.threshold(now, clauses);
            let last = peer.last_heard.unwrap_or(peer.since);
            let next = match peer.state {
                PeerState::Alive => Some(last + threshold),
                PeerState::Suspected => {
                    let waits = [last + SILENCE_UNSURE, last + PART_AFTER];
                    waits.into_iter().filter(|&t| t > now).min()
                }
                PeerState::Unknown => Some(last + NEVER_HEARD_AFTER),
                PeerState::Dead => None,
            };
            let regular = peer.link_threshold(threshold);
            let links = peer.links.values().filter(|l| l.up).filter_map(|l| {
                let wait = l.threshold(now, regular);
                l.last_heard.map(|last| last + wait)
            });
            at = at.into_iter().chain(next).chain(links).min();
        }
        at
    }

    /// Members this node does not hear now, for the beat.
    pub fn unheard(&self) -> impl Iterator<Item = (NodeId, Option<BootId>)> + '_ {
        self.peers
            .iter()
            .filter(|(_, peer)| matches!(peer.state, PeerState::Suspected | PeerState::Dead))
            .map(|(&node, peer)| (node, peer.boot))
    }

    /// The non-empty `unheard` lists of peers heard now, for the beat.
    pub fn relay(&self) -> impl Iterator<Item = (NodeId, Vec<NodeId>)> + '_ {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.state == PeerState::Alive && !peer.unheard.is_empty())
            .map(|(&node, peer)| (node, peer.unheard.keys().copied().collect()))
    }

    /// The peers, by id.
    #[must_use]
    pub fn peers(&self) -> &BTreeMap<NodeId, Peer> {
        &self.peers
    }

    /// The view.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The silence after which `node` is suspected.
    #[must_use]
    pub fn threshold(&self, now: Instant, node: NodeId) -> Duration {
        self.peers.get(&node).map_or(SILENCE_FLOOR, |peer| peer.threshold(now, self.clauses))
    }

    /// True when `peer` says that it does not hear this node.
    #[must_use]
    pub fn unheard_by(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|p| p.unheard.contains_key(&self.node))
    }
}
