//! Alerts: a program that is told what happens, and whom it tells.

use haven_base::nearest;

use super::attributes::{block, block_id};
use super::cursor::Cursor;
use crate::crm::document::Object;
use crate::crm::finding::Finding;
use crate::write;
use crate::xml::Element;

const FIX: &str =
    "alert ID PATH [attributes …] [meta …] [select nodes fencing resources] [to RECIPIENT]";
const WORDS: &[&str] = &["attributes", "meta", "select", "to", "{", "}"];
const KINDS: [&str; 4] = ["nodes", "fencing", "resources", "attributes"];

/// Reads an alert behind its word.
pub(super) fn alert(cursor: &mut Cursor<'_>) -> Option<Object> {
    let id = cursor.id("alert", FIX)?;
    let path = cursor.expect("the program to call", FIX)?;
    let mut element = Element::new("alert");
    element.push("id", &id);
    element.push("path", &path.text);
    while let Some(token) = cursor.next() {
        match token.text.as_str() {
            "attributes" | "meta" if !token.quoted => values(cursor, &token.text, &mut element),
            "select" => select(cursor, &id, &mut element),
            "to" => recipients(cursor, &id, &mut element),
            text => {
                if let Some(text) = text.strip_prefix("description=") {
                    element.push("description", text);
                    continue;
                }
                let found = format!("an alert has no part \"{text}\"");
                let near = nearest(text, WORDS.iter().copied());
                cursor.complain_at(token, Finding::error("HV0103", found).near(near).fix(FIX));
            }
        }
    }
    Some(Object::Alert(element))
}

/// Reads a block of values of the alert or a recipient.
fn values(cursor: &mut Cursor<'_>, word: &str, element: &mut Element) {
    let name = if word == "meta" { "meta_attributes" } else { "instance_attributes" };
    let owner = element.attr("id").unwrap_or_default().to_owned();
    let count = element.children_named(name).count();
    let set = block(cursor, &block_id(&owner, name, count), WORDS);
    element.children.push(write::nvset(name, &set));
}

fn select(cursor: &mut Cursor<'_>, id: &str, element: &mut Element) {
    let mut select = Element::new("select");
    while let Some(token) = cursor.peek().filter(|t| KINDS.contains(&t.text.as_str())) {
        cursor.next();
        let mut kind = Element::new(&format!("select_{}", token.text));
        if token.text == "attributes" && cursor.at_word(&["{"]) {
            cursor.next();
            while let Some(name) = cursor.expect("}", FIX).filter(|t| t.text != "}") {
                let mut attribute = Element::new("attribute");
                attribute.push("id", format!("{id}-select-attributes-{}", name.text));
                attribute.push("name", &name.text);
                kind.children.push(attribute);
            }
        }
        select.children.push(kind);
    }
    if select.children.is_empty() {
        match cursor.peek() {
            None => cursor.complain_at_end("what to select", FIX),
            Some(token) => {
                let found = format!("\"{}\" is no kind of events", token.text);
                let near = nearest(&token.text, KINDS);
                cursor.complain_at(token, Finding::error("HV0109", found).near(near).fix(FIX));
                cursor.next();
            }
        }
    }
    element.children.push(select);
}

/// Reads one or more recipients, each alone or in braces.
fn recipients(cursor: &mut Cursor<'_>, id: &str, element: &mut Element) {
    loop {
        let braced = cursor.at_word(&["{"]);
        if braced {
            cursor.next();
        }
        let Some(address) = cursor.expect("whom to tell", FIX) else { return };
        let mut recipient = Element::new("recipient");
        let count = element.children_named("recipient").count();
        recipient.push("id", block_id(id, "recipient", count));
        recipient.push("value", &address.text);
        while cursor.at_word(&["attributes", "meta"]) {
            let word = cursor.next().map_or("", |token| token.text.as_str());
            values(cursor, word, &mut recipient);
        }
        if braced && !cursor.at_word(&["}"]) {
            match cursor.peek() {
                None => cursor.complain_at_end("}", FIX),
                Some(token) => {
                    let found = format!("expected }}, found \"{}\"", token.text);
                    cursor.complain_at(token, Finding::error("HV0103", found).fix(FIX));
                }
            }
        } else if braced {
            cursor.next();
        }
        element.children.push(recipient);
        let more = cursor.peek().is_some_and(|token| {
            token.text == "{" || !WORDS.contains(&token.text.as_str()) && !token.text.contains('=')
        });
        if !more {
            return;
        }
    }
}
