//! A node that was removed without hearing of it, away or only cut off from those who removed it: its own log will never tell it, for nobody sends it
//! entries any more. Those it knows as members turn its connections away, and say as of which entry of the log they
//! know it for none.
//!
//! Numbers of members are not given again, and the log is one: whoever has applied more of it than this node, and finds
//! no such member there, has applied its removal. Whose log goes no further may only not have heard of it yet, and says
//! nothing that counts; so does whoever is no member by the log here. Even so, one alone could be confused by what its
//! disk or its memory lost: this node ends where more than half of the others say so, and until then only tells it.

use std::collections::BTreeMap;

use haven_api::EventSeverity;
use haven_types::{LogIndex, NodeId};

use crate::controller::Controller;
use crate::history::active;
use crate::port::{Clock, Output};

/// Members that turned this node away, and as of which entry each knows it for no member.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway {
    by: BTreeMap<NodeId, LogIndex>,
    /// Enough have said it: this life ends.
    expelled: bool,
}

impl Controller {
    /// As of which entry the members that it talks to are the members: what those are told who are none. Nothing
    /// where that is not known by the own log.
    #[must_use]
    pub fn members_as_of(&self) -> Option<LogIndex> {
        let own = std::ptr::eq(self.contacts(), &self.state.members);
        (own && self.applied != LogIndex(0)).then_some(self.applied)
    }

    /// A member, proved to be that one, does not take this node for a member as of this entry.
    pub(crate) fn on_turned_away(&mut self, clock: Clock, by: NodeId, as_of: LogIndex) {
        if !self.others().contains(&by) || !self.counts(as_of) || self.turned_away.expelled {
            return;
        }
        let news = self.turned_away.by.insert(by, as_of).is_none();
        let believed = self.turning_away().len() * 2 > self.others().len();
        if !news && !believed {
            return;
        }
        self.turned_away.expelled = believed;
        let text = if believed { self.removed_meanwhile() } else { self.perhaps_removed() };
        let subject = format!("node/{}", self.config.name);
        self.event(clock, "HV1402", EventSeverity::Error, subject, text);
        if believed {
            self.answer_leaver();
            self.out.push(Output::Removed);
        }
    }

    /// Whether the log says here that this node is a member, and goes further there. Who has just joined, and was sent
    /// nothing of the log yet, knows itself for a member only because it was told so at joining.
    fn counts(&self, as_of: LogIndex) -> bool {
        let member = self.state.members.contains_key(&self.config.node);
        self.applied != LogIndex(0) && member && as_of > self.applied
    }

    /// Those whose word still counts.
    fn turning_away(&self) -> Vec<NodeId> {
        let others = self.others();
        let said = self.turned_away.by.iter();
        let said = said.filter(|(by, as_of)| others.contains(by) && self.counts(**as_of));
        said.map(|(by, _)| *by).collect()
    }

    fn by_names(&self) -> String {
        let names: Vec<String> =
            self.turning_away().into_iter().map(|node| self.name_of(node)).collect();
        names.join(" and ")
    }

    fn removed_meanwhile(&self) -> String {
        let own = self.histories.get(&self.config.node);
        let left: Vec<&str> = own
            .iter()
            .flat_map(|history| &history.resources)
            .filter(|(_, records)| active(records) && records.values().all(|it| it.lease.is_none()))
            .map(|(name, _)| name.as_str())
            .collect();
        let left = match left.is_empty() {
            true => String::new(),
            false => {
                format!("; it leaves running, and you must stop by hand, {}", left.join(", "))
            }
        };
        format!(
            "{} was removed from the cluster without hearing of it: by their logs, which go further than the one here, {} \
             know it for no member; its daemon ends{left}. To come back: `haven cluster token` on a member, and here \
             the `haven cluster join` that it prints",
            self.config.name,
            self.by_names()
        )
    }

    fn perhaps_removed(&self) -> String {
        format!(
            "{} was perhaps removed from the cluster without hearing of it: so says {}, which is not more than half of the \
             other members known here; start the others. Where `haven status` on a member does not name this node: stop \
             its daemon, remove `identity` in its state directory, and join it anew (`haven cluster token` on a member)",
            self.config.name,
            self.by_names()
        )
    }

    /// What status says while some turn this node away.
    pub(crate) fn removal_alarm(&self) -> Option<String> {
        (!self.turning_away().is_empty()).then(|| self.perhaps_removed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Bench, VIP};
    use crate::port::Input;

    /// A member that is away, and what the others have come to without it; its removal, where it was removed.
    fn away(removed: bool) -> (Bench, u16, Controller) {
        let mut bench = Bench::new(VIP);
        let (at, owner) = (bench.coordinator(), bench.owner());
        let node = bench.ids().into_iter().find(|id| *id != at && *id != owner).unwrap();
        let left = bench.nodes.remove(&NodeId(node)).unwrap();
        bench.notice(node);
        bench.run(2_000);
        let body =
            haven_api::RequestBody::ClusterRemoveNode { node: format!("n{node}"), force: true };
        if removed {
            assert!(bench.answer(at, body).is_ok());
        }
        assert!(bench.load(at, "property batch-limit=7", false).is_ok());
        (bench, node, left)
    }

    /// What a node says to those it turns away.
    fn word(bench: &Bench, by: u16) -> Input {
        let as_of = bench.nodes[&NodeId(by)].members_as_of().unwrap();
        Input::TurnedAway { by: NodeId(by), as_of }
    }

    fn told(controller: &mut Controller, clock: Clock, input: Input) -> (bool, Vec<String>) {
        let outputs = controller.step(clock, input);
        let texts = outputs.iter().filter_map(|output| match output {
            Output::Event(event) if event.code == "HV1402" => Some(event.text.clone()),
            _ => None,
        });
        (outputs.contains(&Output::Removed), texts.collect())
    }

    #[test]
    fn who_was_removed_while_away_ends_once_more_than_half_of_the_others_say_so() {
        let (bench, _, mut back) = away(true);
        let [first, second] = bench.ids()[..] else { panic!() };
        let clock = bench.clock();
        let (removed, texts) = told(&mut back, clock, word(&bench, first));
        assert!(!removed, "one alone may be confused");
        assert!(texts.len() == 1 && texts[0].contains("was perhaps removed"), "{texts:?}");
        let (removed, texts) = told(&mut back, clock, word(&bench, first));
        assert!(!removed && texts.is_empty(), "it repeats itself: {texts:?}");
        assert!(back.status(clock).alarms.iter().any(|it| it.contains("was perhaps removed")));
        let (removed, texts) = told(&mut back, clock, word(&bench, second));
        assert!(removed);
        let [text] = &texts[..] else { panic!("{texts:?}") };
        assert!(text.contains("was removed from the cluster without hearing of it:"), "{text}");
        assert!(text.contains(&format!("n{first} and n{second} know it for no member")), "{text}");
        assert!(
            text.contains("haven cluster token") && text.contains("haven cluster join"),
            "{text}"
        );
        let again = told(&mut back, clock, word(&bench, second));
        assert_eq!(again, (false, vec![]), "once is enough");
    }

    #[test]
    fn nobody_takes_the_word_of_strangers_or_of_those_whose_log_goes_no_further() {
        let (bench, node, mut back) = away(true);
        let others = bench.ids();
        let (clock, here) = (bench.clock(), back.applied);
        let later = LogIndex(here.0 + 100);
        for by in [9, node] {
            let input = Input::TurnedAway { by: NodeId(by), as_of: later };
            assert_eq!(told(&mut back, clock, input), (false, vec![]), "n{by}");
        }
        for by in &others {
            let input = Input::TurnedAway { by: NodeId(*by), as_of: here };
            assert_eq!(told(&mut back, clock, input), (false, vec![]), "n{by} has not come as far");
        }
        assert_eq!(back.removal_alarm(), None);
        // Who said so of an entry that is here by now said it of another node, or was confused.
        let _one =
            told(&mut back, clock, Input::TurnedAway { by: NodeId(others[0]), as_of: later });
        assert!(back.removal_alarm().is_some());
        back.applied = later;
        assert_eq!(back.removal_alarm(), None);
        let further = LogIndex(later.0 + 1);
        let (removed, _) =
            told(&mut back, clock, Input::TurnedAway { by: NodeId(others[1]), as_of: further });
        assert!(!removed, "what the first said counts no more");
    }

    #[test]
    fn who_has_just_joined_believes_nobody_who_has_not_heard_of_it_yet() {
        let (mut bench, _, _) = away(false);
        let at = bench.coordinator();
        let known: Vec<_> = bench.nodes[&NodeId(at)].state().members.values().cloned().collect();
        let words: Vec<Input> = bench.ids().into_iter().map(|id| word(&bench, id)).collect();
        let known = known.into_iter().chain([crate::bench::member(4)]).collect();
        bench.boot_from(4, haven_consensus::Recovered::blank(), known);
        let clock = bench.clock();
        let joined = bench.nodes.get_mut(&NodeId(4)).unwrap();
        assert_eq!(joined.members_as_of(), None, "nor does it turn anybody away by a log");
        for input in words {
            assert_eq!(told(joined, clock, input), (false, vec![]));
        }
    }
}
