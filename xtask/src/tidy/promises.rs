//! Each promise of SPECIFICATION.md names a test that exists, or says that it is unproved.
//!
//! A promise is a table row whose last cell holds references `path/to/file.rs::test_name` in
//! backquotes, or the word *unproved*.

use std::path::Path;

use crate::Complaint;
use crate::sources::Source;

const FILE: &str = "SPECIFICATION.md";

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
        let references: Vec<&str> =
            last.split('`').skip(1).step_by(2).filter(|text| text.contains("::")).collect();
        if references.is_empty() && !last.contains("unproved") {
            found.push(Complaint::line(FILE, number, "names no test, nor says *unproved*"));
        }
        for reference in references {
            if let Some(problem) = broken(sources, reference) {
                found.push(Complaint::line(FILE, number, problem));
            }
        }
    }
    found
}

fn broken(sources: &[Source], reference: &str) -> Option<String> {
    let (file, test) = reference.split_once("::")?;
    let Some(source) = sources.iter().find(|source| source.path == Path::new(file)) else {
        return Some(format!("names the test `{reference}`, but there is no file {file}"));
    };
    let name = test.rsplit("::").next().unwrap_or(test);
    let exists = source.text.contains(&format!("fn {name}("))
        || source.text.contains(&format!("fn {name}<"));
    (!exists).then(|| format!("names the test `{reference}`, but {file} has no fn {name}"))
}
