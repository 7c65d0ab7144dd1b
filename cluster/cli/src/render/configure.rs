//! The log of changes and differences, for people.

use haven_api::{CommitRow, ObjectChange, Version};

use super::clock;

/// Longest product of lines before and after that a difference inside an object is looked for in.
const MOST_PAIRS: usize = 250_000;

/// One change a paragraph: version, time, who and where; what for; what it touched.
#[must_use]
pub fn commits(rows: &[CommitRow]) -> String {
    if rows.is_empty() {
        return "the configuration was never changed\n".to_owned();
    }
    let mut text = String::new();
    for row in rows {
        let kept = if row.kept { "" } else { "  (what it changed is no longer kept)" };
        text.push_str(&format!(
            "{}  {}  {} on {}{kept}\n    {}\n    changed: {}\n",
            row.version,
            clock(row.at),
            row.author,
            row.node,
            row.message,
            if row.changed.is_empty() {
                "nothing by name".to_owned()
            } else {
                row.changed.join(", ")
            }
        ));
    }
    text
}

/// Lines that went with `-`, lines that came with `+`, lines that stayed with a blank.
#[must_use]
pub fn difference(from: Version, to: Version, changes: &[ObjectChange]) -> String {
    if changes.is_empty() {
        return format!("nothing differs between {from} and {to}\n");
    }
    let mut text = format!("--- {from}\n+++ {to}\n");
    for change in changes {
        let lines = |side: &Option<String>| -> Vec<String> {
            side.iter().flat_map(|lines| lines.lines().map(str::to_owned)).collect()
        };
        for (mark, line) in marked(&lines(&change.before), &lines(&change.after)) {
            text.push_str(&format!("{mark} {line}\n"));
        }
    }
    text
}

/// Both lists as one, by their longest common subsequence.
fn marked<'a>(old: &'a [String], new: &'a [String]) -> Vec<(char, &'a str)> {
    let all = |mark, lines: &'a [String]| lines.iter().map(move |line| (mark, line.as_str()));
    if old.len().saturating_mul(new.len()) > MOST_PAIRS {
        return all('-', old).chain(all('+', new)).collect();
    }
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut found) = (0, 0, Vec::new());
    while i < old.len() && j < new.len() {
        if old[i] == new[j] {
            found.push((' ', old[i].as_str()));
            (i, j) = (i + 1, j + 1);
        } else if common[i + 1][j] >= common[i][j + 1] {
            found.push(('-', old[i].as_str()));
            i += 1;
        } else {
            found.push(('+', new[j].as_str()));
            j += 1;
        }
    }
    found.extend(all('-', &old[i..]));
    found.extend(all('+', &new[j..]));
    found
}

#[cfg(test)]
mod tests {
    use haven_base::WallTime;

    use super::*;

    const fn version(epoch: u64) -> Version {
        Version { admin_epoch: 0, epoch, num_updates: 0 }
    }

    #[test]
    fn a_difference_shows_what_went_came_and_stayed() {
        let change = |object: &str, before: Option<&str>, after: Option<&str>| ObjectChange {
            object: object.into(),
            before: before.map(Into::into),
            after: after.map(Into::into),
        };
        let changes = [
            change(
                "vip",
                Some("# the address\nprimitive vip ocf:haven:ip \\\n    params ip=192.0.2.10"),
                Some("# the address\nprimitive vip ocf:haven:ip \\\n    params ip=192.0.2.11"),
            ),
            change("l1", Some("location l1 vip 100: n1"), None),
            change("t", None, Some("tag t: vip")),
        ];
        assert_eq!(
            difference(version(6), version(7), &changes),
            "--- 0.6.0\n+++ 0.7.0\n\
             \u{20} # the address\n\
             \u{20} primitive vip ocf:haven:ip \\\n\
             -     params ip=192.0.2.10\n\
             +     params ip=192.0.2.11\n\
             - location l1 vip 100: n1\n\
             + tag t: vip\n"
        );
        assert_eq!(
            difference(version(6), version(7), &[]),
            "nothing differs between 0.6.0 and 0.7.0\n"
        );
    }

    #[test]
    fn a_change_tells_who_where_why_and_what() {
        let row = CommitRow {
            version: version(7),
            at: WallTime::from_seconds(1_700_000_000),
            author: "alice as root".into(),
            node: "n2".into(),
            message: "configure load vip.crm".into(),
            changed: vec!["vip".into(), "property".into()],
            kept: false,
        };
        assert_eq!(
            commits(&[row]),
            "0.7.0  2023-11-14T22:13:20.000Z  alice as root on n2  (what it changed is no longer kept)\n\
             \u{20}   configure load vip.crm\n\
             \u{20}   changed: vip, property\n"
        );
    }
}
