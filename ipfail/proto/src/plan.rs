//! Plans as values: where an address goes, what to change, whether it is there.

use std::net::IpAddr;
use std::time::Duration;

use haven_base::{Address, AddressChange, AddressFlags, IfIndex, Instant, Lifetime, Link, Route};
use serde::{Deserialize, Serialize};

use crate::nic;
use crate::outcome::{OcfCode, Outcome, Reason};
use crate::params::{IpParams, NicSpec};
use crate::view::{View, is_up};

/// Shortest lifetime written: below it the kernel's whole seconds are too coarse.
const LIFETIME_MIN: u32 = 3;
/// Lifetime written, as a multiple of what is left on the lease.
const LIFETIME_FACTOR: u32 = 3;

/// Where one address goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Interface.
    pub index: IfIndex,
    /// Prefix length.
    pub prefix_len: u8,
}

/// Where the addresses of a resource go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Placement {
    /// All found their interface, in the order of the parameters.
    Places(Vec<Place>),
    /// The configured interface is not there yet.
    Pending(NicSpec),
}

/// Where the addresses of `params` go on this host.
///
/// # Errors
/// The outcome of a start that cannot be: no interface follows from the routes, the interface is missing
/// and required, a label too long, or the address sits elsewhere on this host and is not ours to move.
pub fn place(params: &IpParams, view: &View, routes: &[Route]) -> Result<Placement, Outcome> {
    let named = match &params.nic {
        None => None,
        Some(spec) => match view.find(spec) {
            Some(link) => Some(link),
            None if params.require_dev => return Err(no_such_dev(spec, view)),
            None => return Ok(Placement::Pending(spec.clone())),
        },
    };
    let mut places = Vec::with_capacity(params.ips.len());
    for ip in &params.ips {
        let (index, routed) = match named {
            Some(link) => (link.index, nic::prefix_on(*ip, link.index, routes)),
            None => nic::choose(*ip, routes, view).map_err(|error| {
                Outcome::failed(OcfCode::ErrConfigured, Reason::NoRoute, error.to_string())
            })?,
        };
        let place = Place { index, prefix_len: params.prefix_len.unwrap_or(routed) };
        check_link(params, view, *ip, index)?;
        check_elsewhere(params, view, *ip, place)?;
        places.push(place);
    }
    Ok(Placement::Places(places))
}

fn no_such_dev(spec: &NicSpec, view: &View) -> Outcome {
    let names: Vec<&str> = view.links().map(|link| link.name.as_str()).collect();
    Outcome::failed(
        OcfCode::ErrInstalled,
        Reason::NoSuchDev,
        format!("interface {spec} does not exist here (there are: {})", names.join(", ")),
    )
}

fn check_link(params: &IpParams, view: &View, ip: IpAddr, index: IfIndex) -> Result<(), Outcome> {
    let Some(link) = view.link(index) else { return Ok(()) };
    let label = params.label_on(&link.name).filter(|label| ip.is_ipv4() && label.len() > 15);
    label.map_or(Ok(()), |label| {
        let text = format!("label {label} has more than 15 characters; shorten iflabel");
        Err(Outcome::failed(OcfCode::ErrConfigured, Reason::BadParameters, text))
    })
}

/// The same address on another interface is moved when our tag says that we put it there; loopback is
/// left alone under `lvs_support` and a hindrance otherwise.
fn check_elsewhere(
    params: &IpParams,
    view: &View,
    ip: IpAddr,
    place: Place,
) -> Result<(), Outcome> {
    let foreign = view.places(ip).iter().find(|have| {
        have.index != place.index
            && have.protocol != params.protocol
            && !(params.lvs_support && view.link(have.index).is_some_and(|link| link.loopback))
    });
    foreign.map_or(Ok(()), |have| {
        let dev = view.name(have.index);
        let text = format!(
            "{ip} is already on {dev} of this host and was not put there by this agent; remove it \
             (`ip addr del {ip}/{} dev {dev}`) or set nic={dev}",
            have.prefix_len
        );
        Err(Outcome::failed(OcfCode::ErrGeneric, Reason::WrongDev { found: dev }, text))
    })
}

/// How the address should look in the kernel. `nodad` also follows from a lease.
#[must_use]
pub fn desired(
    params: &IpParams,
    ip: IpAddr,
    place: Place,
    nic: &str,
    leased: bool,
    lifetimes: (Lifetime, Lifetime),
) -> Address {
    Address {
        index: place.index,
        ip,
        prefix_len: place.prefix_len,
        broadcast: params.broadcast_of(ip, place.prefix_len),
        label: params.label_on(nic).filter(|_| ip.is_ipv4()),
        flags: AddressFlags {
            nodad: ip.is_ipv6() && (leased || params.nodad),
            noprefixroute: params.noprefixroute,
            ..AddressFlags::default()
        },
        protocol: params.protocol,
        valid: lifetimes.0,
        preferred: lifetimes.1,
    }
}

/// Valid and preferred lifetime to write now: max(3 s, 3 × what is left on the lease), for ever without
/// a lease; `since` is when the address came up.
#[must_use]
pub fn lifetimes(
    params: &IpParams,
    lease_end: Option<Instant>,
    since: Instant,
    now: Instant,
) -> (Lifetime, Lifetime) {
    let valid = lease_end.map_or(Lifetime::Forever, |end| {
        let left = end.since(now).saturating_mul(LIFETIME_FACTOR);
        let whole = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let whole = u32::try_from(whole).unwrap_or(u32::MAX - 1).min(u32::MAX - 1);
        Lifetime::Seconds(whole.max(LIFETIME_MIN))
    });
    let preferred = match params.preferred {
        Lifetime::Forever => valid,
        Lifetime::Seconds(total) => {
            let left = Duration::from_secs(u64::from(total)).saturating_sub(now.since(since));
            let left = u32::try_from(left.as_secs()).unwrap_or(u32::MAX - 1);
            match valid {
                Lifetime::Forever => Lifetime::Seconds(left),
                Lifetime::Seconds(valid) => Lifetime::Seconds(left.min(valid)),
            }
        }
    };
    (valid, preferred)
}

/// The changes that put an address in its place: wrong copies out, loopback's under `lvs_support` out,
/// the address in, its label set.
#[must_use]
pub fn put(params: &IpParams, view: &View, want: &Address) -> Vec<AddressChange> {
    let mut changes = Vec::new();
    for have in view.places(want.ip) {
        let same = have.index == want.index && have.prefix_len == want.prefix_len;
        let keep = same && (have.label == want.label || want.label.is_none());
        let loopback = view.link(have.index).is_some_and(|link| link.loopback);
        let ours = have.index == want.index || have.protocol == params.protocol;
        if !keep && (ours || (loopback && params.lvs_support)) {
            changes.push(delete(have));
        }
    }
    changes.push(AddressChange::Set(want.clone()));
    if let (IpAddr::V6(ip), Some(label)) = (want.ip, params.addr_label) {
        changes.push(AddressChange::Label { ip, label });
    }
    changes
}

/// The changes that remove the addresses of a resource wherever this agent may have put them: where it
/// `held` them, on the configured interface, and anywhere with our tag. Nothing to do is an empty list.
#[must_use]
pub fn take_away(params: &IpParams, view: &View, held: &[(IpAddr, Place)]) -> Vec<AddressChange> {
    let configured = params.nic.as_ref().and_then(|nic| view.find(nic)).map(|link| link.index);
    let mut changes = Vec::new();
    for ip in &params.ips {
        let place = held.iter().find(|(held, _)| held == ip).map(|(_, place)| *place);
        let mut gone = false;
        for have in view.places(*ip) {
            let is_held = place.is_some_and(|place| place.index == have.index);
            let lo = view.link(have.index).is_some_and(|link| link.loopback);
            if is_held
                || have.protocol == params.protocol
                || (Some(have.index) == configured && !lo)
            {
                changes.push(delete(have));
                gone = true;
            }
        }
        if let (IpAddr::V6(ip), Some(label), true) = (*ip, params.addr_label, gone) {
            changes.push(AddressChange::Unlabel { ip, label });
        }
        if params.lvs_support && gone {
            changes.extend(back_on_loopback(*ip, view));
        }
    }
    changes
}

fn back_on_loopback(ip: IpAddr, view: &View) -> Option<AddressChange> {
    let lo = view.links().find(|link| link.loopback)?;
    Some(AddressChange::Set(Address {
        index: lo.index,
        ip,
        prefix_len: nic::host_prefix(ip),
        broadcast: None,
        label: None,
        flags: AddressFlags { nodad: true, ..AddressFlags::default() },
        protocol: 0,
        valid: Lifetime::Forever,
        preferred: Lifetime::Forever,
    }))
}

/// Deletes exactly this address.
#[must_use]
pub fn delete(have: &Address) -> AddressChange {
    AddressChange::Delete { index: have.index, ip: have.ip, prefix_len: have.prefix_len }
}

/// How an address in the kernel differs from what it should be; none when it does not.
#[must_use]
pub fn difference(view: &View, want: &Address) -> Option<Reason> {
    let places = view.places(want.ip);
    let here: Vec<&Address> = places.iter().filter(|have| have.index == want.index).collect();
    if here.is_empty() {
        let elsewhere = places
            .iter()
            .filter_map(|have| view.link(have.index))
            .find(|link| !link.loopback)
            .map(|link| link.name.clone());
        return Some(elsewhere.map_or(Reason::Missing, |found| Reason::WrongDev { found }));
    }
    let Some(have) = here.iter().find(|have| have.prefix_len == want.prefix_len) else {
        return Some(Reason::WrongPrefix { found: here[0].prefix_len });
    };
    if want.label.is_some() && have.label != want.label {
        return Some(Reason::LabelDiffers { found: have.label.clone() });
    }
    if have.flags.dad_failed {
        return Some(Reason::DadFailed);
    }
    have.flags.tentative.then_some(Reason::Tentative)
}

/// What a monitor finds for one address that should be as `want`.
#[must_use]
pub fn judge(params: &IpParams, view: &View, want: &Address) -> Outcome {
    let (ip, dev) = (want.ip, view.name(want.index));
    let generic = |reason, text: String| Outcome::failed(OcfCode::ErrGeneric, reason, text);
    match difference(view, want) {
        Some(Reason::Missing) => {
            return Outcome::not_running(format!("{ip} is on no interface of this host"));
        }
        Some(Reason::WrongDev { found }) => {
            let text = format!("{ip} is on {found}, not on {dev}");
            return generic(Reason::WrongDev { found }, text);
        }
        Some(Reason::WrongPrefix { found }) => {
            let text = format!("{ip} on {dev} is /{found}, not /{}", want.prefix_len);
            return generic(Reason::WrongPrefix { found }, text);
        }
        Some(Reason::LabelDiffers { found }) => {
            let wanted = want.label.as_deref().unwrap_or_default();
            let has = found.as_deref().unwrap_or("none");
            let text = format!("{ip} on {dev} has label {has}, not {wanted}");
            return generic(Reason::LabelDiffers { found }, text);
        }
        Some(Reason::DadFailed) => {
            let text = format!(
                "{ip} on {dev} failed duplicate address detection: another station has it; find \
                 that station in the switch's table or with `ndisc6 {ip}` from a neighbour and take \
                 the address off it"
            );
            return generic(Reason::DadFailed, text);
        }
        Some(Reason::Tentative) => {
            let text = format!("{ip} on {dev}: duplicate address detection still runs");
            return generic(Reason::Tentative, text);
        }
        Some(_) | None => {}
    }
    match view.link(want.index) {
        Some(link) if params.check_link_status && !is_up(link) => link_down(ip, link),
        _ => Outcome::success(),
    }
}

fn link_down(ip: IpAddr, link: &Link) -> Outcome {
    let how = if link.admin_up {
        "it has no carrier: check the cable, the switch port, or the device below it"
    } else {
        "an administrator set it down: `ip link set up`"
    };
    let text = format!("{ip} is on {} but that is down; {how}", link.name);
    Outcome::failed(OcfCode::ErrGeneric, Reason::LinkDown, text)
}

#[cfg(test)]
mod tests;
