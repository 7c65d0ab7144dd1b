//! `haven ip status` and `haven ip why`.

use haven_api::{AddressRow, AddressState, IpWhy, NodeReason};

use super::table::{self, column};
use crate::duration::age;

/// Every address with its owner, lease and announcing.
#[must_use]
pub fn addresses(rows: &[AddressRow], width: usize) -> String {
    if rows.is_empty() {
        return "no addresses are configured; see `haven configure load --help`\n".to_owned();
    }
    let columns = [
        column("ADDRESS", 0),
        column("DEV", 6),
        column("OWNER", 0),
        column("EPOCH", 4),
        column("LEASE-LEFT", 2),
        column("STATE", 0),
        column("ANNOUNCED", 5),
        column("CONFIRMED", 7),
        column("CONFLICTS", 3),
    ];
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let table = table::render(&columns, &cells, width);
    let elsewhere = rows.iter().any(|row| row.owner.is_some() && row.conflicts.is_none());
    let note = if elsewhere { "-: only the owner knows; ask there\n" } else { "" };
    let contested = rows.iter().filter_map(|row| row.contested.as_ref());
    let lines: String = contested.map(|text| table::wrap(text, 2, width)).collect();
    format!("{table}{note}{lines}")
}

fn cells(row: &AddressRow) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let lease = match (row.unprotected, row.lease_left_ms) {
        (true, _) => "UNPROTECTED".to_owned(),
        (false, left) => or_dash(left.map(age)),
    };
    vec![
        format!("{}/{}", row.address, row.prefix_len),
        or_dash(row.device.clone()),
        or_dash(row.owner.clone()),
        or_dash(row.epoch.map(|epoch| epoch.to_string())),
        lease,
        state(row.state).to_owned(),
        or_dash(row.announced.map(|it| format!("{}×", it.sent))),
        match row.confirmed {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        }
        .to_owned(),
        or_dash(row.conflicts.map(|it| it.to_string())),
    ]
}

const fn state(state: AddressState) -> &'static str {
    match state {
        AddressState::Down => "down",
        AddressState::Starting => "starting",
        AddressState::Up => "up",
        AddressState::Stopping => "stopping",
        AddressState::Failed => "failed",
        AddressState::Unknown => "unknown",
    }
}

/// Who owns an address and what decided that; for each other node the first failing condition.
#[must_use]
pub fn why(why: &IpWhy, width: usize) -> String {
    let mut out = format!("{} belongs to resource {}\n", why.address, why.resource);
    match (&why.owner, &why.nobody) {
        (Some(owner), _) => {
            out.push_str(&format!("owned by {}{}: {}\n", owner.node, score(owner), owner.reason));
        }
        (None, Some(reason)) => out.push_str(&format!("owned by nobody: {reason}\n")),
        (None, None) => out.push_str("owned by nobody, as far as this node knows\n"),
    }
    for other in &why.others {
        let line = format!("  not {}{}: {}", other.node, score(other), other.reason);
        out.push_str(&table::wrap(&line, 6, width));
    }
    out
}

fn score(reason: &NodeReason) -> String {
    const INFINITY: i32 = 1_000_000;
    match reason.score {
        None => String::new(),
        Some(INFINITY..) => " (score INFINITY)".to_owned(),
        Some(..=-1_000_000) => " (score -INFINITY)".to_owned(),
        Some(score) => format!(" (score {score})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> AddressRow {
        AddressRow {
            address: [192, 0, 2, 10].into(),
            prefix_len: 24,
            device: Some("eth1".into()),
            resource: "vip".into(),
            owner: Some("n1".into()),
            epoch: Some(7),
            lease_left_ms: Some(52),
            state: AddressState::Up,
            announced: Some(haven_api::Announcement { sent: 7 }),
            confirmed: Some(true),
            conflicts: Some(0),
            contested: None,
            unprotected: false,
        }
    }

    #[test]
    fn addresses_show_every_column_where_there_is_room() {
        let mut unprotected = row();
        unprotected.address = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10].into();
        unprotected.prefix_len = 64;
        unprotected.unprotected = true;
        (unprotected.announced, unprotected.confirmed) = (None, None);
        unprotected.conflicts = None;
        assert_eq!(
            addresses(&[row(), unprotected], 120),
            "\
ADDRESS          DEV   OWNER  EPOCH  LEASE-LEFT   STATE  ANNOUNCED  CONFIRMED  CONFLICTS
192.0.2.10/24    eth1  n1     7      52 ms        up     7×         yes        0
2001:db8::10/64  eth1  n1     7      UNPROTECTED  up     -          -          -
-: only the owner knows; ask there
"
        );
        assert_eq!(
            addresses(&[row()], 40),
            "ADDRESS        OWNER  LEASE-LEFT  STATE\n192.0.2.10/24  n1     52 ms       up\n"
        );
    }

    #[test]
    fn why_names_the_first_failing_condition_of_the_others() {
        let reason = |node: &str, score, reason: &str| NodeReason {
            node: node.into(),
            score,
            reason: reason.into(),
        };
        let answer = IpWhy {
            address: [192, 0, 2, 10].into(),
            resource: "vip".into(),
            owner: Some(reason("n1", Some(100), "location vip-prefers-n1 gives 100")),
            nobody: None,
            others: vec![
                reason("n2", Some(0), "score 0 is below 100"),
                reason("n10", Some(-1_000_000), "standby"),
            ],
        };
        assert_eq!(
            why(&answer, 80),
            "192.0.2.10 belongs to resource vip\n\
             owned by n1 (score 100): location vip-prefers-n1 gives 100\n\
             \u{20} not n2 (score 0): score 0 is below 100\n\
             \u{20} not n10 (score -INFINITY): standby\n"
        );
    }
}
