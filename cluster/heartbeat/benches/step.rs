//! What a beat costs: the machine's own CPU time, without sockets and sealing.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a bench prints and may panic"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use haven_base::Instant;
use haven_heartbeat::{
    Config, Configuration, GateOrder, Heartbeat, Input, Member, Message, Output, Role, Start,
};
use haven_types::{BootId, Epoch, GroupId, LinkId, NodeId};

const ROUNDS: u64 = 300;

fn main() {
    for (nodes, links, groups) in [(3, 1, 1), (3, 2, 1), (3, 2, 32), (8, 2, 8), (32, 2, 8)] {
        let best = (0..3).map(|_| run(nodes, links, groups)).min().unwrap();
        let each = best / u32::try_from(ROUNDS).unwrap();
        let load = each.as_secs_f64() / 0.015 * 100.0;
        println!(
            "{nodes} nodes, {links} links, {groups} groups: {each:?} of one node a beat, \
             {load:.3} % of a core at 15 ms"
        );
    }
}

/// The time that node 1 spends in its steps while all nodes beat `ROUNDS` times.
fn run(nodes: u16, links: u8, groups: u32) -> Duration {
    let mut machines: Vec<Heartbeat> = (1..=nodes).map(|id| machine(id, nodes, links)).collect();
    let mut now = Instant::from_nanos(1_000_000_000);
    for group in 1..=groups {
        machines[0].step(now, Input::Claim { group: GroupId(group), epoch: Epoch(1) });
    }
    let mut spent = Duration::ZERO;
    for _ in 0..ROUNDS {
        now += Duration::from_millis(15);
        let mut waiting: Vec<(NodeId, Input)> =
            (1..=nodes).map(|id| (NodeId(id), Input::Tick)).collect();
        while let Some((to, input)) = waiting.pop() {
            let begun = std::time::Instant::now();
            let out = machines[usize::from(to.0) - 1].step(now, input);
            if to == NodeId(1) {
                spent += begun.elapsed();
            }
            waiting.extend(out.into_iter().filter_map(|said| travel(to, said)));
        }
    }
    assert!(machines[0].status(now).leases.values().all(|lease| lease.open));
    spent
}

fn travel(from: NodeId, said: Output) -> Option<(NodeId, Input)> {
    match said {
        Output::Send { to, link, message } => {
            let message = Message::decode(&message.encode()).unwrap();
            Some((to, Input::Received { from, boot: BootId(1), link, message }))
        }
        Output::Gate(GateOrder::Renew { group, ticket, .. }) => {
            Some((from, Input::GateOpened { group, ticket }))
        }
        _ => None,
    }
}

fn machine(id: u16, nodes: u16, links: u8) -> Heartbeat {
    let ids: BTreeSet<NodeId> = (1..=nodes).map(NodeId).collect();
    let links: BTreeSet<LinkId> = (0..links).map(LinkId).collect();
    let mut config = Config::new(NodeId(id), BootId(1));
    config.start = Start::First;
    config.members =
        ids.iter().map(|&n| (n, Member { role: Role::Full, links: links.clone() })).collect();
    config.links = links;
    config.configurations = vec![Configuration { voters: ids, ..Configuration::default() }];
    Heartbeat::new(config, Instant::from_nanos(1_000_000_000))
}
