//! What was refused: the reasons, their counters, and when a line about one is due.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use haven_base::Instant;
use haven_types::{BootId, NodeId};
use serde::{Deserialize, Serialize};

use crate::frame::Malformed;

/// At most one line per reason in this time.
pub const LINE_EVERY: Duration = Duration::from_secs(10);

/// Why a datagram was not accepted. `Ord` and the variants' order carry no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rejected {
    /// No frame of this program, or of another version.
    Malformed(Malformed),
    /// For another node.
    NotForUs(NodeId),
    /// From a node that is not a member.
    NotMember(NodeId),
    /// Sealed with a cluster key this node does not hold: another cluster, or a key change missed.
    WrongKey {
        /// Who claims to have sent it.
        from: NodeId,
        /// The epoch it names.
        epoch: u32,
    },
    /// Sealed with a cluster key that was replaced; the sender missed the key change.
    RetiredKey {
        /// Who claims to have sent it.
        from: NodeId,
        /// The epoch it names.
        epoch: u32,
    },
    /// The header is plausible and the seal is broken: damaged or forged.
    Forged(NodeId),
    /// Accepted before, or too old to tell.
    Replayed(NodeId),
    /// Addressed to an earlier life of this node, or sent before its sender knew of this life. Normal
    /// for the first beats after a start.
    NotFresh(NodeId),
    /// From an earlier life of the sender.
    StaleBoot(NodeId),
    /// One of our own frames came back.
    Reflected,
    /// Too many unknown boot ids under one node's name in a short time; not examined.
    Hurried(NodeId),
    /// Proof that two processes use one node id.
    DuplicateId {
        /// The id used twice; ours when another node uses our own.
        node: NodeId,
        /// The life that is accepted.
        accepted: BootId,
        /// The other one; equal when both hold a copy of one state directory.
        other: BootId,
    },
}

impl Rejected {
    /// The reason without its values: what is counted.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::NotForUs(_) => "not_for_us",
            Self::NotMember(_) => "not_member",
            Self::WrongKey { .. } => "wrong_key",
            Self::RetiredKey { .. } => "retired_key",
            Self::Forged(_) => "forged",
            Self::Replayed(_) => "replayed",
            Self::NotFresh(_) => "not_fresh",
            Self::StaleBoot(_) => "stale_boot",
            Self::Reflected => "reflected",
            Self::Hurried(_) => "hurried",
            Self::DuplicateId { .. } => "duplicate_id",
        }
    }

    /// Whether the reason is worth a line to people. Frames of the first moments of a life are not.
    fn notable(&self) -> bool {
        !matches!(self, Self::NotFresh(_) | Self::StaleBoot(_))
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.say(&Names::new(), f)
    }
}

/// Names of nodes, for people.
pub type Names = BTreeMap<NodeId, String>;

/// A node as people know it where its name is known, with the number that frames have for it.
struct Named<'a>(NodeId, &'a Names);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1.get(&self.0) {
            Some(name) => write!(f, "{name} (node {})", self.0),
            None => write!(f, "node {}", self.0),
        }
    }
}

impl Rejected {
    fn say(&self, names: &Names, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |node: &NodeId| Named(*node, names);
        match self {
            Self::Malformed(Malformed::Version(version)) => write!(
                f,
                "a frame of version {version}, this program speaks {}: upgrade the older node",
                crate::frame::VERSION
            ),
            Self::Malformed(what) => {
                f.write_str("no frame of a cluster: ")?;
                misshapen(*what, f)?;
                f.write_str("; ")?;
                f.write_str(KEEP_AWAY)
            }
            Self::NotForUs(to) => {
                write!(
                    f,
                    "addressed to {}: that node and this one may have one address; compare \
                     [[link]] local of both",
                    named(to)
                )
            }
            Self::NotMember(from) => write!(
                f,
                "{} is not a member: if it was removed, stop haven there or join it anew; if it \
                 is of another cluster, give that one another [[link]] port",
                named(from)
            ),
            Self::WrongKey { from, epoch } => write!(
                f,
                "{} uses key {epoch}, which this node does not hold: another cluster on \
                 this network and port, which needs another [[link]] port, or a key change one of the \
                 two missed, which ends by itself once they reach each other's [channel] address",
                named(from)
            ),
            Self::RetiredKey { from, epoch } => write!(
                f,
                "{} still uses key {epoch}, which was replaced: it learns the new one once it \
                 reaches a member's [channel] address",
                named(from)
            ),
            Self::Forged(from) => write!(
                f,
                "damaged or forged under the name of {}: check cables and ports on the way \
                 from there, and who else can send on this network",
                named(from)
            ),
            Self::Replayed(from) => write!(
                f,
                "a repeated frame of {}: look for a loop or a second path in the network, or \
                 for somebody who replays recordings; nothing comes of it here",
                named(from)
            ),
            Self::NotFresh(from) => write!(f, "{} does not know of our restart yet", named(from)),
            Self::StaleBoot(from) => write!(f, "from an earlier life of {}", named(from)),
            Self::Reflected => f.write_str(
                "our own frame came back: look for a loop in the network, or a port that mirrors",
            ),
            Self::Hurried(from) => write!(
                f,
                "too many new boot ids named for {}: see whether its daemon restarts again \
                 and again, or who else can send on this network",
                named(from)
            ),
            Self::DuplicateId { node, accepted, other } => write!(
                f,
                "two processes run as {} (boot {accepted} and {other}): stop one; a copied \
                 state directory must be removed and the node joined anew",
                named(node)
            ),
        }
    }
}

const KEEP_AWAY: &str = "keep its sender away from this port, or choose another [[link]] port";

/// What is wrong with the shape of a datagram.
fn misshapen(what: Malformed, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match what {
        Malformed::Short => f.write_str("it is too short"),
        Malformed::Long => f.write_str("it is too long"),
        Malformed::Magic => f.write_str("it begins with other bytes"),
        Malformed::Version(version) => write!(f, "its version {version} is unknown"),
        Malformed::Kind(kind) => write!(f, "its kind {kind} is unknown"),
        Malformed::Link(link) => write!(f, "it names link {link}, and there are links 0 to 7"),
    }
}

/// A line for people: what was refused, who sent it, and how often since the last line on that reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectionLine {
    /// The newest case.
    pub rejected: Rejected,
    /// Where that one came from, as the socket says: worth as much as any unproved address.
    pub source: SocketAddr,
    /// Cases of this reason since the last line, this one included.
    pub times: u64,
}

impl fmt::Display for RejectionLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.naming(&Names::new()).fmt(f)
    }
}

impl RejectionLine {
    /// The line, in which nodes have these names.
    #[must_use]
    pub const fn naming<'a>(&'a self, names: &'a Names) -> Naming<'a> {
        Naming { line: self, names }
    }
}

/// A [`RejectionLine`] in which nodes have names.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    line: &'a RejectionLine,
    names: &'a Names,
}

impl fmt::Display for Naming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RejectionLine { rejected, source, times } = self.line;
        write!(f, "datagram from {source} refused: ")?;
        rejected.say(self.names, f)?;
        if *times > 1 { write!(f, " ({times} times)") } else { Ok(()) }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    total: u64,
    since_line: u64,
    line_at: Option<Instant>,
}

/// Counters by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejections {
    counts: BTreeMap<&'static str, Count>,
}

impl Rejections {
    /// No refusals yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts the refusal of a datagram from `source`. A line comes back at most once per reason and
    /// [`LINE_EVERY`].
    pub fn note(
        &mut self,
        now: Instant,
        source: SocketAddr,
        rejected: Rejected,
    ) -> Option<RejectionLine> {
        let count = self.counts.entry(rejected.reason()).or_default();
        count.total += 1;
        count.since_line += 1;
        let due = count.line_at.is_none_or(|at| now.since(at) >= LINE_EVERY);
        if !due || !rejected.notable() {
            return None;
        }
        count.line_at = Some(now);
        Some(RejectionLine { rejected, source, times: std::mem::take(&mut count.since_line) })
    }

    /// Cases of one reason (see [`Rejected::reason`]) since the start.
    #[must_use]
    pub fn total(&self, reason: &str) -> u64 {
        self.counts.get(reason).map_or(0, |count| count.total)
    }

    /// All reasons seen and their totals, by name.
    pub fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().map(|(reason, count)| (*reason, count.total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> SocketAddr {
        "192.0.2.9:4242".parse().unwrap()
    }

    #[test]
    fn a_line_names_the_sender_and_what_to_do_in_words() {
        let (from, epoch) = (NodeId(7), 3);
        let twice = Rejected::DuplicateId { node: from, accepted: BootId(1), other: BootId(2) };
        for (rejected, what, remedy) in [
            (Rejected::Malformed(Malformed::Short), "too short", "keep its sender away"),
            (Rejected::Malformed(Malformed::Long), "too long", "another [[link]] port"),
            (Rejected::Malformed(Malformed::Magic), "begins with other bytes", "keep its sender"),
            (Rejected::Malformed(Malformed::Version(9)), "of version 9", "upgrade the older"),
            (Rejected::Malformed(Malformed::Kind(9)), "its kind 9", "keep its sender away"),
            (Rejected::Malformed(Malformed::Link(9)), "names link 9", "keep its sender away"),
            (Rejected::NotForUs(from), "addressed to node 7", "compare [[link]] local"),
            (Rejected::NotMember(from), "node 7 is not a member", "join it anew"),
            (Rejected::WrongKey { from, epoch }, "uses key 3", "another [[link]] port"),
            (Rejected::RetiredKey { from, epoch }, "still uses key 3", "[channel] address"),
            (Rejected::Forged(from), "forged under the name of node 7", "check cables"),
            (Rejected::Replayed(from), "repeated frame of node 7", "look for a loop"),
            (Rejected::Reflected, "our own frame came back", "look for a loop"),
            (Rejected::Hurried(from), "boot ids named for node 7", "daemon restarts again"),
            (twice, "two processes run as node 7", "stop one"),
        ] {
            let line = Rejections::new().note(Instant::ZERO, source(), rejected).unwrap();
            let said = line.to_string();
            assert!(said.starts_with("datagram from 192.0.2.9:4242 refused: "), "{said}");
            assert!(said.contains(what) && said.contains(remedy), "{said}");
        }
    }

    #[test]
    fn a_node_is_called_by_its_name_where_that_is_known() {
        let names = Names::from([(NodeId(7), "n7".to_owned())]);
        for (from, named) in [(7, "a repeated frame of n7 (node 7): "), (8, "frame of node 8: ")] {
            let rejected = Rejected::Replayed(NodeId(from));
            let line = Rejections::new().note(Instant::ZERO, source(), rejected).unwrap();
            let said = line.naming(&names).to_string();
            assert!(said.contains(named), "{said}");
        }
    }

    #[test]
    fn a_flood_makes_one_line_in_ten_seconds_and_loses_no_count() {
        let mut rejections = Rejections::new();
        let stranger = Rejected::Malformed(Malformed::Magic);
        let mut lines = Vec::new();
        for millis in 0..25_000 {
            let now = Instant::from_nanos(millis * 1_000_000);
            lines.extend(rejections.note(now, source(), stranger));
        }
        assert_eq!(lines.iter().map(|line| line.times).collect::<Vec<_>>(), [1, 10_000, 10_000]);
        assert_eq!(rejections.total("malformed"), 25_000);
        assert!(lines[1].to_string().contains("(10000 times)"));
    }

    #[test]
    fn the_first_frames_of_a_life_are_counted_without_a_line() {
        let mut rejections = Rejections::new();
        assert_eq!(rejections.note(Instant::ZERO, source(), Rejected::NotFresh(NodeId(2))), None);
        assert_eq!(rejections.totals().collect::<Vec<_>>(), [("not_fresh", 1)]);
    }
}
