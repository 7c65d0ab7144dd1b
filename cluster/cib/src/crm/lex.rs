//! Text to logical lines of words, each with its place.

use super::finding::Finding;

/// A word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token {
    /// Its text without quotes.
    pub(super) text: String,
    /// Line, from 1.
    pub(super) line: u32,
    /// Column in characters, from 1.
    pub(super) column: u32,
    /// Some of it was quoted, so it is no bracket or keyword.
    pub(super) quoted: bool,
}

/// The words of one declaration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Line {
    /// Comment lines before it, each with its `#`.
    pub(super) comments: Vec<String>,
    /// Its words; at least one.
    pub(super) tokens: Vec<Token>,
    /// Where it ends: line and column after the last character.
    pub(super) end: (u32, u32),
}

/// The whole text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Lexed {
    /// Declarations in order.
    pub(super) lines: Vec<Line>,
    /// Comment lines after the last declaration.
    pub(super) trailing: Vec<String>,
}

pub(super) fn lex(text: &str, findings: &mut Vec<Finding>) -> Lexed {
    let mut lexed = Lexed::default();
    let mut line = Line::default();
    let mut continues = false;
    let mut number = 0_u32;
    for physical in text.lines() {
        number = number.saturating_add(1);
        let physical = physical.trim_end();
        if !continues && physical.trim_start().starts_with('#') {
            line.comments.push(physical.trim_start().to_owned());
            continue;
        }
        continues = words(physical, number, &mut line, findings);
        if !continues && !line.tokens.is_empty() {
            lexed.lines.push(std::mem::take(&mut line));
        }
    }
    if line.tokens.is_empty() {
        lexed.trailing = line.comments;
    } else {
        lexed.lines.push(line);
    }
    lexed
}

/// Appends the words of one physical line; true when the next one belongs to it.
fn words(physical: &str, number: u32, line: &mut Line, findings: &mut Vec<Finding>) -> bool {
    let mut characters = physical.chars().zip(1_u32..).peekable();
    let mut word: Option<Token> = None;
    let mut end = 1;
    while let Some((character, column)) = characters.next() {
        end = column + 1;
        if character.is_whitespace() {
            line.tokens.extend(word.take());
            continue;
        }
        if character == '\\' && characters.peek().is_none() {
            line.tokens.extend(word.take());
            line.end = (number, column);
            return true;
        }
        let open = word.get_or_insert_with(|| Token {
            text: String::new(),
            line: number,
            column,
            quoted: false,
        });
        if character != '"' && character != '\'' {
            open.text.push(character);
            continue;
        }
        open.quoted = true;
        let mut closed = false;
        while let Some((inner, at)) = characters.next() {
            end = at + 1;
            if inner == character {
                closed = true;
                break;
            }
            if inner == '\\'
                && character == '"'
                && let Some((escaped, at)) = characters.next()
            {
                end = at + 1;
                match escaped {
                    'n' => open.text.push('\n'),
                    't' => open.text.push('\t'),
                    '"' | '\\' => open.text.push(escaped),
                    other => open.text.extend(['\\', other]),
                }
            } else {
                open.text.push(inner);
            }
        }
        if !closed {
            findings.push(
                Finding::error(
                    "HV0104",
                    format!("the quote {character} is not closed on its line"),
                )
                .at(number, column)
                .fix(format!("add {character} at the end of the value")),
            );
        }
    }
    line.tokens.extend(word);
    line.end = (number, end);
    false
}

/// `text` as one word that [`lex`] reads back.
pub(super) fn quote(text: &str) -> String {
    let plain = !text.is_empty()
        && !text.ends_with('\\')
        && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '"' || c == '\'');
    if plain {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<Vec<String>> {
        let mut findings = Vec::new();
        let lexed = lex(text, &mut findings);
        assert_eq!(findings, []);
        lexed.lines.iter().map(|l| l.tokens.iter().map(|t| t.text.clone()).collect()).collect()
    }

    #[test]
    fn lines_continue_after_a_backslash_and_quotes_keep_blanks() {
        assert_eq!(
            texts("a b \\\n  c=\"d e\"\n\nf 'g \"h'\"\\\"\"\n"),
            [vec!["a", "b", "c=d e"], vec!["f", "g \"h\""]]
        );
        assert_eq!(texts("rule 100: \\\n#uname eq n1"), [["rule", "100:", "#uname", "eq", "n1"]]);
        assert_eq!(texts("a \\"), [["a"]], "a backslash on the last line");
        assert_eq!(texts("a\\b c"), [["a\\b", "c"]], "a backslash inside a word");
    }

    #[test]
    fn comments_belong_to_what_follows() {
        let lexed = lex("# one\n\n#two\na\n# end\n", &mut Vec::new());
        assert_eq!(lexed.lines[0].comments, ["# one", "#two"]);
        assert_eq!(lexed.trailing, ["# end"]);
    }

    #[test]
    fn places_count_characters() {
        let lexed = lex("\n ä b=\"c", &mut Vec::new());
        let token = &lexed.lines[0].tokens[1];
        assert_eq!((token.line, token.column), (2, 4));
        let mut findings = Vec::new();
        lex("\n ä b=\"c", &mut findings);
        assert_eq!((findings[0].line, findings[0].column), (Some(2), Some(6)));
    }

    #[test]
    fn every_text_survives_quoting() {
        for text in
            ["", "a", "a b", "\"", "\\", "a\\", "\\n", "a\nb", "'", "ä\t#", "\\d+", "(", "a\u{85}b"]
        {
            assert_eq!(texts(&quote(text)), [[text.to_owned()]], "{text:?}");
        }
    }
}
