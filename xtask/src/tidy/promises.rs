//! Each promise of SPECIFICATION.md names a test that exists, or says that it is unproved.
//!
//! A promise is a table row whose last cell holds references `path/to/file.rs::test_name` in
//! backquotes, or the word *unproved*. Behind a test that only `./dev test --all` runs stands a †.

use std::path::Path;

use crate::Complaint;
use crate::sources::Source;

const FILE: &str = "SPECIFICATION.md";
/// Behind a reference to a test that the usual run leaves out.
const LEFT_OUT: &str = " †";
/// How the line begins that leaves a test out.
const IGNORED: &str = "#[ignore";

pub(super) fn complaints(sources: &[Source]) -> Vec<Complaint> {
    let Some(specification) = sources.iter().find(|source| source.path == Path::new(FILE)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut head = true;
    for (number, line) in specification.lines() {
        if !line.starts_with('|') {
            head = true;
            continue;
        }
        if head || line.starts_with("|--") || line.starts_with("| --") {
            head = false;
            continue;
        }
        let last = line.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let quoted: Vec<&str> = last.split('`').skip(1).collect();
        // Each in backquotes, and what stands behind it.
        let references: Vec<(&str, &str)> = quoted
            .chunks(2)
            .map(|part| (part[0], part.get(1).copied().unwrap_or_default()))
            .filter(|(reference, _)| reference.contains("::"))
            .collect();
        if references.is_empty() && !last.contains("unproved") {
            found.push(Complaint::line(FILE, number, "names no test, nor says *unproved*"));
        }
        for (reference, behind) in references {
            if let Some(problem) = broken(sources, reference, behind.starts_with(LEFT_OUT)) {
                found.push(Complaint::line(FILE, number, problem));
            }
        }
    }
    found
}

fn broken(sources: &[Source], reference: &str, marked: bool) -> Option<String> {
    let (file, test) = reference.split_once("::")?;
    let Some(source) = sources.iter().find(|source| source.path == Path::new(file)) else {
        return Some(format!("names the test `{reference}`, but there is no file {file}"));
    };
    let name = test.rsplit("::").next().unwrap_or(test);
    let found = ["(", "<"].iter().find_map(|next| source.text.find(&format!("fn {name}{next}")));
    let Some(at) = found else {
        return Some(format!("names the test `{reference}`, but {file} has no fn {name}"));
    };
    match (is_left_out(&source.text[..at]), marked) {
        (true, false) => Some(format!(
            "names the test `{reference}`, which only `./dev test --all` runs: put{LEFT_OUT} behind it"
        )),
        (false, true) => {
            Some(format!("marks the test `{reference}` with{LEFT_OUT}, and each run has it"))
        }
        _ => None,
    }
}

/// Whether the attributes at the end of `before`, which a function follows, leave it out of the usual run.
fn is_left_out(before: &str) -> bool {
    let above = before.rfind('\n').map_or("", |end| &before[..end]);
    let about = |line: &&str| line.starts_with("#[") || line.starts_with("//");
    above.lines().rev().map(str::trim).take_while(about).any(|line| line.starts_with(IGNORED))
}
