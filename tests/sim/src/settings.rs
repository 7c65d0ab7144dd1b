//! What one seed decides before anything happens.

use std::collections::BTreeSet;
use std::time::Duration;

use haven_base::Rng;
use haven_heartbeat::Terms;
use haven_types::LinkId;

/// Shape and temper of one simulated cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Full members at the start.
    pub nodes: u16,
    /// Whether one more member only votes.
    pub witness: bool,
    /// Links that every node has.
    pub link_count: u8,
    /// Leased addresses in the configuration.
    pub resources: u16,
    /// Whether the configuration has an address with `lease=off` besides.
    pub unprotected: bool,
    /// Terms of the lease.
    pub terms: Terms,
    /// Shortest lease.
    pub floor: Duration,
    /// Loss in thousandths, on each link.
    pub loss_permille: u64,
    /// Longest delay of a datagram.
    pub delay: Duration,
    /// Longest time a sync of the disk takes.
    pub sync: Duration,
    /// Chance per million of a pause before any single effect of a thread.
    pub pause_ppm: u64,
    /// Chance in a thousand that an agent's operation fails.
    pub agent_fail_permille: u64,
    /// Chance in a thousand that a write of the gate fails.
    pub gate_fail_permille: u64,
    /// Whether clocks run at rates of their own, within ±ρ.
    pub drift: bool,
    /// Messages longer than this travel by the connection.
    pub large: usize,
    /// As in the consensus core's configuration.
    pub snapshot_after_bytes: u64,
    /// As in the consensus core's configuration.
    pub keep_entries: u64,
    /// How long faults go on.
    pub storm: Duration,
    /// Average time between two faults.
    pub fault_every: Duration,
    /// Average time between two requests of people.
    pub request_every: Duration,
    /// Which kinds of faults happen.
    pub faults: Faults,
    /// A coordinator that keeps no distance between changes of voters.
    pub hasty_members: bool,
    /// What is wrong with this world on purpose.
    pub mutant: Mutant,
}

/// A world that breaks a rule on purpose, to show that somebody would notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mutant {
    /// None: the world keeps its contracts.
    #[default]
    None,
    /// Disks say that something is durable as soon as they are asked.
    LyingDisk,
    /// Kernels close their gates a tick late.
    LateGate,
    /// Kernels answer under each address that is there, whatever its gate says.
    OpenGates,
    /// Clocks run at up to a third more or less than true time, far beyond ρ.
    WildClocks,
    /// Orders of former coordinators are passed on as if the present one had given them.
    RenewedOrders,
    /// Whoever reads a disk finds the last entry of its log turned into an empty one.
    RottenEntry,
    /// Whoever reads a disk finds two entries that it knows committed in each other's place.
    SwappedEntries,
    /// Whoever reads the first node's disk finds something in the snapshot that nobody wrote.
    RottenSnapshot,
    /// Services say that they were started, and are not.
    HollowStarts,
    /// Beats are lost on their way into the machine, after they were received.
    DroppedBeats,
    /// One node of the cluster stays cut off in the calm.
    LastingCut,
    /// What was started here and is not configured any more is not guarded.
    ForgottenLeftovers,
    /// A daemon is replaced at once, whatever leases it holds.
    HastyRestarts,
    /// What a voter still has to wait for is lost on its way to the next process.
    ForgottenSilence,
    /// In the calm, a daemon is killed now and then.
    LastingCrashes,
    /// Whose lease lapses takes it for granted to another.
    LapsesTaken,
    /// Whoever finds the holder of a lease silent asks for that lease itself.
    EagerHeirs,
    /// Whoever asks for votes takes each answer for a vote.
    WishfulVotes,
    /// A planner gives its last plan again while the configuration stays the same.
    RememberedPlans,
    /// No answer of a coordinator arrives on the node that passed a request on.
    LostAnswers,
}

/// Kinds of faults that may be left out.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Processes and hosts end and start again.
    pub crashes: bool,
    /// Processes and threads stand still.
    pub pauses: bool,
    /// Links and nodes are cut off.
    pub cuts: bool,
    /// Members join and leave.
    pub members: bool,
}

impl Faults {
    /// All of them.
    pub const ALL: Self = Self { crashes: true, pauses: true, cuts: true, members: true };
    /// None.
    pub const NONE: Self = Self { crashes: false, pauses: false, cuts: false, members: false };
}

impl Settings {
    /// The cluster of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5e77_1265);
        let long = rng.chance(1, 20);
        let d_max = Duration::from_millis(if long { 5_000 } else { 400 + rng.below(600) });
        let tick = Duration::from_millis([1, 4, 4, 10][rng.below(4) as usize]);
        let terms = Terms { d_max, tick, ..Terms::default() };
        let nodes = [2, 3, 3, 3, 3, 4, 5][rng.below(7) as usize];
        let harsh = rng.chance(2, 3);
        Self {
            nodes,
            witness: nodes == 2 || rng.chance(1, 10),
            link_count: 1 + u8::from(rng.chance(1, 2)),
            resources: 1 + rng.below(3) as u16,
            unprotected: seed % 4 == 1,
            terms,
            floor: Duration::from_millis(60 + 10 * rng.below(3)).max(tick * 8),
            loss_permille: if harsh { rng.below(150) } else { rng.below(20) },
            delay: Duration::from_micros(
                200 + if harsh { rng.below(20_000) } else { rng.below(800) },
            ),
            sync: Duration::from_micros(100 + rng.below(if harsh { 60_000 } else { 8_000 })),
            pause_ppm: rng.below(800),
            agent_fail_permille: if rng.chance(1, 2) { rng.below(100) } else { 0 },
            gate_fail_permille: if rng.chance(1, 3) { rng.below(10) } else { 0 },
            drift: rng.chance(3, 4),
            large: if rng.chance(1, 3) { 300 + rng.below(3_000) as usize } else { 64 * 1024 },
            snapshot_after_bytes: 2_000 + rng.below(20_000),
            keep_entries: rng.below(20),
            storm: Duration::from_secs(6),
            fault_every: Duration::from_millis(100 + rng.below(500)),
            request_every: Duration::from_millis(200 + rng.below(1_500)),
            faults: Faults::ALL,
            hasty_members: false,
            mutant: Mutant::None,
        }
    }

    /// A cluster of three in which nothing goes wrong by itself.
    #[must_use]
    pub fn calm(seed: u64) -> Self {
        Self {
            nodes: 3,
            witness: false,
            link_count: 1,
            resources: 1,
            unprotected: false,
            terms: Terms { d_max: Duration::from_secs(1), ..Terms::default() },
            floor: Duration::from_millis(60),
            loss_permille: 0,
            delay: Duration::from_micros(200),
            sync: Duration::from_millis(1),
            pause_ppm: 0,
            agent_fail_permille: 0,
            gate_fail_permille: 0,
            drift: false,
            large: 64 * 1024,
            fault_every: Duration::from_secs(3_600),
            request_every: Duration::from_secs(3_600),
            faults: Faults::NONE,
            ..Self::of(seed)
        }
    }

    /// How far clocks go astray, in thousandths.
    pub(crate) fn rho_permille(&self) -> u64 {
        if self.mutant == Mutant::WildClocks { 330 } else { 100 }
    }

    pub(crate) fn links(&self) -> BTreeSet<LinkId> {
        (0..self.link_count).map(LinkId).collect()
    }
}
