//! Configurations that are proposed and not applied yet, so that a change need not wait for the one before it.
//!
//! The coordinator makes a change from the newest configuration that it has proposed. Entries of a log are applied in
//! their order, and each only if the version it was made from is in force then: where an earlier change is lost, those made
//! from it find another version and do nothing. So nothing is ever half applied, and what is here is a guess that costs a
//! second try at worst. It ends with the first change that did not come into force, and with the coordinator's term.
//!
//! Who expects a certain version gets what is in force compared, not what may be soon. A change of what runs under
//! leases is made from what is in force alone: whether it is safe is judged by what runs.

use std::collections::{BTreeMap, BTreeSet};

use haven_api::{ApiError, Code};
use haven_cib::Cib;

use crate::controller::Controller;
use crate::guarded::parameters;
use crate::leases::leased_primitives;
use crate::replicated::Applied;

/// The newest configuration that is proposed.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// It, with the version that it will have.
    cib: Cib,
    /// The request that proposed it.
    newest: u64,
    /// Requests whose changes it contains and that are not applied yet.
    pending: BTreeSet<u64>,
    /// Requests that want what another one has proposed already, by that one.
    same: BTreeMap<u64, Vec<u64>>,
}

impl Controller {
    /// What a change is made from: the newest configuration proposed, or the one in force.
    pub(crate) fn newest(&self) -> &Cib {
        self.ahead.as_ref().map_or(&self.state.cib, |ahead| &ahead.cib)
    }

    /// What a configuration was made from, by the version that it still has.
    pub(crate) fn made_from(&self, cib: &Cib) -> &Cib {
        let newest = self.newest();
        if newest.version == cib.version { newest } else { &self.state.cib }
    }

    /// The request is fulfilled by what is in force.
    pub(crate) fn is_in_force(&self, cib: &Cib) -> bool {
        *cib == self.state.cib
    }

    /// True where the request wants just what is proposed already: it is answered together with that.
    pub(crate) fn joins_proposed(&mut self, request: u64, cib: &Cib) -> bool {
        let Some(ahead) = self.ahead.as_mut().filter(|ahead| ahead.cib == *cib) else {
            return false;
        };
        ahead.same.entry(ahead.newest).or_default().push(request);
        true
    }

    /// A request proposes a configuration, which still has the version that it was made from.
    pub(crate) fn goes_ahead(&mut self, request: u64, mut cib: Cib) {
        let continues = match &self.ahead {
            Some(ahead) => ahead.cib.version == cib.version,
            None => self.state.cib.version == cib.version,
        };
        // What is made from something older will be refused: nothing can be made from it.
        if !continues {
            return;
        }
        cib.version = cib.version.next();
        let (mut pending, same) =
            self.ahead.take().map(|ahead| (ahead.pending, ahead.same)).unwrap_or_default();
        pending.insert(request);
        self.ahead = Some(Ahead { cib, newest: request, pending, same });
    }

    /// A proposed change was applied, or refused on applying. The requests that wanted the same.
    pub(crate) fn comes_true(&mut self, request: u64, applied: &Applied) -> Vec<u64> {
        let Some(ahead) = self.ahead.as_mut().filter(|ahead| ahead.pending.contains(&request))
        else {
            return Vec::new();
        };
        if !matches!(applied, Applied::Configured(_)) {
            self.falls_back();
            return Vec::new();
        }
        ahead.pending.remove(&request);
        let same = ahead.same.remove(&request).unwrap_or_default();
        if ahead.pending.is_empty() {
            self.ahead = None;
        }
        same
    }

    /// A proposed change was lost.
    pub(crate) fn is_lost(&mut self, request: u64) {
        if self.ahead.as_ref().is_some_and(|ahead| ahead.pending.contains(&request)) {
            self.falls_back();
        }
    }

    /// Nothing more is made from what is proposed. Who counted on it is told to try again.
    pub(crate) fn falls_back(&mut self) {
        let Some(ahead) = self.ahead.take() else { return };
        for request in ahead.same.into_values().flatten() {
            let Some(waiter) = self.waiters.remove(&request) else { continue };
            let message = "the same change was being made for somebody else, and was lost";
            let error = ApiError::new(Code::StaleWrite, message).remedy("try again");
            self.reply(waiter.reply_to, false, Err(error));
        }
    }

    /// Whether two configurations differ in what runs under which lease, or with which address.
    pub(crate) fn differs_in_leases(&self, one: &Cib, other: &Cib) -> bool {
        let leased = |cib: &Cib| -> BTreeSet<(String, String, Option<String>)> {
            let all = leased_primitives(cib, &self.config.facts).into_iter();
            all.map(|(p, group)| (p.id.clone(), group, parameters(cib, p).remove("ip"))).collect()
        };
        leased(one) != leased(other)
    }
}

#[cfg(test)]
#[path = "ahead_tests.rs"]
mod tests;
