//! A plan follows from configuration, status and time alone: whoever plans the same has the same plan, on whichever node,
//! in whichever life, and as often as it is asked.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use haven_policy::Decision;
use haven_types::NodeId;
use haven_types::graph::ActionKind;

use super::Verdict;
use crate::plans::Asked;

pub(crate) const RULE: &str = "one plan: the same input makes the same plan";

/// One plan in so many is made again to be compared.
const AGAIN: u64 = 4;

#[derive(Debug, Default)]
pub(crate) struct OnePlan {
    /// Who planned what first, by what it was made from.
    plans: BTreeMap<u64, (NodeId, u64)>,
    seen: u64,
}

impl OnePlan {
    pub(crate) fn look(&mut self, node: NodeId, asked: &Asked, decision: &Decision) -> Verdict {
        let plan = sum(decision);
        let (first, known) = *self.plans.entry(sum(asked)).or_insert((node, plan));
        if known != plan {
            return Err(format!(
                "{node} plans {decision:?}, and {first} planned another from the same: {asked:?}"
            ));
        }
        self.seen += 1;
        let again = self.seen.is_multiple_of(AGAIN).then(|| again(asked, decision));
        match again.filter(|again| sum(again) != plan) {
            Some(again) => Err(format!(
                "{node} plans {decision:?}, and another {again:?} from the same: {asked:?}"
            )),
            None => Ok(()),
        }
    }
}

/// The same plan made once more, by another coordinator: it matters who that is only where members are to end, as the
/// coordinator is the last.
fn again(asked: &Asked, decision: &Decision) -> Decision {
    match decision.graph.actions.iter().any(|action| action.kind == ActionKind::Cluster) {
        true => asked.plan(),
        false => asked.by_another().plan(),
    }
}

/// Of all that is in it, as it is written out.
fn sum(it: &impl fmt::Debug) -> u64 {
    struct Sum(u64);
    impl Write for Sum {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for byte in text.bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            Ok(())
        }
    }
    let mut sum = Sum(0xcbf2_9ce4_8422_2325);
    write!(sum, "{it:?}").map_or_else(|_| unreachable!("a sum takes every text"), |()| sum.0)
}
