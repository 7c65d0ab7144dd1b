//! How a life begins: who am I, what did I promise, what does the kernel hold, and only then the first
//! frame.
//!
//! ```text
//!  store ──▶ Controller::new ──▶ Beginning::of ─┬─ gates closed, but for those of a planned restart
//!  gate: what is open ───────────────▲          ├─ heartbeat, first ──▶ Heart::new ──▶ the first frame
//!  hand-over file ───────────────────┘          └─ rest, once the agents have cleaned up ──▶ Hub::begin
//! ```

use std::collections::{BTreeMap, BTreeSet};

use haven_controller::{Clock, Controller, Input, Member, Output, Role};
use haven_heartbeat::{Config, HandOver, Held, Input as ToBeat, Role as BeatRole, Start, Terms};
use haven_types::{BootId, GroupId, LinkId, NodeId};

/// What is known of a node and its host when a process of it starts.
#[derive(Clone, PartialEq, Debug)]
pub struct Origin {
    /// This node.
    pub node: NodeId,
    /// This life of its process.
    pub boot: BootId,
    /// What it was told to be when it joined; holds until the log says it.
    pub role: Role,
    /// Its links, at least one.
    pub links: BTreeSet<LinkId>,
    /// ρ, the measured tick, `D_max` and the rules in force.
    pub terms: Terms,
    /// Seed of the heartbeat machine.
    pub seed: u64,
    /// No process of this node ever ran before; see [`Start::First`].
    pub first_life: bool,
    /// What the heartbeat machine of the process before this one left, if that ended by a planned restart
    /// on this boot of the host. It is to be found no more.
    pub left: Option<HandOver>,
    /// The groups whose gate the kernel holds open.
    pub open: BTreeSet<GroupId>,
}

/// What the two threads of a life begin with.
#[derive(Clone, PartialEq, Debug)]
pub struct Beginning {
    /// For [`Heart::new`](crate::Heart::new): all that the log at hand tells is in it.
    pub heartbeat: Config,
    /// For it, too: what the controller told the heartbeat machine besides.
    pub first: Vec<ToBeat>,
    /// For [`Hub::begin`](crate::Hub::begin), once the agents have cleaned up.
    pub rest: Vec<Output>,
    /// Whether the gates that are open stay so; else all are closed before the first frame leaves. Only after
    /// a planned restart (L9).
    pub keep_gates: bool,
    /// With whom to beat at first.
    pub others: BTreeMap<NodeId, Member>,
}

impl Beginning {
    /// Has a new controller say what its log holds.
    // spec: L4
    #[must_use]
    pub fn of(controller: &mut Controller, clock: Clock, origin: Origin) -> Self {
        let (told, rest) = first_outputs(controller, clock);
        let mut others = controller.state().members.clone();
        let role = others.remove(&origin.node).map_or(origin.role, |member| member.role);
        let held = held(controller, &origin);
        let Origin { node, boot, links, terms, seed, first_life, left, .. } = origin;
        let keep_gates = left.is_some();
        let start = match left {
            Some(left) => Start::HandedOver(left.promises),
            None if first_life => Start::First,
            None => Start::Unknown,
        };
        let role = if role == Role::Witness { BeatRole::Witness } else { BeatRole::Full };
        let mut heartbeat =
            Config { role, links, terms, seed, held, start, ..Config::new(node, boot) };
        let first = told.into_iter().filter_map(|input| heartbeat.learn(input)).collect();
        Self { heartbeat, first, rest, keep_gates, others }
    }
}

/// What is for the heartbeat machine, and everything else.
fn first_outputs(controller: &mut Controller, clock: Clock) -> (Vec<ToBeat>, Vec<Output>) {
    apart(controller.step(clock, Input::Tick))
}

/// The members are those of the last list from the beginning on: the earlier ones, as the log was read up to there, lack
/// members with whom beats are exchanged already.
#[allow(clippy::wildcard_enum_match_arm, reason = "the rest waits until there is a main thread")]
fn apart(said: Vec<Output>) -> (Vec<ToBeat>, Vec<Output>) {
    let (mut told, mut rest) = (Vec::new(), Vec::new());
    let mut listed = None;
    for output in said {
        match output {
            Output::Heartbeat(input) => told.push(*input),
            Output::Members(members) => match listed {
                Some(at) => rest[at] = Output::Members(members),
                None => {
                    listed = Some(rest.len());
                    rest.push(Output::Members(members));
                }
            },
            other => rest.push(other),
        }
    }
    (told, rest)
}

/// Gates that the process before this one left open on purpose, with the grants they stand for.
// spec: L9
fn held(controller: &Controller, origin: &Origin) -> Vec<Held> {
    let started: BTreeSet<GroupId> =
        controller.started().filter_map(|(_, lease)| lease.map(|lease| lease.group)).collect();
    let left = origin.left.iter().flat_map(|left| &left.held);
    left.filter(|held| origin.open.contains(&held.group) && started.contains(&held.group))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use haven_heartbeat::PromiseTable;
    use haven_types::Epoch;

    use super::*;
    use crate::bed::{Bed, VIP, controller, members};

    const GROUPS: [GroupId; 2] = [GroupId(1), GroupId(2)];

    fn origin() -> Origin {
        Origin {
            node: NodeId(1),
            boot: BootId(2),
            role: Role::Full,
            links: BTreeSet::from([LinkId(0), LinkId(3)]),
            terms: Terms::default(),
            seed: 7,
            first_life: false,
            left: None,
            open: BTreeSet::from(GROUPS),
        }
    }

    fn begin(controller: &mut Controller, origin: Origin) -> Beginning {
        Beginning::of(controller, Bed::new(&[1], "").clock(), origin)
    }

    /// The process before left its gates open under both groups.
    fn left(bed: &Bed) -> HandOver {
        let deadline = bed.clock().now + crate::LEAST_LEASE;
        let held = GROUPS.map(|group| Held { group, epoch: Epoch(1), deadline }).to_vec();
        HandOver { promises: PromiseTable::default(), held }
    }

    // spec: L4
    #[test]
    fn what_is_known_of_promises_decides_how_a_voter_starts() {
        let fresh = || controller(&[1, 2], VIP, None);
        let starts = |origin: Origin| begin(&mut fresh(), origin).heartbeat.start;
        assert_eq!(starts(origin()), Start::Unknown);
        assert_eq!(starts(Origin { first_life: true, ..origin() }), Start::First);
        let left = left(&Bed::new(&[1], ""));
        let handed = Start::HandedOver(left.promises.clone());
        assert_eq!(starts(Origin { left: Some(left), ..origin() }), handed);
    }

    #[test]
    fn what_the_log_tells_is_known_before_the_first_frame() {
        let begun = begin(&mut controller(&[1, 2], VIP, None), origin());
        let heartbeat = &begun.heartbeat;
        assert_eq!((heartbeat.node, heartbeat.boot, heartbeat.seed), (NodeId(1), BootId(2), 7));
        assert_eq!(heartbeat.links, origin().links);
        let voters: Vec<_> = heartbeat.configurations.iter().map(|c| c.voters.clone()).collect();
        assert_eq!(voters, [BTreeSet::from([NodeId(1), NodeId(2)])]);
        assert!(heartbeat.members.contains_key(&NodeId(2)), "{:?}", heartbeat.members);
        assert_eq!(begun.others.into_keys().collect::<Vec<_>>(), [NodeId(2)]);
        assert!(!begun.rest.iter().any(|output| matches!(output, Output::Heartbeat(_))));
    }

    #[test]
    fn members_that_the_log_names_after_its_snapshot_are_not_dropped_for_a_moment() {
        let said = vec![
            Output::Members(members(&[1, 2])),
            Output::KeyOutdated,
            Output::Members(members(&[1, 2, 3])),
            Output::Removed,
        ];
        let expected =
            vec![Output::Members(members(&[1, 2, 3])), Output::KeyOutdated, Output::Removed];
        assert_eq!(apart(said), (Vec::new(), expected));
    }

    #[test]
    fn the_log_s_role_counts_more_than_what_was_told_at_joining() {
        let told = |ids: &[u16], role| {
            let origin = Origin { role, ..origin() };
            begin(&mut controller(ids, "", None), origin).heartbeat.role
        };
        assert_eq!(told(&[1, 2], Role::Witness), BeatRole::Full, "the log knows it");
        assert_eq!(told(&[2], Role::Witness), BeatRole::Witness, "the log does not yet");
        assert_eq!(told(&[2], Role::Full), BeatRole::Full);
    }

    // spec: L9
    #[test]
    fn only_a_planned_restart_keeps_gates_and_only_of_what_runs() {
        let bed = Bed::running();
        let successor = || controller(&[1], VIP, Some(bed.hub.controller().hand_over()));
        let begun = |left, open: &[GroupId]| {
            let open = open.iter().copied().collect();
            let begun = begin(&mut successor(), Origin { left, open, ..origin() });
            let held: Vec<_> = begun.heartbeat.held.iter().map(|held| held.group).collect();
            (begun.keep_gates, held)
        };
        let left = Some(left(&bed));
        assert_eq!(begun(left.clone(), &GROUPS), (true, vec![GroupId(1)]), "what runs");
        assert_eq!(begun(left, &GROUPS[1..]), (true, vec![]), "the kernel has closed it");
        assert_eq!(begun(None, &GROUPS), (false, vec![]), "nothing was left on purpose");
    }
}
