//! What the client lost: from probes, connections and one long connection to figures (pure).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One UDP probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When it was sent, nanoseconds of the wall clock.
    pub sent_nanos: u64,
    /// When its answer came, and the index of the node that answered.
    pub answer: Option<(u64, u8)>,
}

/// How an attempt to open a TCP connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connected {
    /// The service greeted after this time.
    After(Duration),
    /// Refused or reset after this time.
    Refused(Duration),
    /// No greeting within the limit of the client.
    Never,
}

/// One attempt to open a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// When it was begun, nanoseconds of the wall clock.
    pub at_nanos: u64,
    /// How it ended.
    pub end: Connected,
}

/// A connection that is opened later than this after its first packet lost that packet: the first
/// retransmission comes after one second (RFC 6298 §2.1).
pub const DELAYED: Duration = Duration::from_millis(500);

/// Figures of the UDP probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFigures {
    /// Probes sent.
    pub sent: u64,
    /// Probes answered.
    pub answered: u64,
    /// Longest time in which no answer came, begin and end of the measurement included.
    pub outage: Duration,
    /// Whether the service answered again after the longest gap.
    pub recovered: bool,
    /// When the longest gap began: nanoseconds of the wall clock.
    pub outage_from_nanos: u64,
    /// Send times of the first and the last probe that was lost, if any was.
    pub lost_nanos: Option<(u64, u64)>,
    /// Node that answered last before the longest gap.
    pub owner_before: Option<u8>,
    /// Node that answered first after the longest gap.
    pub owner_after: Option<u8>,
    /// How often the answering node changed.
    pub moves: u64,
}

/// Figures of the probes sent between `from_nanos` and `to_nanos`, the time measured.
#[must_use]
pub fn probe_figures(probes: &[Probe], from_nanos: u64, to_nanos: u64) -> ProbeFigures {
    let mut answers: Vec<_> = probes.iter().filter_map(|p| p.answer).collect();
    answers.sort_unstable();
    let mut figures = ProbeFigures {
        sent: probes.len() as u64,
        answered: answers.len() as u64,
        ..ProbeFigures::default()
    };
    let mut lost = probes.iter().filter(|p| p.answer.is_none()).map(|p| p.sent_nanos);
    figures.lost_nanos = lost.next().map(|first| (first, lost.next_back().unwrap_or(first)));
    let ends = [(from_nanos, None), (to_nanos, None)];
    let mut points: Vec<(u64, Option<u8>)> =
        answers.iter().map(|&(at, node)| (at, Some(node))).collect();
    points.insert(0, ends[0]);
    points.push(ends[1]);
    for pair in points.windows(2) {
        let gap = Duration::from_nanos(pair[1].0.saturating_sub(pair[0].0));
        if gap > figures.outage {
            figures.outage = gap;
            figures.outage_from_nanos = pair[0].0;
            (figures.owner_before, figures.owner_after) = (pair[0].1, pair[1].1);
            figures.recovered = pair[1].1.is_some();
        }
    }
    figures.moves = answers.windows(2).filter(|pair| pair[0].1 != pair[1].1).count() as u64;
    figures
}

/// The longest time without an answer among the gaps that begin within `phase`; `whole` is the
/// time measured. All in nanoseconds of the wall clock.
#[must_use]
pub fn longest_gap(probes: &[Probe], whole: (u64, u64), phase: (u64, u64)) -> Duration {
    let mut points: Vec<u64> = probes.iter().filter_map(|p| Some(p.answer?.0)).collect();
    points.extend([whole.0, whole.1]);
    points.sort_unstable();
    let within = points.windows(2).filter(|pair| (phase.0..phase.1).contains(&pair[0]));
    Duration::from_nanos(within.map(|pair| pair[1] - pair[0]).max().unwrap_or(0))
}

/// How often the answering node changed between two instants.
#[must_use]
pub fn moves_between(probes: &[Probe], from_nanos: u64, to_nanos: u64) -> u64 {
    let mut answers: Vec<_> = probes.iter().filter_map(|p| p.answer).collect();
    answers.retain(|(at, _)| (from_nanos..to_nanos).contains(at));
    answers.sort_unstable();
    answers.windows(2).filter(|pair| pair[0].1 != pair[1].1).count() as u64
}

/// The gaps between answers longer than `least`, longest first.
#[must_use]
pub fn gaps(probes: &[Probe], least: Duration) -> Vec<Duration> {
    let mut answers: Vec<_> = probes.iter().filter_map(|p| p.answer).collect();
    answers.sort_unstable();
    let pairs = answers.windows(2).map(|pair| Duration::from_nanos(pair[1].0 - pair[0].0));
    let mut gaps: Vec<_> = pairs.filter(|gap| *gap > least).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    gaps
}

/// Figures of the new TCP connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectFigures {
    /// Connections tried.
    pub tried: u64,
    /// Those opened only by a retransmission: later than 500 ms.
    pub delayed: u64,
    /// Those refused or reset.
    pub refused: u64,
    /// Those never opened within the client's limit.
    pub lost: u64,
    /// The longest time until a greeting.
    pub slowest: Duration,
}

/// Figures of new TCP connections.
#[must_use]
pub fn connect_figures(connects: &[Connect]) -> ConnectFigures {
    let mut figures = ConnectFigures { tried: connects.len() as u64, ..Default::default() };
    for connect in connects {
        match connect.end {
            Connected::After(time) => {
                figures.delayed += u64::from(time > DELAYED);
                figures.slowest = figures.slowest.max(time);
            }
            Connected::Refused(_) => figures.refused += 1,
            Connected::Never => figures.lost += 1,
        }
    }
    figures
}

/// What became of the one long connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongConnection {
    /// Messages echoed.
    pub echoed: u64,
    /// Longest time between two echoes of one connection.
    pub longest_gap: Duration,
    /// How often it broke and was opened anew.
    pub broken: u64,
}

/// Median and worst of a row of figures; `None` for an empty row. The median of an even number is
/// the greater of the two in the middle, so that it is one that was measured.
#[must_use]
pub fn median_and_worst(values: &[Duration]) -> Option<(Duration, Duration)> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    Some((*sorted.get(sorted.len() / 2)?, *sorted.last()?))
}

/// Probes by sequence number as they are sent and answered.
#[derive(Debug, Default)]
pub struct ProbeLog {
    sent: BTreeMap<u64, Probe>,
}

impl ProbeLog {
    /// Notes that probe `sequence` was sent.
    pub fn sent(&mut self, sequence: u64, at_nanos: u64) {
        self.sent.insert(sequence, Probe { sent_nanos: at_nanos, answer: None });
    }

    /// Notes an answer; the first one counts, one to a probe never sent counts nothing.
    pub fn answered(&mut self, sequence: u64, at_nanos: u64, node: u8) {
        if let Some(probe) = self.sent.get_mut(&sequence) {
            probe.answer.get_or_insert((at_nanos, node));
        }
    }

    /// All probes, in the order they were sent.
    #[must_use]
    pub fn into_probes(self) -> Vec<Probe> {
        self.sent.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn probes(answers: impl Fn(u64) -> Option<(u64, u8)>) -> Vec<Probe> {
        let probe = |ms| Probe {
            sent_nanos: ms * MS,
            answer: answers(ms).map(|(at, node)| (at * MS, node)),
        };
        (0..1000).map(probe).collect()
    }

    #[test]
    fn the_outage_is_the_longest_silence() {
        let list = probes(|ms| match ms {
            0..300 => Some((ms, 1)),
            300..375 => None,
            _ => Some((ms, 2)),
        });
        let figures = probe_figures(&list, 0, 1000 * MS);
        assert_eq!(figures.outage, Duration::from_millis(76));
        assert_eq!((figures.owner_before, figures.owner_after), (Some(1), Some(2)));
        assert_eq!(figures.lost_nanos, Some((300 * MS, 374 * MS)));
        assert_eq!((figures.answered, figures.moves, figures.recovered), (925, 1, true));
    }

    #[test]
    fn a_gap_belongs_to_the_phase_in_which_it_begins() {
        let list = probes(|ms| (!matches!(ms, 100..180 | 600..640)).then_some((ms, 1)));
        let whole = (0, 1000 * MS);
        let gap = |from, to| longest_gap(&list, whole, (from * MS, to * MS)).as_millis();
        assert_eq!((gap(95, 170), gap(170, 999)), (81, 41));
        assert_eq!(gap(700, 998), 1);
    }

    #[test]
    fn moves_are_counted_within_their_time() {
        let list = probes(|ms| Some((ms, u8::from(ms >= 400) + u8::from(ms >= 700))));
        assert_eq!(moves_between(&list, 0, 1000 * MS), 2);
        assert_eq!(moves_between(&list, 450 * MS, 1000 * MS), 1);
    }

    #[test]
    fn answers_that_come_late_do_not_hide_the_outage() {
        // A paused owner answers everything at once when it is let go.
        let list = probes(|ms| Some((if (300..400).contains(&ms) { 400 } else { ms }, 1)));
        assert_eq!(probe_figures(&list, 0, 1000 * MS).outage, Duration::from_millis(101));
    }

    #[test]
    fn a_service_that_never_comes_back_is_an_outage_to_the_end() {
        let list = probes(|ms| (ms < 100).then_some((ms, 1)));
        let figures = probe_figures(&list, 0, 1000 * MS);
        assert_eq!(figures.outage, Duration::from_millis(901));
        assert!(!figures.recovered);
        let silent = probe_figures(&probes(|_| None), 0, 1000 * MS);
        assert_eq!(silent.outage, Duration::from_secs(1));
    }

    #[test]
    fn a_single_lost_probe_is_first_and_last() {
        let list = probes(|ms| (ms != 5).then_some((ms, 1)));
        assert_eq!(probe_figures(&list, 0, 1000 * MS).lost_nanos, Some((5 * MS, 5 * MS)));
    }

    #[test]
    fn only_the_first_answer_of_a_probe_counts() {
        let mut log = ProbeLog::default();
        log.sent(1, 10);
        log.answered(1, 20, 1);
        log.answered(1, 30, 2);
        log.answered(9, 40, 3);
        assert_eq!(log.into_probes(), [Probe { sent_nanos: 10, answer: Some((20, 1)) }]);
    }

    #[test]
    fn connections_are_counted_by_their_end() {
        let connect = |end| Connect { at_nanos: 0, end };
        let figures = connect_figures(&[
            connect(Connected::After(Duration::from_millis(1))),
            connect(Connected::After(Duration::from_millis(1001))),
            connect(Connected::Refused(Duration::ZERO)),
            connect(Connected::Never),
        ]);
        let counts = (figures.tried, figures.delayed, figures.refused, figures.lost);
        assert_eq!(counts, (4, 1, 1, 1));
        assert_eq!(figures.slowest, Duration::from_millis(1001));
    }

    #[test]
    fn median_and_worst_are_measured_values() {
        let ms = |list: &[u64]| list.iter().map(|m| Duration::from_millis(*m)).collect::<Vec<_>>();
        let row = median_and_worst(&ms(&[5, 1, 9])).unwrap();
        assert_eq!(row, (Duration::from_millis(5), Duration::from_millis(9)));
        assert_eq!(median_and_worst(&[]), None);
    }
}
