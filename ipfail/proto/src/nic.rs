//! Choosing the interface and the prefix length of an address from the routes.

use std::net::IpAddr;

use haven_base::{IfIndex, Route};

use crate::view::View;

/// Why no interface follows from the routes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NicError {
    /// No on-link route contains the address.
    #[error("choose an interface for {ip}: no directly connected network contains it; set nic= to one of: {}", interfaces.join(", "))]
    NoRoute {
        /// The address.
        ip: IpAddr,
        /// Interfaces of this host except loopback.
        interfaces: Vec<String>,
    },
    /// Several are equally good.
    #[error("choose an interface for {ip}: {} are equally good; set nic= to one of them", candidates.join(", "))]
    Ambiguous {
        /// The address.
        ip: IpAddr,
        /// The candidates with their routes.
        candidates: Vec<String>,
    },
}

/// The interface whose on-link route contains `ip` with the longest prefix, then the lowest metric, and
/// that prefix's length.
///
/// # Errors
/// When there is none, or several on different interfaces are equally good.
pub fn choose(ip: IpAddr, routes: &[Route], view: &View) -> Result<(IfIndex, u8), NicError> {
    let rank = |route: &Route| (std::cmp::Reverse(route.prefix_len), route.metric);
    let fitting = || {
        routes.iter().filter(|route| {
            route.gateway.is_none()
                && contains(route, ip)
                && view.link(route.index).is_some_and(|link| !link.loopback)
        })
    };
    let Some(best) = fitting().map(rank).min() else {
        let interfaces =
            view.links().filter(|link| !link.loopback).map(|link| link.name.clone()).collect();
        return Err(NicError::NoRoute { ip, interfaces });
    };
    let mut winners: Vec<&Route> = fitting().filter(|route| rank(route) == best).collect();
    winners.sort_by_key(|route| route.index);
    winners.dedup_by_key(|route| route.index);
    match winners[..] {
        [route] => Ok((route.index, prefix_of(route))),
        _ => {
            let describe = |route: &&Route| {
                format!(
                    "{} ({}/{} metric {})",
                    view.name(route.index),
                    route.destination,
                    route.prefix_len,
                    route.metric
                )
            };
            let candidates = winners.iter().map(describe).collect();
            Err(NicError::Ambiguous { ip, candidates })
        }
    }
}

/// The prefix length of the connected route to `ip` on `index`; 32 or 128 when there is none.
#[must_use]
pub fn prefix_on(ip: IpAddr, index: IfIndex, routes: &[Route]) -> u8 {
    routes
        .iter()
        .filter(|route| route.index == index && route.gateway.is_none() && contains(route, ip))
        .map(prefix_of)
        .max()
        .unwrap_or_else(|| host_prefix(ip))
}

/// 32 or 128.
#[must_use]
pub const fn host_prefix(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// A default route on the link itself says nothing about a network: then the address stands alone.
fn prefix_of(route: &Route) -> u8 {
    if route.prefix_len == 0 { host_prefix(route.destination) } else { route.prefix_len }
}

fn contains(route: &Route, ip: IpAddr) -> bool {
    let (network, host, width) = match (route.destination, ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(u32::from(a)), u128::from(u32::from(b)), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let low = u32::from(u8::saturating_sub(width, route.prefix_len));
    low >= 128 || (network ^ host) >> low == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{index, link};

    fn route(network: &str, prefix_len: u8, dev: u32, metric: u32) -> Route {
        Route {
            destination: network.parse().unwrap(),
            prefix_len,
            gateway: None,
            index: index(dev),
            metric,
        }
    }

    fn view() -> View {
        let mut lo = link(1, "lo");
        lo.loopback = true;
        View::new(vec![lo, link(2, "eth0"), link(3, "eth1")], Vec::new())
    }

    fn pick(ip: &str, routes: &[Route]) -> Result<(u32, u8), String> {
        choose(ip.parse().unwrap(), routes, &view())
            .map(|(index, len)| (index.get(), len))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_longest_prefix_wins_then_the_lowest_metric() {
        let routes = [
            route("192.0.0.0", 16, 2, 0),
            route("192.0.2.0", 24, 3, 200),
            route("192.0.2.0", 24, 2, 100),
        ];
        assert_eq!(pick("192.0.2.10", &routes), Ok((2, 24)));
        assert_eq!(pick("192.0.3.10", &routes), Ok((2, 16)));
        let v6 = [route("2001:db8::", 64, 3, 256), route("2001:db8::", 32, 2, 1)];
        assert_eq!(pick("2001:db8::10", &v6), Ok((3, 64)));
    }

    #[test]
    fn equally_good_interfaces_are_listed() {
        let routes = [route("192.0.2.0", 24, 2, 0), route("192.0.2.0", 24, 3, 0)];
        let error = pick("192.0.2.10", &routes).unwrap_err();
        assert!(error.contains("eth0 (192.0.2.0/24 metric 0), eth1"), "{error}");
        let same_dev = [route("192.0.2.0", 24, 2, 0), route("192.0.2.0", 24, 2, 0)];
        assert_eq!(pick("192.0.2.10", &same_dev), Ok((2, 24)));
    }

    #[test]
    fn a_gateway_or_loopback_is_no_place_for_an_address() {
        let mut default = route("0.0.0.0", 0, 2, 0);
        default.gateway = Some("192.0.2.1".parse().unwrap());
        let error = pick("198.51.100.1", &[default, route("198.51.100.0", 24, 1, 0)]).unwrap_err();
        assert!(error.contains("set nic= to one of: eth0, eth1"), "{error}");
    }

    #[test]
    fn an_on_link_default_route_gives_a_host_prefix() {
        assert_eq!(pick("198.51.100.1", &[route("0.0.0.0", 0, 3, 0)]), Ok((3, 32)));
        assert_eq!(pick("2001:db8::1", &[route("::", 0, 3, 0)]), Ok((3, 128)));
    }

    #[test]
    fn the_prefix_on_a_named_interface_is_its_own() {
        let routes = [route("192.0.2.0", 24, 2, 0), route("192.0.0.0", 16, 3, 0)];
        let ip = "192.0.2.10".parse().unwrap();
        assert_eq!(prefix_on(ip, index(3), &routes), 16);
        assert_eq!(prefix_on(ip, index(2), &routes), 24);
        assert_eq!(prefix_on(ip, index(9), &routes), 32);
    }
}
