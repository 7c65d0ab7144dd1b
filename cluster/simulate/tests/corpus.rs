//! Pacemaker's own regression cases, where they are at hand. The floor in `corpus.floor` may only
//! go up.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use haven_skipped::skip;

const FLOOR: &str = include_str!("corpus.floor");

fn corpus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = std::env::var_os("HAVEN_SCHEDULER_CORPUS").map(PathBuf::from);
    let dir = given.unwrap_or_else(|| root.join("../shared/scheduler-corpus"));
    dir.join("run_corpus.py").exists().then_some(dir)
}

/// The example next to this test, built with it.
fn simulate() -> PathBuf {
    let me = std::env::current_exe().unwrap();
    me.parent().and_then(Path::parent).unwrap().join("examples/simulate")
}

/// What does not run without the corpus: as many cases as the floor asks for.
fn what() -> String {
    let cases = FLOOR.lines().filter_map(|line| line.strip_prefix("L1 ")).next();
    format!("the {} cases of the scheduler corpus", cases.unwrap())
}

#[test]
fn the_corpus_does_not_get_worse() {
    let Some(dir) = corpus() else {
        return skip(
            "the scheduler corpus is not here (HAVEN_SCHEDULER_CORPUS names its folder)",
            &what(),
        );
    };
    let bin = simulate();
    assert!(bin.exists(), "{} was not built", bin.display());
    let result = Command::new("python3")
        .arg(dir.join("run_corpus.py"))
        .arg("--bin")
        .arg(&bin)
        .args(["--scores", "--summary", "--json", "-"])
        .output();
    let output = match result {
        Ok(o) => o,
        Err(e) => {
            return skip(&format!("python3 cannot be run ({e})"), &what());
        }
    };
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = json["cases"].as_array().unwrap();
    let count = |f: &dyn Fn(&serde_json::Value) -> bool| rows.iter().filter(|r| f(r)).count();
    let level = |n: i64| count(&|r| r["level"].as_i64().is_some_and(|l| l >= n));
    let flag = |name: &str| count(&|r| r[name].as_bool() == Some(true));
    let reached = [
        ("L1", level(1)),
        ("L2", level(2)),
        ("L3", level(3)),
        ("scores_exact", flag("scores_exact")),
        ("tsum", flag("tsum")),
        ("fsum", flag("fsum")),
    ];
    println!("{reached:?} of {}", rows.len());
    for line in FLOOR.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let (name, floor) = line.split_once(' ').unwrap();
        let floor: usize = floor.trim().parse().unwrap();
        let got = reached.iter().find(|(n, _)| *n == name).unwrap().1;
        assert!(got >= floor, "{name}: {got} cases, the floor is {floor}");
    }
}
