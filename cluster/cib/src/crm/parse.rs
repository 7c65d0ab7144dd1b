//! Logical lines to declarations. Every error is reported, and reading goes on behind it.

mod access;
mod alert;
mod attributes;
mod constraints;
mod cursor;
mod resources;
mod rules;
mod sections;

use haven_base::nearest;

use super::document::{Document, Entry, Object};
use super::doubt::Doubt;
use super::finding::Finding;
use super::lex::{self, Line};
use super::names::COMMANDS;
use crate::unknown::Kept;
use cursor::Cursor;

pub(super) use attributes::block_id;
pub(super) use rules::score;

/// What a text says, as far as it can be read.
pub(super) struct Read {
    /// What could be read.
    pub(super) document: Document,
    /// Every error, in the order of lines and columns, but for what no schema knows.
    pub(super) findings: Vec<Finding>,
    /// What could not be read may have said more.
    pub(super) doubt: Doubt,
}

/// Reads a text.
///
/// # Errors
/// Every error of the text, in the order of lines and columns.
pub(super) fn document(text: &str) -> Result<Document, Vec<Finding>> {
    let Read { mut document, mut findings, .. } = read(text);
    if findings.is_empty() {
        return Ok(document);
    }
    findings.append(&mut document.surplus);
    findings.sort_by_key(|finding| (finding.line, finding.column));
    Err(findings)
}

/// Reads of a text what can be read.
pub(super) fn read(text: &str) -> Read {
    let mut findings = Vec::new();
    let lexed = lex::lex(text, &mut findings);
    let open: Vec<u32> = findings.iter().filter_map(|finding| finding.line).collect();
    let mut document = Document { trailing: lexed.trailing, ..Document::default() };
    let mut doubt = Doubt::default();
    for line in &lexed.lines {
        let first = line.tokens.first().map(|token| token.line);
        let before = findings.len();
        let start = document.entries.len();
        if line.tokens.first().is_some_and(|token| token.text == "monitor") {
            let monitor = resources::monitor(&mut Cursor::new(line, &mut findings));
            // One with an error is not given: what it says of its resource is not known.
            if findings.len() == before {
                document.monitors.extend(monitor);
            }
        } else {
            let mut comments = line.comments.clone();
            for (object, unknown) in declaration(line, &mut findings) {
                let comments = std::mem::take(&mut comments);
                document.entries.push(Entry { comments, line: first, object, unknown });
            }
        }
        let broken = findings[before..].iter().any(|finding| finding.code != Finding::UNKNOWN);
        let (earlier, declared) = document.entries.split_at(start);
        if open.iter().any(|open| first.is_some_and(|first| (first..=line.end.0).contains(open))) {
            let objects: Vec<&Object> = declared.iter().map(|entry| &entry.object).collect();
            doubt.garbled(line, &objects);
        }
        if broken && declared.is_empty() {
            doubt.unread(line, earlier.last().map(|entry| entry.object.id()));
        } else if broken {
            declared.iter().for_each(|entry| doubt.partly(&entry.object));
        }
    }
    let (surplus, mut findings): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.code == Finding::UNKNOWN);
    document.surplus = surplus;
    findings.sort_by_key(|finding| (finding.line, finding.column));
    Read { document, findings, doubt }
}

/// What a line declares; of objects written as elements also what no schema knows.
fn declaration(line: &Line, findings: &mut Vec<Finding>) -> Vec<(Object, Option<Vec<Kept>>)> {
    let mut cursor = Cursor::new(line, findings);
    let Some(command) = cursor.next() else { return Vec::new() };
    let one = |object: Option<Object>| object.into_iter().collect();
    if command.text == "xml" {
        let entries = sections::xml(&mut cursor);
        if entries.is_empty() {
            cursor.skip_all();
        }
        cursor.expect_end();
        return entries.into_iter().map(|entry| (entry.object, entry.unknown)).collect();
    }
    let objects: Vec<Object> = match command.text.as_str() {
        "node" => one(sections::node(&mut cursor)),
        "primitive" => one(resources::primitive(&mut cursor).map(Object::Primitive)),
        "rsc_template" => one(resources::primitive(&mut cursor).map(Object::Template)),
        "group" => one(resources::group(&mut cursor)),
        "clone" => one(resources::clone(&mut cursor, false)),
        // Both old words for a promotable clone.
        "ms" | "master" => one(resources::clone(&mut cursor, true)),
        "bundle" => one(resources::bundle(&mut cursor)),
        "location" => one(constraints::location(&mut cursor)),
        "colocation" | "collocation" => one(constraints::colocation(&mut cursor)),
        "order" => one(constraints::order(&mut cursor)),
        "rsc_ticket" => one(constraints::ticket(&mut cursor)),
        "property" => {
            one(sections::options(&mut cursor, "cib-bootstrap-options").map(Object::Property))
        }
        "rsc_defaults" => {
            one(sections::options(&mut cursor, "rsc-options").map(Object::RscDefaults))
        }
        "op_defaults" => one(sections::options(&mut cursor, "op-options").map(Object::OpDefaults)),
        "fencing_topology" => one(sections::topology(&mut cursor)),
        "tag" => one(sections::tag(&mut cursor)),
        "alert" => one(alert::alert(&mut cursor)),
        "role" => one(access::role(&mut cursor)),
        "acl_target" => one(access::target(&mut cursor)),
        "user" => access::user(&mut cursor),
        _ => {
            let near = nearest(&command.text, COMMANDS.iter().copied());
            let fix = match near {
                Some(near) => format!("write {near}"),
                None => format!("a line starts with one of: {}", COMMANDS.join(", ")),
            };
            let found = format!("\"{}\" starts no declaration", command.text);
            cursor.complain_at(command, Finding::error("HV0101", found).near(near).fix(fix));
            Vec::new()
        }
    };
    if objects.is_empty() {
        // What follows an error that ends the reading cannot be judged.
        cursor.skip_all();
    }
    cursor.expect_end();
    objects.into_iter().map(|object| (object, None)).collect()
}
