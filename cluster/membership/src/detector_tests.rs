//! Whose word a verdict may rest on.

use std::collections::BTreeSet;
use std::time::Duration;

use haven_base::Instant;
use haven_types::{BootId, LinkId, LogPosition, NodeId, Seq};

use crate::{Clauses, Detector, Report, Verdict};

const LINK: LinkId = LinkId(0);
const INTERVAL: Duration = Duration::from_millis(15);
const ONE: NodeId = NodeId(1);
const THREE: NodeId = NodeId(3);

/// The detector of node 2 among three voters, which has heard both others at 0 ms.
struct Bed {
    detector: Detector,
    said: Vec<Verdict>,
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(1_000_000_000 + millis * 1_000_000)
}

impl Bed {
    fn new() -> Self {
        let mut detector = Detector::new(NodeId(2), Clauses { majority: true, silence: true });
        let members = [1, 2, 3].map(|id| (NodeId(id), BTreeSet::from([LINK]))).into();
        detector.set_members(at(0), &members);
        let mut bed = Self { detector, said: Vec::new() };
        bed.heard(0, ONE, 1);
        bed.beat(0, 1, &[]);
        bed.heard(0, THREE, 1);
        bed
    }

    /// Any frame, an answer for instance.
    fn heard(&mut self, millis: u64, node: NodeId, boot: u64) {
        self.detector.heard(at(millis), node, BootId(boot), LINK, &mut self.said);
    }

    /// What a beat of node 1, heard before, reports.
    fn beat(&mut self, millis: u64, seq: u64, unheard: &[(NodeId, Option<BootId>)]) {
        let report = Report {
            seq: Seq(seq),
            copy: seq,
            interval: INTERVAL,
            spare_interval: INTERVAL * 5 / 3,
            log: LogPosition::default(),
            unheard,
            relayed: &[],
            away: None,
        };
        self.detector.report(at(millis), ONE, LINK, report);
    }

    /// Whether node 3 is declared dead now.
    fn condemns(&mut self, millis: u64) -> bool {
        let two =
            |holds: &dyn Fn(NodeId) -> bool| (1..=3).filter(|id| holds(NodeId(*id))).count() >= 2;
        self.said.clear();
        self.detector.judge(at(millis), INTERVAL, two, &mut self.said);
        self.said.iter().any(|said| matches!(said, Verdict::Dead { node: THREE, .. }))
    }
}

const DEAF: &[(NodeId, Option<BootId>)] = &[(THREE, Some(BootId(1)))];

// spec: L6
#[test]
fn what_an_earlier_life_did_not_hear_condemns_nobody() {
    let mut bed = Bed::new();
    bed.heard(20, ONE, 1);
    bed.beat(20, 2, DEAF);
    assert!(!bed.condemns(40), "node 3 was heard here 40 ms ago");
    assert!(!bed.condemns(300), "node 1 is silent itself");
    // Its new life answers before it beats, and has said nothing of node 3 yet.
    bed.heard(310, ONE, 2);
    assert!(!bed.condemns(310));
    bed.beat(311, 1, &[]);
    assert!(!bed.condemns(311), "it hears node 3");
    bed.beat(320, 2, DEAF);
    assert!(bed.condemns(320), "now it says that it does not");
}

// spec: L6
#[test]
fn what_was_said_before_a_silence_condemns_nobody() {
    let mut bed = Bed::new();
    bed.heard(20, ONE, 1);
    bed.beat(20, 2, DEAF);
    assert!(!bed.condemns(300), "node 1 is silent itself");
    bed.heard(310, ONE, 1);
    assert!(!bed.condemns(310), "its word is as old as its silence");
    bed.heard(320, ONE, 1);
    bed.beat(320, 3, DEAF);
    assert!(bed.condemns(320));
}

#[test]
fn short_outages_do_not_teach_to_wait_longer_for_the_next_one() {
    let mut bed = Bed::new();
    let floor = bed.detector.threshold(at(0), THREE);
    // Two outages of node 3 that node 1 agrees to, then two of this node's own.
    for (start, agreed) in [(0, true), (1000, true), (2000, false), (3000, false)] {
        let mut seq = start / 10 + 10;
        for millis in (start..start + 500).step_by(10) {
            if agreed {
                bed.heard(millis, ONE, 1);
                bed.beat(millis, seq, if millis > start + 100 { DEAF } else { &[] });
                seq += 1;
            }
            bed.condemns(millis);
        }
        for millis in (start + 500..start + 1000).step_by(10) {
            bed.heard(millis, ONE, 1);
            bed.heard(millis, THREE, 1);
            bed.condemns(millis);
        }
    }
    assert_eq!(bed.detector.threshold(at(4000), THREE), floor);
    assert_eq!(bed.detector.threshold(at(4000), ONE), floor);
}

#[test]
fn an_irregular_peer_is_waited_for_longer() {
    let mut bed = Bed::new();
    for millis in (10..1000).step_by(10) {
        bed.heard(millis, ONE, 1);
        bed.beat(millis, millis, &[]);
        if millis % 200 == 0 {
            bed.heard(millis, THREE, 1);
        }
        bed.condemns(millis);
    }
    assert_eq!(bed.detector.threshold(at(1000), THREE), Duration::from_millis(400));
}
