//! All addresses this node holds: one machine for all resources.
//!
//! ```text
//!              interface missing            interface appears
//!   Start ──▶ Pending ─────────────────────────────┐
//!     │                                            ▼
//!     ├─run_arping─▶ Probing ──nobody answers──▶ Adding ──▶ Checking (IPv6 without lease) ──▶ Up ──▶ Stop
//!     │                 └──somebody──▶ refused      └──▶ Up              └─duplicate─▶ refused   │
//!     └──────────────────────────────────────────▶ Adding                     yield: Lost ◀──────┤
//!                                                                  drift: put back, announce ◀──┘
//! ```
//! Inputs: [`Input`]. Outputs: [`Output`], to be carried out in order.
//!
//! Invariants: an address has at most one resource; no start without a lease that holds, and nothing that
//! makes an address visible leaves more than 1.5 s after the last known end of its lease (in between the
//! kernel's gate decides); no leased address is added to an interface that is known to be without that gate; drift is judged on a fresh [`Input::Snapshot`] only, never on the
//! order in which events arrive; a step never yields more frames of an interface than its pacer lets pass.
//!
//! It never decides who owns an address, never touches an address that is neither tagged ours nor held,
//! and never shortens a lease.

mod announcing;
mod io;
mod starting;
mod stopping;
mod ungated;
mod watching;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use haven_base::{Address, IfIndex, Instant, MacAddr, Rng, Route};

pub use io::{Input, Output, Purpose, Refusal, RequestId};

use crate::announce::Announcer;
use crate::conflict::ConflictWatch;
use crate::event::{Confirmation, Event, Lease, Steps, VipState, VipStatus};
use crate::outcome::{Outcome, Reason};
use crate::pace::Pacer;
use crate::params::{IpParams, NicSpec};
use crate::plan::{self, Place};
use crate::view::View;

/// A full comparison with the kernel at least this often.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(30);
/// Lifetimes are rewritten this often under a lease.
const RENEW_INTERVAL: Duration = Duration::from_secs(1);
/// How long after the known end of a lease the holder still announces and repairs. The end is told about
/// once a second, while leases are renewed every few milliseconds: in between the kernel's gate decides
/// what leaves. Shorter than the rest of the shortest lifetime, so that an address the kernel let go is
/// not put back without news of the lease.
const QUIET_AFTER: Duration = Duration::from_millis(1500);
/// How long after an address left its connections are ended. Going through the kernel's sockets takes a
/// processor most of a millisecond, which a successor on its way to the address may be waiting for.
const CONNECTIONS_LINGER: Duration = Duration::from_millis(50);
/// Moves of one address within this window count towards the EVPN limit.
const MOVES_WINDOW: Duration = Duration::from_secs(180);
/// Moves within the window that raise an event.
const MOVES_MAX: usize = 4;

/// Settings of a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Announcements per second and interface.
    pub garp_rate: u32,
    /// Seed of all jitter.
    pub seed: u64,
}

/// The machine. See the [module](self).
#[derive(Debug)]
pub struct Holder {
    config: Config,
    rng: Rng,
    view: View,
    resources: BTreeMap<String, Held>,
    owners: BTreeMap<IpAddr, String>,
    leases: BTreeMap<String, Instant>,
    /// Interfaces without the kernel's gate, and what stands in the way.
    ungated: BTreeMap<IfIndex, String>,
    pacers: BTreeMap<IfIndex, Pacer<Wanted>>,
    /// When resources are due, soonest first, and the same by resource.
    timers: BTreeSet<(Instant, String)>,
    armed: BTreeMap<String, Instant>,
    /// Resources whose deadline the step at hand may have moved.
    touched: BTreeSet<String>,
    moves: BTreeMap<IpAddr, VecDeque<Instant>>,
    /// When the connections of addresses that left are ended.
    left: BTreeMap<IpAddr, Instant>,
    reconcile_at: Option<Instant>,
    /// Addresses whose surroundings the step at hand wants to know.
    look: BTreeMap<(IfIndex, bool), Vec<IpAddr>>,
    resync: bool,
}

/// A frame that waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    Announcement(IpAddr),
    Question {
        vip: IpAddr,
        target: IpAddr,
        mac: Option<MacAddr>,
    },
    /// Asks whether somebody else has the address.
    Search(IpAddr),
}

impl Wanted {
    const fn vip(&self) -> IpAddr {
        match self {
            Self::Announcement(ip) | Self::Question { vip: ip, .. } | Self::Search(ip) => *ip,
        }
    }
}

/// One resource that was started and not stopped.
#[derive(Debug)]
struct Held {
    params: IpParams,
    lease: Option<Lease>,
    routes: Vec<Route>,
    /// When the start arrived.
    since: Instant,
    /// When the step of the start at hand began.
    step_began: Instant,
    /// How long its earlier steps took.
    steps: Steps,
    /// The start that still waits for its reply.
    waiting: Option<RequestId>,
    phase: Phase,
    /// Empty while pending or probing.
    vips: BTreeMap<IpAddr, Vip>,
    renew_at: Option<Instant>,
    /// A renewal came due while the lease was not known to hold.
    overdue: bool,
    /// Seconds of valid lifetime last written.
    written: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Pending(NicSpec),
    Probing { next: Instant, sent: u32 },
    Adding,
    Checking { since: Instant, limit: Duration },
    Announcing,
    Up,
    Lost { reason: Reason, text: String },
}

/// One address of a resource that has its place.
#[derive(Debug)]
struct Vip {
    place: Place,
    /// The interface's name when the address was put there; its label keeps it.
    label_nic: String,
    seen_name: String,
    up_since: Instant,
    announcer: Announcer,
    watch: ConflictWatch,
    /// Who claimed it while it was not known whether our lease holds, and until when that is waited for.
    doubted: Option<(MacAddr, Instant)>,
    announced: u64,
    checking: bool,
    repairs: VecDeque<Instant>,
    reported: Option<Reason>,
}

impl Holder {
    /// A holder of nothing, which has yet to hear its first [`Input::Snapshot`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        let rng = Rng::new(config.seed);
        Self {
            config,
            rng,
            view: View::default(),
            resources: BTreeMap::new(),
            owners: BTreeMap::new(),
            leases: BTreeMap::new(),
            ungated: BTreeMap::new(),
            pacers: BTreeMap::new(),
            timers: BTreeSet::new(),
            armed: BTreeMap::new(),
            touched: BTreeSet::new(),
            moves: BTreeMap::new(),
            left: BTreeMap::new(),
            reconcile_at: None,
            look: BTreeMap::new(),
            resync: false,
        }
    }

    /// One input, and what follows from it.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        // Before anything that may bring one of the addresses here again.
        self.end_connections(now, &mut out);
        match input {
            Input::Tick => {}
            Input::Snapshot { links, addresses } => {
                self.on_snapshot(now, links, addresses, &mut out)
            }
            Input::Link(link) => self.on_link(now, link, &mut out),
            Input::Moved(index) => self.announce_on(now, index, &mut out),
            Input::LinkGone(index) => self.on_link_gone(now, index, &mut out),
            Input::Address(address) => self.on_address(now, address, &mut out),
            Input::AddressGone(address) => self.on_address_gone(&address),
            Input::Frame { index, bytes } => self.on_frame(now, index, &bytes, &mut out),
            Input::LeaseEnd { group, end } => self.on_lease_end(now, &group, end, &mut out),
            Input::Ungated { devices } => self.on_ungated(now, devices, &mut out),
            Input::Start { id, resource, params, lease, routes } => {
                self.on_start(now, id, resource, *params, lease, routes, &mut out);
            }
            Input::Stop { id, resource, params } => self.on_stop(id, resource, &params, &mut out),
            Input::Monitor { id, resource, params, routes } => {
                let outcome = self.on_monitor(now, &resource, &params, &routes, &mut out);
                out.push(Output::Reply { id, outcome });
            }
            Input::Validate { id, params, routes } => {
                let outcome = self.validate(&params, &routes);
                out.push(Output::Reply { id, outcome });
            }
            Input::Cleanup { id, keep } => self.on_cleanup(id, &keep, &mut out),
            Input::Changed { purpose, changes, refusals } => {
                self.on_changed(now, purpose, &changes, &refusals, &mut out);
            }
            Input::Around { ips, gateways, neighbours } => {
                self.on_around(now, &ips, &gateways, &neighbours, &mut out);
            }
            Input::Transmits { resource, count } => self.on_transmits(&resource, count),
            Input::PeerReturned => self.announce_all_again(now, &mut out),
            Input::Announce { ip } => self.announce_again(now, ip, &mut out),
        }
        self.tick(now, &mut out);
        // Last: nobody waits for it, and whoever waits for a reply has it by now.
        let look = std::mem::take(&mut self.look);
        let around = |((index, _), ips)| Output::LookAround { ips, index };
        out.extend(look.into_iter().map(around));
        if std::mem::take(&mut self.resync) {
            out.push(Output::Resync);
        }
        self.arm();
        debug_assert!(self.deadline().is_none_or(|at| at > now), "a tick must not spin");
        out
    }

    /// When the next [`Input::Tick`] is due; none while nothing is held and no connections are left to be ended.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let pacers = self.pacers.values().filter_map(Pacer::deadline);
        let held = self.timers.first().map(|(at, _)| *at);
        let left = self.left.values().copied();
        pacers.chain(held).chain(self.reconcile_at).chain(left).min()
    }

    /// All held addresses, ordered by resource and address.
    #[must_use]
    pub fn status(&self, now: Instant) -> Vec<VipStatus> {
        let of_resource = |(resource, held): (&String, &Held)| {
            let left = self.lease_end(held).map(|end| end.since(now));
            held.params
                .ips
                .iter()
                .map(|ip| {
                    let vip = held.vips.get(ip);
                    VipStatus {
                        resource: resource.clone(),
                        ip: *ip,
                        dev: vip.map(|vip| self.view.name(vip.place.index)),
                        prefix_len: vip.map(|vip| vip.place.prefix_len),
                        state: self.vip_state(held, *ip),
                        announced: vip.map_or(0, |vip| vip.announced),
                        confirmed: vip
                            .map_or(Confirmation::NotAsked, |vip| vip.announcer.confirmation()),
                        conflicts: vip.map_or(0, |vip| vip.watch.count()),
                        last_conflict: vip.and_then(|vip| vip.watch.last()),
                        contested: vip.is_some_and(|vip| vip.watch.is_contested(now)),
                        epoch: held.lease.as_ref().map(|lease| lease.epoch),
                        lease_left: left,
                    }
                })
                .collect::<Vec<_>>()
        };
        self.resources.iter().flat_map(of_resource).collect()
    }

    fn vip_state(&self, held: &Held, ip: IpAddr) -> VipState {
        match (&held.phase, held.vips.get(&ip)) {
            (Phase::Lost { .. }, _) => VipState::Lost,
            (Phase::Pending(_), _) => VipState::Pending,
            (Phase::Probing { .. } | Phase::Adding, _) | (_, None) => VipState::Checking,
            (_, Some(vip)) if vip.checking => VipState::Checking,
            (Phase::Checking { .. } | Phase::Announcing | Phase::Up, Some(vip)) => {
                let on_it = self.view.places(ip).iter().any(|a| a.index == vip.place.index);
                if on_it { VipState::Up } else { VipState::Missing }
            }
        }
    }

    /// The newest known end of the lease a resource runs under; none without a lease.
    fn lease_end(&self, held: &Held) -> Option<Instant> {
        let lease = held.lease.as_ref()?;
        Some(self.leases.get(&lease.group).copied().unwrap_or(lease.end))
    }

    /// When the holder falls silent about a resource unless it hears more of its lease.
    fn quiet_at(&self, held: &Held) -> Option<Instant> {
        self.lease_end(held).map(|end| end + QUIET_AFTER)
    }

    /// The step at hand may move this resource's deadline.
    fn touch(&mut self, resource: &str) {
        if !self.touched.contains(resource) {
            self.touched.insert(resource.to_owned());
        }
    }

    /// Bring the timers of touched resources up to date.
    fn arm(&mut self) {
        for resource in std::mem::take(&mut self.touched) {
            let due = self.resources.get(&resource).and_then(Held::deadline);
            let was = match due {
                Some(at) => self.armed.insert(resource.clone(), at),
                None => self.armed.remove(&resource),
            };
            if was == due {
                continue;
            }
            if let Some(at) = was {
                self.timers.remove(&(at, resource.clone()));
            }
            if let Some(at) = due {
                self.timers.insert((at, resource));
            }
        }
    }

    /// How `ip` of a resource should look in the kernel; none while it has no place.
    fn want(&self, held: &Held, ip: IpAddr, now: Instant) -> Option<Address> {
        let vip = held.vips.get(&ip)?;
        let lifetimes = plan::lifetimes(&held.params, self.lease_end(held), vip.up_since, now);
        let leased = held.lease.is_some();
        Some(plan::desired(&held.params, ip, vip.place, &vip.label_nic, leased, lifetimes))
    }

    fn validate(&self, params: &IpParams, routes: &[Route]) -> Outcome {
        match plan::place(params, &self.view, routes) {
            Ok(plan::Placement::Places(_)) => Outcome::success(),
            Ok(plan::Placement::Pending(nic)) => Outcome::success_but(
                Reason::Pending,
                format!("interface {nic} does not exist here yet; a start would wait for it"),
            ),
            Err(outcome) => outcome,
        }
    }

    /// Count a move of `ip` and warn before a fabric suspends it.
    fn note_move(&mut self, now: Instant, ip: IpAddr, out: &mut Vec<Output>) {
        self.moves.retain(|_, times| times.back().is_some_and(|at| now.since(*at) < MOVES_WINDOW));
        let times = self.moves.entry(ip).or_default();
        while times.front().is_some_and(|at| now.since(*at) >= MOVES_WINDOW) {
            times.pop_front();
        }
        times.push_back(now);
        if times.len() > MOVES_MAX {
            let moves = u32::try_from(times.len()).unwrap_or(u32::MAX);
            times.pop_front();
            out.push(Output::Event(Event::EvpnDupRisk { ip, moves }));
        }
    }
}

impl Held {
    /// A step of the start ends now: how long it took. The next one begins.
    fn step_took(&mut self, now: Instant) -> Duration {
        now.since(std::mem::replace(&mut self.step_began, now))
    }

    fn deadline(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Probing { next, .. } => Some(*next),
            Phase::Checking { since, limit } => Some(*since + *limit),
            Phase::Pending(_)
            | Phase::Adding
            | Phase::Announcing
            | Phase::Up
            | Phase::Lost { .. } => None,
        };
        let vips = self
            .vips
            .values()
            .flat_map(|vip| {
                let doubt = vip.doubted.map(|(_, until)| until);
                [vip.announcer.deadline(), vip.watch.deadline(), doubt]
            })
            .flatten();
        vips.chain(phase).chain(self.renew_at).min()
    }
}
