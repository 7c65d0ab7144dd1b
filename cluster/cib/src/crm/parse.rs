//! Logical lines to declarations. Every error is reported, and reading goes on behind it.

mod access;
mod alert;
mod attributes;
mod constraints;
mod cursor;
mod resources;
mod rules;
mod sections;

use super::document::{Document, Entry, Object};
use super::finding::Finding;
use super::lex::{self, Line};
use super::names::{COMMANDS, nearest};
use crate::unknown::Kept;
use cursor::Cursor;

pub(super) use attributes::block_id;
pub(super) use rules::score;

/// Reads a text.
///
/// # Errors
/// Every error of the text, in the order of lines and columns.
pub(super) fn document(text: &str) -> Result<Document, Vec<Finding>> {
    let mut findings = Vec::new();
    let lexed = lex::lex(text, &mut findings);
    let mut document = Document { trailing: lexed.trailing, ..Document::default() };
    for line in &lexed.lines {
        if line.tokens.first().is_some_and(|token| token.text == "monitor") {
            document.monitors.extend(resources::monitor(&mut Cursor::new(line, &mut findings)));
            continue;
        }
        let mut comments = line.comments.clone();
        for (object, unknown) in declaration(line, &mut findings) {
            let comments = std::mem::take(&mut comments);
            let line = line.tokens.first().map(|token| token.line);
            document.entries.push(Entry { comments, line, object, unknown });
        }
    }
    let (surplus, mut findings): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.code == Finding::UNKNOWN);
    document.surplus = surplus;
    if findings.iter().any(Finding::is_error) {
        findings.append(&mut document.surplus);
        findings.sort_by_key(|finding| (finding.line, finding.column));
        return Err(findings);
    }
    Ok(document)
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
