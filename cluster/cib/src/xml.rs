//! The door for XML: text to a plain element tree and back. Nothing behind the reader sees XML.

use std::borrow::Cow;
use std::fmt::Write as _;

use quick_xml::Reader;
use quick_xml::events::Event;
use quick_xml::events::attributes::Attributes;
use serde::{Deserialize, Serialize};

use crate::CibError;

/// The deepest nesting accepted; a real CIB stays far below.
const MAX_DEPTH: usize = 200;

/// One XML element: name, attributes in the order written, children; comments are dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// Tag name.
    pub name: String,
    /// Attributes in the order written.
    pub attributes: Vec<(String, String)>,
    /// Child elements.
    pub children: Vec<Self>,
    /// Character data directly inside, trimmed.
    pub text: String,
    /// Line of the opening tag in its source, from 1; 0 when made in memory.
    pub line: u32,
}

impl Element {
    /// An element without attributes or children.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// An owned copy of an attribute's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.attr(name).map(str::to_owned)
    }

    /// Adds an attribute at the end, without looking for one of the same name.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.attributes.push((name.to_owned(), value.into()));
    }

    /// Adds an attribute when there is a value.
    pub fn push_opt(&mut self, name: &str, value: Option<&String>) {
        if let Some(v) = value {
            self.push(name, v.clone());
        }
    }

    /// Sets an attribute, replacing an earlier value.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.attributes.iter_mut().find(|(n, _)| n == name) {
            Some((_, v)) => *v = value,
            None => self.attributes.push((name.to_owned(), value)),
        }
    }

    /// Removes an attribute and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let i = self.attributes.iter().position(|(n, _)| n == name)?;
        Some(self.attributes.remove(i).1)
    }

    /// The first child of this name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.name == name)
    }

    /// All children of this name.
    pub fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The same as if made in memory: equal to one that stood elsewhere.
    #[must_use]
    pub(crate) fn without_lines(mut self) -> Self {
        self.line = 0;
        self.children = self.children.into_iter().map(Self::without_lines).collect();
        self
    }

    /// True where all names are such that XML can hold them.
    pub(crate) fn can_be_written(&self) -> bool {
        is_name(&self.name)
            && self.attributes.iter().all(|(name, _)| is_name(name))
            && self.children.iter().all(Self::can_be_written)
    }

    /// The element as text, indented by two blanks per level.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    /// Appends the element to `out`, indented by `depth` levels.
    pub fn write(&self, out: &mut String, depth: usize) {
        for _ in 0..depth {
            out.push_str("  ");
        }
        out.push('<');
        out.push_str(&self.name);
        for (n, v) in &self.attributes {
            out.push(' ');
            out.push_str(n);
            out.push_str("=\"");
            escape_into(out, v);
            out.push('"');
        }
        if self.children.is_empty() && self.text.is_empty() {
            out.push_str("/>\n");
            return;
        }
        out.push('>');
        escape_into(out, &self.text);
        if !self.children.is_empty() {
            out.push('\n');
            for c in &self.children {
                c.write(out, depth + 1);
            }
            for _ in 0..depth {
                out.push_str("  ");
            }
        }
        let _ = writeln!(out, "</{}>", self.name);
    }
}

/// A name of XML: a letter or underscore, then also digits, `-`, `.` and `:`.
pub(crate) fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && letters.all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'))
}

/// Appends `text` with the five XML characters, tabs and line ends escaped.
pub fn escape_into(out: &mut String, text: &str) {
    if !text.bytes().any(|b| matches!(b, b'<' | b'>' | b'&' | b'"' | b'\t' | b'\n' | b'\r')) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            _ => out.push(c),
        }
    }
}

/// Counts lines as positions move forward.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u32,
}

impl Lines<'_> {
    /// Moves forward where no line ends.
    fn skip_to(&mut self, position: u64) {
        self.at = usize::try_from(position).unwrap_or(usize::MAX).min(self.bytes.len());
    }

    fn line_at(&mut self, position: u64) -> u32 {
        let to = usize::try_from(position).unwrap_or(usize::MAX).min(self.bytes.len());
        if to > self.at {
            let n = self.bytes[self.at..to].iter().filter(|b| **b == b'\n').count();
            self.line = self.line.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
            self.at = to;
        }
        self.line
    }
}

/// One XML element as it stands in its text, from which names and values are borrowed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Markup<'a> {
    pub(crate) name: &'a str,
    /// In the order written.
    pub(crate) attributes: Vec<(&'a str, Cow<'a, str>)>,
    pub(crate) children: Vec<Self>,
    /// Character data directly inside.
    pub(crate) text: String,
    /// Line of the opening tag, from 1.
    pub(crate) line: u32,
}

impl<'a> Markup<'a> {
    /// The value of an attribute.
    pub(crate) fn attr(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| *n == name).map(|(_, v)| &**v)
    }

    /// An owned copy of an attribute's value.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.attr(name).map(str::to_owned)
    }

    /// Sets an attribute that is there.
    pub(crate) fn replace(&mut self, name: &str, value: &'a str) {
        if let Some((_, v)) = self.attributes.iter_mut().find(|(n, _)| *n == name) {
            *v = Cow::Borrowed(value);
        }
    }

    /// Sets an attribute that is there to a text of its own.
    pub(crate) fn give(&mut self, name: &str, value: String) {
        if let Some((_, v)) = self.attributes.iter_mut().find(|(n, _)| *n == name) {
            *v = Cow::Owned(value);
        }
    }

    /// Takes an attribute out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.attributes.iter().position(|(n, _)| *n == name)?;
        Some(self.attributes.remove(at).1)
    }

    /// The first child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.name == name)
    }

    /// All children of this name.
    pub(crate) fn children_named<'b>(
        &'b self,
        name: &'b str,
    ) -> impl Iterator<Item = &'b Self> + use<'a, 'b> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// A copy that outlives the text.
    pub(crate) fn to_element(&self) -> Element {
        let owned = |(n, v): &(&str, Cow<'_, str>)| ((*n).to_owned(), v.clone().into_owned());
        Element {
            name: self.name.to_owned(),
            attributes: self.attributes.iter().map(owned).collect(),
            children: self.children.iter().map(Self::to_element).collect(),
            text: self.text.trim().to_owned(),
            line: self.line,
        }
    }
}

/// Reads a document into its root element.
///
/// # Errors
/// [`CibError::Syntax`] where the text is no well-formed XML, or nested deeper than 200.
pub fn parse(text: &str) -> Result<Element, CibError> {
    markup(text).map(|root| root.to_element())
}

/// Reads a document into its root element, which borrows from the text.
///
/// # Errors
/// [`CibError::Syntax`] where the text is no well-formed XML, or nested deeper than 200.
pub(crate) fn markup(text: &str) -> Result<Markup<'_>, CibError> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut lines = Lines { bytes: text.as_bytes(), at: 0, line: 1 };
    let mut stack: Vec<Markup<'_>> = Vec::new();
    let mut root: Option<Markup<'_>> = None;
    let mut scratch = Vec::new();
    let syntax = |line: u32, found: String| CibError::Syntax { line, found };
    loop {
        let event = reader.read_event();
        let end = reader.buffer_position();
        // Nearly all tags stand on one line, which is seen when they are split.
        let tag = matches!(event, Ok(Event::Start(_) | Event::Empty(_)));
        let line = if tag { lines.line } else { lines.line_at(end) };
        match event.map_err(|e| syntax(line, e.to_string()))? {
            Event::Start(tag) => {
                if stack.len() >= MAX_DEPTH {
                    return Err(syntax(line, format!("elements nested deeper than {MAX_DEPTH}")));
                }
                let name_length = tag.name().into_inner().len();
                let tag = inside(text, end, ">", &tag).map_err(|e| syntax(line, e))?;
                stack.push(open(tag, name_length, &mut lines, end, &mut scratch)?);
            }
            Event::Empty(tag) => {
                let name_length = tag.name().into_inner().len();
                let tag = inside(text, end, "/>", &tag).map_err(|e| syntax(line, e))?;
                let element = open(tag, name_length, &mut lines, end, &mut scratch)?;
                close(element, &mut stack, &mut root, line)?;
            }
            Event::End(_) => {
                let element = stack.pop().ok_or_else(|| syntax(line, "a stray end tag".into()))?;
                close(element, &mut stack, &mut root, line)?;
            }
            Event::Text(t) => {
                // Most text is the white space between elements.
                if let Some(top) = stack.last_mut()
                    && !(top.text.is_empty() && t.trim_ascii().is_empty())
                {
                    top.text.push_str(&t);
                }
            }
            Event::GeneralRef(reference) => {
                let written = format!("&{};", &*reference);
                let meant = quick_xml::escape::unescape(&written);
                let meant = meant.map_err(|e| syntax(line, e.to_string()))?;
                if let Some(top) = stack.last_mut() {
                    top.text.push_str(&meant);
                }
            }
            Event::Eof => break,
            Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
    if let Some(top) = stack.last() {
        return Err(syntax(lines.line, format!("the text ends inside <{}>", top.name)));
    }
    root.ok_or_else(|| syntax(1, "no element at all".into()))
}

/// The inside of the tag that ends before `end`, as a part of the text itself.
fn inside<'a>(text: &'a str, end: u64, bracket: &str, tag: &str) -> Result<&'a str, String> {
    let end = usize::try_from(end).unwrap_or(usize::MAX).saturating_sub(bracket.len());
    let found = text.get(end.saturating_sub(tag.len())..end);
    found.filter(|found| *found == tag).ok_or_else(|| format!("an odd tag, <{tag}{bracket}"))
}

fn open<'a>(
    tag: &'a str,
    name_length: usize,
    lines: &mut Lines<'_>,
    end: u64,
    scratch: &mut Vec<(&'a str, Cow<'a, str>)>,
) -> Result<Markup<'a>, CibError> {
    scratch.clear();
    if plain_attributes(tag.get(name_length..).unwrap_or_default(), scratch) {
        lines.skip_to(end);
    } else {
        let line = lines.line_at(end);
        let syntax = |found: String| CibError::Syntax { line, found };
        scratch.clear();
        for a in Attributes::new(tag, name_length) {
            let a = a.map_err(|e| syntax(e.to_string()))?;
            let value = match a.value {
                Cow::Borrowed(v) => quick_xml::escape::unescape(v),
                Cow::Owned(v) => quick_xml::escape::unescape(&v).map(|v| v.into_owned().into()),
            };
            scratch.push((a.key.into_inner(), value.map_err(|e| syntax(e.to_string()))?));
        }
    }
    let attributes = scratch.as_slice().to_vec();
    let name = tag.get(..name_length).unwrap_or_default();
    Ok(Markup { name, attributes, line: lines.line, ..Markup::default() })
}

/// Splits attributes as nearly all documents have them: a blank before each name, no blanks around `=`, double quotes,
/// nothing escaped, no name twice. False for everything else, right or wrong, which is left to the XML reader.
fn plain_attributes<'a>(text: &'a str, list: &mut Vec<(&'a str, Cow<'a, str>)>) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let name_at = at + 1;
        let name_end = end_of(bytes, name_at, IN_NAMES);
        let value_at = name_end + 2;
        if bytes[at] != b' ' || bytes.get(name_end..value_at) != Some(b"=\"") {
            return false;
        }
        let value_end = end_of(bytes, value_at, IN_VALUES);
        if bytes.get(value_end) != Some(&b'"') {
            return false;
        }
        let (name, value) = (&text[name_at..name_end], &text[value_at..value_end]);
        if name.is_empty() || list.iter().any(|(n, _)| *n == name) {
            return false;
        }
        list.push((name, Cow::Borrowed(value)));
        at = value_end + 1;
    }
    true
}

/// Bytes of plain names.
const IN_NAMES: u8 = 1;
/// Bytes of plain values.
const IN_VALUES: u8 = 2;

/// What each byte may be part of.
static PARTS: [u8; 256] = {
    let mut parts = [IN_VALUES; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        // The index is a byte.
        let b = byte.to_le_bytes()[0];
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':') {
            parts[byte] |= IN_NAMES;
        }
        if matches!(b, b'"' | b'&' | b'<' | b'\t' | b'\n' | b'\r') {
            parts[byte] = 0;
        }
        byte += 1;
    }
    parts
};

/// Where the run of bytes that may be part of this ends.
fn end_of(bytes: &[u8], mut at: usize, part: u8) -> usize {
    while let Some(b) = bytes.get(at)
        && PARTS[usize::from(*b)] & part != 0
    {
        at += 1;
    }
    at
}

fn close<'a>(
    element: Markup<'a>,
    stack: &mut [Markup<'a>],
    root: &mut Option<Markup<'a>>,
    line: u32,
) -> Result<(), CibError> {
    match stack.last_mut() {
        Some(parent) => parent.children.push(element),
        None if root.is_none() => *root = Some(element),
        None => {
            return Err(CibError::Syntax { line, found: "a second root element".into() });
        }
    }
    Ok(())
}
