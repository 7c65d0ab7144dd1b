//! Connections between members: in order and complete, until they break and take with them what was
//! under way.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use haven_hub::Happening;
use haven_types::NodeId;

use crate::clock::MS;
use crate::host::Host;
use crate::world::{Todo, World};

/// A connection between two members, and what is under way on it in each direction.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    up: bool,
    generation: u64,
    under_way: BTreeMap<NodeId, VecDeque<Bytes>>,
}

/// How often connections are looked at.
pub(crate) const CONNECTIONS: u64 = 50 * MS;

impl World {
    pub(crate) fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
        if a < b { (a, b) } else { (b, a) }
    }

    pub(crate) fn send_stream(&mut self, from: NodeId, to: NodeId, frame: Bytes) {
        let Some(connection) = self.connections.get_mut(&Self::pair(from, to)) else { return };
        if !connection.up {
            return;
        }
        connection.under_way.entry(from).or_default().push_back(frame);
        let generation = connection.generation;
        let delay = 200_000 + self.rng.below(3 * MS);
        self.plan(delay, Todo::Stream { from, to, generation });
    }

    pub(crate) fn stream(&mut self, from: NodeId, to: NodeId, generation: u64) {
        let passes = self.network.connects(from, to);
        let boot = self.hosts.get(&from).and_then(|host| host.process.as_ref()).map(|p| p.boot);
        let Some(connection) = self.connections.get_mut(&Self::pair(from, to)) else { return };
        if !connection.up || connection.generation != generation {
            return;
        }
        if !passes {
            return self.plan(20 * MS, Todo::Stream { from, to, generation });
        }
        let first = connection.under_way.entry(from).or_default().pop_front();
        if let (Some(bytes), Some(boot)) = (first, boot) {
            let peer = self.name(from);
            self.give(to, Happening::Frame { peer, boot, bytes });
        }
    }

    pub(crate) fn look_at_connections(&mut self) {
        let running = self.running();
        for (i, &a) in running.iter().enumerate() {
            for &b in &running[i + 1..] {
                let knows = |one: NodeId, other: NodeId| {
                    let main = self.hosts.get(&one).and_then(Host::main);
                    main.is_some_and(|main| main.hub.members().contains_key(&other))
                };
                let works = self.network.connects(a, b) && knows(a, b) && knows(b, a);
                let up = self.connections.get(&(a, b)).is_some_and(|connection| connection.up);
                if works && !up && self.rng.chance(1, 2) {
                    let connection = self.connections.entry((a, b)).or_default();
                    connection.up = true;
                    connection.generation += 1;
                    let (named_a, named_b) = (self.name(a), self.name(b));
                    self.give(a, Happening::Connected { peer: named_b });
                    self.give(b, Happening::Connected { peer: named_a });
                } else if !works && up && self.rng.chance(1, 10) {
                    self.break_connection((a, b));
                }
            }
        }
        self.plan(CONNECTIONS, Todo::Connections);
    }

    pub(crate) fn break_connection(&mut self, (a, b): (NodeId, NodeId)) {
        if let Some(connection) = self.connections.get_mut(&(a, b)) {
            connection.up = false;
            connection.under_way.clear();
        }
    }

    pub(crate) fn disconnect(&mut self, node: NodeId) {
        let its: Vec<_> = self.connections.keys().copied().collect();
        for pair in its.into_iter().filter(|(a, b)| *a == node || *b == node) {
            self.break_connection(pair);
        }
    }
}
