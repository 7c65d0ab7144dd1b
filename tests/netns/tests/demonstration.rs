//! The demonstration shows what it promises, and with the laboratory's other long commands leaves nothing
//! behind, whenever somebody has seen enough of it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use haven_lab::bed::{RUN_ROOT, STATE_ROOT};
use haven_lab::{Topology, namespace, wait};
use haven_netns_tests::{can_run, haven};
use rustix::process::{Pid, Signal, kill_process};

/// What the lab's commands end with after Ctrl-C.
const INTERRUPTED: i32 = 130;
/// An interrupted lab is removed within it; the demonstration would last longer.
const LIMIT: Duration = Duration::from_secs(15);
/// haven's cluster of the bench comes and goes within it, before Pacemaker's is built.
const BUILT: Duration = Duration::from_secs(60);

/// A demonstration, or a bench, under way; ended and swept when the test fails, too.
struct Demonstration {
    name: &'static str,
    program: Child,
    said: BufReader<ChildStdout>,
}

impl Drop for Demonstration {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
        for name in self.names() {
            drop(haven_lab::Bed::remove(&name, None));
        }
    }
}

impl Demonstration {
    fn begin(name: &'static str, words: &str) -> Self {
        let mut command = Command::new(haven());
        command.args(["lab", "--name", name]).args(words.split_whitespace());
        command.stdout(Stdio::piped());
        let mut program = command.spawn().unwrap();
        let said = BufReader::new(program.stdout.take().unwrap());
        Self { name, program, said }
    }

    /// Reads on until a line begins with `words`.
    fn until_said(&mut self, words: &str) {
        let mut all = String::new();
        while !all.lines().any(|line| line.starts_with(words)) {
            let read = self.said.read_line(&mut all).unwrap();
            assert!(read > 0, "it ended before it said {words:?}:\n{all}");
        }
    }

    /// What it says until it ends by itself, with status 0.
    fn ended_by_itself(&mut self) -> String {
        let mut all = String::new();
        self.said.read_to_string(&mut all).unwrap();
        let status = self.program.wait().unwrap();
        assert!(status.success(), "{status}:\n{all}");
        all
    }

    /// The lab, and what `lab resources` builds beside it for Pacemaker.
    fn names(&self) -> [String; 3] {
        ["", "-pcmk", "-pcmk-agents"].map(|suffix| format!("{}{suffix}", self.name))
    }

    /// Presses Ctrl-C and expects the documented end.
    fn interrupt(&mut self) {
        assert_ne!(self.left(), Vec::<String>::new(), "there is something to remove");
        let pid = Pid::from_child(&self.program);
        kill_process(pid, Signal::INT).unwrap();
        let mut ended = None;
        wait::until(LIMIT, Duration::from_millis(20), || {
            ended = self.program.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.and_then(|status| status.code()), Some(INTERRUPTED));
        assert_eq!(self.left(), Vec::<String>::new(), "left behind");
    }

    /// Namespaces, directories and processes of the lab that are there.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for name in self.names() {
            left.extend(namespace::with_prefix(&Topology::namespace_prefix(&name)));
            let directories = [RUN_ROOT, STATE_ROOT].map(|root| Path::new(root).join(&name));
            let there = directories.iter().filter(|path| path.exists());
            left.extend(there.map(|path| path.display().to_string()));
        }
        left.extend(self.processes());
        left
    }

    /// Command lines that name the lab's run directory: those of its daemons and services.
    fn processes(&self) -> Vec<String> {
        let directory = Path::new(RUN_ROOT).join(self.name).display().to_string();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|it| std::fs::read_to_string(it.path().join("cmdline")).ok());
        let lines = lines.map(|line| line.replace('\0', " "));
        lines.filter(|line| line.contains(&directory)).collect()
    }
}

#[test]
#[ignore = "long: waits until a whole cluster serves, run by ./dev test --all"]
fn an_interrupted_demonstration_leaves_nothing_behind() {
    if !can_run("the interrupted demonstration") {
        return;
    }
    let mut shown = Demonstration::begin("d-int", "demo");
    // Its daemons run, a client measures, and a fault is under way or about to be.
    shown.until_said("1. ");
    shown.interrupt();
}

#[test]
fn a_demonstration_interrupted_while_it_is_built_leaves_nothing_behind() {
    if !can_run("the demonstration interrupted while it is built") {
        return;
    }
    let mut shown = Demonstration::begin("d-early", "demo");
    wait::until(LIMIT, Duration::from_millis(1), || !shown.left().is_empty());
    shown.interrupt();
}

#[test]
#[ignore = "long: waits until Pacemaker's daemons run, run by ./dev test --all"]
fn a_bench_interrupted_beside_pacemaker_leaves_nothing_behind() {
    if !can_run("the bench interrupted beside Pacemaker") {
        return;
    }
    let words =
        "resources --sizes 1 --agents ocf:pacemaker:Dummy --failures 0 --monitors 0 --commits 0";
    let mut bench = Demonstration::begin("d-pcmk", words);
    let corosync =
        |name: &str| namespace::with_prefix(&Topology::namespace_prefix(name)).len() == 4;
    let forming = wait::until(BUILT, Duration::from_millis(20), || corosync(&bench.names()[1]));
    assert!(forming, "{:?}", bench.left());
    bench.interrupt();
}

/// Asserts that all five faults were shown, each with what the client measured, and none of them badly.
fn assert_shown(said: &str) {
    for (number, fault) in (1..).zip(["kill -9", "stopped", "cut off", "parted", "moved"]) {
        let mut lines = said.lines().skip_while(|line| !line.starts_with(&format!("{number}. ")));
        let title = lines.next().unwrap_or_else(|| panic!("no fault {number}:\n{said}"));
        assert!(title.contains(fault), "{title}");
        let outcome = lines.next().unwrap_or_default();
        for word in ["outage ", "owner n", " → n", "two owners 0.0 ms", "after healing "] {
            assert!(outcome.contains(word), "{title}: {word:?} is not in {outcome:?}");
        }
    }
    assert!(!said.lines().any(|line| line.starts_with("BAD")), "{said}");
}

#[test]
#[ignore = "long: five faults and their healing, run by ./dev test --all"]
fn a_demonstration_shows_five_faults_and_ends_clean() {
    if !can_run("the whole demonstration") {
        return;
    }
    let mut shown = Demonstration::begin("d-whole", "demo");
    let said = shown.ended_by_itself();
    assert_shown(&said);
    assert!(said.ends_with("everything the demonstration built is gone\n"), "{said}");
    assert_eq!(shown.left(), Vec::<String>::new());
}

#[test]
#[ignore = "long: five faults and their healing, run by ./dev test --all"]
fn a_demonstration_that_is_kept_says_how_to_look_around() {
    if !can_run("the demonstration that is kept") {
        return;
    }
    let mut shown = Demonstration::begin("d-kept", "demo --keep");
    let said = shown.ended_by_itself();
    assert_shown(&said);
    let typed = said.lines().skip_while(|line| !line.starts_with("the cluster stays up"));
    let typed: Vec<_> =
        typed.skip(1).map(|line| line.trim_start().replace("ping ", "ping -c1 ")).collect();
    assert_eq!(typed.len(), 6, "{said}");
    for line in &typed {
        let command = line.split("  ").next().unwrap();
        let ended = Command::new("sh").args(["-c", command]).output().unwrap();
        assert!(ended.status.success(), "{command}: {ended:?}");
    }
    assert_eq!(shown.left(), Vec::<String>::new(), "the last one removes everything");
}
