//! Lists of `name=value`.

use haven_base::nearest;

use super::cursor::Cursor;
use super::rules;
use crate::crm::finding::Finding;
use crate::crm::lex::{Token, quote};
use crate::model::{NvPair, NvSet};

/// Reads `[$id=ID] [SCORE:] [rule …] name=value …` up to one of the words `stop` or the end.
/// `default_id` is the block's id when the text gives none.
pub(super) fn block(cursor: &mut Cursor<'_>, default_id: &str, stop: &[&str]) -> NvSet {
    let mut set = NvSet { id: default_id.to_owned(), ..NvSet::default() };
    let mut values: Vec<(String, String)> = Vec::new();
    while let Some(token) = cursor.peek() {
        if !token.quoted && stop.contains(&token.text.as_str()) {
            break;
        }
        cursor.next();
        if let Some(id) = token.text.strip_prefix("$id=") {
            set.id = id.to_owned();
        } else if token.text == "rule" && !token.quoted {
            let id = format!("{}-rule", set.id);
            set.rule = rules::rule(cursor, &id, false);
        } else if let Some((name, value)) =
            token.text.split_once('=').filter(|(n, _)| !n.is_empty())
        {
            if values.iter().any(|(known, _)| known == name) {
                cursor.complain_at(
                    token,
                    Finding::error("HV0108", format!("\"{name}\" is given twice"))
                        .fix("keep one of the two"),
                );
            }
            values.push((name.to_owned(), value.to_owned()));
        } else if let Some(score) = token.text.strip_suffix(':').filter(|_| values.is_empty()) {
            set.score = rules::score(score);
            if set.score.is_none() {
                rules::complain_score(cursor, token, score);
            }
        } else {
            bare_word(cursor, token, stop);
        }
    }
    set.pairs = values
        .into_iter()
        .map(|(name, value)| NvPair {
            id: Some(format!("{}-{name}", set.id)),
            name,
            value: Some(value),
        })
        .collect();
    set
}

/// Reports a word that is no `name=value`. Where two such follow each other, they are a name and its value.
fn bare_word(cursor: &mut Cursor<'_>, token: &Token, stop: &[&str]) {
    let known = stop.iter().copied().chain(["rule"]);
    let near = nearest(&token.text, known);
    let value = cursor.peek().filter(|next| {
        let keyword = !next.quoted && (stop.contains(&next.text.as_str()) || next.text == "rule");
        near.is_none() && !keyword && !next.text.contains('=')
    });
    let fix = match value {
        Some(value) => {
            cursor.next();
            format!("write {}={}", token.text, quote(&value.text))
        }
        None => format!("write {}=VALUE, with quotes around blanks", token.text),
    };
    let found = format!("expected NAME=VALUE, found \"{}\"", token.text);
    cursor.complain_at(token, Finding::error("HV0103", found).near(near).fix(fix));
}

/// The id of the `count`-th block of a kind (from 0) of an object.
pub(in crate::crm) fn block_id(object: &str, kind: &str, count: usize) -> String {
    if count == 0 { format!("{object}-{kind}") } else { format!("{object}-{kind}-{count}") }
}
