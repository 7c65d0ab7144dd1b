use haven_base::OperState;

use super::*;
use crate::testing::{address, index, link};

const OURS: u8 = crate::PROTOCOL_TAG;

fn params(ips: &[&str]) -> IpParams {
    let mut params = IpParams::new(ips.iter().map(|ip| ip.parse().unwrap()).collect());
    params.nic = Some(NicSpec::Name("eth0".to_owned()));
    params.prefix_len = Some(24);
    params
}

fn view(addresses: Vec<Address>) -> View {
    let mut lo = link(1, "lo");
    lo.loopback = true;
    View::new(vec![lo, link(2, "eth0"), link(3, "eth1")], addresses)
}

fn want(params: &IpParams) -> Address {
    let place = Place { index: index(2), prefix_len: 24 };
    desired(params, params.ips[0], place, "eth0", false, (Lifetime::Forever, Lifetime::Forever))
}

#[test]
fn a_missing_interface_is_pending_unless_required() {
    let mut p = params(&["192.0.2.10"]);
    p.nic = Some(NicSpec::Name("eth7".to_owned()));
    let spec = p.nic.clone().unwrap();
    assert_eq!(place(&p, &view(Vec::new()), &[]), Ok(Placement::Pending(spec)));
    p.require_dev = true;
    let refused = place(&p, &view(Vec::new()), &[]).unwrap_err();
    assert_eq!((refused.code, refused.reason), (OcfCode::ErrInstalled, Some(Reason::NoSuchDev)));
    assert!(refused.text.contains("eth0, eth1"), "{}", refused.text);
}

#[test]
fn a_foreign_copy_on_another_interface_stops_the_start_and_our_own_moves() {
    let p = params(&["192.0.2.10"]);
    let refused = place(&p, &view(vec![address("192.0.2.10", 24, 3, 0)]), &[]).unwrap_err();
    assert!(refused.text.contains("ip addr del 192.0.2.10/24 dev eth1"), "{}", refused.text);
    let ours = view(vec![address("192.0.2.10", 24, 3, OURS)]);
    assert!(place(&p, &ours, &[]).is_ok());
    let changes = put(&p, &ours, &want(&p));
    assert_eq!(changes[0], delete(&address("192.0.2.10", 24, 3, OURS)));
    assert!(matches!(changes[1], AddressChange::Set(_)));
}

#[test]
fn a_wrong_prefix_or_label_is_replaced_and_a_right_address_refreshed() {
    let mut p = params(&["192.0.2.10"]);
    let wrong = view(vec![address("192.0.2.10", 32, 2, OURS)]);
    assert_eq!(put(&p, &wrong, &want(&p)).len(), 2);
    let right = view(vec![address("192.0.2.10", 24, 2, OURS)]);
    assert_eq!(put(&p, &right, &want(&p)), [AddressChange::Set(want(&p))]);
    p.label = Some("vip".to_owned());
    assert_eq!(put(&p, &right, &want(&p)).len(), 2);
    assert_eq!(want(&p).label.as_deref(), Some("eth0:vip"));
}

#[test]
fn lvs_support_swaps_with_loopback() {
    let mut p = params(&["192.0.2.10"]);
    let on_lo = view(vec![address("192.0.2.10", 32, 1, 0)]);
    assert!(place(&p, &on_lo, &[]).is_err(), "without lvs_support loopback is in the way");
    p.lvs_support = true;
    assert!(place(&p, &on_lo, &[]).is_ok());
    assert_eq!(put(&p, &on_lo, &want(&p))[0], delete(&address("192.0.2.10", 32, 1, 0)));
    let held = view(vec![address("192.0.2.10", 24, 2, OURS)]);
    let changes = take_away(&p, &held, &[]);
    assert!(
        matches!(&changes[1], AddressChange::Set(a) if a.index == index(1) && a.prefix_len == 32)
    );
}

#[test]
fn take_away_spares_what_an_administrator_put_elsewhere() {
    let p = params(&["192.0.2.10"]);
    let v = view(vec![address("192.0.2.10", 24, 2, 0), address("192.0.2.10", 24, 3, 0)]);
    assert_eq!(take_away(&p, &v, &[]), [delete(&address("192.0.2.10", 24, 2, 0))]);
    assert_eq!(take_away(&p, &view(Vec::new()), &[]), []);
    let mut gone = p.clone();
    gone.nic = Some(NicSpec::Name("eth7".to_owned()));
    assert_eq!(take_away(&gone, &v, &[]), [], "a missing interface is no reason to touch others");
    let renamed = [(p.ips[0], Place { index: index(2), prefix_len: 24 })];
    assert_eq!(take_away(&gone, &v, &renamed).len(), 1, "where it was held it is removed");
}

#[test]
fn ipv6_gets_its_source_label_and_loses_it() {
    let mut p = params(&["2001:db8::10"]);
    p.prefix_len = Some(64);
    let place = Place { index: index(2), prefix_len: 64 };
    let forever = (Lifetime::Forever, Lifetime::Forever);
    let want = desired(&p, p.ips[0], place, "eth0", true, forever);
    assert!(want.flags.nodad, "a lease proves that nobody else has it");
    let changes = put(&p, &view(Vec::new()), &want);
    assert!(matches!(changes[1], AddressChange::Label { label: 99, .. }));
    let changes = take_away(&p, &view(vec![address("2001:db8::10", 64, 2, OURS)]), &[]);
    assert!(matches!(changes[1], AddressChange::Unlabel { label: 99, .. }));
    p.addr_label = None;
    assert_eq!(put(&p, &view(Vec::new()), &want).len(), 1);
    assert!(!desired(&p, p.ips[0], place, "eth0", false, forever).flags.nodad);
}

#[test]
fn monitor_names_every_way_to_be_wrong() {
    let mut p = params(&["192.0.2.10"]);
    p.label = Some("vip".to_owned());
    let labelled = |label: Option<&str>| {
        let mut a = address("192.0.2.10", 24, 2, OURS);
        a.label = label.map(str::to_owned);
        a
    };
    let reason = |addresses| judge(&p, &view(addresses), &want(&p)).reason;
    assert_eq!(reason(vec![labelled(Some("eth0:vip"))]), None);
    assert_eq!(reason(Vec::new()), Some(Reason::Missing));
    let elsewhere = Some(Reason::WrongDev { found: "eth1".to_owned() });
    assert_eq!(reason(vec![address("192.0.2.10", 24, 3, 0)]), elsewhere);
    let wrong_prefix = Some(Reason::WrongPrefix { found: 25 });
    assert_eq!(reason(vec![address("192.0.2.10", 25, 2, 0)]), wrong_prefix);
    let label = Some("eth0".to_owned());
    assert_eq!(reason(vec![labelled(Some("eth0"))]), Some(Reason::LabelDiffers { found: label }));
    for (tentative, dad_failed, expected) in
        [(true, false, Reason::Tentative), (true, true, Reason::DadFailed)]
    {
        let mut a = labelled(Some("eth0:vip"));
        a.flags = AddressFlags { tentative, dad_failed, ..AddressFlags::default() };
        assert_eq!(reason(vec![a]), Some(expected));
    }
    assert_eq!(judge(&p, &view(Vec::new()), &want(&p)).code, OcfCode::NotRunning);
}

#[test]
fn a_link_that_is_down_fails_the_monitor_only_if_asked() {
    let mut p = params(&["192.0.2.10"]);
    for (admin_up, oper_state) in
        [(false, OperState::Down), (true, OperState::Down), (true, OperState::LowerLayerDown)]
    {
        let mut v = view(vec![address("192.0.2.10", 24, 2, OURS)]);
        let mut down = link(2, "eth0");
        (down.admin_up, down.oper_state) = (admin_up, oper_state);
        v.put_link(down);
        p.check_link_status = true;
        assert_eq!(judge(&p, &v, &want(&p)).reason, Some(Reason::LinkDown));
        p.check_link_status = false;
        assert!(judge(&p, &v, &want(&p)).is_success());
    }
}

#[test]
fn lifetimes_are_three_leases_and_at_least_three_seconds() {
    let mut p = params(&["192.0.2.10"]);
    let now = Instant::from_nanos(1_000_000_000_000);
    let after = |left_ms| lifetimes(&p, Some(now + Duration::from_millis(left_ms)), now, now).0;
    assert_eq!(after(0), Lifetime::Seconds(3));
    assert_eq!(after(60), Lifetime::Seconds(3));
    assert_eq!(after(1001), Lifetime::Seconds(4));
    assert_eq!(after(5000), Lifetime::Seconds(15));
    assert_eq!(lifetimes(&p, None, now, now), (Lifetime::Forever, Lifetime::Forever));
    p.preferred = Lifetime::Seconds(10);
    let later = now + Duration::from_secs(8);
    assert_eq!(lifetimes(&p, None, now, later).1, Lifetime::Seconds(2));
    let leased = lifetimes(&p, Some(now + Duration::from_secs(1)), now, now);
    assert_eq!(leased, (Lifetime::Seconds(3), Lifetime::Seconds(3)), "preferred never outlives");
}
