//! The words of one declaration, read from left to right.

use crate::crm::finding::Finding;
use crate::crm::lex::{Line, Token};

/// Reads the words of one line and collects what is wrong with them.
pub(super) struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
    end: (u32, u32),
    object: Option<String>,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a Line, findings: &'a mut Vec<Finding>) -> Self {
        Self { tokens: &line.tokens, at: 0, end: line.end, object: None, findings }
    }

    /// The word that comes next.
    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    /// The word after the one that comes next.
    pub(super) fn peek_second(&self) -> Option<&'a Token> {
        self.tokens.get(self.at + 1)
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    /// True when the next word is one of the keywords, unquoted.
    pub(super) fn at_word(&self, words: &[&str]) -> bool {
        self.peek().is_some_and(|token| !token.quoted && words.contains(&token.text.as_str()))
    }

    pub(super) const fn skip_all(&mut self) {
        self.at = self.tokens.len();
    }

    /// How many findings there are so far.
    pub(super) const fn complaints(&self) -> usize {
        self.findings.len()
    }

    /// Findings from now on concern this object.
    pub(super) fn about(&mut self, object: &str) {
        self.object = Some(object.to_owned());
    }

    /// Reports a finding at a word.
    pub(super) fn complain_at(&mut self, token: &Token, finding: Finding) {
        let mut finding = finding.at(token.line, token.column);
        finding.object = finding.object.or_else(|| self.object.clone());
        self.findings.push(finding);
    }

    /// Reports that the line ends too early.
    pub(super) fn complain_at_end(&mut self, expected: &str, fix: &str) {
        let mut finding =
            Finding::error("HV0102", format!("expected {expected}, found the end of the line"))
                .at(self.end.0, self.end.1)
                .fix(fix);
        finding.object.clone_from(&self.object);
        self.findings.push(finding);
    }

    /// The next word, which must be there.
    pub(super) fn expect(&mut self, expected: &str, fix: &str) -> Option<&'a Token> {
        if self.peek().is_none() {
            self.complain_at_end(expected, fix);
        }
        self.next()
    }

    /// The id of the object that is declared.
    pub(super) fn id(&mut self, what: &str, fix: &str) -> Option<String> {
        let token = self.expect(&format!("the id of the {what}"), fix)?;
        self.about(&token.text);
        Some(self.reference(token, &token.text))
    }

    /// `text`, a part of `token`, as an id. Ids are names of XML: a letter or underscore, then letters,
    /// digits, `-`, `_` and `.`; others are reported.
    pub(super) fn reference(&mut self, token: &Token, text: &str) -> String {
        let mut characters = text.chars();
        let first = characters.next().is_some_and(|c| c.is_alphabetic() || c == '_');
        let rest = characters.all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !first || !rest {
            self.complain_at(
                token,
                Finding::error("HV0105", format!("\"{text}\" cannot be an id")).fix(
                    "start with a letter or underscore and go on with letters, digits, '-', '_' or '.'",
                ),
            );
        }
        text.to_owned()
    }

    /// Reports every word that is left.
    pub(super) fn expect_end(&mut self) {
        if let Some(token) = self.next() {
            self.complain_at(
                token,
                Finding::error(
                    "HV0103",
                    format!("expected the end of the line, found \"{}\"", token.text),
                )
                .fix("remove it, or start a new line before it"),
            );
            self.skip_all();
        }
    }
}
