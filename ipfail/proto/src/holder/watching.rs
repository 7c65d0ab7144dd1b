//! The kernel's side of things: its events, drift, lifetimes, monitors, and the passing of time.

use std::net::IpAddr;
use std::time::Duration;

use haven_base::{Address, AddressChange, IfIndex, Instant, Lifetime, Link, Route};

use super::{Held, Holder, Output, Phase, Purpose, RECONCILE_INTERVAL, RENEW_INTERVAL};
use crate::announce;
use crate::event::{Confirmation, Event, Steps};
use crate::outcome::{OcfCode, Outcome, Reason};
use crate::params::{IpParams, Reconcile};
use crate::plan::{self, Place, Placement};
use crate::view::{View, is_up};

/// Repairs of one address within [`REPAIR_WINDOW`]; a script that keeps deleting it meets patience, not a
/// busy loop.
const REPAIRS_MAX: usize = 10;
const REPAIR_WINDOW: Duration = Duration::from_secs(10);

impl Holder {
    pub(super) fn on_snapshot(
        &mut self,
        now: Instant,
        links: Vec<Link>,
        addresses: Vec<Address>,
        out: &mut Vec<Output>,
    ) {
        let before = std::mem::replace(&mut self.view, View::new(links, addresses));
        let gone: Vec<IfIndex> = before
            .links()
            .map(|link| link.index)
            .filter(|index| self.view.link(*index).is_none())
            .collect();
        for index in gone {
            self.on_link_gone(now, index, out);
        }
        let links: Vec<Link> = self.view.links().cloned().collect();
        for link in &links {
            self.compare_link(now, before.link(link.index), link, out);
        }
        self.retry_pending(now, out);
        if self.reconcile_at.is_some() {
            self.reconcile_at = Some(now + RECONCILE_INTERVAL);
        }
        let ips: Vec<(String, IpAddr)> =
            self.owners.iter().map(|(ip, resource)| (resource.clone(), *ip)).collect();
        for (resource, ip) in ips {
            self.look_at_check(now, &resource, ip, out);
            self.reconcile(now, &resource, ip, out);
        }
    }

    pub(super) fn on_link(&mut self, now: Instant, link: Link, out: &mut Vec<Output>) {
        let before = self.view.link(link.index).cloned();
        self.view.put_link(link.clone());
        self.compare_link(now, before.as_ref(), &link, out);
        self.retry_pending(now, out);
    }

    /// React to what changed about an interface that carries addresses of ours.
    fn compare_link(
        &mut self,
        now: Instant,
        before: Option<&Link>,
        link: &Link,
        out: &mut Vec<Output>,
    ) {
        let mut renamed = Vec::new();
        let mut on_it = Vec::new();
        for (resource, held) in &mut self.resources {
            for (ip, vip) in held.vips.iter_mut().filter(|(_, vip)| vip.place.index == link.index) {
                on_it.push(*ip);
                if vip.seen_name != link.name {
                    let from = std::mem::replace(&mut vip.seen_name, link.name.clone());
                    renamed.push((resource.clone(), from));
                }
            }
        }
        renamed.dedup();
        for (resource, from) in renamed {
            let event = Event::Renamed { resource, from, to: link.name.clone() };
            out.push(Output::Event(event));
        }
        let Some(before) = before else { return };
        let came_up = !is_up(before) && is_up(link);
        if came_up || before.mac != link.mac {
            for ip in &on_it {
                self.announce_again(now, *ip, out);
            }
        }
        if !on_it.is_empty() && (came_up || before.admin_up != link.admin_up) {
            // An interface that goes down loses its IPv6 addresses.
            self.resync = true;
        }
    }

    pub(super) fn on_link_gone(&mut self, now: Instant, index: IfIndex, out: &mut Vec<Output>) {
        self.view.remove_link(index);
        self.pacers.remove(&index);
        let on_it = |held: &Held| held.vips.values().any(|vip| vip.place.index == index);
        let hit: Vec<String> = self
            .resources
            .iter()
            .filter(|(_, held)| on_it(held) && !matches!(held.phase, Phase::Lost { .. }))
            .map(|(resource, _)| resource.clone())
            .collect();
        for resource in hit {
            self.touch(&resource);
            let Some(held) = self.resources.get_mut(&resource) else { continue };
            held.vips.clear();
            (held.renew_at, held.overdue) = (None, false);
            (held.step_began, held.steps) = (now, Steps::default());
            match plan::place(&held.params, &self.view, &held.routes) {
                Ok(placement) => self.enter(now, &resource, placement, out),
                Err(outcome) => self.give_up(
                    &resource,
                    outcome.reason.unwrap_or(Reason::Missing),
                    outcome.text,
                    out,
                ),
            }
        }
    }

    /// Resources whose interface was missing and is there now.
    fn retry_pending(&mut self, now: Instant, out: &mut Vec<Output>) {
        let ready: Vec<String> = self
            .resources
            .iter()
            .filter(|(_, held)| {
                matches!(&held.phase, Phase::Pending(nic) if self.view.find(nic).is_some())
            })
            .map(|(resource, _)| resource.clone())
            .collect();
        for resource in ready {
            let Some(held) = self.resources.get_mut(&resource) else { continue };
            match plan::place(&held.params, &self.view, &held.routes) {
                Ok(Placement::Pending(_)) => {}
                Ok(placement) => self.enter(now, &resource, placement, out),
                Err(outcome) => self.give_up(
                    &resource,
                    outcome.reason.unwrap_or(Reason::Missing),
                    outcome.text,
                    out,
                ),
            }
        }
    }

    pub(super) fn on_address(&mut self, now: Instant, address: Address, out: &mut Vec<Output>) {
        let ip = address.ip;
        self.view.put_address(address);
        let Some(resource) = self.owners.get(&ip).cloned() else { return };
        self.look_at_check(now, &resource, ip, out);
        self.doubt(now, &resource, ip);
    }

    pub(super) fn on_address_gone(&mut self, address: &Address) {
        self.view.remove_address(address.index, address.ip, address.prefix_len);
        // The event may be older than our own last change: look before judging.
        self.resync |= self.owners.contains_key(&address.ip);
    }

    /// An address that does not look as it should calls for a fresh look at everything.
    fn doubt(&mut self, now: Instant, resource: &str, ip: IpAddr) {
        let Some(held) = self.resources.get(resource) else { return };
        let Some(want) = self.want(held, ip, now) else { return };
        let differs = plan::difference(&self.view, &want);
        self.resync |= differs.is_some_and(|reason| reason != Reason::Tentative);
    }

    /// Where duplicate address detection of an IPv6 address stands.
    fn look_at_check(&mut self, now: Instant, resource: &str, ip: IpAddr, out: &mut Vec<Output>) {
        let Some(held) = self.resources.get(resource) else { return };
        let Some(vip) = held.vips.get(&ip).filter(|vip| vip.checking) else { return };
        let places = self.view.places(ip);
        let Some(have) = places.iter().find(|have| have.index == vip.place.index) else { return };
        if have.flags.dad_failed {
            let dev = self.view.name(vip.place.index);
            let text = format!(
                "{ip} on {dev} failed duplicate address detection: another station has it; find it \
                 in the switch's table or with `ndisc6 {ip}` from a neighbour and take it off there"
            );
            self.give_up(resource, Reason::DadFailed, text, out);
        } else if !have.flags.tentative {
            self.passed_check(now, resource, ip, out);
        }
    }

    /// Compare one address with the kernel's truth and put it right.
    fn reconcile(&mut self, now: Instant, resource: &str, ip: IpAddr, out: &mut Vec<Output>) {
        let Some(held) = self.resources.get(resource) else { return };
        let settled = matches!(held.phase, Phase::Checking { .. } | Phase::Announcing | Phase::Up);
        if !settled || held.params.reconcile == Reconcile::Off {
            return;
        }
        let Some(want) = self.want(held, ip, now) else { return };
        let difference = plan::difference(&self.view, &want);
        let reason = difference.filter(|reason| !matches!(reason, Reason::Tentative));
        let repair =
            held.params.reconcile == Reconcile::Repair && reason != Some(Reason::DadFailed);
        let able = self.view.link(want.index).is_some_and(|link| link.admin_up)
            && self.without_gate(held).is_none();
        let before = self.quiet_at(held);
        let leased = before.is_none_or(|end| end > now);
        let found = plan::judge(&held.params, &self.view, &want).text;
        let changes = plan::put(&held.params, &self.view, &want);
        let Some(vip) = self.resources.get_mut(resource).and_then(|h| h.vips.get_mut(&ip)) else {
            return;
        };
        let Some(reason) = reason else {
            vip.reported = None;
            return;
        };
        if !repair {
            if vip.reported.as_ref() != Some(&reason) {
                vip.reported = Some(reason);
                out.push(Output::Event(Event::Drift { ip, found, repaired: false }));
            }
            return;
        }
        vip.repairs.retain(|at| now.since(*at) < REPAIR_WINDOW);
        if !able || !leased || vip.repairs.len() >= REPAIRS_MAX {
            return;
        }
        vip.repairs.push_back(now);
        out.push(Output::Change { changes, before, purpose: Purpose::Repair { ip, found } });
    }

    pub(super) fn repaired(
        &mut self,
        now: Instant,
        ip: IpAddr,
        found: String,
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Event(Event::Drift { ip, found, repaired: true }));
        self.announce_again(now, ip, out);
    }

    pub(super) fn on_lease_end(
        &mut self,
        now: Instant,
        group: &str,
        end: Instant,
        out: &mut Vec<Output>,
    ) {
        let Some(known) = self.leases.get_mut(group) else { return };
        // Never shortened: an older renewal may arrive late.
        *known = (*known).max(end);
        let longer = |held: &Held, end: Instant| {
            let (valid, _) = plan::lifetimes(&held.params, Some(end), now, now);
            matches!(valid, Lifetime::Seconds(n) if n > held.written)
        };
        let due: Vec<String> = self
            .resources
            .iter()
            .filter(|(_, held)| {
                held.lease.as_ref().is_some_and(|lease| lease.group == group)
                    && (held.overdue || (held.renew_at.is_some() && longer(held, end)))
            })
            .map(|(resource, _)| resource.clone())
            .collect();
        for resource in due {
            self.renew(now, &resource, out);
        }
        let doubted = |held: &Held| {
            let of_group = held.lease.as_ref().is_some_and(|lease| lease.group == group);
            of_group && held.vips.values().any(|vip| vip.doubted.is_some())
        };
        let held = self.resources.iter().filter(|(_, held)| doubted(held));
        let doubted: Vec<String> = held.map(|(resource, _)| resource.clone()).collect();
        for resource in doubted {
            self.end_doubts(now, &resource, out);
        }
        self.retry_pending(now, out);
        // A lease that had lapsed may have cost an address: the kernel deletes it by itself.
        self.resync |= self.resources.values().any(|held| {
            held.lease.as_ref().is_some_and(|lease| lease.group == group)
                && held.vips.keys().any(|ip| {
                    let want = self.want(held, *ip, now);
                    want.is_some_and(|want| {
                        plan::difference(&self.view, &want) == Some(Reason::Missing)
                    })
                })
        });
    }

    /// Write the lifetimes of a resource anew, if its lease still holds.
    fn renew(&mut self, now: Instant, resource: &str, out: &mut Vec<Output>) {
        self.touch(resource);
        let Some(held) = self.resources.get_mut(resource) else { return };
        let lease = held.lease.as_ref();
        let end = lease.map(|l| self.leases.get(&l.group).copied().unwrap_or(l.end));
        let Some(end) = end.filter(|end| *end > now) else {
            // Made up for with the next news of the lease.
            (held.renew_at, held.overdue) = (None, true);
            return;
        };
        (held.renew_at, held.overdue) = (Some(now + RENEW_INTERVAL), false);
        let Some(held) = self.resources.get(resource) else { return };
        // Only where the address is: one that somebody removed is a matter of drift.
        let changes: Vec<AddressChange> = held
            .params
            .ips
            .iter()
            .filter_map(|ip| self.want(held, *ip, now))
            .filter(|want| plan::difference(&self.view, want).is_none())
            .map(AddressChange::Set)
            .collect();
        self.note_written(now, resource);
        if !changes.is_empty() {
            out.push(Output::Change { changes, before: Some(end), purpose: Purpose::Renew });
        }
    }

    pub(super) fn on_monitor(
        &mut self,
        now: Instant,
        resource: &str,
        params: &IpParams,
        routes: &[Route],
        out: &mut Vec<Output>,
    ) -> Outcome {
        if !self.resources.contains_key(resource) {
            return self.probe_unheld(params, routes);
        }
        let ips = params.ips.clone();
        if params.count_refresh > 0 {
            for ip in &ips {
                let refresh = announce::Input::Refresh(params.count_refresh);
                self.announcer_step(now, resource, *ip, refresh, out);
            }
        }
        self.resources
            .get(resource)
            .map_or_else(Outcome::success, |held| self.judge_held(now, held))
    }

    fn judge_held(&self, now: Instant, held: &Held) -> Outcome {
        match &held.phase {
            Phase::Pending(nic) => {
                let text =
                    format!("interface {nic} does not exist; the address follows when it does");
                return Outcome::success_but(Reason::Pending, text);
            }
            Phase::Lost { reason, text } => {
                return Outcome::failed(OcfCode::ErrGeneric, reason.clone(), text.clone());
            }
            Phase::Probing { .. }
            | Phase::Adding
            | Phase::Checking { .. }
            | Phase::Announcing
            | Phase::Up => {}
        }
        let mut unanswered = None;
        for (ip, vip) in &held.vips {
            if let Some(mac) = vip.watch.failure(now) {
                let text = format!("{ip} is claimed by {mac}, too");
                return Outcome::failed(OcfCode::ErrGeneric, Reason::DuplicateSeen { mac }, text);
            }
            let Some(want) = self.want(held, *ip, now) else { continue };
            let outcome = plan::judge(&held.params, &self.view, &want);
            if !outcome.is_success() {
                return outcome;
            }
            if vip.announcer.confirmation() == Confirmation::Unverified {
                unanswered = Some(*ip);
            }
        }
        // It serves, and moving it costs its clients something: that is for people to decide.
        if let Some(text) = self.without_gate(held) {
            return Outcome::success_but(Reason::Ungated, text);
        }
        // A gateway that is away is no reason to move: no other node would find it either.
        unanswered.map_or_else(Outcome::success, |ip| {
            let text = format!("{ip} is up, but neither gateway nor neighbours answer to it");
            Outcome::success_but(Reason::NoGatewayReply, text)
        })
    }

    /// A probe of a resource this process never started.
    fn probe_unheld(&self, params: &IpParams, routes: &[Route]) -> Outcome {
        let places = match plan::place(params, &self.view, routes) {
            Ok(Placement::Places(places)) => places,
            Ok(Placement::Pending(nic)) => {
                return Outcome::not_running(format!("interface {nic} does not exist here"));
            }
            Err(_) => Vec::new(),
        };
        let mut found = Vec::new();
        for (i, ip) in params.ips.iter().enumerate() {
            let elsewhere = self.view.places(*ip).first();
            let place = places.get(i).copied().or_else(|| {
                elsewhere.map(|have| Place { index: have.index, prefix_len: have.prefix_len })
            });
            found.push(place.map_or_else(
                || Outcome::not_running(format!("{ip} is on no interface of this host")),
                |place| {
                    let nic = self.view.name(place.index);
                    let forever = plan::lifetimes(params, None, Instant::ZERO, Instant::ZERO);
                    let want = plan::desired(params, *ip, place, &nic, true, forever);
                    plan::judge(params, &self.view, &want)
                },
            ));
        }
        let running = found.iter().any(|outcome| outcome.code != OcfCode::NotRunning);
        let worst = found.into_iter().find(|outcome| !outcome.is_success());
        worst.map_or_else(Outcome::success, |mut outcome| {
            if running && outcome.code == OcfCode::NotRunning {
                outcome.code = OcfCode::ErrGeneric;
            }
            outcome
        })
    }

    /// Everything that is due.
    pub(super) fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.arm();
        let due: Vec<String> = self
            .timers
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, resource)| resource.clone())
            .collect();
        for resource in due {
            self.tick_resource(now, &resource, out);
        }
        let paced: Vec<IfIndex> = self.pacers.keys().copied().collect();
        for index in paced {
            self.let_pass(now, index, out);
        }
        if self.reconcile_at.is_some_and(|at| at <= now) {
            self.reconcile_at = Some(now + RECONCILE_INTERVAL);
            self.resync = true;
        }
    }

    fn tick_resource(&mut self, now: Instant, resource: &str, out: &mut Vec<Output>) {
        self.touch(resource);
        let Some(held) = self.resources.get(resource) else { return };
        match held.phase {
            Phase::Probing { .. } => self.probe(now, resource, out),
            Phase::Checking { since, limit } if since + limit <= now => {
                let text = format!(
                    "start {resource}: duplicate address detection is not done after {} s; is the \
                     link up?",
                    limit.as_secs()
                );
                self.give_up(resource, Reason::Tentative, text, out);
            }
            Phase::Pending(_)
            | Phase::Adding
            | Phase::Checking { .. }
            | Phase::Announcing
            | Phase::Up
            | Phase::Lost { .. } => {}
        }
        let Some(held) = self.resources.get(resource) else { return };
        if held.renew_at.is_some_and(|at| at <= now) {
            self.renew(now, resource, out);
        }
        self.end_doubts(now, resource, out);
        let Some(held) = self.resources.get_mut(resource) else { return };
        let mut announcers = Vec::new();
        let mut defences = Vec::new();
        for (ip, vip) in &mut held.vips {
            if vip.announcer.deadline().is_some_and(|at| at <= now) {
                announcers.push(*ip);
            }
            if let (Some(reaction), Some(mac)) = (vip.watch.tick(now), vip.watch.last()) {
                defences.push((*ip, mac, reaction));
            }
        }
        for ip in announcers {
            self.announcer_step(now, resource, ip, announce::Input::Tick, out);
        }
        for (ip, mac, reaction) in defences {
            self.react(now, resource, ip, mac, reaction, out);
        }
    }
}
