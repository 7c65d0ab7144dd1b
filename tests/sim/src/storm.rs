//! Faults at random times.

use haven_api::RequestBody;
use haven_types::{LinkId, NodeId};

use crate::clock::{MS, nanos};
use crate::world::World;
use haven_hub::Happening;

impl World {
    fn any(&mut self) -> NodeId {
        let ids = self.ids();
        ids[self.rng.below(ids.len() as u64) as usize]
    }

    /// Lives through the storm.
    pub(crate) fn storm(&mut self) {
        let end = self.now + nanos(self.settings.storm);
        let (faults, requests) =
            (nanos(self.settings.fault_every), nanos(self.settings.request_every));
        let mut fault_at = self.now + self.rng.below(2 * faults);
        let mut request_at = self.now + self.rng.below(2 * requests);
        while self.now < end && self.checks.broken.is_none() {
            let next = fault_at.min(request_at).min(end);
            self.run_for(next - self.now);
            self.serve_joiners();
            if self.now >= fault_at {
                self.fault();
                fault_at = self.now + 1 + self.rng.below(2 * faults);
            }
            if self.now >= request_at {
                self.request();
                request_at = self.now + 1 + self.rng.below(2 * requests);
            }
        }
    }

    fn fault(&mut self) {
        let faults = self.settings.faults;
        match self.rng.below(17) {
            0..=3 if faults.crashes => self.crash(),
            12 if faults.crashes => {
                let node = self.any();
                self.ask(node, 0, RequestBody::PlanRestart);
            }
            13 if faults.crashes => self.leave(),
            14 if faults.members => self.add_member(),
            15 if faults.members => self.remove_member(),
            16 if faults.crashes && self.rng.chance(1, 3) => {
                let node = self.any();
                self.trace.note(self.now, node, "has a broken disk", String::new);
                self.hosts.get_mut(&node).unwrap().disk.broken = true;
            }
            4..=6 if faults.cuts => self.cut(),
            7 | 8 => {
                self.trace.note(self.now, NodeId(0), "all cuts are mended", String::new);
                self.network.heal();
            }
            9 | 10 if faults.pauses => self.stand_still(),
            11 if self.settings.drift => {
                let (node, now) = (self.any(), self.now);
                let mut clock = self.hosts[&node].clock.clone();
                clock.slew(now, &mut self.rng, self.settings.rho_permille());
                self.hosts.get_mut(&node).unwrap().clock = clock;
                self.wake_beat(node, 0);
                self.wake_main(node, 0);
            }
            _ => {}
        }
    }

    fn crash(&mut self) {
        let node = self.any();
        if self.rng.chance(1, 3) {
            self.power_off(node)
        } else {
            self.kill(node)
        }
        let most = if self.rng.chance(1, 2) { 300 * MS } else { 4_000 * MS };
        let delay = 10 * MS + self.rng.below(most);
        self.start_in(node, delay);
    }

    /// Somebody stops the daemon and starts it again later.
    fn leave(&mut self) {
        let node = self.any();
        self.trace.note(self.now, node, "is told to end", String::new);
        self.give(node, Happening::Terminate);
    }

    fn cut(&mut self) {
        let (a, b) = (self.any(), self.any());
        match self.rng.below(5) {
            0 => {
                self.trace.note(self.now, a, "is cut off", String::new);
                let all = self.ids();
                self.network.part(&[a], &all);
            }
            1 | 2 => {
                self.trace.note(self.now, a, "is parted from", || format!("n{b}"));
                self.network.part(&[a], &[b]);
            }
            3 => {
                self.trace.note(self.now, a, "reaches no more", || format!("n{b}"));
                for link in self.network.links.clone() {
                    self.network.cut(a, b, link);
                }
            }
            _ => {
                let link = LinkId(self.rng.below(u64::from(self.settings.link_count)) as u8);
                self.trace.note(self.now, a, "loses its link", || format!("{link}"));
                for other in self.ids() {
                    self.network.cut(a, other, link);
                    self.network.cut(other, a, link);
                }
            }
        }
    }

    /// The whole process stands still, or one of its threads does.
    fn stand_still(&mut self) {
        let node = self.any();
        let span = self.rng.below(1_500 * MS) >> self.rng.below(6);
        let which = self.rng.below(4);
        let until = self.now + span;
        self.trace.note(self.now, node, "stands still", || format!("{span} ns, {which}"));
        let Some(process) = self.hosts.get_mut(&node).and_then(|host| host.process.as_mut()) else {
            return;
        };
        if which != 1 {
            process.beat.stopped_until = process.beat.stopped_until.max(until);
        }
        if which != 2
            && let Some(main) = process.main.as_mut()
        {
            main.stopped_until = main.stopped_until.max(until);
        }
    }
}
