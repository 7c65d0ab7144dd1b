//! The states of the table.

use super::*;

/// Brings a holder into a state; what it says on the way is judged by the cells of other states.
struct Setup(Holder);

impl Setup {
    /// A beat, promised by this node itself.
    fn beat(&mut self, now: u64, d: u64) -> Seq {
        let seq = self.0.beat(at(now), ms(d)).0;
        self.promise(now, 1, seq);
        seq
    }

    fn promise(&mut self, now: u64, voter: u16, seq: Seq) {
        Says::promise(voter, seq).tell(&mut self.0, at(now), &mut Vec::new());
    }

    fn claim(&mut self, epoch: u64) {
        self.0.claim(G, Epoch(epoch), &mut Vec::new()).unwrap();
    }

    fn opened(&mut self, now: u64, ticket: u64) {
        self.0.gate_opened(at(now), G, Ticket(ticket), &mut Vec::new());
    }

    fn beats(&mut self, sent: [(u64, u64); 3]) {
        for (now, d) in sent {
            self.beat(now, d);
        }
    }

    /// Held by beat 3, sent at 990 and promised by 1 and 2.
    fn gained(&mut self) {
        self.claim(3);
        self.beats(USUAL);
        self.promise(991, 2, Seq(3));
        self.opened(993, 1);
    }

    fn released(&mut self) {
        self.gained();
        self.0.release(at(995), G, &mut Vec::new());
        self.0.gate_closed(at(998), G, Ticket(2), &mut Vec::new());
    }
}

/// When the first three beats are sent, and their D: the leases of 60 ms run 46 ms.
const USUAL: [(u64, u64); 3] = [(970, 60), (980, 60), (990, 60)];

/// The states of the table, at 1,000 ms.
pub(super) const STATES: [&str; 24] = [
    "nothing",
    "claimed after the last beat",
    "asking",
    "promised by a minority",
    "promised under an unknown entry",
    "refused for a time",
    "promised by the outgoing half",
    "promised by the incoming half",
    "lapsed, asking again",
    "lapsed while its gate was written",
    "promised, gate being written",
    "gained",
    "gained, two gates being written",
    "gained, gate being shortened",
    "gained, gate need not follow",
    "gate failed",
    "adopted",
    "closing",
    "closing, deletion failed",
    "closing, deletion ordered again",
    "closing, claimed again",
    "released",
    "released, one voter told",
    "released, claimed again",
];

pub(super) fn state(name: &str) -> Holder {
    let mut of = Setup(Holder::new(ME, BOOT, Terms::default(), log(1)));
    match name {
        "nothing" => of.beats(USUAL),
        "claimed after the last beat" => {
            of.beats(USUAL);
            of.claim(3);
        }
        "asking" => {
            of.claim(3);
            for (now, d) in USUAL {
                of.0.beat(at(now), ms(d));
            }
        }
        "gained" => of.gained(),
        "adopted" => {
            of.0.adopt(G, Epoch(3), at(1_015));
            of.beats(USUAL);
        }
        "released" => of.released(),
        _ if name.starts_with("gained, ") => gained(&mut of, name),
        _ if name.starts_with("lapsed") => lapsed(&mut of, name),
        _ if name.starts_with("closing") => closing(&mut of, name),
        _ if name.starts_with("released, ") => released(&mut of, name),
        _ => answered(&mut of, name),
    }
    of.0
}

/// Beat 3 is answered by a second voter.
fn answered(of: &mut Setup, name: &str) {
    of.claim(3);
    of.beats(USUAL);
    let third = Says::promise(2, Seq(3));
    let says = match name {
        "promised by a minority" => return,
        "promised under an unknown entry" => Says { names: 9, ..third },
        "refused for a time" => Says { refuses: Some((G, RefusalCause::TooNew, 15_000)), ..third },
        "promised by the outgoing half" | "promised by the incoming half" => {
            of.0.set_log(log(2));
            Says { voter: 1, names: 2, ..third }.tell(&mut of.0, at(991), &mut Vec::new());
            let voter = if name == "promised by the incoming half" { 4 } else { 2 };
            Says { voter, names: 2, ..third }
        }
        "promised, gate being written" | "gate failed" => third,
        other => panic!("{other}"),
    };
    says.tell(&mut of.0, at(995), &mut Vec::new());
    if name == "gate failed" {
        of.opened(996, 1);
        of.beat(997, 60);
        of.promise(998, 2, Seq(4));
        of.0.gate_failed(at(999), G, Ticket(2), &mut Vec::new());
    }
}

fn gained(of: &mut Setup, name: &str) {
    of.claim(3);
    match name {
        "gained, two gates being written" => {
            for (now, d) in USUAL {
                let seq = of.beat(now, d);
                of.promise(now + 2, 2, seq);
                of.opened(now + 4, 1);
            }
        }
        "gained, gate being shortened" => {
            of.beats([(950, 120), (980, 120), (990, 60)]);
            of.promise(981, 2, Seq(1));
            of.opened(983, 1);
            of.promise(991, 2, Seq(3));
        }
        "gained, gate need not follow" => {
            of.beats([(950, 60), (986, 60), (990, 60)]);
            of.promise(991, 2, Seq(2));
            of.opened(993, 1);
            of.promise(995, 2, Seq(3));
        }
        other => panic!("{other}"),
    }
}

/// Beat 2 would give a longer lease than beat 3, by which it was held: voters may have dropped it.
fn lapsed(of: &mut Setup, name: &str) {
    of.claim(3);
    of.beats([(955, 60), (965, 60), (975, 30)]);
    of.promise(980, 2, Seq(3));
    match name {
        "lapsed, asking again" => of.opened(982, 1),
        "lapsed while its gate was written" => {}
        other => panic!("{other}"),
    }
    of.0.tick(at(994), &mut Vec::new());
    of.beat(998, 60);
}

fn closing(of: &mut Setup, name: &str) {
    of.gained();
    let ordered = if name == "closing, deletion ordered again" { 974 } else { 995 };
    of.0.release(at(ordered), G, &mut Vec::new());
    match name {
        "closing" => {}
        "closing, deletion failed" => {
            of.0.gate_failed(at(998), G, Ticket(2), &mut Vec::new());
        }
        "closing, deletion ordered again" => of.0.tick(at(994), &mut Vec::new()),
        "closing, claimed again" => of.claim(5),
        other => panic!("{other}"),
    }
}

fn released(of: &mut Setup, name: &str) {
    of.released();
    let voter = match name {
        "released, one voter told" => 2,
        "released, claimed again" => {
            of.claim(5);
            1
        }
        other => panic!("{other}"),
    };
    let seq = of.0.beat(at(999), ms(60)).0;
    of.promise(1_000, voter, seq);
}
