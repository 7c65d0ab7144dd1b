//! Which sections of which standards the code cites, and which of those a test holds.
//!
//! ```text
//! // spec: rfc5227 2.3                 beside the code that meets the requirement
//! // spec: rfc5227 2.3 test            beside its test
//! // spec: rfc5227 2.4 exception: why  where haven differs on purpose
//! ```

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

const TAG: &str = "// spec: ";

/// Collects the tags of all Rust files.
#[must_use]
pub fn table(sources: &[Source]) -> Table {
    let mut table = Table::default();
    for source in sources.iter().filter(|source| source.is_rust()) {
        for (number, line) in source.lines() {
            let line = line.trim();
            let Some(tag) = line.strip_prefix(TAG) else { continue };
            match read_tag(tag) {
                Ok((document, section, role)) => {
                    let place = format!("{}:{number}", source.path.display());
                    let entry = table.sections.entry((document, section)).or_default();
                    match role {
                        Role::Code => entry.cited.push(place),
                        Role::Test => entry.tested.push(place),
                        Role::Exception(why) => entry.exceptions.push(format!("{place}: {why}")),
                    }
                }
                Err(problem) => {
                    table.complaints.push(Complaint::line(&source.path, number, problem));
                }
            }
        }
    }
    table
}

enum Role {
    Code,
    Test,
    Exception(String),
}

fn read_tag(tag: &str) -> Result<(String, String, Role), String> {
    let wanted = "a spec tag reads `spec: DOCUMENT SECTION [test | exception: REASON]`";
    let (document, rest) = tag.trim().split_once(' ').ok_or(wanted)?;
    let (section, role) = match rest.trim().split_once(' ') {
        None => (rest.trim(), Role::Code),
        Some((section, "test")) => (section, Role::Test),
        Some((section, rest)) => match rest.strip_prefix("exception: ") {
            Some(why) if !why.trim().is_empty() => {
                (section, Role::Exception(why.trim().to_owned()))
            }
            _ => return Err(wanted.to_owned()),
        },
    };
    Ok((document.to_lowercase(), section.to_owned(), role))
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
    fn a_tag_that_cannot_be_read_is_a_complaint() {
        for bad in ["// spec: rfc1", "// spec: rfc1 2 tset", "// spec: rfc1 2 exception: "] {
            assert_eq!(table(&[source(bad)]).complaints.len(), 1, "{bad}");
        }
    }
}
