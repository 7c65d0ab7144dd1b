//! Stop, startup cleanup, and forgetting a resource.

use std::collections::BTreeSet;
use std::net::IpAddr;

use haven_base::{Address, AddressChange, Instant};

use super::starting::EPERM;
use super::{CONNECTIONS_LINGER, Held, Holder, Output, Purpose, Refusal, RequestId};
use crate::event::Event;
use crate::outcome::{OcfCode, Outcome, Reason};
use crate::params::{IpParams, PROTOCOL_TAG};
use crate::plan;

impl Holder {
    pub(super) fn on_stop(
        &mut self,
        id: RequestId,
        resource: String,
        params: &IpParams,
        out: &mut Vec<Output>,
    ) {
        let held = self.forget(&resource);
        let (params, places) = match &held {
            Some(held) => {
                let places = held.vips.iter().map(|(ip, vip)| (*ip, vip.place)).collect();
                (&held.params, places)
            }
            None => (params, Vec::new()),
        };
        if let Some(waiting) = held.as_ref().and_then(|held| held.waiting) {
            let text = format!("start {resource}: stopped before it was done");
            let outcome = Outcome::failed(OcfCode::ErrGeneric, Reason::Missing, text);
            out.push(Output::Reply { id: waiting, outcome });
        }
        let changes = plan::take_away(params, &self.view, &places);
        let purpose = Purpose::Stop { id: Some(id), resource };
        out.push(Output::Change { changes, before: None, purpose });
    }

    pub(super) fn stopped(
        &mut self,
        now: Instant,
        id: Option<RequestId>,
        resource: String,
        changes: &[AddressChange],
        failures: &[(&AddressChange, &Refusal)],
        out: &mut Vec<Output>,
    ) {
        let outcome = failures.first().map_or_else(Outcome::success, |(_, refusal)| {
            let text = format!("stop {resource}: {}", refusal.text);
            let code = if refusal.errno == EPERM { OcfCode::ErrPerm } else { OcfCode::ErrGeneric };
            Outcome::failed(code, Reason::Kernel, text)
        });
        let success = outcome.is_success();
        if let Some(id) = id {
            out.push(Output::Reply { id, outcome });
        }
        if success {
            out.push(Output::Event(Event::Stopped { resource }));
            let end = now + CONNECTIONS_LINGER;
            self.left.extend(changes.iter().filter_map(|change| match change {
                AddressChange::Delete { ip, .. } => Some((*ip, end)),
                AddressChange::Set(_)
                | AddressChange::Label { .. }
                | AddressChange::Unlabel { .. } => None,
            }));
        }
    }

    /// Ends connections whose time has come, but for those of addresses that are here again.
    pub(super) fn end_connections(&mut self, now: Instant, out: &mut Vec<Output>) {
        let due = self.left.extract_if(.., |_, at| *at <= now);
        let away = due.map(|(ip, _)| ip).filter(|ip| self.view.places(*ip).is_empty());
        let ips: Vec<IpAddr> = away.collect();
        if !ips.is_empty() {
            out.push(Output::EndConnections { ips });
        }
    }

    /// Addresses that left and are not here again, whose connections are still to be ended: for whoever gives
    /// the holder up before its deadline.
    #[must_use]
    pub fn connections_left(&self) -> Vec<IpAddr> {
        self.left.keys().copied().filter(|ip| self.view.places(*ip).is_empty()).collect()
    }

    pub(super) fn on_cleanup(&mut self, id: RequestId, keep: &[IpAddr], out: &mut Vec<Output>) {
        let stale = |address: &&Address| {
            address.protocol == PROTOCOL_TAG
                && !keep.contains(&address.ip)
                && !self.owners.contains_key(&address.ip)
        };
        let changes: Vec<AddressChange> =
            self.view.addresses().filter(stale).map(plan::delete).collect();
        out.push(Output::Change { changes, before: None, purpose: Purpose::Cleanup { id } });
    }

    pub(super) fn cleaned(
        &self,
        id: RequestId,
        changes: &[AddressChange],
        failures: &[(&AddressChange, &Refusal)],
        out: &mut Vec<Output>,
    ) {
        let mut removed = Vec::new();
        for change in changes {
            if let AddressChange::Delete { index, ip, .. } = change
                && !failures.iter().any(|(failed, _)| *failed == change)
            {
                removed.push(*ip);
                let event = Event::CleanedUp { ip: *ip, dev: self.view.name(*index) };
                out.push(Output::Event(event));
            }
        }
        let texts: Vec<&str> = failures.iter().map(|(_, refusal)| refusal.text.as_str()).collect();
        let result = if texts.is_empty() { Ok(removed) } else { Err(texts.join("; ")) };
        out.push(Output::Cleaned { id, result });
    }

    /// Nothing that waits is sent for these addresses any more.
    pub(super) fn cancel(&mut self, ips: &[IpAddr]) {
        let gone: BTreeSet<&IpAddr> = ips.iter().collect();
        for pacer in self.pacers.values_mut() {
            pacer.cancel(|wanted| gone.contains(&wanted.vip()));
        }
    }

    /// Forget a resource and all that waits for it; its addresses stay in the kernel.
    pub(super) fn forget(&mut self, resource: &str) -> Option<Held> {
        let held = self.resources.remove(resource)?;
        self.touch(resource);
        for ip in &held.params.ips {
            self.owners.remove(ip);
        }
        self.cancel(&held.params.ips);
        if let Some(lease) = &held.lease
            && !self
                .resources
                .values()
                .any(|other| other.lease.as_ref().is_some_and(|theirs| theirs.group == lease.group))
        {
            self.leases.remove(&lease.group);
        }
        if self.resources.is_empty() {
            self.reconcile_at = None;
            self.pacers.clear();
        }
        Some(held)
    }
}
