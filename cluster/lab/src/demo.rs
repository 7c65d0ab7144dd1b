//! The demonstration: a fresh cluster of three, five faults, and what each cost a client.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use haven_base::Rng;

use crate::bed::{Bed, BedOptions};
use crate::cli::say;
use crate::cluster::Cluster;
use crate::interrupt::{give_way, remove_on_interrupt};
use crate::measure::ms;
use crate::scenario::{self, Outcome, Scenario, Times};
use crate::system::SystemKind;
use crate::topology::{Family, Place, Topology};

const STEPS: [(Scenario, &str); 5] = [
    (Scenario::Kill, "kill -9 of everything on the owner; its kernel keeps the address"),
    (Scenario::Pause, "every process of the owner stopped, as a starved machine"),
    (Scenario::Cut, "the owner cut off; its network card still sees a carrier"),
    (Scenario::Partition, "the owner parted from the others; clients reach both sides"),
    (Scenario::SwitchOver, "the address moved by an operator"),
];

/// Runs the demonstration in the lab called `name`.
///
/// # Errors
/// Those of building the lab and of the experiments.
pub fn run(name: &str, dir: Option<PathBuf>, system: SystemKind, keep: bool) -> Result<u8> {
    let topology = Topology::new(name, 3, false, Family::V4)?;
    let config = crate::haven::default_configuration(&topology);
    let haven = std::env::current_exe().context("find this program's own file")?;
    remove_on_interrupt(vec![(name.to_owned(), dir.clone())])?;
    say("building three nodes and a client, each in a network namespace of its own");
    let program = haven.clone();
    let bed = Bed::create(BedOptions { topology, dir: dir.clone(), haven, config, system })?;
    let done = show(bed);
    give_way();
    if keep && done.is_ok() {
        say(&explanation(&program, name, dir.as_deref()));
    } else {
        Bed::remove(name, dir)?;
        say("everything the demonstration built is gone");
    }
    done
}

fn show(bed: Bed) -> Result<u8> {
    let mut cluster = Cluster::start(bed, &mut |step| say(step))?;
    let vip = cluster.bed.topology().vips()[0];
    show_cluster(&cluster)?;
    say(&format!(
        "a client sends a probe to {vip} each millisecond and opens 200 connections a second\n"
    ));
    let times = Times {
        takeover_limit: Duration::from_secs(10),
        before_heal: Duration::from_millis(500),
        after_heal: Duration::from_secs(3),
        ..Times::default()
    };
    let mut rng = Rng::new(u64::from(std::process::id()));
    let mut clean = true;
    for (number, (step, words)) in (1..).zip(STEPS) {
        say(&format!("{number}. {words}"));
        let outcome = scenario::run(&mut cluster, vip, step, times, &mut rng)?;
        say(&line(&outcome));
        let findings = outcome.findings();
        findings.iter().for_each(|finding| say(&format!("BAD: {finding}\n")));
        clean &= findings.is_empty();
    }
    if !clean {
        say(
            "the demonstration did not show what it should: see the lines above that begin with BAD",
        );
    }
    Ok(if clean { 0 } else { 1 })
}

/// One outcome in words.
fn line(outcome: &Outcome) -> String {
    let name = |node: &Option<String>| node.clone().unwrap_or_else(|| "nobody".to_owned());
    format!(
        "   outage {}   owner {} → {}   two owners {}   after healing {}\n",
        ms(outcome.outage),
        name(&outcome.owner_before),
        name(&outcome.owner_after),
        ms(outcome.two_owners),
        ms(outcome.outage_after_heal),
    )
}

fn show_cluster(cluster: &Cluster) -> Result<()> {
    let bed = &cluster.bed;
    if bed.system() == SystemKind::Haven {
        let mut command = Command::new(bed.haven());
        command.args(["status", "--config"]).arg(crate::haven::config_file(bed, "n1"));
        say(&format!("\n{}", bed.run(&Place::Node("n1".to_owned()), &mut command)?));
    }
    for vip in bed.topology().vips() {
        let owner = cluster.owner(vip, Duration::from_secs(1))?;
        say(&format!("{vip} is served by {}", owner.as_deref().unwrap_or("nobody")));
    }
    Ok(())
}

/// What to type to look around, as it can be pasted where no `haven` is installed.
fn explanation(program: &Path, name: &str, dir: Option<&Path>) -> String {
    let lab = typed(program, name, dir);
    format!(
        "the cluster stays up. Look around:\n\
         \x20 {lab} status\n\
         \x20 {lab} exec n1 -- haven status\n\
         \x20 {lab} exec client -- ping 10.77.1.100\n\
         \x20 {lab} fault pause --ms 500 n1\n\
         \x20 {lab} measure --seconds 10\n\
         \x20 {lab} down      (removes everything)"
    )
}

/// How commands for the lab `name` begin.
pub(crate) fn typed(program: &Path, name: &str, dir: Option<&Path>) -> String {
    let mut lab = format!("{} lab --name {}", word(program), word(Path::new(name)));
    if let Some(dir) = dir {
        lab.push_str(&format!(" --dir {}", word(dir)));
    }
    lab
}

/// A path as one word of a shell.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_faults_of_the_demonstration_differ() {
        let steps: std::collections::BTreeSet<_> = STEPS.iter().map(|(s, _)| *s).collect();
        assert_eq!(steps.len(), 5);
    }

    #[test]
    fn what_is_printed_in_the_end_can_be_typed_where_haven_is_not_installed() {
        let said = explanation(Path::new("/src/it's here/haven"), "demo", None);
        let lines: Vec<_> = said.lines().skip(1).map(str::trim_start).collect();
        assert_eq!(lines.len(), 6);
        for line in lines {
            assert!(line.starts_with(r"'/src/it'\''s here/haven' lab --name demo "), "{line}");
        }
        let said = explanation(Path::new("/b/haven"), "demo", Some(Path::new("/run/d")));
        assert!(said.contains("  /b/haven lab --name demo --dir /run/d exec n1 -- haven status\n"));
    }
}
