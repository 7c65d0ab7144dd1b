//! The same input gives the same bytes: white space, comments and the order of attributes are no part of it. Looked at
//! over the golden cases and, where it is at hand, every eighth case of the scheduler corpus.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use haven_base::WallTime;
use haven_cib::Cib;
use haven_cib::xml::{Element, escape_into, parse};
use haven_policy::{Options, schedule};
use haven_skipped::skip;

/// Numbers that are the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }
}

fn xml_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().map(|e| e.unwrap().path());
    let mut list: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == "xml")).collect();
    list.sort();
    list
}

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = xml_files(&root.join("tests/golden/policy"));
    assert!(files.len() > 20, "the golden cases are not where they should be");
    let given = std::env::var_os("HAVEN_SCHEDULER_CORPUS").map(PathBuf::from);
    let corpus = given.unwrap_or_else(|| root.join("../shared/scheduler-corpus")).join("xml");
    let cases = xml_files(&corpus);
    if cases.is_empty() {
        skip(
            "the scheduler corpus is not here (HAVEN_SCHEDULER_CORPUS names its folder)",
            "every eighth case of it under disguise",
        );
    }
    files.extend(cases.into_iter().step_by(8));
    files
}

/// The document in another order of attributes, with other white space, other quotes and comments.
fn disguised(e: &Element, dice: &mut Dice, out: &mut String) {
    const BLANKS: [&str; 5] = ["", "\n", "\t\t", " \r\n ", "\n<!-- nothing -->\n"];
    write!(out, "<{}", e.name).unwrap();
    let mut attributes: Vec<_> = e.attributes.iter().collect();
    for i in (1..attributes.len()).rev() {
        attributes.swap(i, dice.below(i + 1));
    }
    for (name, value) in attributes {
        out.push_str([" ", "  ", "\n    ", "\t"][dice.below(4)]);
        out.push_str(name);
        out.push_str(["=", " = "][dice.below(2)]);
        let mut text = String::new();
        escape_into(&mut text, value);
        if dice.below(3) == 0 && !text.contains('\'') {
            write!(out, "'{text}'").unwrap();
        } else {
            write!(out, "\"{text}\"").unwrap();
        }
    }
    if e.children.is_empty() && e.text.is_empty() && dice.below(2) == 0 {
        out.push_str(["/>", " />"][dice.below(2)]);
        return;
    }
    out.push('>');
    escape_into(out, &e.text);
    for c in &e.children {
        out.push_str(BLANKS[dice.below(5)]);
        disguised(c, dice, out);
    }
    out.push_str(BLANKS[dice.below(5)]);
    write!(out, "</{}>", e.name).unwrap();
}

/// Everything that is decided, as bytes.
fn decided(text: &str) -> String {
    let (cib, status) = Cib::from_xml(text).unwrap();
    let now = WallTime::from_seconds(status.recorded_at.unwrap_or(1_700_000_000));
    let options = Options { scores: true, utilization: true, summary: true, ..Options::default() };
    let decision = schedule(&cib, &status, now, &options);
    let graph = haven_policy::xml::to_xml(&decision.graph, 0);
    let mut written = Vec::new();
    haven_policy::xml::write_xml(&decision.graph, 0, &mut written).unwrap();
    assert!(written == graph.as_bytes(), "in pieces as at once");
    serde_json::to_string(&decision).unwrap() + &graph
}

#[test]
fn white_space_and_the_order_of_attributes_do_not_matter() {
    let mut dice = Dice(11);
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let want = decided(&text);
        assert!(want == decided(&text), "{} differs from itself", path.display());
        let root = parse(&text).unwrap();
        for _ in 0..2 {
            let mut other = String::from("<?xml version=\"1.0\"?>\n");
            disguised(&root, &mut dice, &mut other);
            assert!(want == decided(&other), "{} is decided otherwise", path.display());
        }
    }
}
