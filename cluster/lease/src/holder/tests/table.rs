//! The holder's full table: every state of a lease against every input.
//!
//! A state stands as `[name] fields`; below it are its cells, each `inputs | what comes out | what changes`, where inputs
//! that do the same share a row, `-` is nothing and `=` no change. Fields that are gone stand last, as `no field`. A line
//! that begins with four spaces goes on the one before. Times are milliseconds, leases those of D = 60 ms unless they say
//! otherwise; `beat 3 1 + 2 names 9` is beat 3, promised by node 1, and by node 2 under the ninth entry.

mod asking;
mod closing;
mod holding;

use std::fmt::Write as _;

use super::inputs::{INPUTS, act};
use super::states::{STATES, state};
use super::*;

/// Everything a holder knows, field by field; what is not there has no field.
fn fields(holder: &Holder) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut put = |name: &str, value: String| all.push((name.to_owned(), value));
    assert!(holder.groups.keys().chain(holder.telling.keys()).all(|&group| group == G));
    if let Some(h) = holder.groups.get(&G) {
        match h.phase {
            Phase::Claiming => put("claiming", h.epoch.0.to_string()),
            Phase::Closing { ticket, again_at } => {
                put("closing", format!("{} #{} again {}", h.epoch.0, ticket.0, millis(again_at)));
            }
        }
        put("from", h.from_seq.0.to_string());
        let by = |lease: &Lease| {
            let seq = lease.seq.map_or_else(|| "none".to_owned(), |seq| seq.0.to_string());
            let short = if lease.duration == ms(30) { " of 30" } else { "" };
            format!("{} by {seq}{short}", millis(lease.end))
        };
        let optional = [
            ("lease", h.lease.as_ref().map(by)),
            ("newest", h.newest.map(|seq| seq.0.to_string())),
            ("open", h.open_until.map(|end| millis(end).to_string())),
            ("gated", h.gated.map(|seq| seq.0.to_string())),
            ("held", h.gained.then(|| "yes".to_owned())),
            ("next", h.next_epoch.map(|epoch| epoch.0.to_string())),
        ];
        for (name, value) in optional {
            value.into_iter().for_each(|value| put(name, value));
        }
        for Order { ticket, lease } in &h.orders {
            put(&format!("order #{}", ticket.0), by(lease));
        }
        for (voter, &due) in &h.retry {
            put(&format!("retry {}", voter.0), millis(due).to_string());
        }
    }
    if let Some(telling) = holder.telling.get(&G) {
        let told: Vec<u16> = telling.told.iter().map(|node| node.0).collect();
        let (before, until) = (telling.before.0, millis(telling.until));
        put("telling", format!("before {before} until {until} told {told:?}"));
    }
    put("log", holder.log.len().to_string());
    if let Some(due) = holder.deadline() {
        put("due", millis(due).to_string());
    }
    for seq in (1..holder.next_seq.0).map(Seq) {
        let Some(round) = holder.rounds.get(seq) else { continue };
        let mut votes = String::new();
        for vote in &round.votes {
            let refuses = if vote.refused.contains(&G) { " refuses" } else { "" };
            let names = vote.named.index.0;
            let named = if names == 1 { String::new() } else { format!(" names {names}") };
            write!(
                votes,
                "{}{}{named}{refuses}",
                if votes.is_empty() { "" } else { " + " },
                vote.voter.0
            )
            .unwrap();
        }
        put(&format!("beat {}", seq.0), if votes.is_empty() { "asks".to_owned() } else { votes });
    }
    all
}

fn listed(fields: &[(String, String)]) -> String {
    let words: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if words.is_empty() { "=".to_owned() } else { words.join(", ") }
}

/// What differs between two states: fields with their new values, then those that are gone.
fn changes(before: &[(String, String)], after: &[(String, String)]) -> String {
    let mut changed: Vec<_> =
        after.iter().filter(|field| !before.contains(field)).cloned().collect();
    let gone = before.iter().filter(|(name, _)| !after.iter().any(|(other, _)| other == name));
    changed.extend(gone.map(|(name, _)| ("no".to_owned(), name.clone())));
    listed(&changed)
}

/// One cell: what comes out, and what changes.
type Cell = (String, String);

/// The written table: the fields of every state, and its cells.
fn written() -> BTreeMap<String, (String, BTreeMap<String, Cell>)> {
    let mut lines: Vec<String> = Vec::new();
    for line in [asking::TABLE, holding::TABLE, closing::TABLE].iter().flat_map(|part| part.lines())
    {
        match line.strip_prefix("    ") {
            Some(more) => {
                let row = lines.last_mut().unwrap();
                row.push(' ');
                row.push_str(more);
            }
            None if line.is_empty() => {}
            None => lines.push(line.to_owned()),
        }
    }
    let mut table: BTreeMap<String, (String, BTreeMap<String, Cell>)> = BTreeMap::new();
    let mut current = String::new();
    for line in lines {
        if let Some((name, fields)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] "))
        {
            assert!(STATES.contains(&name), "the table tells of an unknown state: {name}");
            let new = table.insert(name.to_owned(), (fields.to_owned(), BTreeMap::new())).is_none();
            assert!(new, "the table tells of [{name}] twice");
            current = name.to_owned();
            continue;
        }
        let parts: Vec<&str> = line.split(" | ").collect();
        let [inputs, said, changed] = parts[..] else { panic!("no row of the table: {line}") };
        for input in inputs.split(" / ") {
            assert!(INPUTS.contains(&input), "[{current}] has an unknown input: {input}");
            let cell = (said.to_owned(), changed.to_owned());
            let cells = &mut table.get_mut(&current).unwrap().1;
            let before = cells.insert(input.to_owned(), cell);
            assert!(before.is_none(), "[{current}] has {input} twice");
        }
    }
    table
}

// spec: L1, L2, L3, L5, L9
#[test]
fn every_state_against_every_input() {
    let table = written();
    let mut wrong = Vec::new();
    for name in STATES {
        let Some((described, cells)) = table.get(name) else {
            panic!("no state [{name}] in the table")
        };
        let before = fields(&state(name));
        if listed(&before) != *described {
            wrong.push(format!("[{name}] {}", listed(&before)));
        }
        for input in INPUTS {
            let Some((said, changed)) = cells.get(input) else {
                panic!("the table has no cell for [{name}] and {input}");
            };
            let mut holder = state(name);
            let got = act(&mut holder, input);
            let now = changes(&before, &fields(&holder));
            if (&got, &now) != (said, changed) {
                wrong.push(format!(
                    "[{name}] {input} | {got} | {now}\n    not | {said} | {changed}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells differ:\n{}", wrong.len(), wrong.join("\n"));
}
