//! Faults as experiments: prepare, measure, do it, heal, watch, and one line of figures.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use haven_base::Rng;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::client::wall_nanos;
use crate::cluster::Cluster;
use crate::error::LabError;
use crate::fault::{Fault, Noise};
use crate::measure::{MeasureOptions, Measuring, Recording, Report};
use crate::outage::{longest_gap, moves_between};
use crate::topology::{Net, Place};
use crate::wait;

/// One kind of experiment.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Nothing happens: what the bed itself does to the figures.
    Quiet,
    /// The owner's ports go down.
    LinkDown,
    /// The owner's frames are dropped, its carrier stays.
    Cut,
    /// Every process of the owner is stopped.
    Pause,
    /// kill -9 of everything on the owner.
    Kill,
    /// An operator moves the address.
    SwitchOver,
    /// The owner is alone on its side of a partition; clients reach both sides.
    Partition,
    /// The owner's processes are stopped for 5 to 150 ms at random instants, 50 times.
    ShortPauses,
    /// Loss of 20 % and delay of 0–100 ms between nodes begin on a quiet cluster.
    Noise,
    /// The same on the heartbeat network only.
    NoiseOneLink,
    /// kill -9 of everything on the owner while that noise lasts.
    NoiseKill,
    /// Every processor is busy with something else.
    Busy,
    /// The owner's daemon is restarted as for an upgrade.
    Restart,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinkDown => "ports down",
            Self::Cut => "cut off, carrier stays",
            Self::Pause => "all processes paused",
            Self::Quiet => "nothing",
            Self::Kill => "kill -9 of everything",
            Self::SwitchOver => "planned switchover",
            Self::Partition => "partition and heal",
            Self::ShortPauses => "50 pauses of 5–150 ms",
            Self::Noise => "noise on every link",
            Self::NoiseOneLink => "noise on one link",
            Self::NoiseKill => "kill -9 during noise",
            Self::Busy => "all processors busy",
            Self::Restart => "planned daemon restart",
        })
    }
}

impl Scenario {
    /// Whether it lasts for [`Times::noise`].
    pub(crate) fn lasts(self) -> bool {
        let lasting = [Self::Quiet, Self::Noise, Self::NoiseOneLink, Self::NoiseKill, Self::Busy];
        lasting.contains(&self)
    }
}

/// The times of an experiment.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Longest wait for another node to serve.
    pub takeover_limit: Duration,
    /// How long the state after the takeover is watched before the fault is healed.
    pub before_heal: Duration,
    /// How long the cluster is watched after the fault was healed.
    pub after_heal: Duration,
    /// How long noise, or a load, lasts.
    pub noise: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            takeover_limit: Duration::from_secs(15),
            before_heal: Duration::from_secs(1),
            after_heal: Duration::from_secs(60),
            noise: Duration::from_secs(10),
        }
    }
}

/// The figures of one experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What was done.
    pub scenario: Scenario,
    /// Longest gap between answers that began with the fault or while it lasted.
    pub outage: Duration,
    /// Of those, the longest that began later than 2 s after the fault: what lasting noise costs once
    /// the cluster has got used to it.
    pub outage_later: Duration,
    /// Longest gap between answers that began after the fault was healed.
    pub outage_after_heal: Duration,
    /// Time with two owners, fault and healing together.
    pub two_owners: Duration,
    /// How often the answering node changed.
    pub moves: u64,
    /// Who answered before the fault.
    pub owner_before: Option<String>,
    /// Who answered when the fault was about to be healed.
    pub owner_after: Option<String>,
    /// Whether the owner was the coordinator; `None` where there is no such thing.
    pub owner_coordinates: Option<bool>,
    /// All figures of the whole time.
    pub report: Report,
}

/// Loss and delay of the noise rows.
#[must_use]
pub fn noise(nets: BTreeSet<Net>) -> Noise {
    let everyone = BTreeSet::new;
    Noise { from: everyone(), to: everyone(), nets, loss_permille: 200, delay_ms: Some((0, 100)) }
}

/// How long a fault counts as new, in nanoseconds.
const ONSET: u64 = 2_000_000_000;

struct Marks {
    fault: u64,
    heal: u64,
}

/// Runs one experiment with `vip`: first makes the cluster whole, at the end takes the fault back.
///
/// # Errors
/// Those of faults and measurement, and [`LabError::TimedOut`] when the cluster is not whole.
pub fn run(
    cluster: &mut Cluster,
    vip: IpAddr,
    scenario: Scenario,
    times: Times,
    rng: &mut Rng,
) -> Result<Outcome, LabError> {
    cluster.restore()?;
    serving(cluster, vip, times)?;
    let measuring = Measuring::start(&cluster.bed, vip, MeasureOptions::default())?;
    let lead = Duration::from_millis(300) + rng.between(Duration::ZERO, Duration::from_millis(500));
    std::thread::sleep(lead);
    // As late as can be: what befalls anybody but the owner is another experiment.
    let owner = serving(cluster, vip, times)?;
    let coordinator = cluster.system.coordinator(&cluster.bed);
    let done = perform(cluster, vip, scenario, times, rng, &owner);
    let recording = measuring.record()?;
    let marks = done?;
    let nodes = cluster.bed.topology().nodes.iter().map(|n| (n.index, n.name.clone())).collect();
    let coordinates = coordinator.map(|node| node == owner);
    Ok(outcome(scenario, &recording, &marks, coordinates, recording.report(vip, nodes)))
}

fn serving(cluster: &mut Cluster, vip: IpAddr, times: Times) -> Result<String, LabError> {
    cluster.owner(vip, times.takeover_limit)?.ok_or_else(|| LabError::TimedOut {
        what: format!("service at {vip} before the experiment"),
        seconds: times.takeover_limit.as_secs(),
        hint: "see `haven lab status`".to_owned(),
    })
}

fn outcome(
    scenario: Scenario,
    recording: &Recording,
    marks: &Marks,
    owner_coordinates: Option<bool>,
    report: Report,
) -> Outcome {
    let name = |answer: Option<u8>| answer.and_then(|index| report.nodes.get(&index).cloned());
    let answers = || recording.probes.iter().filter_map(|p| p.answer);
    let last_before = |mark: u64| answers().filter(|(at, _)| *at < mark).max().map(|(_, n)| n);
    // A gap begins with the last answer, which may be one probe older than the fault.
    let fault = marks.fault.saturating_sub(5_000_000);
    let whole = (recording.from_nanos, recording.to_nanos);
    Outcome {
        scenario,
        outage: longest_gap(&recording.probes, whole, (fault, marks.heal)),
        outage_later: longest_gap(&recording.probes, whole, (marks.fault + ONSET, marks.heal)),
        outage_after_heal: longest_gap(&recording.probes, whole, (marks.heal, u64::MAX)),
        two_owners: report.ownership.two_owners,
        moves: moves_between(&recording.probes, fault, u64::MAX),
        owner_before: name(last_before(marks.fault)),
        owner_after: name(last_before(marks.heal)),
        owner_coordinates,
        report,
    }
}

fn perform(
    cluster: &mut Cluster,
    vip: IpAddr,
    scenario: Scenario,
    times: Times,
    rng: &mut Rng,
    owner: &str,
) -> Result<Marks, LabError> {
    let name = owner.to_owned();
    match scenario {
        Scenario::LinkDown => lose_owner(cluster, vip, &Fault::LinkDown(name), times, owner),
        Scenario::Cut => lose_owner(cluster, vip, &Fault::Cut(name), times, owner),
        Scenario::Pause => lose_owner(cluster, vip, &Fault::Pause(name), times, owner),
        Scenario::Kill => lose_owner(cluster, vip, &Fault::Kill(name), times, owner),
        Scenario::Partition => {
            let sides = Fault::partition(owner, cluster.bed.topology())?;
            lose_owner(cluster, vip, &sides, times, owner)
        }
        Scenario::SwitchOver => switch_over(cluster, vip, times, owner),
        Scenario::ShortPauses => short_pauses(cluster, vip, rng),
        Scenario::Noise => bear(cluster, &noise(Net::ALL.into()), times),
        Scenario::NoiseOneLink => bear(cluster, &noise([Net::Heartbeat].into()), times),
        Scenario::NoiseKill => {
            cluster.inject(&Fault::Noise(noise(Net::ALL.into())))?;
            std::thread::sleep(times.noise);
            lose_owner(cluster, vip, &Fault::Kill(name), times, owner)
        }
        Scenario::Quiet => {
            let fault = wall_nanos();
            std::thread::sleep(times.noise);
            Ok(Marks { fault, heal: wall_nanos() })
        }
        Scenario::Busy => busy(cluster, times),
        Scenario::Restart => {
            let fault = wall_nanos();
            cluster.restart(owner)?;
            std::thread::sleep(Duration::from_secs(3));
            Ok(Marks { fault, heal: wall_nanos() })
        }
    }
}

/// Does `fault` to the owner, waits for another to serve, heals, and watches.
fn lose_owner(
    cluster: &mut Cluster,
    vip: IpAddr,
    fault: &Fault,
    times: Times,
    owner: &str,
) -> Result<Marks, LabError> {
    let at = wall_nanos();
    cluster.inject(fault)?;
    wait::until(times.takeover_limit, Duration::from_millis(10), || {
        let serving = cluster.owner(vip, Duration::from_millis(100)).unwrap_or(None);
        serving.is_some_and(|node| node != owner)
    });
    std::thread::sleep(times.before_heal);
    let heal = wall_nanos();
    cluster.bed.heal()?;
    cluster.start_missing()?;
    std::thread::sleep(times.after_heal);
    Ok(Marks { fault: at, heal })
}

fn switch_over(
    cluster: &Cluster,
    vip: IpAddr,
    times: Times,
    owner: &str,
) -> Result<Marks, LabError> {
    let heirs = cluster.bed.topology().workers().map(|n| n.name.clone());
    let Some(to) = heirs.into_iter().find(|node| node != owner) else {
        let reason = "a lab of one node has nowhere to move an address to".to_owned();
        return Err(LabError::BadFault { reason });
    };
    let fault = wall_nanos();
    cluster.system.switch_over(&cluster.bed, vip, owner, &to)?;
    wait::until(times.takeover_limit, Duration::from_millis(10), || {
        let serving = cluster.owner(vip, Duration::from_millis(100)).unwrap_or(None);
        serving.is_some_and(|node| node == to)
    });
    std::thread::sleep(times.before_heal);
    let heal = wall_nanos();
    cluster.system.after_switch_over(&cluster.bed, owner)?;
    std::thread::sleep(Duration::from_secs(2));
    Ok(Marks { fault, heal })
}

fn short_pauses(cluster: &mut Cluster, vip: IpAddr, rng: &mut Rng) -> Result<Marks, LabError> {
    let ms = Duration::from_millis;
    let fault = wall_nanos();
    for _ in 0..50 {
        let Some(owner) = cluster.owner(vip, Duration::from_secs(5))? else { continue };
        std::thread::sleep(rng.between(ms(50), ms(250)));
        cluster.bed.signal(&owner, Signal::STOP)?;
        std::thread::sleep(rng.between(ms(5), ms(150)));
        cluster.bed.signal(&owner, Signal::CONT)?;
        std::thread::sleep(ms(100));
    }
    std::thread::sleep(Duration::from_secs(1));
    Ok(Marks { fault, heal: wall_nanos() })
}

fn bear(cluster: &mut Cluster, noise: &Noise, times: Times) -> Result<Marks, LabError> {
    let fault = wall_nanos();
    cluster.inject(&Fault::Noise(noise.clone()))?;
    std::thread::sleep(times.noise);
    let heal = wall_nanos();
    cluster.bed.heal()?;
    std::thread::sleep(Duration::from_secs(3));
    Ok(Marks { fault, heal })
}

fn busy(cluster: &Cluster, times: Times) -> Result<Marks, LabError> {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let fault = wall_nanos();
    let log = cluster.bed.dir().join("busy.log");
    let mut loops = BTreeSet::new();
    for _ in 0..processors * 2 {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        loops.insert(cluster.bed.spawn(&Place::Bridges, &mut command, &log)?);
    }
    std::thread::sleep(times.noise);
    for id in loops {
        if let Some(pid) = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw) {
            // It loops until it is killed; the bed's own reaper waits for it.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    let heal = wall_nanos();
    std::thread::sleep(Duration::from_secs(1));
    Ok(Marks { fault, heal })
}
