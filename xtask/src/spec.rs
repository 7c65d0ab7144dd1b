//! Which sections of which standards the code cites, and which of those a test holds.
//!
//! ```text
//! // spec: rfc5227 2.3                 beside the code that meets the requirement, or beside its test
//! // spec: rfc5227 2.4 exception: why  where haven differs on purpose
//! // spec: L3 "what the rule says"     a rule of ARCHITECTURE.md, L1 to L9
//! ```
//!
//! A tag in test code says that a test holds the section; the word `test` behind the section says so, too.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::Complaint;
use crate::sources::Source;

/// What the tree says about one section of one document.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Section {
    /// Places in the code, `path:line`.
    pub cited: Vec<String>,
    /// Places in tests.
    pub tested: Vec<String>,
    /// Places where haven differs, with the reason.
    pub exceptions: Vec<String>,
}

/// The table: document and section to what the tree says, and the tags that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    /// By document, then section.
    pub sections: BTreeMap<(String, String), Section>,
    /// Malformed tags.
    pub complaints: Vec<Complaint>,
}

const TAG: &str = "spec: ";

/// The document that rules named `L1`, `L2` … belong to.
const RULES: &str = "lease";

/// Collects the tags of all Rust files.
#[must_use]
pub fn table(sources: &[Source]) -> Table {
    let mut table = Table::default();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let tests_from = source.tests_from();
        for (number, line) in source.lines() {
            let in_test = tests_from.is_some_and(|from| number >= from);
            for tag in tags(line) {
                match read_tag(tag) {
                    Ok((document, section, role)) => {
                        let place = format!("{}:{number}", source.path.display());
                        let entry = table.sections.entry((document, section)).or_default();
                        match role {
                            Role::Exception(why) => {
                                entry.exceptions.push(format!("{place}: {why}"))
                            }
                            Role::Test => entry.tested.push(place),
                            Role::Code if in_test => entry.tested.push(place),
                            Role::Code => entry.cited.push(place),
                        }
                    }
                    Err(problem) => {
                        table.complaints.push(Complaint::line(&source.path, number, problem));
                    }
                }
            }
        }
    }
    table
}

/// The tags of a comment line: the first starts the comment, others may follow it.
fn tags(line: &str) -> Vec<&str> {
    let comment = line.trim().strip_prefix("//").map(|text| text.trim_start_matches('/').trim());
    match comment.and_then(|text| text.strip_prefix(TAG)) {
        Some(first) => first.split(TAG).collect(),
        None => Vec::new(),
    }
}

enum Role {
    Code,
    Test,
    Exception(String),
}

fn read_tag(tag: &str) -> Result<(String, String, Role), String> {
    let wanted = "a spec tag reads `spec: DOCUMENT SECTION [test | exception: REASON | \"QUOTE\"]` or `spec: L1`";
    let mut words = tag.split_whitespace();
    let first = words.next().ok_or(wanted)?;
    let rule = first.trim_end_matches([',', ';', '.']);
    if rule.len() == 2 && rule.starts_with('L') && rule.ends_with(|c: char| c.is_ascii_digit()) {
        return Ok((RULES.to_owned(), rule.to_owned(), Role::Code));
    }
    let section = words.next().ok_or(wanted)?;
    if !section.starts_with(|c: char| c.is_ascii_digit() || c == '§') {
        return Err(wanted.to_owned());
    }
    let rest = words.collect::<Vec<_>>().join(" ");
    let role = match rest.strip_prefix("exception: ") {
        Some(why) => Role::Exception(why.to_owned()),
        None if rest == "test" => Role::Test,
        None if rest.is_empty() || rest.starts_with('"') => Role::Code,
        None => return Err(wanted.to_owned()),
    };
    Ok((first.to_lowercase(), section.to_owned(), role))
}

impl Table {
    /// Sections that code meets and no test holds.
    #[must_use]
    pub fn missing(&self) -> Vec<&(String, String)> {
        let untested = |section: &Section| !section.cited.is_empty() && section.tested.is_empty();
        self.sections.iter().filter(|(_, section)| untested(section)).map(|(key, _)| key).collect()
    }

    /// The table as text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = format!(
            "{:<12} {:<10} {:>5} {:>6} {:>9}  {}\n",
            "DOCUMENT", "SECTION", "CITED", "TESTED", "EXCEPTION", "VERDICT"
        );
        for ((document, name), section) in &self.sections {
            let verdict = match (section.cited.is_empty(), section.tested.is_empty()) {
                (false, true) => "test missing",
                (true, false) => "tested, code not tagged",
                (true, true) => "differs on purpose",
                (false, false) => "held",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "{document:<12} {name:<10} {:>5} {:>6} {:>9}  {verdict}",
                section.cited.len(),
                section.tested.len(),
                section.exceptions.len()
            );
        }
        let missing = self.missing().len();
        let _ = writeln!(out, "{} sections, {missing} without a test", self.sections.len());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: "a.rs".into(), text: text.into() }
    }

    #[test]
    fn cited_tested_and_missing_sections_are_told_apart() {
        let tags = [
            "// spec: rfc5227 2.3",
            "// spec: RFC5227 2.3 test",
            "// spec: rfc4861 7.2.6",
            "// spec: rfc5227 2.4 exception: the lease proves ownership",
            "// no tag: spec: x y",
        ];
        let table = table(&[source(&tags.join("\n"))]);
        assert_eq!(table.missing(), [&("rfc4861".to_owned(), "7.2.6".to_owned())]);
        assert!(table.complaints.is_empty());
        let text = table.render();
        for expected in ["held", "test missing", "differs on purpose", "3 sections, 1 without"] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn rules_of_the_lease_are_tags_and_test_code_holds_them() {
        let tags = [
            "// spec: L1 \"every beat is answered\"; spec: L2 \"counts once\".",
            "#[cfg(test)]",
            "/// spec: L2, as chaos finds it",
        ];
        let table = table(&[source(&tags.join("\n"))]);
        assert!(table.complaints.is_empty(), "{:?}", table.complaints);
        assert_eq!(table.missing(), [&("lease".to_owned(), "L1".to_owned())]);
    }

    #[test]
    fn a_tag_that_cannot_be_read_is_a_complaint() {
        let bad = ["rfc1", "rfc1 2 tset", "rfc1 2 exception: ", "the rules", "L10 what"];
        for bad in bad {
            let line = format!("// {TAG}{bad}");
            assert_eq!(table(&[source(&line)]).complaints.len(), 1, "{bad}");
        }
    }
}
