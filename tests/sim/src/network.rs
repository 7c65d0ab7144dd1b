//! The network between hosts: datagrams that get lost, doubled, late and out of order on several
//! links, and connections that keep order until they break.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use haven_base::Rng;
use haven_types::{LinkId, NodeId};

use crate::clock::nanos;

/// How datagrams fare on a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) loss_permille: u64,
    pub(crate) duplicate_permille: u64,
    pub(crate) delay: (Duration, Duration),
}

impl Weather {
    pub(crate) const QUIET: Self = Self {
        loss_permille: 0,
        duplicate_permille: 0,
        delay: (Duration::from_micros(80), Duration::from_micros(160)),
    };
}

/// Weather and cuts. Cuts are one way each.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) links: BTreeSet<LinkId>,
    pub(crate) weather: BTreeMap<LinkId, Weather>,
    cuts: BTreeSet<(NodeId, NodeId, LinkId)>,
}

impl Network {
    pub(crate) fn new(links: u8) -> Self {
        let links: BTreeSet<LinkId> = (0..links).map(LinkId).collect();
        let weather = links.iter().map(|link| (*link, Weather::QUIET)).collect();
        Self { links, weather, cuts: BTreeSet::new() }
    }

    /// When the copies of a datagram arrive, as delays from now; none when it is lost.
    pub(crate) fn fate(&self, rng: &mut Rng, from: NodeId, to: NodeId, link: LinkId) -> Vec<u64> {
        let Some(weather) = self.weather.get(&link) else { return Vec::new() };
        if self.cuts.contains(&(from, to, link)) || rng.chance(weather.loss_permille, 1000) {
            return Vec::new();
        }
        let copies = 1 + u64::from(rng.chance(weather.duplicate_permille, 1000));
        let delay = weather.delay;
        (0..copies).map(|_| nanos(rng.between(delay.0, delay.1))).collect()
    }

    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId, link: LinkId) {
        self.cuts.insert((from, to, link));
    }

    /// Nothing passes between the two groups, on any link.
    pub(crate) fn part(&mut self, some: &[NodeId], others: &[NodeId]) {
        for &a in some {
            for &b in others.iter().filter(|b| **b != a) {
                for &link in &self.links.clone() {
                    self.cut(a, b, link);
                    self.cut(b, a, link);
                }
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Whether a connection between the two works: it runs over link 0, both ways.
    pub(crate) fn connects(&self, a: NodeId, b: NodeId) -> bool {
        !self.cuts.contains(&(a, b, LinkId(0))) && !self.cuts.contains(&(b, a, LinkId(0)))
    }
}
