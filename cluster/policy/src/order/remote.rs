//! Actions on remote nodes and guests need their connection.

use crate::world::action::af;
use crate::world::{A, N, R, Role, Side, World, ar};

/// The state of a remote node's connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    Unknown,
    Alive,
    Resting,
    Failed,
    Stopped,
}

impl World<'_> {
    fn connection_state(&self, n: N) -> Connection {
        let Some(r) = self[n].remote else { return Connection::Unknown };
        let rsc = &self[r];
        let here = self.current(r);
        if rsc.next_role == Role::Stopped || rsc.assigned.is_none() {
            if here.is_some_and(|h| self[h].unclean) {
                return Connection::Failed;
            }
            if !rsc.failed {
                return Connection::Stopped;
            }
            if rsc.next_role == Role::Stopped
                && rsc.reconnect_ms > 0
                && self[n].remote_fenced
                && !self.shutdown_requested(n)
            {
                return Connection::Unknown;
            }
            return Connection::Failed;
        }
        let Some(h) = here else { return Connection::Unknown };
        let migrating = rsc.active.len() > 1
            && rsc.migration_source.is_some()
            && rsc.migration_target.is_some();
        if self[h].unclean || !self[h].online || migrating {
            Connection::Resting
        } else {
            Connection::Alive
        }
    }

    pub(super) fn is_failed_remote(&self, n: N) -> bool {
        self.is_remote(n)
            && self[n].remote.is_some()
            && self.connection_state(n) == Connection::Failed
    }

    fn start_then(&mut self, first: R, then: A, extra: u32) {
        let Some(r) = self[then].rsc else { return };
        let flags = ar::GUEST_ALLOWED | ar::UNRUNNABLE_FIRST_BLOCKS | extra;
        self.new_ordering(Side::Task(first, "start"), Side::ActionOf(r, then), flags);
    }

    fn then_stop(&mut self, first: A, then: R, extra: u32) {
        let Some(r) = self[first].rsc else { return };
        let flags = ar::GUEST_ALLOWED | extra;
        self.new_ordering(Side::ActionOf(r, first), Side::Task(then, "stop"), flags);
    }

    pub(super) fn order_remote_connections(&mut self) {
        if !self.set.have_remotes {
            return;
        }
        for i in (0..self.actions.len()).rev() {
            let a = A(u32::try_from(i).unwrap_or(u32::MAX));
            let Some(r) = self[a].rsc else { continue };
            if self[r].is_remote_connection && self[a].task == "clear_failcount" {
                self.new_ordering(Side::ActionOf(r, a), Side::Task(r, "start"), ar::ORDERED);
                continue;
            }
            let Some(n) = self[a].node.filter(|n| self[*n].is_remote_kind) else { continue };
            let Some(remote) = self[n].remote else { continue };
            if self[a].is(af::PSEUDO) {
                continue;
            }
            if self[a].task == "start" {
                for other in self[r].actions.clone().into_iter().rev() {
                    if self[other].node != Some(n) && self[other].task == "stop" {
                        self.new_ordering(
                            Side::Task(remote, "start"),
                            Side::ActionOf(r, other),
                            ar::ORDERED,
                        );
                    }
                }
            }
            match self[remote].launcher {
                Some(l) => self.order_in_guest(a, n, remote, l),
                None => self.order_on_remote(a, n, remote),
            }
        }
    }

    fn order_on_remote(&mut self, a: A, n: N, remote: R) {
        let state = self.connection_state(n);
        let mut task = self[a].task.to_string();
        if task == "migrate_to" || task == "migrate_from" {
            task = "stop".into();
        }
        match task.as_str() {
            "start" | "promote" => {
                let extra =
                    if state == Connection::Failed { ar::FIRST_IMPLIES_THEN } else { ar::NONE };
                self.start_then(remote, a, extra);
            }
            "stop" => {
                if state == Connection::Alive {
                    self.then_stop(a, remote, ar::THEN_IMPLIES_FIRST);
                } else if state == Connection::Failed {
                    self.fence_node(
                        n,
                        "resources are active but connection is unrecoverable",
                        false,
                    );
                } else if self[remote].next_role == Role::Stopped {
                    self.then_stop(a, remote, ar::THEN_IMPLIES_FIRST);
                } else {
                    self.start_then(remote, a, ar::NONE);
                }
            }
            "demote" => {
                if matches!(state, Connection::Resting | Connection::Unknown) {
                    self.start_then(remote, a, ar::NONE);
                }
            }
            _ if self[a].is_recurring() => self.start_then(remote, a, ar::FIRST_IMPLIES_THEN),
            _ => {
                if task == "monitor" && state == Connection::Failed {
                    self.fence_node(
                        n,
                        "resources are in unknown state and connection is unrecoverable",
                        false,
                    );
                }
                if self.current(remote).is_some() && state == Connection::Stopped {
                    self.then_stop(a, remote, ar::UNRUNNABLE_FIRST_BLOCKS);
                } else {
                    self.start_then(remote, a, ar::NONE);
                }
            }
        }
    }

    fn order_in_guest(&mut self, a: A, n: N, remote: R, launcher: R) {
        if self[launcher].failed {
            self.fence_node(n, "container failed", false);
        }
        let mut task = self[a].task.to_string();
        if task == "migrate_to" || task == "migrate_from" {
            task = "stop".into();
        }
        match task.as_str() {
            "start" | "promote" => {
                self.start_then(launcher, a, ar::FIRST_IMPLIES_THEN);
                self.start_then(remote, a, ar::NONE);
            }
            "stop" | "demote" => {
                if !self[launcher].failed {
                    self.then_stop(a, remote, ar::NONE);
                }
            }
            _ if self[a].is_recurring() => {
                const KNOWN: [&str; 11] = [
                    "stop",
                    "stopped",
                    "start",
                    "running",
                    "monitor",
                    "notify",
                    "notified",
                    "promoted",
                    "demoted",
                    "do_shutdown",
                    "stonith",
                ];
                if KNOWN.contains(&task.as_str()) {
                    self.start_then(remote, a, ar::FIRST_IMPLIES_THEN);
                }
            }
            _ => self.start_then(remote, a, ar::NONE),
        }
    }

    /// The cluster node that carries out an action on a remote node.
    pub(crate) fn router(&self, a: A) -> Option<N> {
        let action = &self[a];
        let n = action.node?;
        if action.task == "stonith" || !self[n].is_remote_kind {
            return None;
        }
        let r = self[n].remote?;
        let (began, ended) = (self.current(r), self[r].assigned);
        let (Some(b), Some(e)) = (began, ended) else { return began.or(ended) };
        if b == e {
            return Some(b);
        }
        let partial = self[r].launcher.is_none() && self[r].migration_target.is_some();
        let task = if action.task == "notify" {
            action.meta("notify_operation").unwrap_or_default()
        } else {
            action.task.as_ref()
        };
        let before = matches!(task, "cancel" | "stop" | "demote" | "migrate_from" | "migrate_to");
        Some(if before && !partial { b } else { e })
    }
}
