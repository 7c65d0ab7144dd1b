//! Start, and what the kernel says to changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use haven_base::{AddressChange, Instant, Lifetime, Route};

use super::{Held, Holder, Output, Phase, Purpose, RENEW_INTERVAL, Refusal, RequestId, Vip};
use crate::announce::{self, Announcer};
use crate::conflict::ConflictWatch;
use crate::event::{Event, Lease, Steps};
use crate::frame::Frame;
use crate::outcome::{OcfCode, Outcome, Reason};
use crate::params::IpParams;
use crate::plan::{self, Place, Placement};

/// RFC 5227 §2.1.1 shape with two probes: sent at 0 and 1 s, judged at 2 s.
const PROBES: u32 = 2;
const PROBE_SPACING: Duration = Duration::from_secs(1);
/// Of duplicate address detection without its probes: its random delay (1 s) and 1 s to spare.
const CHECK_BASE: Duration = Duration::from_secs(2);
/// The kernel waits this long after each probe (RFC 4861 §10, `RETRANS_TIMER`).
const CHECK_PROBE: Duration = Duration::from_secs(1);
/// More probes than this are not waited for: no start has that much time.
const CHECK_PROBES_MAX: u32 = 60;

pub(super) const EPERM: i32 = 1;
const EACCES: i32 = 13;
const ENODEV: i32 = 19;
const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EADDRNOTAVAIL: i32 = 99;

impl Holder {
    #[allow(clippy::too_many_arguments, reason = "the fields of one input")]
    pub(super) fn on_start(
        &mut self,
        now: Instant,
        id: RequestId,
        resource: String,
        params: IpParams,
        lease: Option<Lease>,
        routes: Vec<Route>,
        out: &mut Vec<Output>,
    ) {
        if let Some(outcome) = self.refuse_start(now, &resource, &params, lease.as_ref()) {
            out.push(Output::Reply { id, outcome });
            return;
        }
        let placement = match plan::place(&params, &self.view, &routes) {
            Ok(placement) => placement,
            Err(outcome) => {
                out.push(Output::Reply { id, outcome });
                return;
            }
        };
        self.forget(&resource);
        for ip in &params.ips {
            self.owners.insert(*ip, resource.clone());
        }
        if let Some(lease) = &lease {
            let end = self.leases.entry(lease.group.clone()).or_insert(lease.end);
            *end = (*end).max(lease.end);
        }
        let held = Held {
            params,
            lease,
            routes,
            since: now,
            step_began: now,
            steps: Steps::default(),
            waiting: Some(id),
            phase: Phase::Adding,
            vips: BTreeMap::new(),
            renew_at: None,
            overdue: false,
            written: 0,
        };
        self.resources.insert(resource.clone(), held);
        self.enter(now, &resource, placement, out);
    }

    /// Why this start cannot be, before anything is planned.
    fn refuse_start(
        &self,
        now: Instant,
        resource: &str,
        params: &IpParams,
        lease: Option<&Lease>,
    ) -> Option<Outcome> {
        if let Some(lease) = lease {
            let end = self.leases.get(&lease.group).copied().unwrap_or(lease.end).max(lease.end);
            if end <= now {
                let text = format!(
                    "start {resource}: the lease on {} ended {:?} ago; nothing was changed",
                    lease.group,
                    now.since(end)
                );
                return Some(Outcome::failed(OcfCode::ErrGeneric, Reason::LeaseEnded, text));
            }
        }
        params.ips.iter().find_map(|ip| {
            let owner = self.owners.get(ip).filter(|owner| *owner != resource)?;
            let text = format!("start {resource}: {ip} already belongs to resource {owner}");
            Some(Outcome::failed(OcfCode::ErrConfigured, Reason::BadParameters, text))
        })
    }

    /// From a placement to pending, probing or adding.
    pub(super) fn enter(
        &mut self,
        now: Instant,
        resource: &str,
        placement: Placement,
        out: &mut Vec<Output>,
    ) {
        self.touch(resource);
        match placement {
            Placement::Pending(nic) => {
                let Some(held) = self.resources.get_mut(resource) else { return };
                let text =
                    format!("interface {nic} does not exist; the address follows when it does");
                if let Some(id) = held.waiting.take() {
                    let outcome = Outcome::success_but(Reason::Pending, text);
                    out.push(Output::Reply { id, outcome });
                }
                let event = Event::Pending { resource: resource.to_owned(), nic: nic.to_string() };
                out.push(Output::Event(event));
                held.phase = Phase::Pending(nic);
            }
            Placement::Places(places) => {
                self.make_vips(now, resource, &places);
                let Some(held) = self.resources.get_mut(resource) else { return };
                let took = held.step_took(now);
                held.steps.waited += took;
                if held.params.run_arping && held.params.ips.iter().any(IpAddr::is_ipv4) {
                    held.phase = Phase::Probing { next: now, sent: 0 };
                    self.probe(now, resource, out);
                } else {
                    self.add(now, resource, out);
                }
            }
        }
    }

    fn make_vips(&mut self, now: Instant, resource: &str, places: &[Place]) {
        let Some(held) = self.resources.get_mut(resource) else { return };
        let params = &held.params;
        held.vips = params
            .ips
            .iter()
            .zip(places)
            .map(|(ip, place)| {
                let name = self.view.name(place.index);
                let vip = Vip {
                    place: *place,
                    label_nic: name.clone(),
                    seen_name: name,
                    up_since: now,
                    announcer: Announcer::new(params.announce, params.burst, self.rng.fork()),
                    watch: ConflictWatch::new(params.on_conflict),
                    doubted: None,
                    announced: 0,
                    checking: false,
                    repairs: VecDeque::new(),
                    reported: None,
                };
                (*ip, vip)
            })
            .collect();
    }

    /// The next probe, or the end of probing.
    pub(super) fn probe(&mut self, now: Instant, resource: &str, out: &mut Vec<Output>) {
        self.touch(resource);
        let Some(held) = self.resources.get_mut(resource) else { return };
        let Phase::Probing { next, sent } = &mut held.phase else { return };
        if *next > now {
            return;
        }
        if *sent == PROBES {
            self.add(now, resource, out);
            return;
        }
        (*next, *sent) = (now + PROBE_SPACING, *sent + 1);
        for (ip, vip) in &held.vips {
            let mac = self.view.link(vip.place.index).and_then(|link| link.mac);
            if let (true, Some(mac)) = (ip.is_ipv4(), mac) {
                let frame = Frame::probe(*ip, mac).encode();
                out.push(Output::Send { index: vip.place.index, frame, before: None });
            }
        }
    }

    fn add(&mut self, now: Instant, resource: &str, out: &mut Vec<Output>) {
        let Some(held) = self.resources.get(resource) else { return };
        if let Some(why) = self.without_gate(held).filter(|_| !self.is_there(held)) {
            // spec: L8
            let text = format!("start {resource}: {why}");
            return self.give_up(resource, Reason::Ungated, text, out);
        }
        let Some(held) = self.resources.get_mut(resource) else { return };
        held.phase = Phase::Adding;
        let took = held.step_took(now);
        held.steps.probed += took;
        let Some(held) = self.resources.get(resource) else { return };
        let changes = held
            .params
            .ips
            .iter()
            .filter_map(|ip| self.want(held, *ip, now))
            .flat_map(|want| plan::put(&held.params, &self.view, &want))
            .collect();
        // A fresh start carries fresh news of its lease; one that waited for its interface or its probes
        // may have older ones.
        let fresh = held.since == now;
        let before = if fresh { self.lease_end(held) } else { self.quiet_at(held) };
        let purpose = Purpose::Start { resource: resource.to_owned() };
        out.push(Output::Change { changes, before, purpose });
    }

    pub(super) fn on_changed(
        &mut self,
        now: Instant,
        purpose: Purpose,
        changes: &[AddressChange],
        refusals: &[Option<Refusal>],
        out: &mut Vec<Output>,
    ) {
        for (change, refusal) in changes.iter().zip(refusals) {
            if refusal.is_none() {
                self.note_change(change);
            }
        }
        let failures: Vec<(&AddressChange, &Refusal)> = changes
            .iter()
            .zip(refusals)
            .filter_map(|(change, refusal)| Some((change, refusal.as_ref()?)))
            .filter(|(change, refusal)| !is_harmless(change, refusal))
            .collect();
        match purpose {
            Purpose::Start { resource } => {
                let set = failures.iter().find(|(c, _)| matches!(c, AddressChange::Set(_)));
                match set {
                    Some((_, refusal)) => self.start_failed(&resource, refusal, changes, out),
                    None => self.added(now, &resource, out),
                }
            }
            Purpose::Stop { id, resource } => {
                self.stopped(now, id, resource, changes, &failures, out);
            }
            Purpose::Repair { ip, found } => match failures.first() {
                None => self.repaired(now, ip, found, out),
                Some((_, refusal)) => refused(refusal, out),
            },
            Purpose::Renew | Purpose::RollBack => {
                // Refused because the lease has lapsed: nothing to tell, the kernel lets go by itself.
                if let Some((_, refusal)) = failures.iter().find(|(_, r)| r.errno != 0) {
                    refused(refusal, out);
                    self.resync = true;
                }
            }
            Purpose::Cleanup { id } => self.cleaned(id, changes, &failures, out),
        }
    }

    /// What the kernel has just done shows in its events a moment later; know it now.
    fn note_change(&mut self, change: &AddressChange) {
        match change {
            AddressChange::Set(address) => {
                let mut address = address.clone();
                address.flags.tentative = address.ip.is_ipv6() && !address.flags.nodad;
                self.view.put_address(address);
            }
            AddressChange::Delete { index, ip, prefix_len } => {
                self.view.remove_address(*index, *ip, *prefix_len);
            }
            AddressChange::Label { .. } | AddressChange::Unlabel { .. } => {}
        }
    }

    fn start_failed(
        &mut self,
        resource: &str,
        refusal: &Refusal,
        changes: &[AddressChange],
        out: &mut Vec<Output>,
    ) {
        let undo: Vec<AddressChange> = changes
            .iter()
            .filter_map(|change| match change {
                AddressChange::Set(address) => Some(address),
                AddressChange::Delete { .. }
                | AddressChange::Label { .. }
                | AddressChange::Unlabel { .. } => None,
            })
            .filter(|address| {
                self.view.places(address.ip).iter().any(|have| have.index == address.index)
            })
            .map(plan::delete)
            .collect();
        if !undo.is_empty() {
            out.push(Output::Change { changes: undo, before: None, purpose: Purpose::RollBack });
        }
        let Some(held) = self.resources.get_mut(resource) else { return };
        let waiting = held.waiting;
        if let (None, 0, Some(nic)) = (waiting, refusal.errno, held.params.nic.clone()) {
            // Only news of the lease is missing: they bring it up.
            held.vips.clear();
            held.phase = Phase::Pending(nic);
            return;
        }
        self.forget(resource);
        let outcome = kernel_refused(resource, refusal);
        match waiting {
            Some(id) => out.push(Output::Reply { id, outcome }),
            None => out.push(Output::Event(Event::KernelRefused { what: outcome.text })),
        }
    }

    /// The addresses are in the kernel: announce at once those that answer already.
    fn added(&mut self, now: Instant, resource: &str, out: &mut Vec<Output>) {
        self.touch(resource);
        let Some(held) = self.resources.get_mut(resource) else { return };
        let took = held.step_took(now);
        held.steps.added += took;
        let checks = held.lease.is_none() && !held.params.nodad;
        let mut ready = Vec::new();
        let mut checked_on = BTreeSet::new();
        for (ip, vip) in &mut held.vips {
            vip.up_since = now;
            let no_arp = self.view.link(vip.place.index).is_some_and(|link| link.no_arp);
            vip.checking = checks && ip.is_ipv6() && !no_arp;
            if vip.checking {
                checked_on.insert(vip.place.index);
            } else {
                ready.push(*ip);
            }
        }
        let leased = held.lease.is_some();
        held.renew_at = leased.then(|| now + RENEW_INTERVAL);
        held.phase = if ready.len() == held.vips.len() {
            if held.params.background { Phase::Up } else { Phase::Announcing }
        } else {
            Phase::Checking { since: now, limit: check_limit(1) }
        };
        out.extend(checked_on.into_iter().map(|index| {
            let resource = resource.to_owned();
            Output::FindTransmits { resource, index }
        }));
        self.note_written(now, resource);
        self.reconcile_at.get_or_insert(now + super::RECONCILE_INTERVAL);
        for ip in ready {
            self.begin(now, resource, ip, out);
        }
        self.settle(now, resource, out);
    }

    pub(super) fn note_written(&mut self, now: Instant, resource: &str) {
        let Some(held) = self.resources.get(resource) else { return };
        let end = self.lease_end(held);
        let (valid, _) = plan::lifetimes(&held.params, end, now, now);
        if let (Some(held), Lifetime::Seconds(n)) = (self.resources.get_mut(resource), valid) {
            held.written = n;
        }
    }

    fn begin(&mut self, now: Instant, resource: &str, ip: IpAddr, out: &mut Vec<Output>) {
        self.note_move(now, ip, out);
        self.announcer_step(now, resource, ip, announce::Input::Begin, out);
    }

    /// Duplicate address detection takes as long as its probes.
    pub(super) fn on_transmits(&mut self, resource: &str, count: u32) {
        self.touch(resource);
        let phase = self.resources.get_mut(resource).map(|held| &mut held.phase);
        if let Some(Phase::Checking { limit, .. }) = phase {
            *limit = (*limit).max(check_limit(count));
        }
    }

    /// An IPv6 address has passed duplicate address detection.
    pub(super) fn passed_check(
        &mut self,
        now: Instant,
        resource: &str,
        ip: IpAddr,
        out: &mut Vec<Output>,
    ) {
        self.touch(resource);
        let Some(held) = self.resources.get_mut(resource) else { return };
        let Some(vip) = held.vips.get_mut(&ip).filter(|vip| vip.checking) else { return };
        vip.checking = false;
        let done = held.vips.values().all(|vip| !vip.checking);
        if done && matches!(held.phase, Phase::Checking { .. }) {
            held.phase = if held.params.background { Phase::Up } else { Phase::Announcing };
            let took = held.step_took(now);
            held.steps.checked += took;
        }
        self.begin(now, resource, ip, out);
        self.settle(now, resource, out);
    }

    /// Reply to a waiting start once its resource is up.
    pub(super) fn settle(&mut self, now: Instant, resource: &str, out: &mut Vec<Output>) {
        let Some(held) = self.resources.get_mut(resource) else { return };
        if held.phase != Phase::Up {
            return;
        }
        let ips = held.params.ips.clone();
        let took = held.step_took(now);
        held.steps.announced += took;
        let steps = std::mem::take(&mut held.steps);
        if let Some(id) = held.waiting.take() {
            out.push(Output::Reply { id, outcome: Outcome::success() });
        }
        out.push(Output::Event(Event::Started { resource: resource.to_owned(), ips, steps }));
    }

    /// A start that cannot end well: remove what it added, tell why.
    pub(super) fn give_up(
        &mut self,
        resource: &str,
        reason: Reason,
        text: String,
        out: &mut Vec<Output>,
    ) {
        self.touch(resource);
        let Some(held) = self.resources.get_mut(resource) else { return };
        let places: Vec<(IpAddr, Place)> =
            held.vips.iter().map(|(ip, vip)| (*ip, vip.place)).collect();
        let added = !matches!(held.phase, Phase::Probing { .. });
        let params = held.params.clone();
        let waiting = held.waiting.take();
        if waiting.is_none() {
            for vip in held.vips.values_mut() {
                vip.announcer = Announcer::new(params.announce, params.burst, self.rng.fork());
                vip.watch.stand_down();
                vip.doubted = None;
            }
            held.phase = Phase::Lost { reason: reason.clone(), text: text.clone() };
            (held.renew_at, held.overdue) = (None, false);
            self.cancel(&params.ips);
        }
        let changes =
            if added { plan::take_away(&params, &self.view, &places) } else { Vec::new() };
        if !changes.is_empty() {
            out.push(Output::Change { changes, before: None, purpose: Purpose::RollBack });
        }
        if let Some(id) = waiting {
            self.forget(resource);
            // Trying again here is in vain as long as this host lacks the gate there; another may have it.
            let lacks = reason == Reason::Ungated;
            let code = if lacks { OcfCode::ErrInstalled } else { OcfCode::ErrGeneric };
            let outcome = Outcome::failed(code, reason, text);
            out.push(Output::Reply { id, outcome });
        }
    }
}

/// How long duplicate address detection with this many probes may take.
fn check_limit(probes: u32) -> Duration {
    CHECK_BASE + CHECK_PROBE * probes.min(CHECK_PROBES_MAX)
}

/// What a deletion did not find is gone all the same; a source label is a nicety.
fn is_harmless(change: &AddressChange, refusal: &Refusal) -> bool {
    match change {
        AddressChange::Set(_) => false,
        AddressChange::Delete { .. } => {
            matches!(refusal.errno, EADDRNOTAVAIL | ENODEV | ENOENT | ESRCH)
        }
        AddressChange::Label { .. } | AddressChange::Unlabel { .. } => true,
    }
}

fn refused(refusal: &Refusal, out: &mut Vec<Output>) {
    out.push(Output::Event(Event::KernelRefused { what: refusal.text.clone() }));
}

fn kernel_refused(resource: &str, refusal: &Refusal) -> Outcome {
    let (code, reason, remedy) = match refusal.errno {
        0 => (OcfCode::ErrGeneric, Reason::LeaseEnded, ""),
        EPERM => (OcfCode::ErrPerm, Reason::Kernel, "; the daemon needs CAP_NET_ADMIN"),
        EACCES => (
            OcfCode::ErrInstalled,
            Reason::Kernel,
            "; is IPv6 disabled on that interface (sysctl net.ipv6.conf.DEV.disable_ipv6)?",
        ),
        _ => (OcfCode::ErrGeneric, Reason::Kernel, ""),
    };
    Outcome::failed(code, reason, format!("start {resource}: {}{remedy}", refusal.text))
}
