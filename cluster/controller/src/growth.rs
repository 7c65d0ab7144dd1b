//! What a new member costs those who are served: it votes before it may promise (L4), so where its promise is needed
//! for a majority, leases lapse for its first seconds. Whoever asks for a token is told before.

use std::collections::BTreeSet;

use haven_types::NodeId;

use crate::controller::Controller;

/// Members before another one joins.
#[derive(Clone, Copy, Debug)]
struct Before {
    members: usize,
    heard: usize,
}

impl Before {
    /// Whether those who are heard make a majority of the members and the new one without it.
    const fn suffice(self) -> bool {
        self.heard > self.members.div_ceil(2)
    }
}

impl Controller {
    /// What one more member would do to addresses that are served now, and how to avoid it; nothing where nobody
    /// would notice.
    #[must_use]
    pub fn cost_of_growth(&self) -> Option<String> {
        let state = &self.state;
        let leased: Vec<&str> = state
            .grants
            .iter()
            .filter(|(_, grant)| grant.holder.is_some())
            .map(|(group, _)| group.as_str())
            .collect();
        let away: BTreeSet<NodeId> =
            state.members.keys().copied().filter(|id| !self.heard(*id)).collect();
        let members = state.members.len();
        let before = Before { members, heard: members - away.len() };
        if leased.is_empty() || before.suffice() {
            return None;
        }
        let remedy = if away.is_empty() {
            "join it before addresses are served, or when a silence may be; the next members cost nothing".to_owned()
        } else {
            let names: Vec<String> = away.iter().map(|id| self.name_of(*id)).collect();
            let away = names.join(", ");
            format!(
                "first start {away} again, or remove who will not return (haven cluster remove), then join"
            )
        };
        Some(format!(
            "{} will be silent once, for about 5.5 s after the new member's first start: of {} members a majority \
             needs its promise, and a new voter promises no lease at first. To avoid that: {remedy}",
            leased.join(", "),
            members + 1,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Bench, VIP};

    #[test]
    fn those_who_are_heard_suffice_or_not() {
        let suffice = |members, heard| Before { members, heard }.suffice();
        let table =
            [(1, 1, false), (2, 2, true), (3, 3, true), (3, 2, false), (4, 4, true), (4, 3, true)];
        for (members, heard, expected) in table {
            assert_eq!(suffice(members, heard), expected, "{heard} of {members}");
        }
    }

    #[test]
    fn a_silence_is_foretold_only_where_a_lease_needs_the_new_members_promise() {
        let mut bench = Bench::new(VIP);
        let cost = |bench: &Bench| bench.nodes[&NodeId(bench.coordinator())].cost_of_growth();
        assert_eq!(cost(&bench), None, "all three are heard");
        let gone = bench.ids().into_iter().rfind(|id| *id != bench.coordinator()).unwrap();
        bench.kill(gone);
        bench.notice(gone);
        bench.run(2_000);
        let told = cost(&bench).unwrap();
        assert!(told.starts_with("vip will be silent once, for about 5.5 s"), "{told}");
        assert!(told.contains(&format!("first start n{gone} again, or remove")), "{told}");
    }

    #[test]
    fn the_second_member_costs_a_silence_where_an_address_is_served_and_nothing_otherwise() {
        for (lines, told) in [(VIP, true), ("", false)] {
            let mut bench = Bench::new(lines);
            let at = bench.coordinator();
            let controller = bench.nodes.get_mut(&NodeId(at)).unwrap();
            controller.state.members.retain(|node, _| node.0 == at);
            let cost = controller.cost_of_growth();
            assert_eq!(cost.is_some(), told, "{cost:?}");
            let remedy = "join it before addresses are served";
            assert!(cost.is_none_or(|it| it.contains(remedy)));
        }
    }
}
