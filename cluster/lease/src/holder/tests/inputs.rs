//! The inputs of the table, and what comes out of a holder in the table's words.

use std::fmt::Write as _;

use super::*;
use crate::Round;

/// The inputs of the table. All come at 1,000 ms, and answers are to the newest beat, unless they say otherwise.
/// `adopt` is none: a process adopts before its first input.
pub(super) const INPUTS: [&str; 45] = [
    "claim 2",
    "claim 3",
    "claim 4",
    "release",
    "granted 2",
    "granted 3",
    "granted 4",
    "granted 6",
    "promise of 1",
    "promise of 2",
    "promise of 3",
    "promise of stranger",
    "promise of 2 twice",
    "promise of 2 to beat 2",
    "promise of 2 to unknown beat",
    "promise of 2 to other boot",
    "promise of 2 too late",
    "promise of 2 naming 9",
    "promise of 2 naming 2",
    "promise of 4 naming 2",
    "promise of 2 naming 3, known",
    "refusal of 2 for a time",
    "refusal of 2 for good",
    "refusal of 2 of another group",
    "refusal of 2, then promise",
    "promise of 2, then refusal",
    "opened newest",
    "opened older",
    "opened too late",
    "deleted newest",
    "deleted older",
    "failed newest",
    "failed older",
    "joint log",
    "shorter log",
    "tick before due",
    "tick when due",
    "tick long after",
    "beat",
    "beat long after",
    "beat promised",
    "beat promised under both halves",
    "shorter beat promised",
    "claim 4, beat promised",
    "release, deletion, beat promised",
];

/// Does one input, and writes down what came out.
pub(super) fn act(holder: &mut Holder, input: &str) -> String {
    let now = at(1_000);
    let newest = holder.rounds.newest().unwrap().clone();
    let mut said = Said::default();
    let out = &mut said.out;
    let ticket = |input: &str, holder: &Holder| {
        Ticket(holder.last_ticket - u64::from(input.ends_with("older") && holder.last_ticket > 0))
    };
    match input {
        "claim 2" => holder.claim(G, Epoch(2), out).unwrap(),
        "claim 3" => holder.claim(G, Epoch(3), out).unwrap(),
        "claim 4" => holder.claim(G, Epoch(4), out).unwrap(),
        "release" => holder.release(now, G, out),
        "granted 2" => holder.superseded_by(now, G, Epoch(2), out),
        "granted 3" => holder.superseded_by(now, G, Epoch(3), out),
        "granted 4" => holder.superseded_by(now, G, Epoch(4), out),
        "granted 6" => holder.superseded_by(now, G, Epoch(6), out),
        "opened newest" | "opened older" => {
            holder.gate_opened(now, G, ticket(input, holder), out);
        }
        "opened too late" => holder.gate_opened(at(1_060), G, ticket(input, holder), out),
        "deleted newest" | "deleted older" => {
            holder.gate_closed(now, G, ticket(input, holder), out);
        }
        "failed newest" | "failed older" => {
            holder.gate_failed(now, G, ticket(input, holder), out);
        }
        "joint log" => holder.set_log(log(2)),
        "shorter log" => holder.set_log(log(1)),
        "tick before due" | "tick when due" => {
            let due = holder.deadline().unwrap_or(now).as_nanos();
            let early = u64::from(input == "tick before due");
            holder.tick(Instant::from_nanos(due - early), out);
        }
        "tick long after" => holder.tick(at(7_000), out),
        "beat" => said.beat(holder, now, 60),
        "beat long after" => said.beat(holder, at(7_000), 60),
        "beat promised" => said.promised_beat(holder, 60, &[1, 2]),
        "beat promised under both halves" => {
            holder.set_log(log(2));
            said.promised_beat(holder, 60, &[1, 2, 4]);
        }
        "shorter beat promised" => said.promised_beat(holder, 30, &[1, 2]),
        "claim 4, beat promised" => {
            holder.claim(G, Epoch(4), out).unwrap();
            said.promised_beat(holder, 60, &[1, 2]);
        }
        "release, deletion, beat promised" => {
            holder.release(now, G, out);
            holder.gate_closed(now, G, ticket(input, holder), out);
            said.promised_beat(holder, 60, &[1, 2]);
        }
        _ => said.answers(holder, input, &newest),
    }
    said.text()
}

/// What a holder said while one input was dealt with.
#[derive(Default)]
struct Said {
    before: String,
    out: Vec<HolderOutput>,
}

impl Said {
    fn beat(&mut self, holder: &mut Holder, now: Instant, d: u64) {
        self.flush();
        let (seq, claims, releases) = holder.beat(now, ms(d));
        write!(self.before, "; beat {}", seq.0).unwrap();
        for Claim { group, epoch, gated } in claims {
            assert_eq!(group, G);
            write!(self.before, " claims {}", epoch.0).unwrap();
            if let Some(gated) = gated {
                write!(self.before, " gated {}", gated.0).unwrap();
            }
        }
        for Release { group, before } in releases {
            assert_eq!(group, G);
            write!(self.before, " releases before {}", before.0).unwrap();
        }
    }

    fn promised_beat(&mut self, holder: &mut Holder, d: u64, voters: &[u16]) {
        self.beat(holder, at(1_000), d);
        let seq = holder.rounds.newest().unwrap().seq;
        for &voter in voters {
            let names = holder.log.len() as u64;
            self.answer(holder, at(1_002), Says { names, ..Says::promise(voter, seq) });
        }
    }

    fn answer(&mut self, holder: &mut Holder, now: Instant, says: Says) {
        let told = says.tell(holder, now, &mut self.out);
        self.flush();
        if !told.matched {
            self.before.push_str("; unmatched");
        }
        if told.unknown_configuration {
            self.before.push_str("; unknown entry");
        }
        if let Some((sent, took)) = told.completed {
            let (sent, took) = (millis(sent), took.as_millis());
            write!(self.before, "; majority {took} after {sent}").unwrap();
        }
    }

    fn answers(&mut self, holder: &mut Holder, input: &str, newest: &Round) {
        let two = Says::promise(2, newest.seq);
        let refusal = |cause| Says { refuses: Some((G, cause, 7_000)), ..two };
        let for_good = refusal(RefusalCause::OlderEpoch);
        let says = match input {
            "promise of 1" => vec![Says { voter: 1, ..two }],
            "promise of 2" | "promise of 2 too late" => vec![two],
            "promise of 3" => vec![Says { voter: 3, ..two }],
            "promise of stranger" => vec![Says { voter: 7, ..two }],
            "promise of 2 twice" => vec![two, two],
            "promise of 2 to beat 2" => vec![Says { seq: Seq(2), ..two }],
            "promise of 2 to unknown beat" => vec![Says { seq: Seq(99), ..two }],
            "promise of 2 to other boot" => vec![Says { boot: BootId(4), ..two }],
            "promise of 2 naming 9" => vec![Says { names: 9, ..two }],
            "promise of 2 naming 2" => vec![Says { names: 2, ..two }],
            "promise of 4 naming 2" => vec![Says { voter: 4, names: 2, ..two }],
            "promise of 2 naming 3, known" => {
                holder.set_log(log(3));
                vec![Says { names: 3, ..two }]
            }
            "refusal of 2 for a time" => vec![refusal(RefusalCause::Promised)],
            "refusal of 2 for good" => vec![for_good],
            "refusal of 2 of another group" => {
                vec![Says { refuses: Some((GroupId(2), RefusalCause::Promised, 7_000)), ..two }]
            }
            "refusal of 2, then promise" => vec![for_good, two],
            "promise of 2, then refusal" => vec![two, for_good],
            other => panic!("{other}"),
        };
        let late = newest.sent + ms(46);
        let now = if input == "promise of 2 too late" { late } else { at(1_000) };
        for says in says {
            self.answer(holder, now, says);
        }
    }

    fn flush(&mut self) {
        for output in self.out.drain(..) {
            self.before.push_str("; ");
            let text = &mut self.before;
            match output {
                HolderOutput::Gate(GateOrder::Renew { group, epoch, deadline, ticket }) => {
                    assert_eq!(group, G);
                    let (ticket, epoch, deadline) = (ticket.0, epoch.0, millis(deadline));
                    write!(text, "renew #{ticket} epoch {epoch} to {deadline}")
                }
                HolderOutput::Gate(GateOrder::Close { group, ticket }) => {
                    assert_eq!(group, G);
                    write!(text, "close #{}", ticket.0)
                }
                HolderOutput::Gained { group, epoch, until } => {
                    assert_eq!(group, G);
                    write!(text, "gained {} to {}", epoch.0, millis(until))
                }
                HolderOutput::Lost { group, epoch, cause } => {
                    assert_eq!(group, G);
                    write!(text, "lost {} {cause:?}", epoch.0)
                }
                HolderOutput::Released { group, epoch } => {
                    assert_eq!(group, G);
                    write!(text, "released {}", epoch.0)
                }
                HolderOutput::BeatNow => write!(text, "beat now"),
            }
            .unwrap();
        }
    }

    fn text(mut self) -> String {
        self.flush();
        let text = self.before.trim_start_matches("; ");
        if text.is_empty() { "-".to_owned() } else { text.to_owned() }
    }
}
