//! What changes, in words: a line for each node to be fenced and each instance that does not stay
//! as it is.

use crate::world::action::af;
use crate::world::{A, N, R, Role, World};

/// Characters of a column at least.
const LEAST_WIDTH: usize = 5;

/// A line about an instance, before columns are aligned.
struct Item {
    change: &'static str,
    rsc: String,
    details: String,
    reason: String,
}

impl World<'_> {
    pub(super) fn summary(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for action in self.actions.iter().rev() {
            if action.rsc.is_some() || action.is(af::OPTIONAL) {
                continue;
            }
            let what = match action.task.as_ref() {
                "do_shutdown" => "Shutdown".to_owned(),
                "stonith" => {
                    format!("Fence ({})", action.meta("stonith_action").unwrap_or_default())
                }
                _ => continue,
            };
            let (Some(n), Some(reason)) = (action.node, &action.reason) else { continue };
            let guest = if self.is_guest(n) { self.launcher_of(n) } else { None };
            let of = guest.map_or_else(String::new, |l| format!(" (resource: {})", self[l].id));
            lines.push(format!("{what} {}{of} '{reason}'", self[n].name));
        }
        let mut items = Vec::new();
        for r in self.top.clone() {
            self.summarize(r, &mut items);
        }
        let mut wide = LEAST_WIDTH;
        for item in &items {
            if item.rsc.len() > wide {
                wide = item.rsc.len() + 2;
            }
        }
        let details = items.iter().map(|i| i.details.len()).fold(LEAST_WIDTH, usize::max);
        lines.extend(items.iter().map(|i| {
            let line = format!(
                "{:<8}   {:<wide$}   ( {:>details$} )  {}",
                i.change, i.rsc, i.details, i.reason
            );
            line.trim_end().to_owned()
        }));
        lines
    }

    fn summarize(&mut self, r: R, items: &mut Vec<Item>) {
        if let Some(b) = self[r].bundle.clone() {
            for p in &b.replicas {
                for part in [p.ip, p.container, p.remote, p.child].into_iter().flatten() {
                    self.summarize(part, items);
                }
            }
            return;
        }
        if !self[r].children.is_empty() {
            for c in self[r].children.clone() {
                self.summarize(c, items);
            }
            return;
        }
        if !self.is_primitive(r) {
            return;
        }
        let next = self[r].assigned;
        let current = self.current(r);
        if !self[r].active.is_empty() && self[r].role == Role::Stopped {
            self[r].role = Role::Started;
        }
        if !(current.is_none() && self[r].removed) {
            self.change_of(r, current, next, items);
        }
    }

    fn oldest(&mut self, r: R, task: &str, n: Option<N>) -> Option<A> {
        self.actions_of(r, task, n).first().copied()
    }

    fn change_of(&mut self, r: R, current: Option<N>, next: Option<N>, items: &mut Vec<Item>) {
        if !self[r].managed || (current.is_none() && next.is_none()) {
            return;
        }
        let moving = current.is_some() && next.is_some() && current != next;
        let start = self.oldest(r, "start", next);
        let startable = start.is_some_and(|a| self[a].is(af::RUNNABLE));
        let mut stop = self.oldest(r, "stop", if startable { current } else { None });
        if stop.is_none() && self[r].stop_unexpected {
            stop = self.oldest(r, "stop", None);
        }
        let promote = self.oldest(r, "promote", next);
        let demote = self.oldest(r, "demote", next);
        let needed = |w: &Self, a: Option<A>| a.is_some_and(|a| !w[a].is(af::OPTIONAL));
        let mut say = |w: &Self, change, from, to, action: Option<A>, source: Option<A>| {
            items.extend(w.item(change, r, from, to, action, source));
        };
        let (role, next_role) = (self[r].role, self[r].next_role);
        if role == next_role {
            let Some(next_node) = next else { return };
            let migrate = self.oldest(r, "migrate_from", Some(next_node));
            if current.is_some() && migrate.is_some_and(|a| self[a].is(af::RUNNABLE)) {
                say(self, "Migrate", current, next, start, None);
            } else if self[r].reload {
                say(self, "Reload", current, next, start, None);
            } else if !needed(self, start) {
                if needed(self, demote) && needed(self, promote) {
                    say(self, "Re-promote", current, next, promote, demote);
                }
            } else if !startable {
                let stop_says = stop.filter(|a| self[*a].reason.is_some());
                say(self, "Stop", current, None, stop, stop_says.or(start));
            } else if moving {
                let change = if self[r].failed { "Recover" } else { "Move" };
                say(self, change, current, next, stop, None);
            } else if self[r].failed {
                say(self, "Recover", current, None, stop, None);
            } else {
                say(self, "Restart", current, next, start, None);
            }
            return;
        }
        if stop.is_some() && (next_role == Role::Stopped || (start.is_some() && !startable)) {
            for n in self[r].active.clone() {
                let stop_here = self.oldest(r, "stop", Some(n));
                let says = stop_here.filter(|a| self[*a].reason.is_some());
                say(self, "Stop", Some(n), None, stop_here, says.or(start));
            }
        } else if stop.is_some() && self[r].failed && self[r].stop_if_failed {
            say(self, "Recover", current, next, stop, start);
        } else if moving {
            say(self, "Move", current, next, stop, None);
        } else if self[r].reload {
            say(self, "Reload", current, next, start, None);
        } else if needed(self, stop) {
            say(self, "Restart", current, next, start, None);
        } else if role == Role::Promoted {
            say(self, "Demote", current, next, demote, None);
        } else if next_role == Role::Promoted {
            say(self, "Promote", current, next, promote, None);
        } else if role == Role::Stopped && next_role > Role::Stopped {
            say(self, "Start", current, next, start, None);
        }
    }

    fn item(
        &self,
        change: &'static str,
        r: R,
        from: Option<N>,
        to: Option<N>,
        action: Option<A>,
        source: Option<A>,
    ) -> Option<Item> {
        let action = action?;
        let rsc = &self[r];
        let with_role = rsc.role > Role::Started || rsc.next_role > Role::Unpromoted;
        let same_role = rsc.role == rsc.next_role;
        let (was, will) = (rsc.role.text(), rsc.next_role.text());
        let name = |n: N| self[n].name.as_str();
        let details = match (from, to) {
            (None, None) => return None,
            (None, Some(t)) if with_role => format!("{was} -> {will} {}", name(t)),
            (None, Some(t)) => name(t).to_owned(),
            (Some(f), None) if with_role => format!("{was} {}", name(f)),
            (Some(f), None) => name(f).to_owned(),
            (Some(f), Some(t)) => match (same_role, f == t) {
                (true, true) if with_role => format!("{was} {}", name(f)),
                (true, true) => name(f).to_owned(),
                (true, false) if with_role => format!("{} -> {} {was}", name(f), name(t)),
                (true, false) => format!("{} -> {}", name(f), name(t)),
                (false, true) => format!("{was} -> {will} {}", name(f)),
                (false, false) => format!("{was} {} -> {will} {}", name(f), name(t)),
            },
        };
        let blocked = !self[action].is(af::RUNNABLE);
        let reason = match &self[source.unwrap_or(action)].reason {
            Some(text) if blocked => format!("due to {text} (blocked)"),
            Some(text) => format!("due to {text}"),
            None if blocked => "blocked".to_owned(),
            None => String::new(),
        };
        Some(Item { change, rsc: rsc.id.clone(), details, reason })
    }
}
