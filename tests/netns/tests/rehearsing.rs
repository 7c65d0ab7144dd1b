//! `haven lab` as a person rehearses with it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use haven_lab::Bed;
use haven_netns_tests::{can_run, haven, unformed};
use serde_json::Value;

const NAME: &str = "re-exec";

/// `haven lab exec PLACE -- WORDS…`, typed where no `haven` is on the path.
fn exec(place: &str, words: &[&str]) -> Output {
    let mut command = Command::new(haven());
    command.args(["lab", "--name", NAME, "exec", place, "--"]).args(words);
    command.env("PATH", "/usr/bin:/bin").output().unwrap()
}

#[test]
fn exec_ends_with_the_code_of_what_it_ran_and_finds_haven() {
    let Some(_lab) = unformed(NAME, 1) else { return };
    for (script, code) in [("true", 0), ("exit 7", 7), ("exit 130", 130), ("kill -9 $$", 137)] {
        for place in ["n1", "client"] {
            let ended = exec(place, &["sh", "-c", script]);
            assert_eq!(ended.status.code(), Some(code), "{script} on {place}: {ended:?}");
        }
    }
    let listed = exec("n1", &["haven", "lab", "list"]);
    assert!(listed.status.success(), "the lab's own program is found: {listed:?}");
}

/// A lab that is built, broken and removed by commands alone; swept when the test fails, too.
struct Typed(&'static str);

impl Drop for Typed {
    fn drop(&mut self) {
        drop(Bed::remove(self.0, None));
    }
}

impl Typed {
    fn run(&self, words: &str) -> Output {
        let mut command = Command::new(haven());
        command.args(["lab", "--name", self.0]).args(words.split_whitespace()).output().unwrap()
    }

    /// What a command prints that ends with status 0.
    fn say(&self, words: &str) -> String {
        let ended = self.run(words);
        assert!(ended.status.success(), "{words}: {ended:?}");
        String::from_utf8(ended.stdout).unwrap()
    }

    /// The line about a node in `lab status`.
    fn node(&self, node: &str) -> String {
        let said = self.say("status");
        let line = said.lines().find(|line| line.split_whitespace().next() == Some(node));
        line.unwrap_or_else(|| panic!("no line about {node}:\n{said}")).to_owned()
    }

    /// Whether the daemons of the three nodes run.
    fn running(&self) -> [bool; 3] {
        ["n1", "n2", "n3"].map(|node| self.node(node).contains("daemon runs"))
    }
}

#[test]
#[ignore = "long: a whole cluster and every fault there is, run by ./dev test --all"]
fn every_fault_can_be_typed_seen_and_healed() {
    if !can_run("every fault typed") {
        return;
    }
    let lab = Typed("re-typed");
    let up = lab.say("up --nodes 3");
    assert!(up.contains("10.77.1.100 is served by n"), "{up}");
    assert_eq!(lab.running(), [true; 3]);

    // Processes.
    lab.say("fault kill n1 n2");
    assert_eq!(lab.running(), [false, false, true]);
    lab.say("fault heal n1");
    assert_eq!(lab.running(), [true, false, true], "what was killed of the node named alone");
    lab.say("fault heal");
    assert_eq!(lab.running(), [true; 3]);
    let began = Instant::now();
    lab.say("fault pause --ms 400 n3");
    assert!(began.elapsed() >= Duration::from_millis(400), "it returns when the node goes on");
    lab.say("exec n3 -- haven status");
    lab.say("fault pause n3");
    lab.say("fault resume n3");
    lab.say("exec n3 -- haven status");

    // The network.
    for (fault, seen) in [("cut n1", "cut off"), ("linkdown n1", "ports down")] {
        lab.say(&format!("fault {fault}"));
        assert!(lab.node("n1").contains(seen), "{fault}: {}", lab.node("n1"));
        lab.say("fault heal n2");
        assert!(lab.node("n1").contains(seen), "{fault} is another node's");
        lab.say("fault heal n1");
        assert!(!lab.node("n1").contains(seen), "{fault}: {}", lab.node("n1"));
    }
    for (fault, seen) in [
        ("partition n1,n2|n3", "partition n1,n2 | n3"),
        ("loss 20 --delay 0-100 --from n1 --net hb", "noise: 200 ‰ lost, 0–100 ms delay"),
        ("delay 5-10", "noise: 0 ‰ lost, 5–10 ms delay"),
    ] {
        lab.say(&format!("fault {fault}"));
        assert!(lab.say("status").contains(seen), "{fault}");
        lab.say("fault heal");
        assert!(!lab.say("status").contains(seen), "{fault}");
    }

    // What cannot be done changes nothing.
    let refused = lab.run("fault heal n1 n9");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("n1, n2, n3"), "{refused:?}");

    // The address may still be on its way back to a node with its full say.
    lab.say("measure --seconds 8");
    let measured = lab.say("measure --seconds 2 --json");
    let reports: Value = serde_json::from_str(&measured).unwrap();
    assert_eq!(reports[0]["vip"], "10.77.1.100");
    assert!(reports[0]["probes"]["answered"].as_u64().unwrap() > 1_000, "{measured}");

    assert_eq!(lab.say("down"), "lab re-typed is gone\n");
    assert_eq!(lab.say("down"), "there was no lab re-typed\n");
    assert!(!lab.run("status").status.success(), "there is none to show");
}
