//! Each code of a message, `HV` and four digits, is in the operator's list of messages, and the list has no others.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Complaint;
use crate::sources::Source;

const FILE: &str = "docs/operating/messages.md";
/// `HV` and four digits.
const LENGTH: usize = 6;

pub(super) fn complaints(sources: &[Source]) -> Vec<Complaint> {
    let Some(list) = sources.iter().find(|source| source.path == Path::new(FILE)) else {
        return Vec::new();
    };
    let listed = places([list].into_iter());
    let given = places(sources.iter().filter(|source| source.is_rust()));
    let missing = |from: &BTreeMap<String, Complaint>, other: &BTreeMap<String, Complaint>| {
        let here = from.iter().filter(|(code, _)| !other.contains_key(*code));
        here.map(|(_, place)| place.clone()).collect::<Vec<_>>()
    };
    let mut found = missing(&given, &listed);
    for complaint in &mut found {
        complaint.text = format!("gives {}, which {FILE} does not explain", complaint.text);
    }
    let mut stale = missing(&listed, &given);
    for complaint in &mut stale {
        complaint.text = format!("explains {}, which nothing gives", complaint.text);
    }
    found.extend(stale);
    found
}

/// Each code outside tests and lines of comment, and where it stands first.
fn places<'s>(sources: impl Iterator<Item = &'s Source>) -> BTreeMap<String, Complaint> {
    let mut places = BTreeMap::new();
    for source in sources {
        let tests = source.tests_from().unwrap_or(usize::MAX);
        for (number, line) in source.lines().take_while(|(number, _)| *number < tests) {
            if source.is_rust() && line.trim_start().starts_with("//") {
                continue;
            }
            for code in codes(line) {
                let place = || Complaint::line(source.path.clone(), number, code);
                places.entry(code.to_owned()).or_insert_with(place);
            }
        }
    }
    places
}

fn codes(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("HV").filter_map(|(at, _)| {
        let code = line.get(at..at + LENGTH)?;
        code[2..].bytes().all(|byte| byte.is_ascii_digit()).then_some(code)
    })
}
