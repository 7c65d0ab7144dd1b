//! What the controller cannot know of addresses: whether their leases hold at this moment, which the heartbeat thread
//! knows, and how announcing them goes, which the agents of the owner know.

use haven_api::{AddressRow, AddressState, Announcement, Gate, IpWhy, ResourceStatus};
use haven_base::Instant;
use haven_controller::lease_group;
use haven_executor::{AgentRegistry, Carried, Standing};
use haven_host::drive::boot_time;
use haven_types::GroupId;

use super::Daemon;

/// Asks every agent what it carries.
pub(super) async fn carried(agents: AgentRegistry) -> Vec<Carried> {
    let mut all = Vec::new();
    for agent in agents.iter() {
        all.extend(agent.carried().await);
    }
    all
}

/// What the kernel of a lease's holder lets through, as far as `machine` can tell: of its own lease it knows; of
/// another's a voter knows that it promised.
fn gate(
    machine: &haven_heartbeat::Status,
    group: GroupId,
    holder: haven_types::NodeId,
    now: Instant,
) -> Gate {
    if holder == machine.node {
        let held = machine.leases.get(&group);
        let lasts =
            |it: &haven_heartbeat::LeaseStatus| it.open && it.until.is_some_and(|at| at > now);
        return if held.is_some_and(lasts) { Gate::Open } else { Gate::Closed };
    }
    match machine.promises.get(&group) {
        Some((to, until)) if *to == holder && *until > now => Gate::Open,
        Some(_) | None => Gate::Unknown,
    }
}

/// Why a holder is silent, and what ends that.
fn silent(node: &str) -> String {
    format!(
        "no majority promises its lease at this moment, so {node} is silent for it; a member promises nothing in its \
         first 5.5 s, one that is away nothing at all"
    )
}

impl Daemon {
    /// The gate of a resource's lease where it runs; none for a resource without one, or one that nobody holds.
    fn gate_of(&self, resource: &str) -> Option<Gate> {
        let state = self.controller().state();
        let group = lease_group(&state.cib, self.controller().agent_facts(), resource)?;
        let grant = state.grants.get(&group)?;
        Some(gate(&self.report.machine, grant.group, grant.holder?, boot_time()))
    }

    /// Puts what the heartbeat thread knows of leases in the place of what the log says.
    pub(super) fn add_gates(&self, resources: &mut [ResourceStatus]) {
        for resource in resources {
            self.add_gates(&mut resource.children);
            let Some(lease) = resource.lease.as_mut().filter(|lease| lease.holder.is_some()) else {
                continue;
            };
            let Some(gate) = self.gate_of(&resource.id) else { continue };
            lease.gate = gate;
            if gate == Gate::Closed {
                add_trouble(resource, silent(&self.config.name));
            }
        }
    }

    /// Tells of machines that claim an address which this node carries.
    pub(super) fn add_strangers(&self, resources: &mut [ResourceStatus]) {
        for resource in resources {
            self.add_strangers(&mut resource.children);
            let holder = resource.lease.as_ref().and_then(|lease| lease.holder.as_deref());
            if !speaks(&self.config.name, holder, self.gate_of(&resource.id)) {
                continue;
            }
            for it in &self.carried {
                if let Some(text) = contested(it).filter(|_| it.resource == resource.id) {
                    add_trouble(resource, text);
                }
            }
        }
    }

    pub(super) fn add_to_why(&self, why: &mut IpWhy) {
        let Some(owner) = &mut why.owner else { return };
        let gate = self.gate_of(&why.resource);
        match gate {
            Some(Gate::Closed) => {
                owner.reason = format!("was granted the lease, but {}", silent(&owner.node))
            }
            Some(Gate::Unknown) => owner.reason.push_str(
                "; whether a majority promises that lease at this moment is known there, not here",
            ),
            Some(Gate::Open) | None => {}
        }
        let here = self.carried.iter().filter(|_| owner.node == self.config.name);
        for it in here.filter(|it| it.address == why.address) {
            if let Some(text) =
                hindrance(it).or_else(|| contested(it).filter(|_| gate != Some(Gate::Closed)))
            {
                owner.reason = format!("{}, but {text}", owner.reason);
            }
        }
    }

    pub(super) fn add_to_addresses(&self, rows: &mut [AddressRow]) {
        for row in rows {
            let state = self.controller().state();
            let group = lease_group(&state.cib, self.controller().agent_facts(), &row.resource);
            let grant = group.and_then(|group| state.grants.get(&group));
            row.lease_left_ms = grant.and_then(|grant| self.lease_left(grant.group));
            let here = row.owner.as_ref() == Some(&self.config.name);
            let own = self.carried.iter().find(|it| here && it.address == row.address);
            complete(row, own, self.gate_of(&row.resource));
        }
    }
}

/// Puts `text` before what is known of a resource's trouble.
fn add_trouble(resource: &mut ResourceStatus, text: String) {
    resource.trouble = Some(match resource.trouble.take() {
        Some(other) => format!("{text}; besides, {other}"),
        None => text,
    });
}

/// Whether `node` may speak for a resource: whoever may not hears its owner, who is no stranger.
fn speaks(node: &str, holder: Option<&str>, gate: Option<Gate>) -> bool {
    holder.is_none_or(|holder| holder == node) && gate != Some(Gate::Closed)
}

/// Who claims an address that is served here, and what to do.
fn contested(it: &Carried) -> Option<String> {
    let claimant = it.claimant.as_ref().filter(|_| it.contested)?;
    let (address, device) = (it.address, it.device.as_deref().unwrap_or("its network"));
    Some(format!(
        "{claimant} on {device} claims {address}, too: find that station (`bridge fdb` or the switch's table for its \
         port) and take {address} off it"
    ))
}

/// What keeps an address from being served where it should be.
fn hindrance(it: &Carried) -> Option<String> {
    match it.standing {
        Standing::Up | Standing::Checking => None,
        Standing::Waiting => {
            let device = it.device.as_deref().unwrap_or("its interface");
            Some(format!(
                "{device} does not exist on this node: the address follows as soon as it does"
            ))
        }
        Standing::Missing => Some("it is on no interface and is being put back".to_owned()),
        Standing::Lost => Some(match it.claimant.as_deref() {
            Some(claimant) => format!("{claimant} has the address and it was given up to it"),
            None => "it could not stay on its interface: its monitor says why".to_owned(),
        }),
    }
}

fn complete(row: &mut AddressRow, own: Option<&Carried>, gate: Option<Gate>) {
    if row.owner.is_none() {
        return;
    }
    row.state = match (own.map(|it| it.standing), gate) {
        (_, Some(Gate::Closed)) => AddressState::Down,
        (Some(Standing::Waiting | Standing::Checking), _) => AddressState::Starting,
        (Some(Standing::Missing | Standing::Lost), _) => AddressState::Failed,
        (None, Some(Gate::Unknown)) => AddressState::Unknown,
        (Some(Standing::Up) | None, _) => AddressState::Up,
    };
    let Some(own) = own else { return };
    if own.device.is_some() {
        row.device.clone_from(&own.device);
    }
    row.announced = Some(Announcement { sent: own.announced });
    row.confirmed = own.confirmed;
    row.conflicts = Some(own.conflicts);
    row.contested = contested(own).filter(|_| gate != Some(Gate::Closed));
}

#[cfg(test)]
mod tests {
    use haven_types::{BootId, Epoch, NodeId};

    use super::*;

    const GROUP: GroupId = GroupId(7);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn machine() -> haven_heartbeat::Status {
        haven_heartbeat::Status {
            node: NodeId(1),
            boot: BootId(1),
            duration: std::time::Duration::ZERO,
            interval: std::time::Duration::ZERO,
            view: haven_heartbeat::View { number: 1, members: [NodeId(1), NodeId(2)].into() },
            peers: std::collections::BTreeMap::new(),
            leases: std::collections::BTreeMap::new(),
            promises: std::collections::BTreeMap::new(),
            silent_until: at(0),
            counters: haven_heartbeat::Counters::default(),
        }
    }

    #[test]
    fn a_holder_knows_its_gate_and_a_voter_what_it_promised() {
        let mut machine = machine();
        let seen = |machine: &_, holder: u16| gate(machine, GROUP, NodeId(holder), at(100));
        assert_eq!(seen(&machine, 1), Gate::Closed, "granted, and never promised");
        assert_eq!(seen(&machine, 2), Gate::Unknown);
        for (open, until, expected) in
            [(true, 150, Gate::Open), (true, 100, Gate::Closed), (false, 150, Gate::Closed)]
        {
            let until = Some(at(until));
            let lease =
                haven_heartbeat::LeaseStatus { epoch: Epoch(1), until, open, releasing: false };
            machine.leases.insert(GROUP, lease);
            assert_eq!(seen(&machine, 1), expected, "{open}, {until:?}");
        }
        for (to, until, expected) in
            [(2, 150, Gate::Open), (2, 90, Gate::Unknown), (3, 150, Gate::Unknown)]
        {
            machine.promises.insert(GROUP, (NodeId(to), at(until)));
            assert_eq!(seen(&machine, 2), expected, "promised to {to} until {until}");
        }
    }

    fn own(standing: Standing) -> Carried {
        Carried {
            resource: "vip".to_owned(),
            address: [192, 0, 2, 10].into(),
            device: Some("eth0".to_owned()),
            standing,
            announced: 3,
            confirmed: Some(true),
            conflicts: 2,
            claimant: Some("02:00:00:00:00:01".to_owned()),
            contested: true,
        }
    }

    #[test]
    fn a_row_says_what_the_owner_knows_and_nothing_that_nobody_knows() {
        let row = AddressRow {
            address: [192, 0, 2, 10].into(),
            prefix_len: 24,
            device: None,
            resource: "vip".to_owned(),
            owner: Some("n1".to_owned()),
            epoch: Some(1),
            lease_left_ms: None,
            state: AddressState::Up,
            announced: None,
            confirmed: None,
            conflicts: None,
            contested: None,
            unprotected: false,
        };
        for (standing, gate, expected) in [
            (Some(Standing::Up), Gate::Open, AddressState::Up),
            (Some(Standing::Up), Gate::Closed, AddressState::Down),
            (Some(Standing::Waiting), Gate::Open, AddressState::Starting),
            (Some(Standing::Missing), Gate::Open, AddressState::Failed),
            (Some(Standing::Lost), Gate::Open, AddressState::Failed),
            (None, Gate::Open, AddressState::Up),
            (None, Gate::Unknown, AddressState::Unknown),
        ] {
            let mut row = row.clone();
            let own = standing.map(own);
            complete(&mut row, own.as_ref(), Some(gate));
            assert_eq!(row.state, expected, "{standing:?}, {gate:?}");
            assert_eq!(row.conflicts, standing.map(|_| 2), "unknown elsewhere, not zero");
            let speaks = standing.is_some() && gate == Gate::Open;
            assert_eq!(row.contested.is_some(), speaks, "whoever is silent contests nothing");
            assert_eq!(row.announced.map(|it| it.sent), standing.map(|_| 3));
        }
    }

    #[test]
    fn who_may_not_speak_for_an_address_hears_its_owner_and_no_stranger() {
        assert!(speaks("n1", Some("n1"), Some(Gate::Open)));
        assert!(speaks("n1", None, None), "without a lease everybody may");
        assert!(!speaks("n1", Some("n1"), Some(Gate::Closed)), "it lapsed: another may be next");
        assert!(!speaks("n1", Some("n2"), Some(Gate::Unknown)));
        assert!(!speaks("n1", Some("n2"), None));
    }

    #[test]
    fn what_hinders_an_address_is_named() {
        let told = |standing| hindrance(&own(standing)).unwrap_or_default();
        assert_eq!(told(Standing::Up), "");
        assert!(told(Standing::Waiting).starts_with("eth0 does not exist on this node"));
        assert!(told(Standing::Lost).starts_with("02:00:00:00:00:01 has the address"));
        let up = own(Standing::Up);
        let told = contested(&up).unwrap();
        assert!(
            told.starts_with("02:00:00:00:00:01 on eth0 claims 192.0.2.10, too: find"),
            "{told}"
        );
        assert_eq!(contested(&Carried { contested: false, ..up }), None, "long past");
    }
}
