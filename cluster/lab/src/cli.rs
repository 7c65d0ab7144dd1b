//! `haven lab`: the commands.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use crate::bed::{Bed, BedOptions};
use crate::cluster::Cluster;
use crate::error::LabError;
use crate::fault::{Fault, Noise};
use crate::measure::{MeasureOptions, Measuring};
use crate::system::SystemKind;
use crate::topology::{Family, Net, Place, SERVICE_PORT, Topology};

/// Rehearse: a whole cluster on this machine, in network namespaces, and every fault at hand.
///
/// A lab is N nodes and a client, each in a namespace of its own, joined by a heartbeat network
/// and a client network. It leaves the host's own network alone and needs root.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  haven lab up --nodes 3          build a cluster of three and a client
  haven lab status                who is up, which faults are on, who serves
  haven lab fault cut n1          cut n1 off; its carrier stays
  haven lab measure --seconds 10  what a client experiences, and whether two nodes owned the address
  haven lab fault heal            all faults back, what was killed starts again
  haven lab down                  nothing is left")]
pub struct LabArgs {
    /// Name of the lab; several can stand side by side under different names.
    #[arg(long, alias = "prefix", default_value = "lab", global = true)]
    name: String,
    /// Run directory [default: /run/haven-lab/NAME].
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Subcommand, Debug)]
enum LabCommand {
    /// Build a lab and start its cluster; removes first what a crash left.
    Up(UpArgs),
    /// Show nodes, faults, and who serves.
    Status,
    /// Show the labs of this host.
    List,
    /// Run a command on a node, or on the client.
    Exec {
        /// n1, n2, …, w1, or client.
        node: String,
        /// The command; `haven` is the program of the lab, and on a node talks to that one (HAVEN_CONFIG is set).
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Do a fault to the lab, or take it back.
    #[command(subcommand)]
    Fault(FaultCommand),
    /// Measure as a client for a while: outage, owners, connections.
    Measure(MeasureArgs),
    /// Remove the lab with all that belongs to it.
    Down,
    /// Show five faults on a fresh cluster of three, each measured.
    Demo {
        /// Leave the cluster up at the end.
        #[arg(long)]
        keep: bool,
        /// The cluster software, for comparison.
        #[arg(long, value_enum, default_value = "haven")]
        system: SystemKind,
    },
    /// Run rows of faults many times and print median and worst of each.
    Bench(crate::bench::BenchArgs),
    /// Start many resources, let one fail, watch thousands, and say how long it took and what it cost.
    Resources(crate::resources::ResourcesArgs),
    /// The small service behind the VIP, on one node.
    #[command(hide = true)]
    Serve {
        /// The node it runs on.
        node: String,
    },
    /// The relay that delays frames.
    #[command(hide = true)]
    Relay,
}

#[derive(Args, Debug)]
struct UpArgs {
    /// Full nodes, 1 to 30.
    #[arg(long, default_value_t = 3)]
    nodes: u8,
    /// Cluster configuration, crm lines [default: the lab's VIPs].
    #[arg(long)]
    config: Option<PathBuf>,
    /// Address family of links and VIPs.
    #[arg(long, value_enum, default_value = "4")]
    family: Family,
    /// One member more that votes and runs nothing.
    #[arg(long)]
    witness: bool,
    /// The haven program the nodes run [default: this one].
    #[arg(long)]
    haven: Option<PathBuf>,
    /// The cluster software, for comparison.
    #[arg(long, value_enum, default_value = "haven")]
    system: SystemKind,
    /// Build the network and start nothing in it.
    #[arg(long)]
    empty: bool,
}

#[derive(Subcommand, Debug)]
enum FaultCommand {
    /// kill -9 of everything on the node; its kernel keeps the addresses.
    Kill {
        /// Nodes concerned.
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Stop every process of the node (SIGSTOP).
    Pause {
        /// Let them go on after so many milliseconds.
        #[arg(long)]
        ms: Option<u64>,
        /// Nodes concerned.
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Let the processes of a paused node go on.
    Resume {
        /// Nodes concerned.
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Drop every frame of the node while its carrier stays.
    Cut {
        /// Nodes concerned.
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Take the node's ports down.
    Linkdown {
        /// Nodes concerned.
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Part the nodes; clients reach all. Nodes left out are the last side.
    Partition {
        /// The sides, as in n1,n2|n3.
        sides: String,
    },
    /// Lose packets between nodes, each drawn on its own; paths to clients stay whole.
    Loss {
        /// Per cent of packets, one decimal at most.
        percent: f64,
        /// And delay the others, as in 0-100 (milliseconds).
        #[arg(long, value_parser = delay_range)]
        delay: Option<(u32, u32)>,
        #[command(flatten)]
        paths: Paths,
    },
    /// Delay packets between nodes, each by its own time; paths to clients stay quick.
    Delay {
        /// Milliseconds, least and most, as in 0-100.
        #[arg(value_parser = delay_range)]
        range: (u32, u32),
        #[command(flatten)]
        paths: Paths,
    },
    /// Take faults back and start what was killed: of these nodes, or all.
    Heal {
        /// Nodes concerned; none means everything.
        nodes: Vec<String>,
    },
}

#[derive(Args, Debug)]
struct Paths {
    /// Only packets from these nodes.
    #[arg(long, value_delimiter = ',')]
    from: Vec<String>,
    /// Only packets to these nodes.
    #[arg(long, value_delimiter = ',')]
    to: Vec<String>,
    /// Only on this network.
    #[arg(long, value_enum)]
    net: Option<Net>,
}

#[derive(Args, Debug)]
struct MeasureArgs {
    /// How long.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// The address [default: every VIP of the lab].
    #[arg(long)]
    vip: Option<IpAddr>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Reads `0-100` or `50` as the least and most milliseconds of a delay.
fn delay_range(text: &str) -> Result<(u32, u32), String> {
    let (least, most) = text.split_once(['-', '–']).unwrap_or((text, text));
    let number = |t: &str| {
        let t = t.trim().trim_end_matches("ms").trim();
        t.parse::<u32>().map_err(|_| format!("{t:?} is no number of milliseconds"))
    };
    let (least, most) = (number(least)?, number(most)?);
    if least > most || most > 60_000 {
        return Err(format!("{least}-{most}: write the least first, 60000 at most"));
    }
    Ok((least, most))
}

pub(crate) fn say(text: &str) {
    // A reader that went away has had enough.
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// `haven lab` as a command of a larger program.
#[must_use]
pub fn command() -> clap::Command {
    LabArgs::augment_args(clap::Command::new("lab"))
}

/// Runs a `haven lab` command and returns its exit code: 0 success, 1 carried out with a bad finding
/// (two owners, a capture that lost frames, nobody who took over, moves that no fault explains), or the code of the command that `exec` ran: 128 and the signal where one ended it.
///
/// # Errors
/// What went wrong, in a form to print; the message says what to do.
pub fn execute(args: LabArgs) -> Result<u8> {
    let LabArgs { name, dir, command } = args;
    match command {
        LabCommand::Up(up) => bring_up(&name, dir, up),
        LabCommand::Status => status(&Cluster::of(Bed::open(&name, dir)?)),
        LabCommand::List => {
            Bed::list().iter().for_each(|name| say(name));
            Ok(0)
        }
        LabCommand::Exec { node, command } => exec(&Bed::open(&name, dir)?, node, &command),
        LabCommand::Fault(fault) => {
            do_fault(&mut Cluster::of(Bed::open(&name, dir)?), fault)?;
            Ok(0)
        }
        LabCommand::Measure(options) => measure(&Bed::open(&name, dir)?, &options),
        LabCommand::Down => {
            if Bed::remove(&name, dir)? {
                say(&format!("lab {name} is gone"));
            } else {
                say(&format!("there was no lab {name}"));
            }
            Ok(0)
        }
        LabCommand::Demo { keep, system } => {
            unless_interrupted(crate::demo::run(&name, dir, system, keep))
        }
        LabCommand::Bench(options) => unless_interrupted(crate::bench::run(&name, dir, &options)),
        LabCommand::Resources(options) => {
            unless_interrupted(crate::resources::run(&name, dir, &options))
        }
        LabCommand::Serve { node } => {
            let bed = Bed::open(&name, dir)?;
            let index = bed.topology().node(&node)?.index;
            crate::service::serve(&bed.topology().vips(), SERVICE_PORT, index)?;
            Ok(0)
        }
        LabCommand::Relay => {
            crate::relay::run(&Bed::open(&name, dir)?)?;
            Ok(0)
        }
    }
}

/// The result of a command whose lab Ctrl-C removes: not one of what failed because it did.
fn unless_interrupted(done: Result<u8>) -> Result<u8> {
    crate::interrupt::give_way();
    done
}

fn bring_up(name: &str, dir: Option<PathBuf>, up: UpArgs) -> Result<u8> {
    let topology = Topology::new(name, up.nodes, up.witness, up.family)?;
    let config = match up.config {
        Some(path) => std::fs::read_to_string(&path)
            .with_context(|| format!("read the cluster configuration {}", path.display()))?,
        None => crate::haven::default_configuration(&topology),
    };
    let haven = match up.haven {
        Some(path) => path.canonicalize().with_context(|| format!("find {}", path.display()))?,
        None => std::env::current_exe().context("find this program's own file")?,
    };
    let down = crate::demo::typed(&haven, name, dir.as_deref());
    let bed = Bed::create(BedOptions { topology, dir, haven, config, system: up.system })?;
    say(&format!("lab {name}: {} nodes and a client", bed.topology().nodes.len()));
    if up.empty {
        return Ok(0);
    }
    let started = Cluster::start(bed, &mut |step| say(&format!("  {step}")));
    let cluster = started.inspect_err(|_| {
        say(&format!(
            "what came up is left for you to look at, and runs; `{down} down` removes it"
        ));
    })?;
    status(&cluster)
}

fn status(cluster: &Cluster) -> Result<u8> {
    let bed = &cluster.bed;
    say(&format!(
        "lab {} ({}), state in {}",
        bed.topology().name,
        bed.system(),
        bed.dir().display()
    ));
    let faults = bed.faults();
    for node in &bed.topology().nodes {
        let daemon = if cluster.system.runs(bed, &node.name) { "runs" } else { "does not run" };
        let mut words = vec![format!("daemon {daemon}")];
        words.extend(faults.cut.contains(&node.name).then(|| "cut off".to_owned()));
        words.extend(faults.link_down.contains(&node.name).then(|| "ports down".to_owned()));
        let addresses = Net::ALL.map(|net| bed.topology().link_address(node, net).to_string());
        say(&format!("  {:<4} {:<34} {}", node.name, addresses.join(", "), words.join(", ")));
    }
    if !faults.partition.is_empty() {
        say(&format!("  {}", Fault::Partition(faults.partition.clone())));
    }
    for noise in &faults.noise {
        say(&format!("  {}", Fault::Noise(noise.clone())));
    }
    for vip in bed.topology().vips() {
        let owner = cluster.owner(vip, Duration::from_secs(1))?;
        say(&format!("  {vip} is served by {}", owner.as_deref().unwrap_or("nobody")));
    }
    Ok(0)
}

fn exec(bed: &Bed, node: String, words: &[String]) -> Result<u8> {
    let place = if node == "client" {
        Place::Client
    } else {
        Place::Node(bed.topology().node(&node)?.name.clone())
    };
    let Some((program, rest)) = words.split_first() else { return Ok(1) };
    let mut command = Command::new(program);
    command.args(rest).env("PATH", path_of(bed.haven(), std::env::var_os("PATH")));
    if place != Place::Client {
        command.env("HAVEN_CONFIG", crate::haven::config_file(bed, &node));
    }
    let status = bed.exec(&place, &mut command)?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Where commands are looked for: first beside the lab's own program, then where they are else.
fn path_of(haven: &Path, else_in: Option<OsString>) -> OsString {
    let mut path = haven.parent().map(OsString::from).unwrap_or_default();
    path.push(":");
    path.push(else_in.unwrap_or_else(|| USUAL_PATH.into()));
    path
}

/// Where commands are looked for when the environment does not say.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn do_fault(cluster: &mut Cluster, command: FaultCommand) -> Result<(), LabError> {
    let known = |cluster: &Cluster, nodes: &[String]| {
        nodes.iter().try_for_each(|node| cluster.bed.topology().node(node).map(drop))
    };
    let each = |cluster: &mut Cluster, nodes: Vec<String>, make: fn(String) -> Fault| {
        known(cluster, &nodes)?;
        nodes.into_iter().try_for_each(|node| cluster.inject(&make(node)))
    };
    match command {
        FaultCommand::Kill { nodes } => each(cluster, nodes, Fault::Kill),
        FaultCommand::Resume { nodes } => each(cluster, nodes, Fault::Resume),
        FaultCommand::Cut { nodes } => each(cluster, nodes, Fault::Cut),
        FaultCommand::Linkdown { nodes } => each(cluster, nodes, Fault::LinkDown),
        FaultCommand::Pause { ms, nodes } => {
            each(cluster, nodes.clone(), Fault::Pause)?;
            let Some(ms) = ms else { return Ok(()) };
            std::thread::sleep(Duration::from_millis(ms));
            each(cluster, nodes, Fault::Resume)
        }
        FaultCommand::Partition { sides } => {
            let fault = Fault::partition(&sides, cluster.bed.topology())?;
            cluster.inject(&fault)
        }
        FaultCommand::Loss { percent, delay, paths } => {
            let noise = noise(cluster.bed.topology(), paths, percent, delay)?;
            cluster.inject(&Fault::Noise(noise))
        }
        FaultCommand::Delay { range, paths } => {
            let noise = noise(cluster.bed.topology(), paths, 0.0, Some(range))?;
            cluster.inject(&Fault::Noise(noise))
        }
        FaultCommand::Heal { nodes } if nodes.is_empty() => {
            cluster.bed.heal()?;
            cluster.start_missing()
        }
        FaultCommand::Heal { nodes } => {
            known(cluster, &nodes)?;
            nodes.iter().try_for_each(|node| cluster.bed.heal_node(node))?;
            nodes.iter().try_for_each(|node| cluster.start_missing_of(node))
        }
    }
}

fn noise(
    topology: &Topology,
    paths: Paths,
    percent: f64,
    delay_ms: Option<(u32, u32)>,
) -> Result<Noise, LabError> {
    if !(0.0..=100.0).contains(&percent) {
        let reason = format!("{percent} % of packets cannot be lost; give 0 to 100");
        return Err(LabError::BadFault { reason });
    }
    let named = |names: Vec<String>| -> Result<BTreeSet<String>, LabError> {
        names.iter().map(|name| Ok(topology.node(name)?.name.clone())).collect()
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked: 0 to 1000"
    )]
    let loss_permille = (percent * 10.0).round() as u16;
    Ok(Noise {
        from: named(paths.from)?,
        to: named(paths.to)?,
        nets: paths.net.map_or_else(|| Net::ALL.into(), |net| [net].into()),
        loss_permille,
        delay_ms,
    })
}

fn measure(bed: &Bed, options: &MeasureArgs) -> Result<u8> {
    let time = Duration::try_from_secs_f64(options.seconds).context("read --seconds")?;
    let vips = options.vip.map_or_else(|| bed.topology().vips(), |vip| vec![vip]);
    let started: Result<Vec<_>, _> =
        vips.iter().map(|vip| Measuring::start(bed, *vip, MeasureOptions::default())).collect();
    let started = started?;
    std::thread::sleep(time);
    let mut reports = Vec::new();
    for one in started {
        reports.push(one.finish()?);
    }
    if options.json {
        say(&serde_json::to_string_pretty(&reports)?);
    } else {
        reports.iter().for_each(|report| say(&report.table()));
    }
    let clean = reports.iter().all(|report| report.findings().is_empty());
    Ok(if clean { 0 } else { 1 })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        lab: LabArgs,
    }

    #[test]
    fn every_documented_fault_parses() {
        for line in [
            "kill n1",
            "pause --ms 50 n1 n2",
            "resume n1",
            "cut n1",
            "linkdown n1",
            "partition n1,n2|n3",
            "loss 20 --delay 0-100",
            "delay 0-100 --from n1 --net hb",
            "heal",
            "heal n1",
        ] {
            let words = ["lab", "fault"].into_iter().chain(line.split(' '));
            assert!(Program::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn every_option_is_in_the_guide() {
        let guide = include_str!("../../../docs/operating/lab.md");
        let words: BTreeSet<_> = guide.split(|c: char| !c.is_alphanumeric() && c != '-').collect();
        let mut commands = vec![command()];
        let mut missing = Vec::new();
        while let Some(command) = commands.pop() {
            let options = command.get_arguments().filter_map(clap::Arg::get_long);
            let unknown =
                options.map(|it| format!("--{it}")).filter(|it| !words.contains(it.as_str()));
            missing.extend(unknown.map(|option| format!("{} {option}", command.get_name())));
            commands.extend(command.get_subcommands().filter(|it| !it.is_hide_set()).cloned());
        }
        assert_eq!(missing, Vec::<String>::new());
    }

    #[test]
    fn the_lab_s_own_program_is_found_before_any_other() {
        let path = |else_in: Option<&str>| path_of(Path::new("/a/haven"), else_in.map(Into::into));
        assert_eq!(path(Some("/usr/sbin:/bin")), "/a:/usr/sbin:/bin");
        assert!(path(None).to_str().unwrap().starts_with("/a:/usr/local/sbin:"));
    }

    #[test]
    fn delays_are_read_and_nonsense_is_refused() {
        assert_eq!(delay_range("0-100"), Ok((0, 100)));
        assert_eq!(delay_range("50"), Ok((50, 50)));
        for bad in ["100-0", "x", "", "-5", "0-70000"] {
            assert!(delay_range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn noise_is_kept_within_its_range_and_nodes() {
        let lab = Topology::new("t", 2, false, Family::V4).unwrap();
        let paths = |from: &[&str]| Paths {
            from: from.iter().map(ToString::to_string).collect(),
            to: Vec::new(),
            net: Some(Net::Heartbeat),
        };
        assert_eq!(noise(&lab, paths(&["n1"]), 12.5, None).unwrap().loss_permille, 125);
        assert!(noise(&lab, paths(&[]), 101.0, None).is_err());
        assert!(noise(&lab, paths(&[]), f64::NAN, None).is_err());
        assert!(noise(&lab, paths(&["n9"]), 1.0, None).is_err());
    }
}
