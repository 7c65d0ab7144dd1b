//! The clauses of the lease, each by name, so that the simulation can prove what each is worth.

use serde::{Deserialize, Serialize};

/// One clause of ARCHITECTURE §5. Production runs with all of them; a simulation that runs without
/// one must see two owners (or an owner too many, or none), else the clause is not tested.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Rule {
    /// L2: refuse while an unexpired promise on the group to another node is held.
    RefuseWhilePromised,
    /// L2: refuse once the log holds a higher epoch.
    RefuseOlderEpoch,
    /// L2: refuse when D > `D_max`.
    RefuseLongDuration,
    /// L2: a promise runs D·(1+ρ), not D.
    PromiseDrift,
    /// L2: a promise runs 2 ticks longer.
    PromiseTicks,
    /// L2: a promise is never shortened by a later, reordered or shorter beat.
    KeepLatestEnd,
    /// L2: older promises are dropped only when the kernel acknowledged a gate within the newer lease.
    ShrinkAfterGate,
    /// L2: an answer counts only for the boot and seq it echoes.
    MatchEcho,
    /// L2: an answer counts once per voter.
    CountVoterOnce,
    /// L2: a release leaves only after the kernel acknowledged the gate's deletion.
    ReleaseAfterGate,
    /// L2: a release cancels only promises from beats of its boot with a smaller seq, or of older boots.
    ReleaseBySeq,
    /// L3: the lease counts from the send of the beat, not from the answer.
    CountFromSend,
    /// L3: the lease runs D·(1−ρ), not D.
    LeaseDrift,
    /// L3: the lease ends 2 ticks earlier.
    LeaseTicks,
    /// L3: only a completed round trip with a majority gives or renews ownership.
    NeedMajority,
    /// L3: after a release, answers to beats sent before it are ignored.
    ForgetBeforeRelease,
    /// L3: after a release, gate writes begun before it are abandoned: the kernel's answers to them count for nothing.
    AbandonGateWrites,
    /// L4: a voter that starts promises nothing for `D_max`·(1+ρ) + 2 ticks.
    WaitAfterStart,
    /// L4: a node that became a voter promises nothing for `D_max`·(1+ρ) + 2 ticks.
    WaitAsNewVoter,
    /// L5: an answer that names a configuration this log lacks is not counted.
    KnowConfiguration,
    /// L5: answers count against the highest configuration named.
    HighestNamed,
    /// L5: both halves of a joint configuration must agree.
    BothHalves,
    /// L6: a death verdict needs a majority's agreement.
    VerdictMajority,
    /// L6: a death verdict needs 60 ms of silence on all links.
    VerdictSilence,
}

impl Rule {
    /// Every clause, in the order of ARCHITECTURE §5.
    pub const ALL: [Self; 24] = [
        Self::RefuseWhilePromised,
        Self::RefuseOlderEpoch,
        Self::RefuseLongDuration,
        Self::PromiseDrift,
        Self::PromiseTicks,
        Self::KeepLatestEnd,
        Self::ShrinkAfterGate,
        Self::MatchEcho,
        Self::CountVoterOnce,
        Self::ReleaseAfterGate,
        Self::ReleaseBySeq,
        Self::CountFromSend,
        Self::LeaseDrift,
        Self::LeaseTicks,
        Self::NeedMajority,
        Self::ForgetBeforeRelease,
        Self::AbandonGateWrites,
        Self::WaitAfterStart,
        Self::WaitAsNewVoter,
        Self::KnowConfiguration,
        Self::HighestNamed,
        Self::BothHalves,
        Self::VerdictMajority,
        Self::VerdictSilence,
    ];
}

/// The clauses in force. [`Rules::ALL`], the default, is the only value a daemon may run with; the
/// others exist so that the same compiled code can be tested with one clause missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rules {
    missing: u32,
}

impl Rules {
    /// Every clause in force.
    pub const ALL: Self = Self { missing: 0 };

    /// A mutant: these rules without `rule`. For simulations only.
    #[must_use]
    pub const fn without(self, rule: Rule) -> Self {
        Self { missing: self.missing | 1 << rule as u8 }
    }

    /// True when `rule` is in force.
    #[must_use]
    pub const fn has(self, rule: Rule) -> bool {
        self.missing & (1 << rule as u8) == 0
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::ALL
    }
}
