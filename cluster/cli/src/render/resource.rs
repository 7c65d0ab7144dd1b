//! Where a resource runs, and what failed of it.

use haven_api::{FailureRow, ResourceStatus};

use super::table::{column, render};

/// The score that stands for always.
const INFINITY: u32 = 1_000_000;

/// One line for each place where a resource or a part of it is active.
#[must_use]
pub fn located(resource: &ResourceStatus) -> String {
    let mut lines = String::new();
    places(resource, &mut lines);
    if lines.is_empty() {
        let why = resource.trouble.as_ref().map_or(String::new(), |why| format!(": {why}"));
        return format!("{} runs nowhere{why}\n", resource.id);
    }
    lines
}

fn places(resource: &ResourceStatus, lines: &mut String) {
    for active in &resource.active {
        lines.push_str(&format!("{} is {} on {}\n", resource.id, active.role.word(), active.node));
    }
    resource.children.iter().for_each(|child| places(child, lines));
}

/// Counted failures, one a line with what is known of it below, and what to do.
#[must_use]
pub fn failures(rows: &[FailureRow], width: usize) -> String {
    if rows.is_empty() {
        return "no failures are counted\n".to_owned();
    }
    let columns = [
        column("RESOURCE", 0),
        column("NODE", 0),
        column("OPERATION", 0),
        column("COUNT", 0),
        column("LAST", 1),
    ];
    let table = render(&columns, &rows.iter().map(cells).collect::<Vec<_>>(), width);
    let mut text = String::new();
    for (number, line) in table.lines().enumerate() {
        text.push_str(line);
        text.push('\n');
        let row = number.checked_sub(1).and_then(|row| rows.get(row));
        if let Some((rc, reason)) = row.and_then(|row| Some((row.rc?, row.reason.as_str()))) {
            let colon = if reason.is_empty() { "" } else { ": " };
            text.push_str(&format!("  ! code {rc}{colon}{reason}\n"));
        }
    }
    text + &remedy(rows)
}

/// A count of failures in the words of the field.
pub(super) fn how_often(count: u32) -> String {
    if count >= INFINITY { "INFINITY".to_owned() } else { count.to_string() }
}

fn cells(row: &FailureRow) -> Vec<String> {
    let operation = match row.interval_ms {
        0 => row.operation.clone(),
        interval => format!("{} every {interval} ms", row.operation),
    };
    let count = how_often(row.count);
    let last = row.last.and_then(|second| jiff::Timestamp::from_second(second).ok());
    let last = last.map(|at| at.to_string()).unwrap_or_default();
    vec![row.resource.clone(), row.node.clone(), operation, count, last]
}

/// Failures of one resource name it; those of several leave the choice.
fn remedy(rows: &[FailureRow]) -> String {
    let first = rows.first().map(|row| row.resource.as_str());
    let same = rows.iter().all(|row| Some(row.resource.as_str()) == first);
    let name = first.filter(|_| same).unwrap_or("RESOURCE");
    format!(
        "\n`haven resource cleanup {name}` forgets them and tries again;\n\
         `haven resource trace {name} OPERATION` has an OCF agent note down what it does\n"
    )
}

#[cfg(test)]
mod tests {
    use haven_api::{Active, ResourceKind, Role};

    use super::*;

    #[test]
    fn places_and_failures_are_lines() {
        let mut found = ResourceStatus {
            id: "web".to_owned(),
            kind: ResourceKind::Primitive,
            agent: None,
            target: Role::Started,
            managed: true,
            active: vec![Active { node: "n2".to_owned(), role: Role::Promoted, for_ms: None }],
            lease: None,
            unprotected: None,
            fail_count: 0,
            trouble: Some("no node may run it".to_owned()),
            children: Vec::new(),
        };
        assert_eq!(located(&found), "web is Promoted on n2\n");
        found.active.clear();
        assert_eq!(located(&found), "web runs nowhere: no node may run it\n");
        let row = FailureRow {
            resource: "web".to_owned(),
            node: "n2".to_owned(),
            operation: "monitor".to_owned(),
            interval_ms: 10_000,
            count: INFINITY,
            last: Some(0),
            rc: Some(7),
            reason: "gone".to_owned(),
        };
        let text = failures(&[row], 120);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = "web n2 monitor every 10000 ms INFINITY 1970-01-01T00:00:00Z ! code 7: gone";
        assert!(words.contains(line), "{text}");
        assert!(text.contains("haven resource cleanup web` forgets them"), "{text}");
        assert_eq!((how_often(3), how_often(INFINITY)), ("3".to_owned(), "INFINITY".to_owned()));
    }
}
