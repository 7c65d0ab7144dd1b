//! From the text of a configuration to [`IpParams`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use haven_base::{Lifetime, MacAddr};

use super::error::meant;
use super::{
    Announce, Broadcast, Burst, IPS_MAX, IpParams, NicSpec, OnConflict, ParamError, ParamErrors,
    Reconcile, table,
};

/// Checked parameters and what an operator should know about them all the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// The parameters.
    pub params: IpParams,
    /// Findings that change nothing: parameters without effect, deprecated spellings.
    pub warnings: Vec<String>,
}

/// Longest interface name and label (`IFNAMSIZ` − 1).
const NAME_MAX: usize = 15;

/// Check all parameters of one resource. Names starting with `CRM_meta_` and `crm_` belong to the
/// cluster engine and are passed over.
///
/// # Errors
/// Every unknown name, bad value and contradiction, all at once.
pub fn parse(map: &BTreeMap<String, String>) -> Result<Parsed, ParamErrors> {
    let mut reader = Reader { map, errors: Vec::new(), warnings: Vec::new() };
    reader.refuse_unknown();
    let params = reader.params();
    reader.check_whole(&params);
    let Reader { errors, warnings, .. } = reader;
    if errors.is_empty() { Ok(Parsed { params, warnings }) } else { Err(ParamErrors(errors)) }
}

struct Reader<'a> {
    map: &'a BTreeMap<String, String>,
    errors: Vec<ParamError>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn refuse_unknown(&mut self) {
        for name in self.map.keys() {
            if name.starts_with("CRM_meta_") || name.starts_with("crm_") {
                continue;
            }
            if table::find(name).is_none() {
                self.errors.push(ParamError::Unknown { name: name.clone(), nearest: meant(name) });
            }
        }
        let refused = [
            (
                "network_namespace",
                "the gate guards only the namespace the daemon runs in; run a node inside that \
                 namespace and leave the parameter out",
            ),
            (
                "mac",
                "a hardware address that moves is not offered; leave it out, neighbours learn \
                 the new owner's by announcement",
            ),
        ];
        for (name, remedy) in refused {
            if self.text(name).is_some() {
                self.errors.push(ParamError::Refused { name: name.into(), remedy: remedy.into() });
            }
        }
    }

    /// The trimmed value of a parameter or its alias; none when absent or empty.
    fn text(&self, name: &str) -> Option<&str> {
        let alias = table::find(name).and_then(|row| row.alias);
        [Some(name), alias]
            .into_iter()
            .flatten()
            .find_map(|n| self.map.get(n))
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    fn bad(&mut self, name: &str, value: &str, expected: impl Into<String>) {
        self.errors.push(ParamError::BadValue {
            name: name.to_owned(),
            value: value.to_owned(),
            expected: expected.into(),
        });
    }

    fn contradiction(&mut self, first: &str, second: &str, remedy: impl Into<String>) {
        self.errors.push(ParamError::Contradiction {
            first: first.to_owned(),
            second: second.to_owned(),
            remedy: remedy.into(),
        });
    }

    /// The value `read` finds in the text; `default` when absent or wrong (which is recorded).
    fn value<T>(
        &mut self,
        name: &str,
        default: T,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.text(name).map(str::to_owned) else { return default };
        read(&text).unwrap_or_else(|| {
            self.bad(name, &text, expected);
            default
        })
    }

    fn boolean(&mut self, name: &str, default: bool) -> bool {
        let expected = "expected true or false (also yes/no, on/off, 1/0)";
        self.value(name, default, expected, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" | "y" | "ja" => Some(true),
            "false" | "no" | "off" | "0" | "n" => Some(false),
            _ => None,
        })
    }

    fn number(&mut self, name: &str, default: u32, from: u32, to: u32) -> u32 {
        let expected = format!("expected a whole number from {from} to {to}");
        self.value(name, default, &expected, |text| {
            text.parse().ok().filter(|n| (from..=to).contains(n))
        })
    }

    fn params(&mut self) -> IpParams {
        let with_label = self.boolean("lvs_ipv6_addrlabel", true);
        let label_number = self.number("lvs_ipv6_addrlabel_value", 99, 0, u32::MAX - 1);
        IpParams {
            ips: self.ips(),
            nic: self.nic(),
            prefix_len: self.prefix_len(),
            broadcast: self.broadcast(),
            label: self.label(),
            lvs_support: self.boolean("lvs_support", false),
            addr_label: with_label.then_some(label_number),
            preferred: self.preferred(),
            noprefixroute: self.boolean("noprefixroute", false),
            protocol: self.protocol(),
            run_arping: self.boolean("run_arping", false),
            nodad: self.boolean("nodad", false),
            burst: self.burst(),
            count_refresh: self.number("arp_count_refresh", 0, 0, 100),
            background: self.boolean("arp_bg", true),
            check_link_status: self.boolean("check_link_status", true),
            unique_clone_address: self.boolean("unique_clone_address", false),
            announce: self.announce(),
            verify_targets: self.verify_targets(),
            on_conflict: self.on_conflict(),
            require_dev: self.boolean("require-dev", false),
            reconcile: self.reconcile(),
        }
    }

    fn addresses(&mut self, name: &str) -> Vec<IpAddr> {
        let Some(text) = self.text(name).map(str::to_owned) else { return Vec::new() };
        let mut found = Vec::new();
        for word in text.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty()) {
            match word.parse::<IpAddr>() {
                Ok(ip) => found.push(ip),
                Err(_) if word.contains('/') => {
                    self.bad(name, word, "write the prefix length into cidr_netmask");
                }
                Err(_) => self.bad(name, word, "expected an IPv4 or IPv6 address"),
            }
        }
        found
    }

    fn ips(&mut self) -> Vec<IpAddr> {
        if self.text("ip").is_none() {
            self.errors.push(ParamError::Missing {
                name: "ip".into(),
                remedy: "give the address to hold, for example ip=192.0.2.10".into(),
            });
            return Vec::new();
        }
        let ips = self.addresses("ip");
        let mut seen = BTreeSet::new();
        for ip in &ips {
            if !seen.insert(*ip) {
                self.bad("ip", &ip.to_string(), "listed twice; once is enough");
            }
            if let Some(why) = unusable(*ip) {
                self.bad("ip", &ip.to_string(), why);
            }
        }
        if ips.len() > IPS_MAX {
            let count = ips.len().to_string();
            let expected = format!("at most {IPS_MAX} addresses in one resource; split it");
            self.bad("ip", &count, expected);
        }
        ips
    }

    fn nic(&mut self) -> Option<NicSpec> {
        let expected = "expected an interface name of 1 to 15 characters without blanks, slash or \
                        colon, or mac=ADDRESS, path=BUS, alt=NAME";
        self.value("nic", None, expected, |text| {
            let spec = match text.split_once('=') {
                Some(("mac", mac)) => NicSpec::Mac(parse_mac(mac)?),
                Some(("path", path)) if !path.is_empty() => NicSpec::Path(path.to_owned()),
                Some(("alt", alt)) if !alt.is_empty() => NicSpec::Alt(alt.to_owned()),
                Some(_) => return None,
                None if is_name(text) => NicSpec::Name(text.to_owned()),
                None => return None,
            };
            Some(Some(spec))
        })
    }

    fn prefix_len(&mut self) -> Option<u8> {
        if let (Some(new), Some(old)) = (self.map.get("cidr_netmask"), self.map.get("netmask"))
            && new.trim() != old.trim()
        {
            self.contradiction("cidr_netmask", "netmask", "keep cidr_netmask only");
        }
        let text = self.text("cidr_netmask")?.to_owned();
        if let Ok(mask) = text.parse::<Ipv4Addr>() {
            let bits = u32::from(mask);
            if bits.leading_ones() + bits.trailing_zeros().min(32) != 32 {
                self.bad("cidr_netmask", &text, "expected a mask whose ones come first");
                return None;
            }
            let len = bits.leading_ones();
            self.warnings.push(format!(
                "cidr_netmask={text}: the dotted form is deprecated, write cidr_netmask={len}"
            ));
            return u8::try_from(len).ok();
        }
        let expected = "expected a prefix length from 1 to 32 (IPv4) or 128 (IPv6)";
        self.value("cidr_netmask", None, expected, |text| {
            text.parse::<u8>().ok().filter(|n| (1..=128).contains(n)).map(Some)
        })
    }

    fn broadcast(&mut self) -> Broadcast {
        let expected = "expected an IPv4 address, + (all host bits set) or - (all host bits clear)";
        self.value("broadcast", Broadcast::Unset, expected, |text| match text {
            "+" => Some(Broadcast::AllOnes),
            "-" => Some(Broadcast::AllZeros),
            other => other.parse().ok().map(Broadcast::Explicit),
        })
    }

    fn label(&mut self) -> Option<String> {
        let expected = "expected at most 13 characters without blanks, slash or colon";
        self.value("iflabel", None, expected, |text| {
            (is_name(text) && text.len() <= NAME_MAX - 2).then(|| Some(text.to_owned()))
        })
    }

    fn preferred(&mut self) -> Lifetime {
        let expected = "expected seconds (0 to 4294967294) or forever";
        self.value("preferred_lft", Lifetime::Forever, expected, |text| match text {
            "forever" => Some(Lifetime::Forever),
            number => number.parse().ok().filter(|n| *n < u32::MAX).map(Lifetime::Seconds),
        })
    }

    fn protocol(&mut self) -> u8 {
        let expected = "expected a number from 4 to 255, decimal or 0x hexadecimal (1 to 3 are \
                        the kernel's)";
        let protocol = self.value("proto", super::PROTOCOL_TAG, expected, |text| {
            let number = text
                .strip_prefix("0x")
                .map_or_else(|| text.parse().ok(), |hex| u8::from_str_radix(hex, 16).ok());
            number.filter(|n| *n >= 4)
        });
        if protocol != super::PROTOCOL_TAG {
            self.warnings.push(format!(
                "proto={protocol}: without the agent's own number 0x68 an address left by a crash \
                 is not recognised and not cleaned up at start"
            ));
        }
        protocol
    }

    fn burst(&mut self) -> Burst {
        let even = self.text("arp_interval").is_some() || self.text("arp_count").is_some();
        let interval = self.number("arp_interval", 200, 1, 60_000);
        let count = self.number("arp_count", 5, 1, 100);
        if even {
            Burst::Even { interval: Duration::from_millis(u64::from(interval)), count }
        } else {
            Burst::Schedule
        }
    }

    fn announce(&mut self) -> Announce {
        let Some(text) = self.text("announce").map(str::to_owned) else {
            return Announce::default();
        };
        let mut announce = Announce { burst: false, confirm: false, refresh: false };
        for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
            match word {
                "burst" => announce.burst = true,
                "confirm" => announce.confirm = true,
                "refresh" => announce.refresh = true,
                "none" => {}
                other => self.bad("announce", other, "expected burst, confirm, refresh or none"),
            }
        }
        announce
    }

    fn verify_targets(&mut self) -> Vec<IpAddr> {
        self.addresses("verify-target")
    }

    fn on_conflict(&mut self) -> OnConflict {
        let expected = "expected defend, yield, fence or alert";
        self.value("on-conflict", OnConflict::Defend, expected, |text| match text {
            "defend" => Some(OnConflict::Defend),
            "yield" => Some(OnConflict::Yield),
            "fence" => Some(OnConflict::Fence),
            "alert" => Some(OnConflict::Alert),
            _ => None,
        })
    }

    fn reconcile(&mut self) -> Reconcile {
        let expected = "expected repair, report or off";
        self.value("reconcile", Reconcile::Repair, expected, |text| match text {
            "repair" => Some(Reconcile::Repair),
            "report" => Some(Reconcile::Report),
            "off" => Some(Reconcile::Off),
            _ => None,
        })
    }

    /// Rules between parameters, each of which is fine alone.
    fn check_whole(&mut self, params: &IpParams) {
        let v4 = params.ips.iter().any(IpAddr::is_ipv4);
        let v6 = params.ips.iter().any(IpAddr::is_ipv6);
        if params.nic.is_none() && params.ips.iter().any(|ip| is_link_local(*ip)) {
            let remedy = "a link-local address exists on every interface: name one with nic=";
            self.errors.push(ParamError::Missing { name: "nic".into(), remedy: remedy.into() });
        }
        self.check_prefix(params, v4, v6);
        if let (Some(NicSpec::Name(nic)), Some(label)) = (&params.nic, &params.label)
            && nic.len() + 1 + label.len() > NAME_MAX
        {
            let remedy = format!("{nic}:{label} has more than {NAME_MAX} characters; shorten it");
            self.contradiction("nic", "iflabel", remedy);
        }
        for target in &params.verify_targets {
            if (target.is_ipv4() && !v4) || (target.is_ipv6() && !v6) {
                let remedy = format!("{target} is of a family none of the addresses has");
                self.contradiction("ip", "verify-target", remedy);
            }
        }
        self.warn_without_effect(params, v4, v6);
    }

    fn check_prefix(&mut self, params: &IpParams, v4: bool, v6: bool) {
        let Some(len) = params.prefix_len else { return };
        if v4 && v6 {
            let remedy = "one prefix length cannot fit both families; split the resource";
            self.contradiction("ip", "cidr_netmask", remedy);
        } else if v4 && len > 32 {
            self.bad("cidr_netmask", &len.to_string(), "expected 1 to 32 for an IPv4 address");
        } else if v4 && len < 31 {
            let host = u32::MAX >> len;
            for ip in &params.ips {
                let IpAddr::V4(address) = ip else { continue };
                let bits = u32::from(*address) & host;
                if bits == 0 || bits == host {
                    let remedy = format!("{ip} is the network or broadcast address of its /{len}");
                    self.contradiction("ip", "cidr_netmask", remedy);
                }
            }
        }
    }

    fn warn_without_effect(&mut self, params: &IpParams, v4: bool, v6: bool) {
        let mut without = |name: &str, given: bool, why: &str| {
            if given {
                self.warnings.push(format!("{name} has no effect: {why}"));
            }
        };
        without("iflabel", params.label.is_some() && !v4, "IPv6 addresses have no labels");
        without("broadcast", params.broadcast != Broadcast::Unset && !v4, "IPv6 has no broadcast");
        without("run_arping", params.run_arping && !v4, "the probe is for IPv4");
        without("nodad", params.nodad && !v6, "IPv4 has no duplicate address detection here");
        for name in ["flush_routes", "arp_sender", "send_arp_opts"] {
            let given = self.text(name).is_some();
            if given {
                self.warnings.push(format!("{name} is accepted without effect"));
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && !matches!(text, "." | "..")
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b':')
}

fn parse_mac(text: &str) -> Option<MacAddr> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|p| (1..=2).contains(&p.len()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(MacAddr(mac))
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Why no host can own `ip`.
fn unusable(ip: IpAddr) -> Option<&'static str> {
    if ip.is_unspecified() {
        return Some("the unspecified address belongs to nobody");
    }
    if ip.is_multicast() {
        return Some("a multicast address has no single owner");
    }
    if ip.is_loopback() {
        return Some("a loopback address cannot move between hosts");
    }
    match ip {
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address belongs to nobody"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Some("an IPv4-mapped address: write it as IPv4")
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}
