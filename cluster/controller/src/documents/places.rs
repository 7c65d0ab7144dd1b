//! Where the objects of a document stand in it.

use std::collections::BTreeMap;

use haven_api::Finding;
use haven_cib::crm::Loaded;

/// What stands between the beginning of a declaration and the id or name that it declares.
const FORMS: [&str; 8] = [
    "id=\"",
    "uname=\"",
    "id='",
    "uname='",
    "\"id\": \"",
    "\"id\":\"",
    "\"uname\": \"",
    "\"uname\":\"",
];

/// The first line, from 1, of each id and name that a document declares: it is read once, however much is to be placed.
pub(crate) struct Places<'t>(BTreeMap<&'t str, u32>);

impl<'t> Places<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        let mut first = BTreeMap::new();
        for (line, number) in text.lines().zip(1_u32..) {
            for (form, at) in FORMS.iter().flat_map(|form| starts(line, form)) {
                let inside = line[..at].chars().next_back();
                if inside.is_some_and(|c| c.is_alphanumeric() || c == '-') {
                    continue;
                }
                let rest = &line[at + form.len()..];
                let quote = if form.ends_with('"') { '"' } else { '\'' };
                if let Some((name, _)) = rest.split_once(quote) {
                    first.entry(name).or_insert(number);
                }
            }
        }
        Self(first)
    }

    /// A finding with the line that its object has in the document.
    pub(crate) fn place(&self, mut finding: Finding) -> Finding {
        finding.column = None;
        finding.line = finding.object.as_deref().and_then(|object| self.line_of(object));
        finding
    }

    /// What was loaded, its objects where they stand in the document.
    pub(crate) fn placed(&self, mut loaded: Loaded) -> Loaded {
        let declared = std::mem::take(&mut loaded.declared).into_iter();
        loaded.declared = declared
            .filter_map(|(object, _)| {
                let line = self.line_of(&object)?;
                Some((object, line))
            })
            .collect();
        loaded
    }

    fn line_of(&self, object: &str) -> Option<u32> {
        self.0.get(object).copied()
    }
}

/// Where `form` stands in a line.
fn starts<'f>(line: &str, form: &'f str) -> impl Iterator<Item = (&'f str, usize)> {
    line.match_indices(form).map(move |(at, _)| (form, at))
}

#[cfg(test)]
mod tests {
    use haven_api::Severity;

    use super::*;

    fn about(object: String) -> Finding {
        Finding {
            code: "HV0400".to_owned(),
            severity: Severity::Error,
            line: Some(1),
            column: Some(1),
            object: Some(object),
            message: String::new(),
            nearest: None,
            remedy: None,
        }
    }

    #[test]
    fn an_object_stands_where_it_is_declared_first_in_either_form() {
        let text = "<nodes>\n<node id='1' uname='n1'/>\n<lrm rsc-id=\"a\" xid='a'/><b id=\"a\"/>\n\
                    {\"id\": \"j\",\n \"uname\":\"k\"} id=\"a\"\n id=\"it's\" id=\"open";
        let places = Places::of(text);
        let line = |object: &str| places.place(about(object.to_owned())).line;
        let found: Vec<_> = ["1", "n1", "a", "j", "k", "it's", "it", "open", ""].map(line).to_vec();
        let due = [Some(2), Some(2), Some(3), Some(4), Some(5), Some(6), None, None, None];
        assert_eq!(found, due);
    }
}
