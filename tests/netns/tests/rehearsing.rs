//! `haven lab` as a person rehearses with it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::process::{Command, Output};

use haven_netns_tests::{haven, unformed};

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
