//! Entries of nodes in the status: found, made, taken up and down.

use haven_cib::{Cib, Node, Primitive, Resource};
use haven_types::status::{NodeState, Presence, Status};

/// Where the state entry of a node is; it is found by its name, else by its id (as given, else as
/// configured), else made. `new_nodes` also makes it a configured node. None where nothing is known
/// of such a node.
pub(crate) fn position(
    cib: &mut Cib,
    status: &mut Status,
    name: &str,
    id: Option<&str>,
    new_nodes: bool,
) -> Option<usize> {
    if new_nodes && !cib.nodes.iter().any(|n| n.uname == name) {
        cib.nodes.push(Node { id: name.to_owned(), uname: name.to_owned(), ..Node::default() });
    }
    if let Some(at) = status.nodes.iter().position(|n| n.uname == name) {
        return Some(at);
    }
    let id = id.map(str::to_owned).or_else(|| configured_id(cib, name))?;
    if let Some(at) = status.nodes.iter().position(|n| n.id == id) {
        name.clone_into(&mut status.nodes[at].uname);
        return Some(at);
    }
    status.nodes.push(NodeState { id, uname: name.to_owned(), ..NodeState::default() });
    Some(status.nodes.len() - 1)
}

/// The id of a node by its name; remote nodes and guests are their own.
fn configured_id(cib: &Cib, name: &str) -> Option<String> {
    let node = cib.nodes.iter().find(|n| n.uname.eq_ignore_ascii_case(name));
    node.map(|n| n.id.clone())
        .or_else(|| cib.resources.iter().any(|r| makes(r, name)).then(|| name.to_owned()))
}

/// Whether a resource makes a node of this name.
fn makes(r: &Resource, name: &str) -> bool {
    if let Resource::Bundle(b) = r {
        let number = name.strip_prefix(&b.id).and_then(|n| n.strip_prefix('-'));
        if number.is_some_and(|n| !n.is_empty() && n.bytes().all(|d| d.is_ascii_digit())) {
            return true;
        }
    }
    r.primitives().into_iter().any(|p| connects(p, name))
}

fn connects(p: &Primitive, name: &str) -> bool {
    let is_remote =
        p.provider.as_deref() == Some("pacemaker") && p.kind.as_deref() == Some("remote");
    (is_remote && p.id == name)
        || p.meta
            .iter()
            .flat_map(|s| &s.pairs)
            .any(|m| m.name == "remote-node" && m.value.as_deref() == Some(name))
}

/// The node is a full member.
pub(crate) fn take_up(node: &mut NodeState) {
    node.in_membership = Presence::Yes;
    node.peer_online = Presence::Yes;
    node.join = Some("member".to_owned());
    node.expected = Some("member".to_owned());
}

/// The node has left, and nobody minds.
pub(crate) fn take_down(node: &mut NodeState) {
    node.in_membership = Presence::No;
    node.peer_online = Presence::No;
    node.join = Some("down".to_owned());
    node.expected = Some("down".to_owned());
}

/// Drops the history and transient attributes of a node.
pub(crate) fn forget(status: &mut Status, name: &str) {
    for node in status.nodes.iter_mut().filter(|n| n.uname == name) {
        node.has_history = false;
        node.resources.clear();
        node.attributes.clear();
        node.utilization.clear();
    }
}
