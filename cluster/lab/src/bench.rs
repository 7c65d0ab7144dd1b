//! Rows of figures: each fault many times, median and worst, as the table of docs/benchmarks.md.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use haven_base::Rng;
use serde::{Deserialize, Serialize};

use crate::bed::{Bed, BedOptions};
use crate::cli::say;
use crate::cluster::Cluster;
use crate::error::LabError;
use crate::interrupt::remove_on_interrupt;
use crate::judge::{Ownership, judge};
use crate::measure::{Capturing, ms};
use crate::outage::median_and_worst;
use crate::scenario::{self, Outcome, Scenario, Times};
use crate::system::SystemKind;
use crate::topology::{Family, Topology};

/// What `haven lab bench` runs.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// All rows of faults, noise and restarts in docs/benchmarks.md, in some hours: of haven also one run of ten minutes of
    /// noise, four partitions and four cuts watched for a minute after healing, and restarts with 100 MiB in each store.
    #[arg(long, conflicts_with_all = ["after_heal", "noise", "store_mib"])]
    full: bool,
    /// Runs of each row.
    #[arg(long, default_value_t = 20)]
    runs: u32,
    /// Rows [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Scenario>,
    /// Software to measure [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    systems: Vec<SystemKind>,
    /// Address families, one table section each.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["4", "6"])]
    families: Vec<Family>,
    /// How long each run is watched after its fault was healed, in seconds.
    #[arg(long, default_value_t = USUAL_AFTER_HEAL)]
    after_heal: f64,
    /// How long a row is watched after its last run, in seconds: what the nodes say for the address is
    /// captured without a break from the first run's begin, so that each heal is watched that long.
    #[arg(long, default_value_t = 60.0)]
    after_row: f64,
    /// How long noise or load lasts, in seconds.
    #[arg(long, default_value_t = USUAL_NOISE)]
    noise: f64,
    /// Fill the store of every haven node to so many MiB first: what a restart has to read again.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=512))]
    store_mib: u64,
    /// Seed of the random instants; printed, so that a run can be repeated.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write every outcome to this file, JSON, one a line.
    #[arg(long)]
    record: Option<PathBuf>,
}

/// How long heals are watched, and noise lasts, where nothing else is asked for; in seconds.
const USUAL_AFTER_HEAL: f64 = 3.0;
const USUAL_NOISE: f64 = 10.0;
/// What `--full` sets: the store of a node that is restarted, how long noise lasts once, how many heals are watched, and
/// how long, in seconds.
const FULL_STORE_MIB: u64 = 100;
const FULL_NOISE: f64 = 600.0;
const FULL_HEALS: u32 = 4;
const FULL_AFTER_HEAL: f64 = 60.0;

const ALL_ROWS: [Scenario; 13] = [
    Scenario::Quiet,
    Scenario::LinkDown,
    Scenario::Cut,
    Scenario::Pause,
    Scenario::Kill,
    Scenario::SwitchOver,
    Scenario::Partition,
    Scenario::ShortPauses,
    Scenario::Noise,
    Scenario::NoiseOneLink,
    Scenario::NoiseKill,
    Scenario::Busy,
    Scenario::Restart,
];

/// What is run for one line of the table.
#[derive(Clone, Copy, Debug)]
struct Plan {
    scenario: Scenario,
    runs: u32,
    after_heal: f64,
    noise: f64,
    store_mib: u64,
}

/// What one software is put through; the rows that need a big store come last, since it never shrinks.
fn plans(args: &BenchArgs, system: SystemKind) -> Vec<Plan> {
    let asked = if args.rows.is_empty() { &ALL_ROWS[..] } else { &args.rows };
    let haven = system == SystemKind::Haven;
    let mut plans = Vec::new();
    for &scenario in asked {
        let usual = Plan {
            scenario,
            runs: args.runs,
            after_heal: args.after_heal,
            noise: args.noise,
            store_mib: if haven { args.store_mib } else { 0 },
        };
        let full = (args.full && haven).then_some(scenario);
        let longer = match full {
            Some(Scenario::Noise) => Some(Plan { runs: 1, noise: FULL_NOISE, ..usual }),
            Some(Scenario::Cut | Scenario::Partition) => {
                Some(Plan { runs: FULL_HEALS, after_heal: FULL_AFTER_HEAL, ..usual })
            }
            _ => None,
        };
        let stored = full == Some(Scenario::Restart);
        let usual = if stored { Plan { store_mib: FULL_STORE_MIB, ..usual } } else { usual };
        plans.extend([usual].into_iter().chain(longer));
    }
    plans.sort_by_key(|plan| plan.store_mib);
    plans
}

impl Plan {
    /// Words for the fault, and for what is longer or bigger than usual.
    fn fault(&self) -> String {
        let mut words = self.scenario.to_string();
        if self.noise > USUAL_NOISE && self.scenario.lasts() {
            let _ = write!(words, ", {} s of it", self.noise);
        }
        if self.after_heal > USUAL_AFTER_HEAL && self.scenario.is_healed() {
            let _ = write!(words, ", watched for {} s after healing", self.after_heal);
        }
        if self.store_mib > 0 && self.scenario == Scenario::Restart {
            let _ = write!(words, ", {} MiB in each store", self.store_mib);
        }
        words
    }
}

/// One line of the table: the outcomes of one fault, condensed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Words for the fault.
    pub fault: String,
    /// Words for the software.
    pub system: String,
    /// Words for the address family.
    pub family: String,
    /// Runs that gave figures.
    pub runs: usize,
    /// Runs in which the owner was the coordinator; `None` where there is none.
    pub coordinator_runs: Option<usize>,
    /// Median and worst outage.
    pub outage: (Duration, Duration),
    /// Worst outage that began later than 2 s after the fault.
    pub later: Duration,
    /// Worst outage that began after the fault was healed.
    pub after_heal: Duration,
    /// Worst time with two owners in one run, and runs with any.
    pub two_owners: (Duration, usize),
    /// Time with two owners from the first run's begin to the end of the watch after the last.
    pub two_owners_whole: Duration,
    /// Changes of the answering node, all runs together.
    pub moves: u64,
    /// Probes, one each millisecond, that got no answer, all runs together.
    pub probes_lost: u64,
    /// New connections opened by a retransmission only, all runs together.
    pub connections_delayed: u64,
    /// New connections refused or never opened, all runs together.
    pub connections_lost: u64,
}

impl Row {
    /// Condenses the outcomes of one fault; `None` when there are none.
    #[must_use]
    pub fn of(
        system: SystemKind,
        vip: IpAddr,
        fault: String,
        outcomes: &[Outcome],
        two_owners_whole: Duration,
    ) -> Option<Self> {
        let outages: Vec<_> = outcomes.iter().map(|o| o.outage).collect();
        let known: Vec<_> = outcomes.iter().filter_map(|o| o.owner_coordinates).collect();
        let connects = || outcomes.iter().map(|o| o.report.connects);
        Some(Self {
            fault,
            system: system.to_string(),
            family: if vip.is_ipv6() { "IPv6" } else { "IPv4" }.to_owned(),
            runs: outcomes.len(),
            coordinator_runs: (!known.is_empty()).then(|| known.iter().filter(|c| **c).count()),
            outage: median_and_worst(&outages)?,
            later: outcomes.iter().map(|o| o.outage_later).max()?,
            after_heal: outcomes.iter().map(|o| o.outage_after_heal).max()?,
            two_owners: (
                outcomes.iter().map(|o| o.two_owners).max()?,
                outcomes.iter().filter(|o| !o.two_owners.is_zero()).count(),
            ),
            two_owners_whole,
            moves: outcomes.iter().map(|o| o.moves).sum(),
            probes_lost: outcomes
                .iter()
                .map(|o| o.report.probes)
                .map(|p| p.sent - p.answered)
                .sum(),
            connections_delayed: connects().map(|c| c.delayed).sum(),
            connections_lost: connects().map(|c| c.refused + c.lost).sum(),
        })
    }
}

/// The table, in Markdown.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text =
        "| fault | software | family | runs | owner = coordinator | outage median | worst \
         | worst from 2 s on | worst after healing | two owners, worst | runs with two | whole row | moves \
         | probes lost | connections delayed | lost |\n\
         |---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    let figure = |d: Duration| format!("{:.1} ms", d.as_secs_f64() * 1000.0);
    // Where a fault is taken back before, no gap begins so late.
    let later = |d: Duration| if d.is_zero() { "–".to_owned() } else { figure(d) };
    for row in rows {
        let coordinator = row.coordinator_runs.map_or_else(|| "–".to_owned(), |n| n.to_string());
        let (two, runs_with_two) = row.two_owners;
        let or_none = |d: Duration| if d.is_zero() { "0 ms".to_owned() } else { figure(d) };
        let (two, whole) = (or_none(two), or_none(row.two_owners_whole));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {coordinator} | {} | {} | {} | {} | {two} | {runs_with_two} | {whole} | {} | {} | {} | {} |",
            row.fault,
            row.system,
            row.family,
            row.runs,
            figure(row.outage.0),
            figure(row.outage.1),
            later(row.later),
            figure(row.after_heal),
            row.moves,
            row.probes_lost,
            row.connections_delayed,
            row.connections_lost,
        );
    }
    text
}

/// What a daemon uses while nothing happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// Share of one processor, in per cent, worst node.
    pub cpu_percent: f64,
    /// Resident memory in MiB, worst node.
    pub rss_mib: f64,
}

/// Watches the daemons of a quiet cluster for `time`.
///
/// # Errors
/// Those of reading /proc.
pub fn idle(cluster: &Cluster, time: Duration) -> Result<Idle, LabError> {
    let wanted = cluster.system.is_daemon();
    let nodes: Vec<_> = cluster.bed.topology().workers().map(|n| n.name.clone()).collect();
    let all = || nodes.iter().map(|n| cluster.bed.usage(n, wanted)).collect::<Result<Vec<_>, _>>();
    let before = all()?;
    std::thread::sleep(time);
    let after = all()?;
    let cpu = before.iter().zip(&after).map(|(b, a)| a.cpu.saturating_sub(b.cpu)).max();
    let kib = after.iter().map(|a| a.rss_kib).max().unwrap_or(0);
    let kib = u32::try_from(kib).unwrap_or(u32::MAX);
    Ok(Idle {
        cpu_percent: cpu.unwrap_or_default().as_secs_f64() / time.as_secs_f64() * 100.0,
        rss_mib: f64::from(kib) / 1024.0,
    })
}

/// Runs the rows asked for and prints the table.
///
/// # Errors
/// Those of building a lab; an experiment that fails is reported and the next one begins.
pub fn run(name: &str, dir: Option<PathBuf>, args: &BenchArgs) -> Result<u8> {
    remove_on_interrupt(vec![(name.to_owned(), dir.clone())])?;
    let systems = match args.systems.as_slice() {
        [] => &[SystemKind::Haven, SystemKind::KeepalivedFast, SystemKind::Keepalived],
        some => some,
    };
    let mut table_rows = Vec::new();
    let mut idles = Vec::new();
    let mut whole = true;
    let mut findings = Vec::new();
    for &system in systems {
        for &family in &args.families {
            let mut cluster = fresh(name, dir.clone(), system, family)?;
            // Forming a cluster is no idleness.
            std::thread::sleep(Duration::from_secs(10));
            let quiet = idle(&cluster, Duration::from_secs(20))?;
            say(&format!(
                "{system}, idle: {:.2} % CPU, {:.1} MiB",
                quiet.cpu_percent, quiet.rss_mib
            ));
            idles.push((system, quiet));
            let mut stored = 0;
            for plan in plans(args, system) {
                if !is_filled(&mut cluster, &plan, &mut stored) {
                    // Those that follow need as big a store; what was measured so far is worth its table.
                    whole = false;
                    break;
                }
                let watched = watched_row(&mut cluster, system, &plan, args)?;
                whole &= watched.runs == usize::try_from(plan.runs).unwrap_or(usize::MAX);
                if watched.lost > 0 {
                    whole = false;
                    say(&format!(
                        "BAD: {system}, {}: the capture lost {} frames, so the row proves nothing and is not \
                         in the table",
                        plan.fault(),
                        watched.lost
                    ));
                }
                // What others do beside is for the table to say.
                if system == SystemKind::Haven {
                    findings.extend(watched.findings);
                }
                table_rows.extend(watched.row);
            }
        }
        Bed::remove(name, dir.clone())?;
    }
    say(&format!("\nseed {}\n\n{}", args.seed, table(&table_rows)));
    for (system, quiet) in idles {
        say(&format!(
            "idle, {system}: {:.2} % of a processor, {:.1} MiB resident",
            quiet.cpu_percent, quiet.rss_mib
        ));
    }
    if !whole {
        say("BAD: not every run gave figures, see above");
    }
    findings.iter().for_each(|finding| say(&format!("BAD: {finding}")));
    Ok(if whole && findings.is_empty() { 0 } else { 1 })
}

fn fresh(name: &str, dir: Option<PathBuf>, system: SystemKind, family: Family) -> Result<Cluster> {
    let topology = Topology::new(name, 3, false, family)?;
    let config = crate::haven::default_configuration(&topology);
    let haven = std::env::current_exe().context("find this program's own file")?;
    let bed = Bed::create(BedOptions { topology, dir, haven, config, system })?;
    Ok(Cluster::start(bed, &mut |step| say(step))?)
}

/// Whether each store is as big as `plan` wants; it is made so where `held`, in MiB, is less.
fn is_filled(cluster: &mut Cluster, plan: &Plan, held: &mut u64) -> bool {
    if plan.store_mib <= *held {
        return true;
    }
    let system = cluster.bed.system();
    match crate::store::fill(cluster, plan.store_mib) {
        Ok(mib) => {
            *held = mib;
            say(&format!("{system}: each store holds {mib} MiB at least"));
            true
        }
        Err(error) => {
            say(&format!("BAD: {system}, {}: the stores cannot be filled: {error}", plan.fault()));
            false
        }
    }
}

/// A row that was captured from its first run's begin to some time after its last.
struct Watched {
    /// Runs that gave figures.
    runs: usize,
    /// Those condensed.
    row: Option<Row>,
    /// What they do not show.
    findings: Vec<String>,
    /// Frames that the capture lost.
    lost: u64,
}

fn watched_row(
    cluster: &mut Cluster,
    system: SystemKind,
    plan: &Plan,
    args: &BenchArgs,
) -> Result<Watched> {
    let vip = cluster.bed.topology().vips()[0];
    let capturing = Capturing::start(&cluster.bed, vip)?;
    let outcomes = row(cluster, plan, args);
    std::thread::sleep(seconds(args.after_row));
    let (sightings, lost) = capturing.finish()?;
    let fault = plan.fault();
    let mut findings = bad_runs(&fault, &outcomes);
    let ownership = judge(&sightings);
    if !ownership.overlaps.is_empty() {
        let time = ms(ownership.two_owners);
        findings.push(format!("{fault}, the whole row: {vip} had two owners for {time}"));
    }
    // What a run that failed did lies between the recordings of others, or after the last.
    if outcomes.len() == usize::try_from(plan.runs).unwrap_or(usize::MAX) {
        let recorded = outcomes.iter().map(|it| (it.report.from_nanos, it.report.to_nanos));
        let moves = unrecorded_moves(vip, &recorded.collect::<Vec<_>>(), &ownership);
        findings.extend(moves.into_iter().map(|finding| format!("{fault}, {finding}")));
    }
    let row = Row::of(system, vip, fault, &outcomes, ownership.two_owners).filter(|_| lost == 0);
    Ok(Watched { runs: outcomes.len(), row, findings, lost })
}

/// What single runs do not show, each with its number among those that gave figures.
fn bad_runs(fault: &str, outcomes: &[Outcome]) -> Vec<String> {
    let of = |(number, outcome): (usize, &Outcome)| {
        let findings = outcome.findings().into_iter();
        findings.map(move |finding| format!("{fault}, run {number}: {finding}")).collect::<Vec<_>>()
    };
    (1..).zip(outcomes).flat_map(of).collect()
}

/// Moves that no run recorded and nobody ordered: after the last run there is none, and before another one at most, to the
/// owner it wants. `recorded` is when each run's recording began and ended, nanoseconds of the wall clock.
fn unrecorded_moves(vip: IpAddr, recorded: &[(u64, u64)], ownership: &Ownership) -> Vec<String> {
    let nexts = recorded.iter().skip(1).map(|(begun, _)| (*begun, 1)).chain([(u64::MAX, 0)]);
    let mut findings = Vec::new();
    for (number, ((_, ended), (next, explained))) in (1..).zip(recorded.iter().zip(nexts)) {
        let moves = ownership.tenures.iter().skip(1);
        let moved = moves.filter(|to| (*ended..next).contains(&to.first_nanos)).count();
        if moved > explained {
            findings.push(format!(
                "after run {number}: moves of {vip}: {moved} seen, {explained} explained by the next run"
            ));
        }
    }
    findings
}

fn seconds(s: f64) -> Duration {
    Duration::try_from_secs_f64(s).unwrap_or(Duration::from_secs(60))
}

/// The outcomes of one row. A run that fails is reported and heals the cluster for the next.
fn row(cluster: &mut Cluster, plan: &Plan, args: &BenchArgs) -> Vec<Outcome> {
    let scenario = plan.scenario;
    let times = Times {
        after_heal: seconds(plan.after_heal),
        noise: seconds(plan.noise),
        ..Times::default()
    };
    let mut rng = Rng::new(args.seed);
    let mut outcomes = Vec::new();
    for number in 0..plan.runs {
        match one(cluster, scenario, times, &mut rng, number % 2 == 0) {
            Ok(outcome) => {
                say(&progress(number, &outcome));
                record(args, &outcome);
                outcomes.push(outcome);
            }
            Err(error) => {
                say(&format!("{scenario}, run {number}: {error}"));
                if let Err(error) = cluster.restore() {
                    say(&format!("{scenario}: the cluster does not heal: {error}"));
                    return outcomes;
                }
            }
        }
    }
    outcomes
}

fn one(
    cluster: &mut Cluster,
    scenario: Scenario,
    times: Times,
    rng: &mut Rng,
    on_coordinator: bool,
) -> Result<Outcome, LabError> {
    let vip = cluster.bed.topology().vips()[0];
    cluster.restore()?;
    if let Some(coordinator) = cluster.system.coordinator(&cluster.bed) {
        let nodes = cluster.bed.topology().workers().map(|n| n.name.clone());
        let wanted = nodes.into_iter().find(|n| (*n == coordinator) == on_coordinator);
        let owner = cluster.owner(vip, Duration::from_secs(1))?;
        let placed = owner.is_some_and(|owner| (owner == coordinator) == on_coordinator);
        if let Some(node) = wanted.filter(|_| !placed) {
            cluster.place(vip, &node)?;
        }
    }
    scenario::run(cluster, vip, scenario, times, rng)
}

fn progress(number: u32, outcome: &Outcome) -> String {
    let ms = |d: Duration| format!("{:.1}", d.as_secs_f64() * 1000.0);
    format!(
        "{:<24} run {:>3}: outage {:>8} ms, after healing {:>8} ms, two owners {:>8} ms, {} → {}, {} moves",
        outcome.scenario.to_string(),
        number + 1,
        ms(outcome.outage),
        ms(outcome.outage_after_heal),
        ms(outcome.two_owners),
        outcome.owner_before.as_deref().unwrap_or("nobody"),
        outcome.owner_after.as_deref().unwrap_or("nobody"),
        outcome.moves,
    )
}

fn record(args: &BenchArgs, outcome: &Outcome) {
    use std::io::Write as _;
    let Some(path) = &args.record else { return };
    let written =
        std::fs::File::options().create(true).append(true).open(path).and_then(|mut f| {
            let line = serde_json::to_string(outcome)?;
            writeln!(f, "{line}")
        });
    if let Err(error) = written {
        say(&format!("cannot write {}: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::sighting::{Sighting, Use};

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        bench: BenchArgs,
    }

    #[test]
    fn moves_between_runs_and_after_the_last_are_told_but_for_the_one_to_the_next_owner() {
        let vip = IpAddr::from([10, 77, 1, 100]);
        let told = |nodes: &[(u64, u8)]| {
            let claim = |&(at_nanos, node)| Sighting { at_nanos, node, kind: Use::Claim };
            let seen: Vec<_> = nodes.iter().map(claim).collect();
            unrecorded_moves(vip, &[(100, 200), (300, 400)], &judge(&seen))
        };
        // The first to be seen moved nowhere, what is in a run is for its own recording to tell, and one is a placing.
        assert_eq!(told(&[(450, 1)]), Vec::<String>::new());
        assert_eq!(told(&[(90, 1), (150, 2), (250, 1), (350, 3)]), Vec::<String>::new());
        let said = "after run 1: moves of 10.77.1.100: 2 seen, 1 explained by the next run";
        assert_eq!(told(&[(150, 1), (250, 2), (260, 1)]), [said]);
        let said = "after run 2: moves of 10.77.1.100: 1 seen, 0 explained by the next run";
        assert_eq!(told(&[(150, 1), (400, 2)]), [said]);
    }

    fn planned(words: &str, system: SystemKind) -> Vec<(String, u32)> {
        let program =
            Program::try_parse_from(["bench"].into_iter().chain(words.split_whitespace()));
        let plans = plans(&program.unwrap().bench, system);
        plans.iter().map(|plan| (plan.fault(), plan.runs)).collect()
    }

    #[test]
    fn a_full_bench_is_the_usual_one_and_what_takes_longer_of_haven() {
        let usual = planned("", SystemKind::Haven);
        assert_eq!(usual.len(), ALL_ROWS.len());
        assert_eq!(planned("--full", SystemKind::Keepalived), usual);
        let full = planned("--full", SystemKind::Haven);
        let more: Vec<_> = full.iter().filter(|row| !usual.contains(row)).collect();
        let more: Vec<_> = more.iter().map(|(fault, runs)| (fault.as_str(), *runs)).collect();
        let expected = [
            ("cut off, carrier stays, watched for 60 s after healing", 4),
            ("partition and heal, watched for 60 s after healing", 4),
            ("noise on every link, 600 s of it", 1),
            ("planned daemon restart, 100 MiB in each store", 20),
        ];
        assert_eq!(more, expected);
        assert_eq!(full.len(), usual.len() + 3, "the restart is the usual one, with more to read");
    }

    #[test]
    fn rows_are_chosen_and_those_with_big_stores_come_last() {
        let rows = planned("--full --runs 2 --rows restart,noise", SystemKind::Haven);
        let faults: Vec<_> = rows.iter().map(|(fault, runs)| (fault.as_str(), *runs)).collect();
        let expected = [
            ("noise on every link", 2),
            ("noise on every link, 600 s of it", 1),
            ("planned daemon restart, 100 MiB in each store", 2),
        ];
        assert_eq!(faults, expected);
        let own = planned("--rows busy,kill,restart --noise 30 --store-mib 7", SystemKind::Haven);
        let faults: Vec<_> = own.iter().map(|(fault, _)| fault.as_str()).collect();
        let expected = [
            "all processors busy, 30 s of it",
            "kill -9 of everything",
            "planned daemon restart, 7 MiB in each store",
        ];
        assert_eq!(faults, expected);
        assert!(Program::try_parse_from(["bench", "--full", "--noise", "30"]).is_err());
    }

    #[test]
    fn a_longer_watch_after_healing_is_told_where_something_is_healed() {
        let words = "--after-heal 9 --rows kill,noise-kill,switch-over,noise";
        let faults: Vec<_> =
            planned(words, SystemKind::Haven).into_iter().map(|(fault, _)| fault).collect();
        let expected = [
            "kill -9 of everything, watched for 9 s after healing",
            "kill -9 during noise, watched for 9 s after healing",
            "planned switchover",
            "noise on every link",
        ];
        assert_eq!(faults, expected);
    }
}
