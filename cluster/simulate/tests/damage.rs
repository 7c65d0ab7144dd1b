//! Saved clusters, damaged at random: each is refused with a message or decided for, within bounded
//! time, and nothing panics. `HAVEN_SEEDS=FROM..TO` chooses other seeds and
//! `HAVEN_WRITE=FILE` keeps the last damaged cluster; the long run is ignored
//! unless asked for.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests fail by panicking")]

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use clap::Parser;
use haven_base::Rng;
use haven_cib::xml::{self, Element};
use haven_simulate::Args;
use haven_skipped::skip;

/// The longest one damaged cluster may take; a good one takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Values that were never meant.
const ODD: [&str; 16] = [
    "",
    "-1",
    "0",
    "1",
    "true",
    "false",
    "INFINITY",
    "-INFINITY",
    "99999999999999999999",
    "4294967296",
    "Promoted",
    "Stopped",
    "node1",
    "a b",
    "é\u{1F600}",
    "P1Y2M3DT4H",
];

struct Dice(Rng);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.0.below(limit.max(1) as u64)).unwrap()
    }
}

/// The corpus where it is at hand, and the project's own cases.
fn saved() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = std::env::var_os("HAVEN_SCHEDULER_CORPUS").map(PathBuf::from);
    let corpus = given.unwrap_or_else(|| root.join("../shared/scheduler-corpus")).join("xml");
    if !corpus.is_dir() {
        skip(
            "the scheduler corpus is not here (HAVEN_SCHEDULER_CORPUS names its folder)",
            "damage to its cases",
        );
    }
    let mut list = Vec::new();
    for folder in [root.join("tests/golden/policy"), corpus] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let files = entries.map(|e| e.unwrap().path());
        list.extend(files.filter(|p| p.extension().is_some_and(|e| e == "xml")));
    }
    list.sort();
    list
}

fn count(e: &Element) -> usize {
    1 + e.children.iter().map(count).sum::<usize>()
}

/// The `n`-th element, parents first.
fn nth<'a>(e: &'a mut Element, n: &mut usize) -> Option<&'a mut Element> {
    if *n == 0 {
        return Some(e);
    }
    *n -= 1;
    e.children.iter_mut().find_map(|c| nth(c, n))
}

/// Damages a document in one place.
fn damage(root: &mut Element, d: &mut Dice) {
    let total = count(root);
    let (mut one, mut other) = (d.below(total), d.below(total));
    let donor = nth(root, &mut other).unwrap().clone();
    let e = nth(root, &mut one).unwrap();
    match d.below(9) {
        0 if !e.children.is_empty() => {
            let k = d.below(e.children.len());
            e.children.remove(k);
        }
        1 if !e.children.is_empty() => {
            let k = d.below(e.children.len());
            let twin = e.children[k].clone();
            e.children.insert(k, twin);
        }
        2 if count(&donor) < 500 && count(e) < 5000 => e.children.push(donor),
        3 => e.name.clone_from(&donor.name),
        4 if !e.attributes.is_empty() => {
            let k = d.below(e.attributes.len());
            e.attributes.remove(k);
        }
        5 if !e.attributes.is_empty() && !donor.attributes.is_empty() => {
            let k = d.below(e.attributes.len());
            e.attributes[k].1.clone_from(&donor.attributes[d.below(donor.attributes.len())].1);
        }
        6 if !donor.attributes.is_empty() => {
            let (name, value) = &donor.attributes[d.below(donor.attributes.len())];
            e.set(name, value.clone());
        }
        7 => e.children.reverse(),
        _ if !e.attributes.is_empty() => {
            let k = d.below(e.attributes.len());
            ODD[d.below(ODD.len())].clone_into(&mut e.attributes[k].1);
        }
        _ => {}
    }
}

/// A damaged text: elements and attributes, or plain bytes.
fn damaged(text: &str, d: &mut Dice) -> Vec<u8> {
    if d.below(5) > 0
        && let Ok(mut root) = xml::parse(text)
    {
        for _ in 0..=d.below(12) {
            damage(&mut root, d);
        }
        return root.to_text().into_bytes();
    }
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=d.below(6) {
        let at = d.below(bytes.len());
        match d.below(4) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes[at] = u8::try_from(d.below(256)).unwrap(),
            2 => bytes.insert(at, b"<>&\"'/ \0"[d.below(8)]),
            _ => drop(bytes.drain(at..(at + d.below(40)).min(bytes.len()))),
        }
        if bytes.is_empty() {
            bytes.push(b'<');
        }
    }
    bytes
}

/// Everything that is asked about a damaged cluster.
fn options(seed: u64, d: &mut Dice) -> Vec<String> {
    let mut list: Vec<String> = match seed % 4 {
        0 => vec!["-S", "-s", "-U"],
        1 => vec!["-S", "--json"],
        2 => vec!["-S", "-c", "-A"],
        _ => vec!["-R"],
    }
    .into_iter()
    .map(str::to_owned)
    .collect();
    let event = ["--node-up", "--node-down", "--node-fail"][d.below(3)];
    if d.below(3) == 0 {
        list.extend([event.to_owned(), "node1".to_owned()]);
    }
    if d.below(4) == 0 {
        list.extend(["-i".to_owned(), "rsc1_monitor_10000@node1=1".to_owned()]);
    }
    list
}

/// Simulates a damaged cluster; the exit code and what was said of errors.
fn simulate(file: &Path, more: &[String]) -> (u8, String) {
    let path = |end: &str| file.with_extension(end).to_str().unwrap().to_owned();
    let (input, output, dot) = (path("in"), path("out"), path("dot"));
    let typed = ["simulate", "-x", file.to_str().unwrap(), "-I", &input, "-O", &output, "-D", &dot];
    let typed = typed.iter().map(|s| (*s).to_owned()).chain(more.iter().cloned());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = haven_simulate::run(&Args::try_parse_from(typed).unwrap(), &mut out, &mut err);
    (code, String::from_utf8_lossy(&err).into_owned())
}

fn try_seeds(seeds: Range<u64>) {
    let given = std::env::var("HAVEN_SEEDS").ok().and_then(|s| {
        let (from, to) = s.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    let files = saved();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("damage-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("damaged.xml");
    let (mut decided, mut refused) = (0, 0);
    for seed in given.unwrap_or(seeds) {
        let mut d = Dice(Rng::new(seed));
        let source = &files[d.below(files.len())];
        let text = fs::read_to_string(source).unwrap();
        fs::write(&file, damaged(&text, &mut d)).unwrap();
        if let Some(path) = std::env::var_os("HAVEN_WRITE") {
            fs::copy(&file, path).unwrap();
        }
        let more = options(seed, &mut d);
        let (sender, receiver) = channel();
        let (at, args) = (file.clone(), more.clone());
        let worker = thread::spawn(move || sender.send(simulate(&at, &args)));
        match receiver.recv_timeout(PATIENCE) {
            Ok((0, _)) => decided += 1,
            Ok((_, said)) => {
                assert!(!said.trim().is_empty(), "seed {seed}: refused without a word");
                refused += 1;
            }
            Err(RecvTimeoutError::Timeout) => {
                panic!("seed {seed} ({}) {more:?}: no end after {PATIENCE:?}", source.display())
            }
            Err(RecvTimeoutError::Disconnected) => {
                panic!("seed {seed} ({}) {more:?}: a panic", source.display())
            }
        }
        worker.join().unwrap().unwrap();
    }
    println!("decided {decided}, refused {refused}");
    assert!(decided > 0 && refused > 0);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn damaged_clusters_are_refused_or_decided() {
    try_seeds(0..250);
}

#[test]
#[ignore = "long: takes minutes, run by ./dev test --all"]
fn many_damaged_clusters_are_refused_or_decided() {
    try_seeds(0..20_000);
}
