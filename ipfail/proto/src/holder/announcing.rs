//! From the announcers' wishes to paced frames, and what comes back from the wire.

use std::net::IpAddr;

use haven_base::{IfIndex, Instant, Link, MacAddr, Neighbour};

use super::{Holder, Output, Phase, QUIET_AFTER, Wanted};
use crate::announce;
use crate::conflict::Reaction;
use crate::event::{Event, rid_of_stranger};
use crate::frame::Frame;
use crate::outcome::Reason;
use crate::pace::{Pacer, Urgency};
use crate::params::OnConflict;

/// Questions of one round for all addresses that begin together, while there are fewer addresses.
const QUESTIONS_AT_ONCE: usize = 64;
/// From the how manieth announcement on, every second one is followed by a search for strangers: of the usual burst
/// those at 600 ms and 2.5 s, then one in two minutes. Switches that answer for others know the new place by then.
/// A defence is followed by none: its answer would call for the next one.
const SEARCH_FROM: u64 = 4;

impl Holder {
    /// Step one announcer and carry its wishes on.
    pub(super) fn announcer_step(
        &mut self,
        now: Instant,
        resource: &str,
        ip: IpAddr,
        input: announce::Input,
        out: &mut Vec<Output>,
    ) {
        self.touch(resource);
        let Some(vip) = self.resources.get_mut(resource).and_then(|held| held.vips.get_mut(&ip))
        else {
            return;
        };
        let index = vip.place.index;
        for wish in vip.announcer.step(now, input) {
            match wish {
                announce::Output::Announce => {
                    let nth = self.announce(now, index, ip, out);
                    self.search(now, index, ip, nth, out);
                }
                announce::Output::FindTargets => {
                    self.look.entry((index, ip.is_ipv4())).or_default().push(ip);
                }
                announce::Output::Ask(target) => {
                    let wanted = Wanted::Question { vip: ip, target: target.ip, mac: target.mac };
                    self.request(now, index, wanted, Urgency::Question, out);
                }
                announce::Output::BurstEnded => self.burst_ended(now, resource, out),
                announce::Output::Unverified { asked } => {
                    out.push(Output::Event(Event::AnnounceUnverified { ip, asked }));
                }
                announce::Output::Verified { by, took } => {
                    out.push(Output::Event(Event::AnnounceVerified { ip, by, took }));
                }
            }
        }
    }

    /// Queue one announcement of `ip` and let pass what may. Returns the how manieth it is.
    fn announce(&mut self, now: Instant, index: IfIndex, ip: IpAddr, out: &mut Vec<Output>) -> u64 {
        let held = self.owners.get(&ip).and_then(|resource| self.resources.get(resource));
        let before = held.and_then(|held| held.vips.get(&ip)).map_or(0, |vip| vip.announced);
        let urgency = if before == 0 { Urgency::First } else { Urgency::Repeat };
        self.request(now, index, Wanted::Announcement(ip), urgency, out);
        before + 1
    }

    /// Ask who else has `ip`, after some announcements: who has it need not say so by itself, and announcements are
    /// not answered. Where a claim has grave consequences nobody is asked for one: some routers answer for everybody.
    fn search(
        &mut self,
        now: Instant,
        index: IfIndex,
        ip: IpAddr,
        nth: u64,
        out: &mut Vec<Output>,
    ) {
        let held = self.owners.get(&ip).and_then(|resource| self.resources.get(resource));
        let Some(held) = held else { return };
        let grave = matches!(held.params.on_conflict, OnConflict::Yield | OnConflict::Fence);
        if !grave && nth >= SEARCH_FROM && nth.is_multiple_of(2) {
            self.request(now, index, Wanted::Search(ip), Urgency::Repeat, out);
        }
    }

    fn request(
        &mut self,
        now: Instant,
        index: IfIndex,
        wanted: Wanted,
        urgency: Urgency,
        out: &mut Vec<Output>,
    ) {
        if !self.view.is_usable(index) {
            // A link that comes up announces everything again.
            return;
        }
        let rate = self.config.garp_rate;
        let pacer = self.pacers.entry(index).or_insert_with(|| Pacer::new(rate, now));
        pacer.request(wanted, urgency);
        self.let_pass(now, index, out);
    }

    /// Send what the pacer of an interface lets pass now.
    pub(super) fn let_pass(&mut self, now: Instant, index: IfIndex, out: &mut Vec<Output>) {
        let Some(link) = self.view.link(index).cloned() else {
            self.pacers.remove(&index);
            return;
        };
        while let Some(wanted) = self.pacers.get_mut(&index).and_then(|pacer| pacer.pass(now)) {
            out.extend(self.frame(&link, wanted));
        }
    }

    fn frame(&mut self, link: &Link, wanted: Wanted) -> Option<Output> {
        let ip = wanted.vip();
        let mac = link.mac?;
        let held = self.owners.get(&ip).and_then(|owner| self.resources.get_mut(owner))?;
        let vip = held.vips.get_mut(&ip)?;
        let frame = match wanted {
            Wanted::Announcement(_) => {
                vip.announced += 1;
                Frame::announcement(ip, mac, vip.announced - 1, link.ipv6_forwarding)
            }
            Wanted::Question { target, mac: target_mac, .. } => {
                Frame::question(ip, mac, target, target_mac)?
            }
            Wanted::Search(_) => Frame::probe(ip, mac),
        };
        let lease = held.lease.as_ref();
        let end = lease.map(|l| self.leases.get(&l.group).copied().unwrap_or(l.end));
        let before = end.map(|end| end + QUIET_AFTER);
        Some(Output::Send { index: link.index, frame: frame.encode(), before })
    }

    fn burst_ended(&mut self, now: Instant, resource: &str, out: &mut Vec<Output>) {
        let Some(held) = self.resources.get_mut(resource) else { return };
        if held.phase == Phase::Announcing {
            held.phase = Phase::Up;
            self.settle(now, resource, out);
        }
    }

    pub(super) fn on_around(
        &mut self,
        now: Instant,
        ips: &[IpAddr],
        gateways: &[IpAddr],
        neighbours: &[Neighbour],
        out: &mut Vec<Output>,
    ) {
        // Many addresses on one interface share its path: each asks fewer stations.
        let each = (QUESTIONS_AT_ONCE / ips.len().max(1)).max(1);
        for ip in ips {
            let Some(resource) = self.owners.get(ip).cloned() else { continue };
            let Some(held) = self.resources.get(&resource) else { continue };
            let ours = |other: IpAddr| !self.view.places(other).is_empty();
            let configured = &held.params.verify_targets;
            let mut targets = announce::targets(*ip, configured, gateways, neighbours, &ours);
            targets.truncate(each);
            self.announcer_step(now, &resource, *ip, announce::Input::Targets(targets), out);
        }
    }

    pub(super) fn announce_again(&mut self, now: Instant, ip: IpAddr, out: &mut Vec<Output>) {
        if let Some(resource) = self.owners.get(&ip).cloned() {
            self.announcer_step(now, &resource, ip, announce::Input::Again, out);
        }
    }

    /// Announce what is on an interface again.
    pub(super) fn announce_on(&mut self, now: Instant, index: IfIndex, out: &mut Vec<Output>) {
        let vips = self.resources.values().flat_map(|held| &held.vips);
        let on_it = vips.filter(|(_, vip)| vip.place.index == index);
        let ips: Vec<IpAddr> = on_it.map(|(ip, _)| *ip).collect();
        for ip in ips {
            self.announce_again(now, ip, out);
        }
    }

    pub(super) fn announce_all_again(&mut self, now: Instant, out: &mut Vec<Output>) {
        let ips: Vec<IpAddr> = self.owners.keys().copied().collect();
        for ip in ips {
            self.announce_again(now, ip, out);
        }
    }

    pub(super) fn on_frame(
        &mut self,
        now: Instant,
        index: IfIndex,
        bytes: &[u8],
        out: &mut Vec<Output>,
    ) {
        let Some(frame) = Frame::decode(bytes) else { return };
        if let Some((vip, by)) = frame.answer()
            && self.view.link(index).is_some_and(|link| link.mac == Some(frame.destination()))
            && let Some(resource) = self.owners.get(&vip).cloned()
        {
            self.announcer_step(now, &resource, vip, announce::Input::Answer(by), out);
        }
        let claim = frame.claim().or_else(|| probed(&frame));
        let Some((ip, mac)) = claim.filter(|(_, mac)| !self.view.is_ours(*mac)) else { return };
        let Some(resource) = self.owners.get(&ip).cloned() else { return };
        let Some(held) = self.resources.get(&resource) else { return };
        if held.vips.get(&ip).is_none_or(|vip| vip.place.index != index) {
            return;
        }
        match held.phase {
            Phase::Probing { .. } => {
                let text = duplicate(ip, mac, &self.view.name(index));
                self.give_up(&resource, Reason::DuplicateSeen { mac }, text, out);
            }
            // A probe of somebody who has not got it yet is answered by the kernel.
            _ if frame.claim().is_none() => {}
            Phase::Checking { .. } | Phase::Announcing | Phase::Up => {
                self.on_claim(now, &resource, ip, mac, out);
            }
            Phase::Pending(_) | Phase::Adding | Phase::Lost { .. } => {}
        }
    }

    fn on_claim(
        &mut self,
        now: Instant,
        resource: &str,
        ip: IpAddr,
        mac: MacAddr,
        out: &mut Vec<Output>,
    ) {
        self.touch(resource);
        let Some(held) = self.resources.get_mut(resource) else { return };
        let Some(vip) = held.vips.get_mut(&ip) else { return };
        for reaction in vip.watch.claim(now, mac) {
            self.react(now, resource, ip, mac, reaction, out);
        }
    }

    /// Carry out what the conflict watch of an address decided.
    pub(super) fn react(
        &mut self,
        now: Instant,
        resource: &str,
        ip: IpAddr,
        mac: MacAddr,
        reaction: Reaction,
        out: &mut Vec<Output>,
    ) {
        let Some(held) = self.resources.get(resource) else { return };
        let Some(vip) = held.vips.get(&ip) else { return };
        let index = vip.place.index;
        let dev = self.view.name(index);
        match reaction {
            Reaction::Report => {
                let until = self.quiet_at(held).filter(|_| self.lease_end(held) <= Some(now));
                match until.filter(|until| *until > now) {
                    Some(until) => self.suspect(resource, ip, mac, until),
                    None => self.tell_conflict(now, resource, ip, mac, out),
                }
                self.note_move(now, ip, out);
            }
            Reaction::Defend => {
                self.announce(now, index, ip, out);
            }
            Reaction::Yield => {
                let text = duplicate(ip, mac, &dev);
                self.give_up(resource, Reason::DuplicateSeen { mac }, text, out);
                out.push(Output::Event(Event::Yielded { ip, mac }));
            }
        }
    }
}

impl Holder {
    /// Whether our lease held when `mac` claimed `ip` is not known yet: its end is told about once a second only. News
    /// of it make a stranger of the claimant, their absence the next owner.
    fn suspect(&mut self, resource: &str, ip: IpAddr, mac: MacAddr, until: Instant) {
        let held = self.resources.get_mut(resource);
        if let Some(vip) = held.and_then(|held| held.vips.get_mut(&ip)) {
            vip.doubted = Some((mac, until));
        }
    }

    /// News of its lease have come, or none in time: tells of the claims on a resource's addresses that waited.
    pub(super) fn end_doubts(&mut self, now: Instant, resource: &str, out: &mut Vec<Output>) {
        let Some(held) = self.resources.get(resource) else { return };
        let holds = self.lease_end(held).is_some_and(|end| end > now);
        let doubts = held.vips.iter().filter_map(|(ip, vip)| Some((*ip, vip.doubted?)));
        let decided: Vec<(IpAddr, MacAddr)> = doubts
            .filter(|(_, (_, until))| holds || *until <= now)
            .map(|(ip, (mac, _))| (ip, mac))
            .collect();
        for (ip, mac) in decided {
            self.touch(resource);
            let held = self.resources.get_mut(resource);
            if let Some(vip) = held.and_then(|held| held.vips.get_mut(&ip)) {
                vip.doubted = None;
            }
            self.tell_conflict(now, resource, ip, mac, out);
        }
    }

    fn tell_conflict(
        &self,
        now: Instant,
        resource: &str,
        ip: IpAddr,
        mac: MacAddr,
        out: &mut Vec<Output>,
    ) {
        let Some(held) = self.resources.get(resource) else { return };
        let Some(vip) = held.vips.get(&ip) else { return };
        let (dev, action) = (self.view.name(vip.place.index), held.params.on_conflict);
        let lease_left = self.lease_end(held).map(|end| end.since(now));
        out.push(Output::Event(Event::Conflict { ip, mac, dev, action, lease_left }));
    }
}

/// What a probe (ARP sender unspecified) asks for: during our own probing that is a rival.
fn probed(frame: &Frame) -> Option<(IpAddr, MacAddr)> {
    match frame {
        Frame::Arp(arp) if arp.spa.is_unspecified() => Some((arp.tpa.into(), arp.sha)),
        Frame::Arp(_) | Frame::Solicitation(_) | Frame::Advertisement(_) => None,
    }
}

fn duplicate(ip: IpAddr, mac: MacAddr, dev: &str) -> String {
    format!("{ip} is in use by {mac} on {dev}; {}, then clean the resource up", rid_of_stranger(ip))
}
