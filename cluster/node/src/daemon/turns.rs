//! One step after the other: what a step asks for is done, all of it and in its order, before the next begins.
//!
//! Carrying an output out may lead to another input at once: a member that was removed, to a new key; a message, to
//! news of its receiver. Stepping there and then would put the outputs of that step before the rest of this one's. Two
//! batches for the store would change places, and the store takes a batch to replace all that it has from its first
//! entry on: the entry that came later would be lost.

use std::collections::VecDeque;

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns<I> {
    busy: bool,
    later: VecDeque<I>,
}

impl<I> Turns<I> {
    pub(super) const fn new() -> Self {
        Self { busy: false, later: VecDeque::new() }
    }

    /// The input to step with now; none where the outputs of a step are being carried out, and it waits for their end.
    pub(super) fn take(&mut self, input: I) -> Option<I> {
        if self.busy {
            self.later.push_back(input);
            return None;
        }
        Some(input)
    }

    /// Outputs of a step are about to be carried out.
    pub(super) fn begin(&mut self) {
        assert!(!self.busy, "one step is carried out at a time");
        self.busy = true;
    }

    /// They have been: the input that has waited longest.
    pub(super) fn end(&mut self) -> Option<I> {
        self.busy = false;
        self.later.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine whose input n asks for n0 and n1; carrying n0 out makes the inputs in `leads_to`.
    fn carried(first: u32, leads_to: &[(u32, &[u32])]) -> Vec<u32> {
        let mut turns = Turns::new();
        let mut done = Vec::new();
        let mut next = turns.take(first);
        while let Some(input) = next {
            turns.begin();
            for output in [input * 10, input * 10 + 1] {
                done.push(output);
                let made =
                    leads_to.iter().filter(|(from, _)| *from == output).flat_map(|(_, to)| *to);
                for input in made {
                    assert_eq!(turns.take(*input), None, "a step is being carried out");
                }
            }
            next = turns.end();
        }
        assert_eq!(turns.take(9), Some(9));
        done
    }

    #[test]
    fn what_a_step_asks_for_is_done_before_what_comes_of_it() {
        assert_eq!(carried(1, &[]), [10, 11]);
        assert_eq!(carried(1, &[(10, &[2])]), [10, 11, 20, 21]);
        assert_eq!(carried(1, &[(10, &[2, 3]), (20, &[4])]), [10, 11, 20, 21, 30, 31, 40, 41]);
    }
}
