//! L1: every beat of a member is answered with its boot and seq: in the step that takes it in, or by the
//! own next beat.

use std::collections::{BTreeMap, BTreeSet};

use haven_heartbeat::{Input, Message, Output};
use haven_types::{BootId, NodeId, Seq};

use super::Verdict;

pub(crate) const RULE: &str = "answers (L1): every beat is answered";

#[derive(Debug, Default)]
pub(crate) struct Answers {
    members: BTreeMap<NodeId, BTreeSet<NodeId>>,
    boots: BTreeMap<(NodeId, NodeId), BootId>,
    /// Beats taken in and not answered yet, by who took them in and who sent them.
    waiting: BTreeMap<(NodeId, NodeId), BTreeSet<(BootId, Seq)>>,
}

impl Answers {
    pub(crate) fn on_start(&mut self, node: NodeId, members: BTreeSet<NodeId>) {
        self.members.insert(node, members);
        self.boots.retain(|(at, _), _| *at != node);
        self.waiting.retain(|(at, _), _| *at != node);
    }

    pub(crate) fn on_step(&mut self, node: NodeId, input: &Input, outputs: &[Output]) -> Verdict {
        match input {
            Input::Members(members) => {
                self.waiting.retain(|(at, from), _| *at != node || members.contains_key(from));
                self.members.insert(node, members.keys().copied().collect());
            }
            Input::Received { from, boot, message: Message::Beat(beat), .. } => {
                let newest = self.boots.entry((node, *from)).or_default();
                let stranger = self.members.get(&node).is_some_and(|known| !known.contains(from));
                if !stranger && *boot >= *newest {
                    if *boot > *newest {
                        self.waiting.remove(&(node, *from));
                    }
                    *newest = *boot;
                    self.waiting.entry((node, *from)).or_default().insert((*boot, beat.seq));
                }
            }
            _ => {}
        }
        for output in outputs {
            let Output::Send { to, message, .. } = output else { continue };
            let Some(waiting) = self.waiting.get_mut(&(node, *to)) else { continue };
            match message {
                Message::Answer(answer) => {
                    waiting.remove(&(answer.boot, answer.seq));
                }
                Message::Beat(beat) => {
                    if let Some(echoes) = &beat.answers {
                        for echo in &echoes.echoes {
                            waiting.remove(&(echoes.boot, echo.seq));
                        }
                    }
                    if let Some((_, seq)) = waiting.pop_first() {
                        return Err(format!(
                            "{node} beats and leaves beat {seq} of {to} unanswered"
                        ));
                    }
                }
                Message::Vacant(_) => {}
            }
        }
        Ok(())
    }
}
