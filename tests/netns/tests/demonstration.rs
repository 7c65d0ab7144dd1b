//! The demonstration leaves nothing behind, whenever somebody has seen enough of it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::{BufRead as _, BufReader};
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

/// A demonstration under way; ended and swept when the test fails, too.
struct Demonstration {
    name: &'static str,
    program: Child,
    said: BufReader<ChildStdout>,
}

impl Drop for Demonstration {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
        drop(haven_lab::Bed::remove(self.name, None));
    }
}

impl Demonstration {
    fn begin(name: &'static str) -> Self {
        let mut command = Command::new(haven());
        command.args(["lab", "--name", name, "demo"]).stdout(Stdio::piped());
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
        let mut left = namespace::with_prefix(&Topology::namespace_prefix(self.name));
        let directories = [RUN_ROOT, STATE_ROOT].map(|root| Path::new(root).join(self.name));
        let there = directories.iter().filter(|path| path.exists());
        left.extend(there.map(|path| path.display().to_string()));
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
    let mut shown = Demonstration::begin("d-int");
    // Its daemons run, a client measures, and a fault is under way or about to be.
    shown.until_said("1. ");
    shown.interrupt();
}

#[test]
fn a_demonstration_interrupted_while_it_is_built_leaves_nothing_behind() {
    if !can_run("the demonstration interrupted while it is built") {
        return;
    }
    let mut shown = Demonstration::begin("d-early");
    wait::until(LIMIT, Duration::from_millis(1), || !shown.left().is_empty());
    shown.interrupt();
}
