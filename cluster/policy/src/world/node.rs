//! Nodes.

use std::collections::BTreeMap;

use super::{Cell, N, R, World};

/// A cluster node, a remote node or a guest.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent fact about a node")]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) is_remote_kind: bool,
    /// Place by name in plain byte order.
    pub(crate) rank: u32,
    /// What a resource starts with here.
    pub(crate) base: Cell,
    pub(crate) online: bool,
    pub(crate) unclean: bool,
    pub(crate) pending: bool,
    pub(crate) shutdown: bool,
    pub(crate) maintenance: bool,
    pub(crate) standby: bool,
    /// Standby by on-fail.
    pub(crate) fail_standby: bool,
    pub(crate) seen: bool,
    pub(crate) expected_up: bool,
    pub(crate) unpacked: bool,
    pub(crate) probes_allowed: bool,
    pub(crate) remote_fenced: bool,
    pub(crate) remote_reset: bool,
    pub(crate) remote_maintenance: bool,
    pub(crate) attrs: BTreeMap<String, String>,
    pub(crate) utilization: BTreeMap<String, i64>,
    /// Sum of the priorities of what runs here.
    pub(crate) priority: i64,
    /// The connection of a remote node or guest.
    pub(crate) remote: Option<R>,
    pub(crate) running: Vec<R>,
    /// How many resources have been assigned here so far.
    pub(crate) assigned: i32,
}

impl World<'_> {
    /// A guest or the inside of a bundle: a node launched by a resource.
    pub(crate) fn is_guest(&self, n: N) -> bool {
        let node = &self[n];
        node.is_remote_kind && node.remote.is_some_and(|r| self[r].launcher.is_some())
    }

    /// A remote node that stands on its own.
    pub(crate) fn is_remote(&self, n: N) -> bool {
        let node = &self[n];
        node.is_remote_kind && node.remote.is_none_or(|r| self[r].launcher.is_none())
    }

    /// The resource that launches a guest.
    pub(crate) fn launcher_of(&self, n: N) -> Option<R> {
        self[n].remote.and_then(|r| self[r].launcher)
    }

    /// The guests whose launchers run on this node.
    pub(crate) fn guests_on(&self, n: N) -> Vec<N> {
        if !self.set.have_remotes {
            return Vec::new();
        }
        let connections = self[n]
            .running
            .iter()
            .filter(|r| self[**r].is_remote_connection && self[**r].launcher.is_some());
        connections.filter_map(|r| self.find_node(&self[*r].id)).collect()
    }

    /// The inside of a bundle.
    pub(crate) fn is_bundle_node(&self, n: N) -> bool {
        self.is_guest(n) && self[n].remote.is_some_and(|r| self.is_bundled(r))
    }

    /// Whether the node could run something, whatever its score.
    pub(crate) fn can_run(&self, n: N) -> bool {
        let node = &self[n];
        node.online && !node.shutdown && !node.unclean && !node.standby && !node.maintenance
    }

    /// Whether the node could run something that has this score there.
    pub(crate) fn can_run_at(&self, n: N, score: i32) -> bool {
        score >= 0 && self.can_run(n)
    }

    /// A node attribute; for a guest, of its host if `target` says so.
    pub(crate) fn node_attr<'b>(
        &'b self,
        n: N,
        name: &str,
        target: Option<&str>,
        assigned: bool,
    ) -> Option<&'b str> {
        let host_wanted = target.is_some_and(|t| t.eq_ignore_ascii_case("host"));
        let node = if host_wanted && self.is_guest(n) {
            let launcher = &self[self.launcher_of(n)?];
            if assigned { launcher.assigned? } else { *launcher.active.first()? }
        } else {
            n
        };
        self[node].attrs.get(name).map(String::as_str)
    }
}
