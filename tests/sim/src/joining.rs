//! Members that come and go: tokens, admissions, removals.

use haven_api::RequestBody;
use haven_base::WallTime;
use haven_consensus::Recovered;
use haven_controller::{Local, Member, Role};
use haven_hub::Happening;
use haven_types::NodeId;

use crate::clock::{MS, SECOND};
use crate::host::wall;
use crate::world::{World, member};

/// Machines there may be at once, removed ones included.
const MOST_HOSTS: usize = 8;

/// A machine that wants to become a member.
#[derive(Clone, Debug)]
pub(crate) struct Joiner {
    token: [u8; 32],
    member: Member,
    minted: bool,
    /// It asks again with the same token and key until it is answered, or gives up then.
    asked_at: u64,
    until: u64,
}

impl World {
    /// Somebody installs a new machine and asks for a token for it.
    pub(crate) fn add_member(&mut self) {
        if self.hosts.len() + self.joiners.len() >= MOST_HOSTS {
            return;
        }
        let Some(at) = self.any_running() else { return };
        self.serials += 1;
        let serial = self.serials;
        let role = if self.rng.chance(1, 8) { Role::Witness } else { Role::Full };
        let member = member(NodeId(0), serial, role, self.settings.link_count);
        let mut token = [1; 32];
        token[..2].copy_from_slice(&serial.to_be_bytes());
        self.trace.note(self.now, at, "mints a token", || format!("for n{serial}"));
        let expires = WallTime::from_seconds(wall(self.now).seconds + 86_400);
        let request = u64::from(serial);
        self.give(at, Happening::Local(Local::MintToken { request, token, expires }));
        let until = self.now + 4 * SECOND;
        self.joiners.push(Joiner { token, member, minted: false, asked_at: 0, until });
    }

    /// Somebody removes a member, or a member leaves by itself.
    pub(crate) fn remove_member(&mut self) {
        let members = self.hosts.values().filter(|host| !host.removed).count();
        let Some(at) = self.any_running() else { return };
        if members <= 3 {
            return;
        }
        let ids = self.ids();
        let node = ids[self.rng.below(ids.len() as u64) as usize];
        let force = self.rng.chance(1, 2);
        if force {
            self.forced.insert(node);
        }
        let id = self.rng.next_u64() >> 1;
        let body = RequestBody::ClusterRemoveNode { node: self.name(node), force };
        if self.rng.chance(1, 4) {
            self.ask(node, id, RequestBody::ClusterLeave { force });
        } else {
            self.ask(at, id, body);
        }
    }

    pub(crate) fn any_running(&mut self) -> Option<NodeId> {
        let running = self.running();
        let number = self.rng.below(running.len() as u64) as usize;
        running.get(number).copied()
    }

    /// What the cluster answered to joiners since the last look.
    pub(crate) fn serve_joiners(&mut self) {
        for (id, ok) in std::mem::take(&mut self.minted) {
            let serial = format!("n{id}");
            for joiner in self.joiners.iter_mut().filter(|joiner| joiner.member.name == serial) {
                joiner.minted |= ok;
            }
        }
        for (at, id, member) in std::mem::take(&mut self.admitted) {
            let name = format!("n{id}");
            let waits = self.joiners.iter().position(|joiner| joiner.member.name == name);
            // Whoever answers is gone by now: the answer is lost, and the joiner asks another.
            let answers = crate::world::controller(&self.hosts, at).is_some();
            if let (Some(position), Some(member), true) = (waits, member, answers) {
                self.joiners.swap_remove(position);
                self.welcome(at, &member);
            }
        }
        let (now, stormy) = (self.now, self.stormy);
        self.joiners.retain(|joiner| stormy && joiner.until > now);
        for number in 0..self.joiners.len() {
            let joiner = self.joiners[number].clone();
            if !joiner.minted || joiner.asked_at + 500 * MS > now {
                continue;
            }
            self.joiners[number].asked_at = now;
            if let Some(at) = self.any_running() {
                let serial = joiner.member.name[1..].parse().unwrap_or_default();
                let Joiner { member, token, .. } = joiner;
                self.give(at, Happening::Local(Local::Admit { request: serial, member, token }));
            }
        }
    }

    /// The joiner was given its number: it starts with what the member at hand tells it.
    fn welcome(&mut self, at: NodeId, member: &Member) {
        if self.hosts.contains_key(&member.id) {
            return;
        }
        self.trace.note(self.now, member.id, "was admitted", || member.name.clone());
        let members = crate::world::controller(&self.hosts, at)
            .map(|controller| controller.state().members.clone())
            .unwrap_or_default();
        self.add_host(member, Recovered::blank());
        if let Some(host) = self.hosts.get_mut(&member.id) {
            // Keys are not told at joining; the log tells them.
            let without_key = |member: Member| Member { key: [0; 32], ..member };
            host.bootstrap = members.into_values().map(without_key).collect();
        }
        let delay = MS + self.rng.below(100 * MS);
        self.start_in(member.id, delay);
    }
}
