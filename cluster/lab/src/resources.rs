//! Figures of the resource manager: many resources started, one recovered, thousands watched. haven, and
//! Pacemaker with Corosync beside it where both can do the same.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::bed::{Bed, BedOptions};
use crate::cli::say;
use crate::cluster::Cluster;
use crate::error::LabError;
use crate::interrupt::remove_on_interrupt;
use crate::outage::median_and_worst;
use crate::pacemaker::{self, Pacemaker};
use crate::system::SystemKind;
use crate::timed;
use crate::topology::{Family, Place, Topology};
use crate::wait;

/// Nodes of every cluster here.
const NODES: u8 = 3;
/// How long resources may take to start.
const START_LIMIT: Duration = Duration::from_secs(600);
/// How long a recovery may take.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);
/// Time over which the cost of monitors is taken; twice their interval.
const MONITORED_FOR: Duration = Duration::from_secs(20);

/// What `haven lab resources` runs.
#[derive(Args, Debug)]
pub struct ResourcesArgs {
    /// How many Dummies are started, one cluster each; 0 starts none.
    #[arg(long, value_delimiter = ',', default_values = ["100", "1000"])]
    sizes: Vec<usize>,
    /// Agents of the Dummies.
    #[arg(long, value_delimiter = ',', default_values = ["ocf:pacemaker:Dummy", "ocf:haven:Dummy"])]
    agents: Vec<String>,
    /// Failures of a monitored process.
    #[arg(long, default_value_t = 20)]
    failures: u32,
    /// Recurring monitors of a built-in agent, each 10 s; 0 leaves the row out.
    #[arg(long, default_value_t = 10_000)]
    monitors: usize,
    /// Seconds for which changes of the configuration are committed; 0 leaves the rows out.
    #[arg(long, default_value_t = 10)]
    commits: u64,
    /// Clients that commit at the same time, one row each.
    #[arg(long, value_delimiter = ',', default_values = ["1", "16"])]
    clients: Vec<u32>,
    /// Leave Pacemaker out.
    #[arg(long)]
    alone: bool,
}

/// Runs what was asked for and prints a table.
///
/// # Errors
/// Those of building clusters; [`LabError::TimedOut`] where resources do not start.
pub fn run(name: &str, dir: Option<PathBuf>, args: &ResourcesArgs) -> Result<u8> {
    let bench = Bench { name, dir };
    remove_on_interrupt(bench.labs())?;
    if !args.alone
        && let Some(package) = pacemaker::missing_package()
    {
        bail!("{package} is not installed: install it, or leave Pacemaker out with --alone");
    }
    let mut table = "| what | software | figure |\n|---|---|---|\n".to_owned();
    let mut row = |what: &str, software: &str, figure: &str| {
        say(&format!("{what}, {software}: {figure}"));
        let _ = writeln!(table, "| {what} | {software} | {figure} |");
    };
    for &size in args.sizes.iter().filter(|size| **size > 0) {
        for agent in &args.agents {
            let what = format!("{size} × {agent} started on {NODES} nodes");
            let (took, cpu) = bench.started(size, agent)?;
            let figure = format!("{}; the daemons used {}", seconds(took), seconds(cpu));
            row(&what, "haven", &figure);
            if !args.alone && !agent.starts_with("ocf:haven:") {
                row(&what, "Pacemaker", &seconds(bench.started_by_pacemaker(size, agent)?));
            }
        }
    }
    if args.failures > 0 {
        let what = format!("failed monitor to restart beyond the agent, {} runs", args.failures);
        row(&what, "haven", &figure_of(&bench.recovered(args.failures)?));
        if !args.alone {
            row(&what, "Pacemaker", &figure_of(&bench.recovered_by_pacemaker(args.failures)?));
        }
    }
    if args.monitors > 0 {
        let what = format!("{} monitors of ocf:haven:Dummy each 10 s", args.monitors);
        row(&what, "haven", &bench.monitored(args.monitors)?);
    }
    if args.commits > 0 {
        for (clients, figure) in bench.commits(&args.clients, Duration::from_secs(args.commits))? {
            let what = format!("changes of the configuration committed, {clients} clients");
            row(&what, "haven", &figure);
        }
    }
    say(&format!("\n{table}"));
    Ok(0)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn figure_of(gaps: &[Duration]) -> String {
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    median_and_worst(gaps).map_or_else(
        || "–".to_owned(),
        |(median, worst)| format!("median {:.1} ms, worst {:.1} ms", ms(median), ms(worst)),
    )
}

struct Bench<'a> {
    name: &'a str,
    dir: Option<PathBuf>,
}

/// A cluster of haven without addresses; removes itself.
struct Fresh(Cluster);

impl Drop for Fresh {
    fn drop(&mut self) {
        let bed = &self.0.bed;
        let (name, dir) = (bed.topology().name.clone(), bed.dir().to_owned());
        drop(Bed::remove(&name, Some(dir)));
        drop(Bed::remove(&name, None));
    }
}

impl Bench<'_> {
    fn fresh(&self, prepare: impl FnOnce(&Bed) -> Result<(), LabError>) -> Result<Fresh> {
        let topology = Topology::new(self.name, NODES, false, Family::V4)?;
        let config = "property stonith-enabled=false\n".to_owned();
        let haven = std::env::current_exe().context("find this program's own file")?;
        let system = SystemKind::Haven;
        let bed =
            Bed::create(BedOptions { topology, dir: self.dir.clone(), haven, config, system })?;
        let fresh = Fresh(Cluster::of(bed));
        let cluster = &fresh.0;
        prepare(&cluster.bed)?;
        cluster.system.form(&cluster.bed)?;
        // A node that has just joined takes some seconds until it has its full say.
        let members = cluster.bed.topology().nodes.len();
        std::thread::sleep(cluster.system.forming_time(members));
        Ok(fresh)
    }

    /// How long `size` resources took to start, and what the daemons used for it.
    fn started(&self, size: usize, agent: &str) -> Result<(Duration, Duration)> {
        let fresh = self.fresh(|_| Ok(()))?;
        let cluster = &fresh.0;
        let before = cpu(cluster)?;
        let began = Instant::now();
        load(cluster, &dummies(size, agent, "10min"))?;
        let running = || state_files(cluster) >= size;
        if !wait::until(START_LIMIT, Duration::from_millis(20), running) {
            bail!("{} of {size} resources started in {START_LIMIT:?}", state_files(cluster));
        }
        Ok((began.elapsed(), cpu(cluster)?.saturating_sub(before)))
    }

    fn started_by_pacemaker(&self, size: usize, agent: &str) -> Result<Duration> {
        let cluster = Pacemaker::form(&self.peer(), NODES, None)?;
        cluster.at(
            1,
            &["crm_attribute", "-t", "crm_config", "-n", "stonith-enabled", "-v", "false"],
        )?;
        let parts: Vec<_> = agent.split(':').collect();
        let [_, provider, kind] = parts.as_slice() else { bail!("{agent} is no OCF agent") };
        let xml: String = (0..size)
            .map(|number| {
                format!(
                    "<primitive id=\"d{number}\" class=\"ocf\" provider=\"{provider}\" type=\"{kind}\">\
                     <operations><op id=\"d{number}-m\" name=\"monitor\" interval=\"10min\" \
                     timeout=\"20s\"/></operations></primitive>"
                )
            })
            .collect();
        let began = Instant::now();
        cluster.add_resources(&xml)?;
        let roots: Vec<_> = (1..=NODES).filter_map(|node| cluster.root(node)).collect();
        let count = || roots.iter().map(|root| states_in(&root.join("run"))).sum::<usize>();
        if !wait::until(START_LIMIT, Duration::from_millis(20), || count() >= size) {
            bail!("{} of {size} resources started in {START_LIMIT:?}", count());
        }
        Ok(began.elapsed())
    }

    /// What was between the agent's calls from the failed monitor to the end of the start.
    fn recovered(&self, failures: u32) -> Result<Vec<Duration>> {
        let fresh = self.fresh(|bed| timed::install(&crate::haven::ocf_root(bed)))?;
        let cluster = &fresh.0;
        let notes = cluster.bed.dir().join("timed");
        let params = format!("params notes={}", notes.display());
        load(cluster, &format!("primitive t ocf:lab:Timed {params} op monitor interval=200ms\n"))?;
        Ok(timed::fail(&notes, failures, RECOVERY_LIMIT)?)
    }

    fn recovered_by_pacemaker(&self, failures: u32) -> Result<Vec<Duration>> {
        let dir = own_directory(crate::bed::STATE_ROOT, &self.peers_agents())?;
        let root = dir.0.join("ocf");
        timed::copy_agents(&root)?;
        timed::install(&root)?;
        let cluster = Pacemaker::form(&self.peer(), NODES, Some(&root))?;
        cluster.at(
            1,
            &["crm_attribute", "-t", "crm_config", "-n", "stonith-enabled", "-v", "false"],
        )?;
        let notes = dir.0.join("timed");
        cluster.add_resources(&format!(
            "<primitive id=\"t\" class=\"ocf\" provider=\"lab\" type=\"Timed\">\
             <instance_attributes id=\"t-p\"><nvpair id=\"t-n\" name=\"notes\" value=\"{}\"/>\
             </instance_attributes><operations><op id=\"t-m\" name=\"monitor\" interval=\"200ms\" \
             timeout=\"20s\"/></operations></primitive>",
            notes.display()
        ))?;
        Ok(timed::fail(&notes, failures, RECOVERY_LIMIT)?)
    }

    fn monitored(&self, count: usize) -> Result<String> {
        let fresh = self.fresh(|_| Ok(()))?;
        let cluster = &fresh.0;
        let used = || -> Result<f64> {
            let before = cpu(cluster)?;
            std::thread::sleep(MONITORED_FOR);
            let used = cpu(cluster)?.saturating_sub(before);
            Ok(used.as_secs_f64() / MONITORED_FOR.as_secs_f64() * 100.0)
        };
        let idle = used()?;
        let began = Instant::now();
        load(cluster, &dummies(count, "ocf:haven:Dummy", "10s"))?;
        if !wait::until(START_LIMIT, Duration::from_millis(50), || state_files(cluster) >= count) {
            bail!("{} of {count} resources started in {START_LIMIT:?}", state_files(cluster));
        }
        let started = began.elapsed();
        // The first round of each monitor.
        std::thread::sleep(MONITORED_FOR);
        let busy = used()?;
        Ok(format!(
            "{busy:.1} % of a core, all {NODES} daemons together ({idle:.1} % of it without any); \
             started in {}",
            seconds(started)
        ))
    }

    /// Commits a second by one node's daemon, for each number of clients.
    fn commits(&self, clients: &[u32], span: Duration) -> Result<Vec<(u32, String)>> {
        let fresh = self.fresh(|_| Ok(()))?;
        let socket = fresh.0.bed.node_dir("n1").join("run/control.sock");
        let mut rows = Vec::new();
        for &count in clients {
            let (rate, overtaken) = crate::commits::rate(&socket, count, span)?;
            rows.push((count, format!("{rate:.0} a second, {overtaken} overtaken by another")));
        }
        Ok(rows)
    }

    /// Pacemaker's bed.
    fn peer(&self) -> String {
        format!("{}-pcmk", self.name)
    }

    /// Where agents for Pacemaker are kept.
    fn peers_agents(&self) -> String {
        format!("{}-agents", self.peer())
    }

    /// All that may stand at some time, each by its name and directory.
    fn labs(&self) -> Vec<(String, Option<PathBuf>)> {
        let own = (self.name.to_owned(), self.dir.clone());
        vec![own, (self.peer(), None), (self.peers_agents(), None)]
    }
}

/// Lines for resources that do nothing, each with a recurring monitor.
fn dummies(count: usize, agent: &str, interval: &str) -> String {
    let mut lines = String::new();
    for number in 0..count {
        let _ = writeln!(lines, "primitive d{number} {agent} op monitor interval={interval}");
    }
    lines
}

/// Loads lines through the first node as an operator does.
fn load(cluster: &Cluster, lines: &str) -> Result<(), LabError> {
    let bed = &cluster.bed;
    let file = bed.dir().join("resources.crm");
    std::fs::write(&file, lines).map_err(LabError::io(format!("write {}", file.display())))?;
    let mut command = std::process::Command::new(bed.haven());
    command.args(["configure", "load"]).arg(&file).arg("--config");
    command.arg(crate::haven::config_file(bed, "n1"));
    bed.run(&Place::Node("n1".to_owned()), &mut command).map(drop)
}

/// How many Dummies run, by the files that their agents keep.
fn state_files(cluster: &Cluster) -> usize {
    let bed = &cluster.bed;
    let nodes = bed.topology().nodes.iter().map(|node| bed.node_dir(&node.name));
    nodes.flat_map(|dir| [dir.join("agents"), dir.join("run")]).map(|dir| states_in(&dir)).sum()
}

fn states_in(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("Dummy-")).count()
}

fn cpu(cluster: &Cluster) -> Result<Duration, LabError> {
    let nodes = cluster.bed.topology().nodes.iter();
    let used = nodes.map(|n| cluster.bed.usage(&n.name, cluster.system.is_daemon()));
    used.map(|usage| usage.map(|usage| usage.cpu)).sum()
}

/// A directory that removes itself.
struct OwnDirectory(PathBuf);

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn own_directory(root: &str, name: &str) -> Result<OwnDirectory, LabError> {
    let path = Path::new(root).join(name);
    drop(std::fs::remove_dir_all(&path));
    std::fs::create_dir_all(&path).map_err(LabError::io(format!("make {}", path.display())))?;
    Ok(OwnDirectory(path))
}
