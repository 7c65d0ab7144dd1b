//! Judging whole configurations.

use std::collections::BTreeMap;

use crate::Cib;
use crate::crm::{
    AgentFacts, Facts, Finding, MemberFacts, Mode, ParamFacts, Severity, load, verify,
};

fn members(names: &[(&str, bool)]) -> Option<Vec<MemberFacts>> {
    let member = |(name, witness): &(&str, bool)| MemberFacts {
        name: (*name).into(),
        witness: *witness,
        votes: true,
    };
    Some(names.iter().map(member).collect())
}

fn judge_ip(given: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let good = given.get("ip").is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_ok());
    if good { Vec::new() } else { vec![("ip".into(), "ip is no address".into())] }
}

fn facts() -> Facts {
    let params = [
        ("ip", ParamFacts { required: true, unique: true, alias_of: None }),
        ("nic", ParamFacts::default()),
        ("cidr_netmask", ParamFacts::default()),
        ("netmask", ParamFacts { alias_of: Some("cidr_netmask".into()), ..ParamFacts::default() }),
    ];
    let params = params.into_iter().map(|(name, facts)| (name.to_owned(), facts)).collect();
    let ip = AgentFacts { lease: true, params, judge: Some(judge_ip) };
    Facts {
        members: members(&[("n1", false), ("n2", false), ("n3", true)]),
        agents: BTreeMap::from([("ocf:haven:ip".to_owned(), ip)]),
        complete: vec!["ocf:haven:".to_owned()],
        ..Facts::default()
    }
}

fn judged(text: &str, facts: &Facts) -> Vec<Finding> {
    let loaded = load(&Cib::default(), text, Mode::Replace).unwrap();
    let mut findings = verify(&loaded.cib, facts);
    loaded.locate(&mut findings);
    findings
}

const VIP: &str =
    "primitive vip ocf:haven:ip params ip=192.0.2.10 nic=eth0 op monitor interval=10s\n";

/// The codes found for the address and `text`, with line and nearest word.
#[track_caller]
fn expect(text: &str, expected: &[(&str, Option<u32>, Option<&str>)]) {
    let findings = judged(&format!("{VIP}{text}"), &facts());
    let found: Vec<(&str, Option<u32>, Option<&str>)> =
        findings.iter().map(|f| (f.code.as_str(), f.line, f.nearest.as_deref())).collect();
    assert_eq!(found, expected, "{text}: {findings:#?}");
    for finding in &findings {
        assert!(finding.remedy.is_some(), "{finding}");
    }
}

#[test]
fn a_good_configuration_has_no_findings() {
    expect("location l1 vip 100: n1\nproperty no-quorum-policy=stop\n", &[]);
}

#[test]
fn agents_and_their_parameters_are_judged() {
    let end = "op monitor interval=10s";
    expect(
        &format!("primitive a ocf:haven:pi {end}"),
        &[("HV0301", Some(2), Some("ocf:haven:ip"))],
    );
    expect(&format!("primitive a ocf:heartbeat:Dummy {end}"), &[]);
    expect(
        &format!("primitive a ocf:haven:ip nick=eth0 {end}"),
        &[("HV0302", Some(2), Some("nic")), ("HV0303", Some(2), None)],
    );
    expect(&format!("primitive a ocf:haven:ip ip=192.0.2.300 {end}"), &[("HV0304", Some(2), None)]);
    expect(&format!("primitive a ocf:haven:ip ip=192.0.2.10 {end}"), &[("HV0305", Some(2), None)]);
    expect(&format!("primitive a ocf:haven:ip ip=192.0.2.11 netmask=24 {end}"), &[]);
    expect("primitive a ocf:haven:ip ip=192.0.2.11", &[("HV0313", Some(2), None)]);
}

#[test]
fn an_address_belongs_to_one_resource_however_it_is_spelt() {
    let mut facts = facts();
    facts.agents.get_mut("ocf:haven:ip").unwrap().judge = None;
    for (one, other, taken) in [
        ("192.0.2.9,192.0.2.10", "192.0.2.10", true),
        ("\"192.0.2.10 192.0.2.9\"", "192.0.2.9/24", true),
        ("2001:db8::1", "2001:DB8:0:0::1", true),
        ("192.0.2.10,192.0.2.10", "192.0.2.11", false),
    ] {
        let vip = |id: &str, ip: &str| {
            format!("primitive {id} ocf:haven:ip ip={ip} op monitor interval=10s\n")
        };
        let found = judged(&format!("{}{}", vip("a", one), vip("b", other)), &facts);
        let errors: Vec<_> = found.iter().filter(|it| it.code == "HV0305").collect();
        assert_eq!(errors.len(), usize::from(taken), "{one} and {other}: {found:#?}");
        assert!(errors.iter().all(|it| it.object.as_deref() == Some("b") && !it.overridable));
    }
}

#[test]
fn an_address_by_which_members_talk_cannot_move() {
    let talk = "192.0.2.2".parse().unwrap();
    let facts = Facts { reserved: BTreeMap::from([(talk, "n2".to_owned())]), ..facts() };
    let vip = |ip: &str| format!("primitive a ocf:haven:ip ip={ip} op monitor interval=10s");
    assert_eq!(judged(&vip("192.0.2.3"), &facts), []);
    let found = judged(&vip("192.0.2.2"), &facts);
    let [found] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!((found.code.as_str(), found.line, found.overridable), ("HV0325", Some(1), false));
    assert!(found.message.contains("by which n2 talks"), "{found}");
}

#[test]
fn a_slip_in_the_name_of_an_operation_is_told() {
    let a = "primitive a ocf:heartbeat:Dummy op monitor interval=10s op";
    expect(&format!("{a} strat timeout=20s"), &[("HV0326", Some(2), Some("start"))]);
    expect(&format!("{a} backup interval=1h"), &[]);
    expect(&format!("{a} migrate_to timeout=20s"), &[]);
}

#[test]
fn parameters_of_a_template_count() {
    let text = "rsc_template t ocf:haven:ip params nic=eth0 op monitor interval=10s\n\
                primitive a @t params ip=192.0.2.11\nprimitive b @t";
    expect(text, &[("HV0303", Some(4), None)]);
}

#[test]
fn names_and_values_of_options_are_judged() {
    expect("property no-quorum-polcy=stop", &[("HV0308", Some(2), Some("no-quorum-policy"))]);
    expect("property hana_something=x", &[("HV0308", Some(2), None)]);
    expect("property no-quorum-policy=stpo", &[("HV0310", Some(2), Some("stop"))]);
    expect("property maintenance-mode=ture", &[("HV0310", Some(2), Some("true"))]);
    expect("property cluster-delay=1y", &[("HV0310", Some(2), None)]);
    expect(
        "rsc_defaults resource-stickyness=1",
        &[("HV0309", Some(2), Some("resource-stickiness"))],
    );
    expect("rsc_defaults failure-timeout=PT5M", &[]);
    let dummy = "primitive a lsb:a op monitor";
    expect(&format!("{dummy} interval=10x"), &[("HV0310", Some(2), None)]);
    expect(
        &format!("{dummy} interval=10s op monitor interval=10000ms"),
        &[("HV0314", Some(2), None)],
    );
    expect(
        &format!("{dummy} interval=10s meta target-role=Startd"),
        &[("HV0310", Some(2), Some("Started"))],
    );
}

#[test]
fn what_is_stored_and_has_no_effect_is_told_and_what_has_is_not() {
    const TOLD: (&str, Option<u32>, Option<&str>) = ("HV0327", Some(2), None);
    let monitor = "op monitor interval=10s";
    expect("property enable-acl=true transition-delay=5s dc-deadtime=1min", &[TOLD; 3]);
    expect("property stonith-watchdog-timeout=10s stonith-max-attempts=3", &[TOLD; 2]);
    expect("property remove-after-stop=true", &[TOLD]);
    expect("property enable-acl=no batch-limit=3 cluster-name=x have-watchdog=false", &[]);
    expect(&format!("primitive f stonith:fence_ipmilan {monitor}"), &[TOLD]);
    expect(&format!("primitive r ocf:pacemaker:remote {monitor}"), &[TOLD]);
    expect(&format!("primitive g lsb:a meta remote-node=guest {monitor}"), &[TOLD]);
    expect("rsc_ticket t siteA: vip", &[TOLD]);
    expect("role reader read xpath://cib\nacl_target joe reader", &[]);
    let inside = format!("bundle b podman image=x primitive a\nprimitive a lsb:a {monitor}");
    expect(&inside, &[TOLD]);
    for finding in judged("property load-threshold=70%", &facts()) {
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.to_string().contains("load-threshold has no effect"), "{finding}");
    }
    let renamed = &judged("property stonith-watchdog-timeout=10s", &facts())[0];
    let both = "fencing-watchdog-timeout (stonith-watchdog-timeout) has no effect";
    assert!(renamed.message.starts_with(both), "{renamed}");
}

#[test]
fn constraints_name_what_exists() {
    expect("location l vipp 100: n1", &[("HV0306", Some(2), Some("vip"))]);
    expect("location l vip 100: n4", &[("HV0307", Some(2), Some("n1"))]);
    expect("node n9 attributes a=b", &[("HV0307", Some(2), Some("n1"))]);
    expect("colocation c inf: vip vip", &[("HV0315", Some(2), None)]);
    expect("tag t: vip vipp l", &[("HV0306", Some(2), Some("vip")), ("HV0306", Some(2), None)]);
}

#[test]
fn contradictions_and_circles_are_found() {
    expect("location a vip inf: n1\nlocation b vip -inf: n1", &[("HV0316", Some(3), None)]);
    expect("location a vip -inf: n1\nlocation b vip -inf: n2", &[("HV0317", Some(1), None)]);
    let three = "primitive a lsb:a op monitor interval=1s\nprimitive b lsb:a op monitor interval=1s\n\
                 primitive c lsb:a op monitor interval=1s\n";
    let circle = format!("{three}order x a b\norder y b c\norder z c a\n");
    let findings = judged(&circle, &facts());
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert!(findings[0].message.contains("a → b → c → a"), "{}", findings[0]);
    expect(&format!("{three}order x a b\norder y b c\norder z Optional: c a\n"), &[]);
    expect(
        &format!("{three}colocation x inf: a b\ncolocation y inf: b a\n"),
        &[("HV0318", Some(6), None)],
    );
}

// spec: L8
#[test]
fn two_nodes_without_a_witness_are_refused_a_lease() {
    let with = |names: &[(&str, bool)], text: &str| {
        let facts = Facts { members: members(names), ..facts() };
        let findings = judged(text, &facts);
        findings.into_iter().map(|f| (f.code, f.severity, f.overridable)).collect::<Vec<_>>()
    };
    let two = [("n1", false), ("n2", false)];
    let refused = vec![("HV0311".to_owned(), Severity::Error, false)];
    assert_eq!(with(&two, VIP), refused);
    assert_eq!(with(&[("n1", false)], VIP), [], "one node is its own majority");
    assert_eq!(with(&[("n1", false), ("n2", false), ("w", true)], VIP), []);
    assert_eq!(with(&[("n1", false), ("n2", false), ("n3", false)], VIP), []);
    for witness in [false, true] {
        let mut members = members(&[("n1", false), ("n2", false), ("n3", witness)]);
        members.as_mut().unwrap()[2].votes = false;
        let findings = judged(VIP, &Facts { members, ..facts() });
        let [found] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!((found.code.as_str(), found.severity), ("HV0311", Severity::Warning));
        assert!(found.remedy.as_ref().unwrap().starts_with("start the daemon on n3:"), "{found}");
    }
    let off = VIP.replace(" op ", " meta lease=off op ");
    assert_eq!(with(&two, &off), [("HV0312".to_owned(), Severity::Warning, false)]);
    let quorum = VIP.replace(" op ", " meta requires=quorum op ");
    assert_eq!(with(&two, &quorum), [("HV0319".to_owned(), Severity::Error, false)]);
    for (around, source) in [
        ("group g vip meta requires=quorum", "(from group g)"),
        ("rsc_defaults requires=quorum", "(from rsc_defaults)"),
    ] {
        let found = judged(&format!("{VIP}{around}"), &facts());
        let [found] = &found[..] else { panic!("{found:?}") };
        assert_eq!((found.code.as_str(), found.object.as_deref()), ("HV0319", Some("vip")));
        assert!(found.message.starts_with(&format!("requires=quorum {source} takes")), "{found}");
    }
    let asking = VIP.replace(" op ", " meta requires=LEASE op ");
    assert_eq!(with(&two, &asking), refused);
    let inherited = format!("{VIP}group g vip meta lease=off");
    assert_eq!(with(&two, &inherited), [("HV0312".to_owned(), Severity::Warning, false)]);
}

// spec: L8
#[test]
fn what_no_lease_can_guard_is_refused() {
    let monitor = "op monitor interval=10s";
    let refused = |text: &str, code: &str| {
        let found = judged(text, &facts());
        let [found] = &found[..] else { panic!("{text}: {found:#?}") };
        assert_eq!((found.code.as_str(), found.is_error()), (code, true), "{text}: {found}");
        assert!(found.remedy.is_some(), "{found}");
        // Whoever plans passes the others over.
        assert_eq!(found.overridable, code != "HV0328", "{found}");
        found.to_string()
    };
    let told = refused(&format!("{VIP}clone c vip meta clone-max=1"), "HV0328");
    assert!(told.contains("vip") && told.contains("lease=off"), "{told}");
    refused(&format!("{VIP}group g vip\nclone c g"), "HV0328");
    let both = VIP.replace(" op ", " meta requires=quorum op ");
    refused(&format!("{both}clone c vip"), "HV0328");
    for agent in ["ocf:heartbeat:IPaddr2", "lsb:a", "systemd:web"] {
        let text = format!("{VIP}primitive a {agent} meta requires=lease {monitor}");
        let told = refused(&text, "HV0329");
        assert!(told.contains(agent) && told.contains("needs fencing"), "{told}");
        let inherited =
            format!("{VIP}primitive a {agent} {monitor}\ngroup g a meta requires=lease");
        let told = refused(&inherited, "HV0329");
        assert!(told.contains("requires=lease (from group g) counts"), "{told}");
        assert_eq!(judged(&text, &Facts::default()), [], "no agent is known");
    }
    let ruled = "meta rule #uname eq n1 lease=off";
    for text in [
        VIP.replace(" op ", &format!(" {ruled} op ")),
        format!("{VIP}group g vip {ruled}"),
        format!("{VIP}rsc_defaults rule #uname eq n1 lease=off"),
        format!(
            "rsc_template t ocf:haven:ip {ruled} {monitor}\nprimitive a @t params ip=192.0.2.9"
        ),
    ] {
        refused(&text, "HV0330");
    }
    let off = VIP.replace(" op ", " meta lease=OFF op ");
    expect_accepted(&format!("{off}clone c vip"));
    expect_accepted(&off.replace("lease=OFF", "lease=off requires=quorum"));
    let foreign = format!("primitive a lsb:a meta requires=lease lease=off {monitor}");
    expect_accepted(&foreign);
    let fenced = off.replace("lease=OFF", "lease=off requires=fencing");
    assert_eq!(judged(&fenced, &facts()), []);
    let told = refused(&format!("{fenced}clone c vip"), "HV0328");
    assert!(told.contains("remove requires"), "{told}");
}

#[track_caller]
fn expect_accepted(text: &str) {
    let found = judged(text, &facts());
    let codes: Vec<_> = found.iter().map(|it| (it.code.as_str(), it.severity)).collect();
    assert_eq!(codes, [("HV0312", Severity::Warning)], "{text}: {found:#?}");
}

#[test]
fn more_leases_than_a_node_can_hold_are_told() {
    let vip =
        |n: usize| format!("primitive v{n} ocf:haven:ip ip=192.0.2.{n} op monitor interval=10s\n");
    let many: String = (1..=crate::crm::MAX_LEASES).map(vip).collect();
    assert_eq!(judged(&many, &facts()), []);
    let found = judged(&format!("{many}{}", vip(200)), &facts());
    let [found] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((found.code.as_str(), found.severity), ("HV0331", Severity::Warning));
    assert!(found.message.starts_with("65 resources and groups"), "{found}");
    let grouped = format!("{many}{}group g v1 v200", vip(200));
    assert_eq!(judged(&grouped, &facts()), [], "a group has one lease");
}

#[test]
fn the_refusal_names_the_remedies() {
    let facts = Facts { members: members(&[("n1", false), ("n2", false)]), ..facts() };
    let text = judged(VIP, &facts)[0].to_string();
    for word in ["haven cluster token", "--witness", "lease=off"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn nothing_is_judged_that_is_not_known() {
    let text = "primitive a ocf:haven:pi op monitor interval=1s\nlocation l a 1: n7";
    assert_eq!(judged(text, &Facts::default()), []);
}

fn foreign() -> Facts {
    use haven_types::agent::{AgentDescription, AgentReport, ParameterDescription};
    let param = |required, alias: Option<&str>| ParameterDescription {
        required,
        alias_of: alias.map(str::to_owned),
    };
    let web = AgentDescription {
        params: BTreeMap::from([
            ("configfile".to_owned(), param(true, None)),
            ("conf".to_owned(), param(false, Some("configfile"))),
            ("options".to_owned(), param(false, None)),
        ]),
        timeouts: BTreeMap::from([
            ("start".to_owned(), "60s".to_owned()),
            ("stop".to_owned(), "20s".to_owned()),
            ("monitor".to_owned(), "30".to_owned()),
            ("validate-all".to_owned(), "soon".to_owned()),
        ]),
        flaw: None,
    };
    let cut = AgentDescription { flaw: Some("ends inside of <parameter>".into()), ..web.clone() };
    let agents = [
        ("ocf:x:web", AgentReport::Described(web)),
        ("ocf:x:cut", AgentReport::Described(cut)),
        ("ocf:x:gone", AgentReport::Absent),
        ("ocf:x:mute", AgentReport::Broken("it prints nothing".into())),
        ("lsb:web", AgentReport::Described(AgentDescription::default())),
    ];
    let foreign = agents.into_iter().map(|(name, report)| (name.to_owned(), report)).collect();
    Facts { foreign, here: "n1".into(), ..facts() }
}

#[test]
fn an_absent_agent_whose_name_is_a_slip_of_a_known_one_is_an_error_that_names_it() {
    use haven_types::agent::AgentReport;
    let judged = |name: &str| {
        let mut facts = foreign();
        facts.foreign.insert(name.to_owned(), AgentReport::Absent);
        let text = format!("{VIP}primitive w {name} op monitor interval=10s timeout=30s\n");
        let mut found = judged(&text, &facts);
        found.retain(|finding| finding.code == "HV0322");
        let [finding] = &found[..] else { panic!("{name}: {found:#?}") };
        assert_eq!((finding.object.as_deref(), finding.line), (Some("w"), Some(2)));
        finding.clone()
    };
    for (name, meant) in [
        ("ocf:havenn:ip", "ocf:haven:ip"),
        ("ocf:hevan:ipp", "ocf:haven:ip"),
        ("ocf:heartbaet:IPaddr2", "ocf:heartbeat:IPaddr2"),
    ] {
        let finding = judged(name);
        assert!(finding.is_error() && finding.overridable, "{finding}");
        assert_eq!(finding.nearest.as_deref(), Some(meant));
        let text = finding.to_string();
        assert!(text.contains(&format!("there is no agent {name} on n1")), "{text}");
        assert!(text.contains(&format!("write {meant}, or install it")), "{text}");
    }
    // Of the types that another provider has nothing is known, and a provider nobody knows may be anybody's.
    for name in ["ocf:x:wep", "ocf:heartbeat:IPadr2", "ocf:example:ip", "systemd:webb"] {
        let finding = judged(name);
        assert!(!finding.is_error() && finding.nearest.is_none(), "{finding}");
    }
}

#[test]
fn agents_of_others_are_judged_by_what_they_say_of_themselves() {
    let told = |line: &str| -> Vec<String> {
        let found = judged(&format!("{VIP}primitive w {line}\n"), &foreign());
        found.iter().map(ToString::to_string).filter(|text| text.contains(" w: ")).collect()
    };
    let one = |line: &str, parts: &[&str]| {
        let found = told(line);
        assert_eq!(found.len(), 1, "{line}: {found:#?}");
        for part in parts {
            assert!(found[0].contains(part), "{part} in {}", found[0]);
        }
    };
    let timed = "op start timeout=60s op monitor interval=10s timeout=30s";
    assert_eq!(told(&format!("ocf:x:web params configfile=/a trace_ra=1 {timed}")), [""; 0]);
    assert_eq!(told(&format!("ocf:x:web params conf=/a {timed}")), [""; 0], "the old name will do");
    one(&format!("ocf:x:web params configfile=/a optoins=x {timed}"), &["HV0302", "\"options\""]);
    one(&format!("ocf:x:web {timed}"), &["HV0303", "add: params configfile="]);
    one(
        "ocf:x:web params configfile=/a op start timeout=59s op monitor interval=10s timeout=30s",
        &["HV0324", "start is 59s", "advises 60s", "op start timeout=60s"],
    );
    one(
        "ocf:x:web params configfile=/a op monitor interval=10s timeout=0 op monitor interval=20s timeout=1m",
        &["HV0324", "start is 20s"],
    );
    one("ocf:x:gone params y=1 op monitor interval=10s", &["HV0322", "not installed on n1"]);
    one("ocf:x:mute params y=1 op monitor interval=10s", &["HV0323", "it prints nothing"]);
    one("lsb:web params y=1 op monitor interval=10s", &["HV0302", "it takes none"]);
    let cut = told(&format!("ocf:x:cut params configfile=/a later=1 {timed}"));
    assert_eq!(cut.len(), 2, "{cut:?}");
    let found = judged(
        &format!("{VIP}primitive w ocf:x:cut params configfile=/a later=1 {timed}\n"),
        &foreign(),
    );
    assert!(
        found.iter().all(|finding| !finding.is_error()),
        "what is cut short proves nothing: {found:?}"
    );
    let found = judged(&format!("{VIP}primitive w ocf:x:web params no=1 {timed}\n"), &foreign());
    assert!(
        found.iter().filter(|f| f.is_error()).all(|f| f.overridable && f.line == Some(2)),
        "{found:?}"
    );
}
