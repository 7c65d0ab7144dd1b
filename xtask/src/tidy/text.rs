//! Lines that should not stay: unfinished marks, skipped tests, blind sleeps, paths of one machine,
//! and files that have grown too long.

use crate::Complaint;
use crate::sources::Source;

/// Longest Rust file in lines.
pub(super) const LONGEST: usize = 900;

// Written in two parts, so that this file does not find itself.
const MARKS: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("unimple", "mented!"),
    concat!("to", "do!("),
];
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "haven/"),
    concat!("/home", "/"),
];
const IGNORED: &str = concat!("#[igno", "re");
const SLEEPS: [&str; 2] = [concat!("sle", "ep("), concat!("sleep_", "until(")];
/// Takes a clause of the lease away: for simulations only.
const MUTANT: &str = concat!("ALL.with", "out(");
const PACED: &str = "// paced:";

/// What a test says that cannot run here, and the one place that says it where it is counted.
const SKIPS: &str = concat!("\"skipped", ", because");
const COUNTS_SKIPS: &str = "tests/skipped";

/// How many lines before a sleep the loop that it paces may start.
const LOOP_REACH: usize = 8;

pub(super) fn complaints(sources: &[Source]) -> Vec<Complaint> {
    sources.iter().flat_map(of_file).collect()
}

fn of_file(source: &Source) -> Vec<Complaint> {
    let mut found = Vec::new();
    let length = source.text.lines().count();
    if source.is_rust() && length > LONGEST {
        found.push(Complaint::file(
            &source.path,
            format!("{length} lines, more than {LONGEST}: split it by duty"),
        ));
    }
    let tests_from = source.is_rust().then(|| source.tests_from()).flatten();
    let mut recent: Vec<&str> = Vec::new();
    for (number, line) in source.lines() {
        let mut complain = |text: String| found.push(Complaint::line(&source.path, number, text));
        if let Some(mark) = MARKS.iter().find(|mark| has_word(line, mark)) {
            complain(format!("{mark} left behind: do it, or file an issue"));
        }
        if let Some(path) = MACHINE_PATHS.iter().find(|path| has_path(line, path)) {
            complain(format!("the path {path} exists on one machine only"));
        }
        let ignored = line.trim_start().strip_prefix(IGNORED);
        if source.is_rust() && ignored.is_some_and(|rest| !rest.contains('"')) {
            complain(
                "an ignored test says why: `./dev test --all` runs it, the usual run does not"
                    .into(),
            );
        }
        if source.is_rust() && line.contains(SKIPS) && !source.path.starts_with(COUNTS_SKIPS) {
            complain(
                "what a passing test prints nobody sees: say it by haven_skipped::skip".into(),
            );
        }
        let in_test = tests_from.is_some_and(|from| number >= from);
        if source.is_rust() && !in_test && line.contains(MUTANT) && !is_comment(line) {
            complain(
                "a daemon runs with every clause of the lease: only tests may take one away".into(),
            );
        }
        let sleeps = SLEEPS.iter().any(|call| line.contains(call)) && !is_comment(line);
        let paced = recent.iter().any(|line| starts_loop(line))
            || line.contains(PACED)
            || recent.last().is_some_and(|line| line.contains(PACED));
        if sleeps && !paced && in_test {
            complain(format!(
                "a test that sleeps is slow or flaky: wait for the event, drive virtual time, or say \
                 what real time it needs by `{PACED} why` on the line before"
            ));
        }
        recent.push(line);
        let surplus = recent.len().saturating_sub(LOOP_REACH);
        recent.drain(..surplus);
    }
    found
}

/// A sleep in a loop paces something or waits for a condition.
fn starts_loop(line: &str) -> bool {
    let line = line.trim_start();
    let starts =
        ["while ", "for "].iter().any(|word| line.starts_with(word)) && line.ends_with('{');
    starts || line.ends_with("loop {")
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// True when `mark` stands in `line` and is not part of a longer word.
fn has_word(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let joined = |c: char| c.is_alphanumeric() || c == '_';
        let before = line[..at].chars().next_back().is_some_and(joined);
        let after = line[at + mark.len()..].chars().next().is_some_and(joined);
        !before && (!after || mark.ends_with(['!', '(']))
    })
}

/// True when an absolute path in `line` starts with `path`.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let longer = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '*');
        !line[..at].chars().next_back().is_some_and(longer)
    })
}
