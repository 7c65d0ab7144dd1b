//! Random clusters and made-up events, beside a real crm_simulate of Pacemaker 3. Runs where
//! `HAVEN_CRM_SIMULATE` names one; `HAVEN_SEEDS=FROM..TO` chooses other seeds, `HAVEN_SHOW=N` prints
//! that many differences, `HAVEN_WRITE=FILE` keeps the last cluster whose answers differ.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests fail by panicking")]

mod change;
mod compare;
mod generate;
mod questions;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use compare::{asked, difference, oracle, ours};
use generate::Dice;

/// The numbers to try.
fn seeds(usual: Range<u64>) -> Range<u64> {
    let given = std::env::var("HAVEN_SEEDS").ok();
    given
        .and_then(|s| {
            let (from, to) = s.split_once("..")?;
            Some(from.parse().ok()?..to.parse().ok()?)
        })
        .unwrap_or(usual)
}

fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("oracle-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// The share of answers that must be equal.
const LEAST: f64 = 0.97;

/// What was found, by where answers differ.
#[derive(Default)]
struct Tally {
    equal: u64,
    refused: u64,
    classes: BTreeMap<String, Vec<String>>,
}

impl Tally {
    /// Puts a question to both and notes how the answers compare; false if they differ.
    fn ask(&mut self, name: &str, oracle: &Path, dir: &Path, file: &Path, args: &[String]) -> bool {
        let theirs = asked(oracle, dir, file, args);
        let mine = ours(dir, file, args, &dir.join("after.xml"));
        // A transition that cannot be carried out to its end is an answer, too; a crash is none.
        if theirs.code != 0 && !theirs.text.contains("Revised Cluster Status:") {
            self.refused += 1;
            if self.refused <= 3 {
                println!("{name}: they end with {} {args:?}", theirs.code);
            }
            return false;
        }
        let Some(d) = difference(&theirs, &mine, args) else {
            self.equal += 1;
            return mine.code == 0;
        };
        if let Some(path) = std::env::var_os("HAVEN_WRITE") {
            fs::copy(file, path).unwrap();
        }
        let shown: usize =
            std::env::var("HAVEN_SHOW").ok().and_then(|v| v.parse().ok()).unwrap_or(3);
        let seen = self.classes.values().map(Vec::len).sum::<usize>();
        if seen < shown {
            println!("===== {name} {args:?}: {} (code {})", d.part, mine.code);
            d.lines.iter().take(16).for_each(|l| println!("{l}"));
        }
        self.classes.entry(d.part).or_default().push(name.to_owned());
        false
    }

    fn finish(self, least: f64) {
        let different: usize = self.classes.values().map(Vec::len).sum();
        println!("equal {}, different {different}, refused there {}", self.equal, self.refused);
        for (part, names) in &self.classes {
            let few: Vec<&str> = names.iter().take(12).map(String::as_str).collect();
            println!("  {part}: {} ({})", names.len(), few.join(" "));
        }
        let all = self.equal + different as u64;
        let share = self.equal as f64 / all.max(1) as f64;
        assert!(
            share >= least,
            "{:.2} % are equal, expected {:.2} %",
            share * 100.0,
            least * 100.0
        );
    }
}

/// The graph for Graphviz is the same text.
#[test]
fn the_picture_of_a_decision_is_the_same() {
    let Some(oracle) = oracle("the picture of a decision") else { return };
    let dir = scratch("dot");
    let files = saved();
    let (mut equal, mut different) = (0_u32, Vec::new());
    for file in files.iter().step_by(20) {
        let picture = dir.join("graph.dot");
        let args = words(&["-a", "-D", picture.to_str().unwrap()]);
        let drawn = |_| fs::read_to_string(&picture).unwrap_or_default();
        let theirs = drawn(asked(&oracle, &dir, file, &args));
        let mine = drawn(ours(&dir, file, &args, &dir.join("after.xml")));
        if theirs == mine {
            equal += 1;
        } else {
            different.push(file.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    println!("pictures: equal {equal}, different {}: {different:?}", different.len());
    assert!(different.is_empty() && equal > 0, "{different:?}");
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn random_clusters_are_decided_as_pacemaker_decides() {
    let Some(oracle) = oracle("60 random clusters") else { return };
    let dir = scratch("random");
    let mut tally = Tally::default();
    for seed in seeds(0..60) {
        let file = dir.join("in.xml");
        fs::write(&file, generate::document(seed).to_text()).unwrap();
        tally.ask(&seed.to_string(), &oracle, &dir, &file, &words(&["-S", "-s"]));
    }
    tally.finish(LEAST);
}

/// A cluster starts empty, reaches what was decided, and then things happen to it.
#[test]
fn clusters_to_which_things_happen_are_decided_as_pacemaker_decides() {
    let Some(oracle) = oracle("15 clusters to which things happen") else { return };
    let dir = scratch("evolving");
    let mut tally = Tally::default();
    for seed in seeds(0..15) {
        let mut dice = Dice::new(seed ^ 0x5eed);
        let file = dir.join("in.xml");
        let mut document = generate::document(seed);
        generate::begin(&mut document);
        fs::write(&file, document.to_text()).unwrap();
        for step in 0..5 {
            let mut args = words(&["-S", "-s"]);
            if step > 0 {
                args.extend(generate::event(&mut dice, &document));
            }
            if !tally.ask(&format!("{seed}.{step}"), &oracle, &dir, &file, &args) {
                break;
            }
            fs::copy(dir.join("after.xml"), &file).unwrap();
        }
    }
    tally.finish(LEAST);
}

/// The corpus where it is at hand, else the project's own cases.
fn saved() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = std::env::var_os("HAVEN_SCHEDULER_CORPUS").map(PathBuf::from);
    let corpus = given.unwrap_or_else(|| root.join("../shared/scheduler-corpus")).join("xml");
    let folder = if corpus.is_dir() { corpus } else { root.join("tests/golden/policy") };
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut list: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == "xml")).collect();
    list.sort();
    list
}

/// What one thing more does to clusters that somebody had.
#[test]
fn changed_clusters_are_decided_as_pacemaker_decides() {
    let Some(oracle) = oracle("60 changed clusters") else { return };
    let dir = scratch("changed");
    let files = saved();
    let mut tally = Tally::default();
    for seed in seeds(0..60) {
        let from = &files[Dice::new(seed).below(files.len())];
        let Ok(document) = haven_cib::xml::parse(&fs::read_to_string(from).unwrap()) else {
            continue;
        };
        let file = dir.join("in.xml");
        fs::write(&file, change::changed(seed, &document).to_text()).unwrap();
        let label = format!("{seed} ({})", from.file_stem().unwrap().to_string_lossy());
        tally.ask(&label, &oracle, &dir, &file, &words(&["-S", "-s"]));
    }
    tally.finish(LEAST);
}

/// Each kind of question is put about every so many-th saved cluster; `HAVEN_SEEDS=0..1` puts all
/// about all.
#[test]
fn made_up_events_have_the_same_consequences() {
    let Some(oracle) = oracle("made-up events in saved clusters") else { return };
    let dir = scratch("questions");
    let (files, every) = (saved(), usize::try_from(seeds(0..40).end).unwrap());
    let mut all = Tally::default();
    for (kind, name) in questions::KINDS.iter().enumerate() {
        let mut tally = Tally::default();
        for (i, file) in files.iter().enumerate().filter(|(i, _)| i % every == kind % every) {
            let Some(args) = questions::question(kind, file, i as u64) else { continue };
            let label = file.file_stem().unwrap().to_string_lossy().into_owned();
            tally.ask(&label, &oracle, &dir, file, &args);
        }
        let different: usize = tally.classes.values().map(Vec::len).sum();
        println!(
            "{name}: equal {}, different {different}, refused there {}",
            tally.equal, tally.refused
        );
        all.equal += tally.equal;
        all.refused += tally.refused;
        for (part, names) in tally.classes {
            all.classes.entry(part).or_default().extend(names);
        }
    }
    all.finish(LEAST);
}
