//! `haven status --watch` while something changes, on one node.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use haven_lab::{Family, Place};
use haven_netns_tests::{Lab, lab};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// A watch that goes on until the lab ends, and the file it prints to.
fn watch(lab: &Lab, name: &str, more: &[&str]) -> PathBuf {
    let bed = &lab.cluster.bed;
    let printed = bed.dir().join(name);
    let mut command = Command::new(bed.haven());
    command.args(["status", "--watch"]).args(more);
    command.arg("--config").arg(haven_lab::haven::config_file(bed, "n1"));
    bed.spawn(&Place::Node("n1".to_owned()), &mut command, &printed).unwrap();
    printed
}

fn text(file: &PathBuf) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The last picture drawn.
fn picture(file: &PathBuf) -> String {
    let all = text(file);
    all.rsplit_once("\ncluster ").map(|(_, last)| last.to_owned()).unwrap_or_default()
}

/// Whole documents printed so far.
fn documents(file: &PathBuf) -> Vec<Value> {
    let all = text(file);
    all.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_running_watch_shows_what_changes_and_what_happens() {
    let Some(lab) = lab("wa-watch", 1, false, Family::V4) else { return };
    let (drawn, told) = (watch(&lab, "drawn", &[]), watch(&lab, "told", &["--json"]));
    let statuses = |told: &PathBuf| -> Vec<Value> {
        documents(told).iter().filter_map(|one| one.get("status").cloned()).collect()
    };
    lab.wait("the first pictures", PATIENCE, |_| {
        picture(&drawn).contains("Started on n1") && statuses(&told).len() >= 2
    });
    let version = statuses(&told).last().map(|status| status["configuration"].clone());
    lab.haven("n1", &["resource", "stop", "vip"]).unwrap();
    lab.wait("the change in the pictures", PATIENCE, |_| {
        let now = statuses(&told).last().map(|status| status["configuration"].clone());
        now != version && picture(&drawn).contains("Stopped")
    });
    let happened = |code: &str| {
        documents(&told).iter().any(|one| one["event"]["code"] == code)
            && text(&drawn).contains(code)
    };
    lab.wait("the events of it", PATIENCE, |_| happened("HV1301") && happened("HV1601"));
}
