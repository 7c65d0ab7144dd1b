use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use haven_base::{Lifetime, MacAddr};
use proptest::prelude::*;

use super::*;

fn map(text: &str) -> BTreeMap<String, String> {
    text.split(';')
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap();
            (name.trim().to_owned(), value.trim().to_owned())
        })
        .collect()
}

fn good(text: &str) -> Parsed {
    parse(&map(text)).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn bad(text: &str) -> Vec<String> {
    parse(&map(text)).unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults_are_those_of_the_table() {
    let parsed = good("ip=192.0.2.10");
    assert_eq!(parsed.params, IpParams::new(vec!["192.0.2.10".parse().unwrap()]));
    assert!(parsed.warnings.is_empty());
    let mut all = map("ip=192.0.2.10");
    for row in table::PARAMETERS.iter().filter(|row| !row.default.is_empty()) {
        if !matches!(row.name, "arp_interval" | "arp_count" | "flush_routes") {
            all.insert(row.name.to_owned(), row.default.to_owned());
        }
    }
    assert_eq!(parse(&all).unwrap(), parsed, "a default written out changes nothing");
}

/// What resource-agents' IPaddr2 has, too.
const IPADDR2: [&str; 24] = [
    "ip",
    "nic",
    "cidr_netmask",
    "broadcast",
    "iflabel",
    "lvs_support",
    "lvs_ipv6_addrlabel",
    "lvs_ipv6_addrlabel_value",
    "mac",
    "unique_clone_address",
    "arp_interval",
    "arp_count",
    "arp_count_refresh",
    "arp_bg",
    "arp_sender",
    "send_arp_opts",
    "flush_routes",
    "run_arping",
    "nodad",
    "noprefixroute",
    "preferred_lft",
    "network_namespace",
    "check_link_status",
    "proto",
];

#[test]
fn what_ipaddr2_lacks_is_documented_with_its_default_and_words() {
    let text = include_str!("../../../../docs/operating/agents.md");
    let own: Vec<_> = table::PARAMETERS.iter().filter(|row| !IPADDR2.contains(&row.name)).collect();
    assert_eq!(own.len(), table::PARAMETERS.len() - IPADDR2.len());
    for row in own {
        let default =
            if row.default.is_empty() { "–".into() } else { format!("`{}`", row.default) };
        let start = format!("| `{}` | {default} |", row.name);
        let line = text.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("agents.md has no line {start}"));
        if let table::Content::Select(words) = row.content {
            for word in words {
                assert!(line.contains(&format!("`{word}`")), "{word}: {line}");
            }
        }
    }
}

#[test]
fn every_value_is_read() {
    let p = good(
        "ip=2001:DB8::10, 2001:db8:0::11; nic=mac=02:00:5e:00:10:33; cidr_netmask=64; \
         lvs_ipv6_addrlabel=no; preferred_lft=0; noprefixroute=on; nodad=1; arp_interval=100; \
         arp_count=3; arp_count_refresh=2; arp_bg=false; announce=burst,refresh; \
         verify-target=fe80::1; on-conflict=yield; require-dev=yes; reconcile=report; \
         CRM_meta_timeout=20000; crm_feature_set=3.20",
    )
    .params;
    assert_eq!(p.ips.len(), 2);
    assert_eq!(p.nic, Some(NicSpec::Mac(MacAddr([2, 0, 0x5e, 0, 0x10, 0x33]))));
    assert_eq!(p.prefix_len, Some(64));
    assert_eq!(p.addr_label, None);
    assert_eq!(p.preferred, Lifetime::Seconds(0));
    assert!(p.noprefixroute && p.nodad && p.require_dev && !p.background);
    assert_eq!(p.burst, Burst::Even { interval: Duration::from_millis(100), count: 3 });
    assert_eq!(p.count_refresh, 2);
    assert!(p.announce.burst && p.announce.refresh && !p.announce.confirm);
    assert_eq!(p.on_conflict, OnConflict::Yield);
    assert_eq!(p.reconcile, Reconcile::Report);
}

#[test]
fn all_errors_come_at_once_with_nearest_name() {
    let errors = bad("ip=192.0.2.300; cidr_netmsk=24; nodad=perhaps; on-conflict=fight; mac=02::1");
    let text = errors.join("\n");
    assert_eq!(errors.len(), 5, "{text}");
    let concerned = parse(&map("ip=192.0.2.1;cidr_netmask=64")).unwrap_err();
    assert_eq!(concerned.0[0].parameter(), "cidr_netmask");
    assert!(text.contains("unknown parameter cidr_netmsk; did you mean cidr_netmask?"), "{text}");
    assert!(text.contains("ip=192.0.2.300: expected an IPv4 or IPv6 address"), "{text}");
    assert!(text.contains("nodad=perhaps: expected true or false"), "{text}");
    assert!(text.contains("on-conflict=fight: expected defend, yield, fence or alert"), "{text}");
    assert!(text.contains("mac is refused"), "{text}");
}

#[test]
fn an_underscore_for_a_hyphen_is_pointed_out() {
    assert!(bad("ip=192.0.2.1;on_conflict=defend")[0].contains("did you mean on-conflict?"));
    assert!(bad("ip=192.0.2.1;zzzzzz=1")[0].contains("meta-data"));
}

#[test]
fn contradictions_name_both_sides() {
    for (text, wanted) in [
        ("ip=192.0.2.1,2001:db8::1;cidr_netmask=24", "split the resource"),
        ("ip=192.0.2.1;cidr_netmask=64", "1 to 32"),
        ("ip=192.0.2.0;cidr_netmask=24", "network or broadcast address"),
        ("ip=192.0.2.255;cidr_netmask=24", "network or broadcast address"),
        ("ip=192.0.2.1;cidr_netmask=24;netmask=25", "keep cidr_netmask only"),
        ("ip=fe80::1", "nic"),
        ("ip=169.254.1.1", "nic"),
        ("ip=192.0.2.1;nic=enp0s31f6;iflabel=service", "more than 15"),
        ("ip=192.0.2.1;verify-target=2001:db8::1", "family"),
        ("ip=192.0.2.1,192.0.2.1", "twice"),
        ("ip=192.0.2.1/24", "cidr_netmask"),
        ("ip=127.0.0.1", "loopback"),
        ("ip=224.0.0.18", "multicast"),
        ("ip=0.0.0.0", "unspecified"),
        ("ip=::ffff:192.0.2.1", "IPv4-mapped"),
        ("ip=192.0.2.1;cidr_netmask=255.0.255.0", "ones come first"),
        ("ip=192.0.2.1;nic=eth0:1", "interface name"),
        ("ip=192.0.2.1;network_namespace=blue", "refused"),
        ("nic=eth0", "ip is missing"),
    ] {
        let errors = bad(text);
        assert!(errors.iter().any(|e| e.contains(wanted)), "{text}: {errors:?}");
    }
}

#[test]
fn harmless_oddities_only_warn() {
    for (text, wanted) in [
        ("ip=192.0.2.1;netmask=255.255.255.0", "write cidr_netmask=24"),
        ("ip=2001:db8::1;iflabel=x", "iflabel has no effect"),
        ("ip=192.0.2.1;flush_routes=true", "without effect"),
        ("ip=192.0.2.1;proto=99", "0x68"),
    ] {
        let warnings = good(text).warnings;
        assert!(warnings.iter().any(|w| w.contains(wanted)), "{text}: {warnings:?}");
    }
    assert_eq!(good("ip=192.0.2.1;netmask=255.255.255.128").params.prefix_len, Some(25));
    assert_eq!(good("ip=192.0.2.1;cidr_netmask=255.255.255.255").params.prefix_len, Some(32));
}

#[test]
fn broadcast_follows_plus_and_minus() {
    let ip: IpAddr = "192.0.2.10".parse().unwrap();
    let brd = |text: &str| good(text).params.broadcast_of(ip, 24).map(|b| b.to_string());
    assert_eq!(brd("ip=192.0.2.10;broadcast=+").as_deref(), Some("192.0.2.255"));
    assert_eq!(brd("ip=192.0.2.10;broadcast=-").as_deref(), Some("192.0.2.0"));
    assert_eq!(brd("ip=192.0.2.10;broadcast=192.0.2.127").as_deref(), Some("192.0.2.127"));
    assert_eq!(brd("ip=192.0.2.10"), None);
    let slash_32 = good("ip=192.0.2.10;broadcast=+").params.broadcast_of(ip, 32);
    assert_eq!(slash_32.map(|b| b.to_string()).as_deref(), Some("192.0.2.10"));
}

#[test]
fn clone_instances_count_upwards() {
    let params = good("ip=192.0.2.250,2001:db8::ffff;unique_clone_address=true").params;
    let third = params.for_clone_instance(3).unwrap().ips;
    assert_eq!(third, ["192.0.2.253", "2001:db8::1:2"].map(|s| s.parse::<IpAddr>().unwrap()));
    let end = good("ip=255.255.255.254;unique_clone_address=true").params;
    assert!(end.for_clone_instance(9).is_err());
    let same = good("ip=192.0.2.250").params;
    assert_eq!(same.for_clone_instance(9).unwrap(), same);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(
        name in proptest::sample::select(
            table::PARAMETERS.iter().map(|row| row.name).collect::<Vec<_>>()),
        value in "\\PC{0,40}",
    ) {
        let mut m = map("ip=192.0.2.10");
        m.insert(name.to_owned(), value);
        drop(parse(&m));
    }

    #[test]
    fn every_address_reads_back(bits in any::<u128>()) {
        let ip = IpAddr::from(bits.to_be_bytes());
        if let Ok(parsed) = parse(&map(&format!("nic=eth0;ip={ip}"))) {
            prop_assert_eq!(parsed.params.ips, vec![ip]);
        }
    }
}
