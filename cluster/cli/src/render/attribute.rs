//! Attributes of nodes as a table.

use haven_api::AttributeRow;

use super::table::{column, render};
use crate::duration;

/// Attributes, one a line, with what is held back.
#[must_use]
pub fn attributes(rows: &[AttributeRow], width: usize) -> String {
    if rows.is_empty() {
        return "no attributes\n".to_owned();
    }
    let columns = [
        column("NODE", 0),
        column("ATTRIBUTE", 0),
        column("VALUE", 0),
        column("UNTIL", 1),
        column("NOTES", 2),
    ];
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let until = row.lifetime.word().to_owned();
            let value = row.value.clone().unwrap_or_default();
            vec![row.node.clone(), row.name.clone(), value, until, notes(row)]
        })
        .collect();
    render(&columns, &lines, width)
}

fn notes(row: &AttributeRow) -> String {
    let pending = row.pending.as_ref().map(|value| match value.as_str() {
        "" => "to be deleted".to_owned(),
        value => format!("to be {value}"),
    });
    let delay = (row.delay_ms > 0).then(|| format!("delay {}", duration::age(row.delay_ms)));
    let private = row.private.then(|| "private".to_owned());
    [pending, delay, private].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use haven_api::AttributeLifetime;

    use super::*;

    #[test]
    fn what_is_held_back_is_told() {
        let row = AttributeRow {
            node: "n1".to_owned(),
            name: "pingd".to_owned(),
            value: Some("100".to_owned()),
            lifetime: AttributeLifetime::Reboot,
            pending: Some("0".to_owned()),
            delay_ms: 5_000,
            private: true,
        };
        let text = attributes(std::slice::from_ref(&row), 100);
        let line = text.lines().nth(1).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            words,
            ["n1", "pingd", "100", "reboot", "to", "be", "0,", "delay", "5", "s,", "private"]
        );
        let gone = AttributeRow { pending: Some(String::new()), ..row };
        assert!(attributes(&[gone], 100).contains("to be deleted"));
        assert_eq!(attributes(&[], 100), "no attributes\n");
    }
}
