use std::collections::BTreeMap;

use clap::CommandFactory;
use haven_cib::{Cib, crm};

use super::*;
use crate::args::Cli;

const LINES: &str = "\
node 1: n1 attributes rack=a
node 2: n2
rsc_template vm ocf:heartbeat:VirtualDomain
primitive vip ocf:haven:ip params ip=192.0.2.10
primitive web systemd:nginx
group site vip web
clone every site
";

pub(crate) fn snapshot() -> Snapshot {
    let parameter = |about: &str, required, content: &str, values: &[&str]| Parameter {
        about: about.into(),
        required,
        content: content.into(),
        default: None,
        values: values.iter().map(|v| (*v).to_owned()).collect(),
    };
    let ip = BTreeMap::from([
        ("ip".to_owned(), parameter("the address", true, "string", &[])),
        ("nic".to_owned(), parameter("the interface", false, "string", &[])),
        ("arp_bg".to_owned(), parameter("announce behind", false, "boolean", &[])),
        (
            "mode".to_owned(),
            Parameter {
                default: Some("fast".to_owned()),
                ..parameter("how", false, "select", &["fast", "slow"])
            },
        ),
    ]);
    Snapshot {
        commands: Node::of(&Cli::command().subcommand(clap::Command::new("veiled").hide(true))),
        nodes: vec!["n1".into(), "n2".into()],
        cib: crm::load(&Cib::default(), LINES, crm::Mode::Replace).unwrap().cib,
        agents: vec![
            "ocf:haven:Dummy".into(),
            "ocf:haven:ip".into(),
            "ocf:heartbeat:Dummy".into(),
            "systemd:nginx".into(),
        ],
        parameters: BTreeMap::from([("ocf:haven:ip".to_owned(), ip)]),
    }
}

fn texts(line: &str) -> Vec<String> {
    let cursor = line.find('|').unwrap_or(line.len());
    let line = line.replace('|', "");
    let (start, found) = candidates(&line, cursor, &snapshot());
    assert!(found.iter().all(|c| c.text.starts_with(&line[start..cursor])), "{line}");
    found.into_iter().map(|candidate| candidate.text).collect()
}

#[test]
fn each_place_is_completed_by_what_may_stand_there() {
    for (line, expected) in [
        ("stat", &["status"][..]),
        ("prim", &["primitive"]),
        ("veil", &[]),
        ("resource mo", &["move"]),
        ("resource move v", &["vip"]),
        ("resource move vip ", &["n1", "n2"]),
        ("resource move vip n2 --no", &["--no-wait"]),
        ("resource move s|omething", &["site"]),
        ("explain e", &["every"]),
        ("explain vip --node n", &["n1", "n2"]),
        ("node standby n", &["n1", "n2"]),
        ("node st", &["standby"]),
        ("configure show --format ", &["crm", "json", "xml"]),
        ("configure und", &["undo"]),
        ("configure primit", &["primitive"]),
        ("primitive new ocf:hav", &["ocf:haven:Dummy", "ocf:haven:ip"]),
        ("primitive new @", &["@vm"]),
        ("primitive new ocf:haven:ip par", &["params"]),
        ("primitive new ocf:haven:ip params i", &["ip="]),
        ("configure primitive new ocf:haven:ip params i", &["ip="]),
        ("primitive new ocf:haven:ip params ip=192.0.2.1 i", &[]),
        ("primitive new ocf:haven:ip params arp_bg=", &["arp_bg=false", "arp_bg=true"]),
        ("primitive new ocf:haven:ip params mode=s", &["mode=slow"]),
        ("primitive new ocf:haven:ip meta is-m", &["is-managed="]),
        (
            "primitive new ocf:haven:ip meta target-role=S",
            &["target-role=Started", "target-role=Stopped"],
        ),
        ("primitive new ocf:haven:ip op mon", &["monitor"]),
        ("primitive new ocf:haven:ip op monitor on-fail=st", &["on-fail=standby", "on-fail=stop"]),
        ("group g vip w", &["web"]),
        ("group g vip meta is-m", &["is-managed="]),
        ("clone c s", &["site"]),
        ("location l v", &["vip"]),
        ("location l vip 100: n", &["n1", "n2"]),
        ("location l vip -", &["-100:", "-inf:"]),
        ("colocation c i", &["inf:"]),
        ("location l vip resource-discovery=n", &["resource-discovery=never"]),
        ("primitive new ocf:haven:ip op noti", &["notify"]),
        ("primitive new ocf:haven:D", &["ocf:haven:Dummy"]),
        ("configure set property.no-q", &["property.no-quorum-policy"]),
        ("set vip.mo", &["vip.mode"]),
        ("set vip.target-r", &["vip.target-role"]),
        ("set vip.ip ", &["192.0.2.10"]),
        ("set vip.params.mode ", &["fast", "slow"]),
        ("configure set web.target-role St", &["Started", "Stopped"]),
        ("set property.maintenance-mode ", &["false", "true"]),
        ("set web.op.monitor.on-fail st", &["standby", "stop"]),
        ("set nothing.x ", &[]),
        ("colocation c inf: vip w", &["web"]),
        ("order o Man", &["Mandatory:"]),
        ("order o Mandatory: v", &["vip"]),
        ("tag t: v", &["vip"]),
        ("property no-q", &["no-quorum-policy="]),
        ("property no-quorum-policy=f", &["no-quorum-policy=fence", "no-quorum-policy=freeze"]),
        ("property maintenance-mode=", &["maintenance-mode=false", "maintenance-mode=true"]),
        ("property no-quorum-policy=stop batch-l", &["batch-limit="]),
        ("rsc_defaults resource-st", &["resource-stickiness="]),
        ("op_defaults timeo", &["timeout="]),
        ("node n1 attr", &["attributes"]),
        ("node n1 attributes r", &["rack="]),
        ("fencing_topology n", &["n1:", "n2:"]),
        ("help no-quorum", &["no-quorum-policy"]),
        ("help resource mo", &["move"]),
        ("help ocf:heart", &["ocf:heartbeat:Dummy"]),
        ("nonsense ", &[]),
    ] {
        assert_eq!(texts(line), expected, "{line}");
    }
}

#[test]
fn parameters_are_offered_with_what_they_are_for_and_what_counts_without_them() {
    let line = "primitive new ocf:haven:ip params ";
    let (_, found) = candidates(line, line.len(), &snapshot());
    let told = |name: &str| found.iter().find(|c| c.text == name).map(|c| c.about.as_str());
    assert_eq!(told("ip="), Some("required; the address"));
    assert_eq!(told("mode="), Some("how; default fast"));
    let line = "set vip.mo";
    let (_, found) = candidates(line, line.len(), &snapshot());
    assert_eq!(found[0].about, "how; default fast");
}

#[test]
fn no_line_and_cursor_make_it_fail() {
    let known = snapshot();
    for line in ["", " ", "ä", "resource möve vip", "\"", "primitive  x", "-- - =", "property ="]
    {
        for cursor in 0..=line.len() + 2 {
            let (start, _) = candidates(line, cursor, &known);
            assert!(start <= line.len() && line.is_char_boundary(start), "{line:?} {cursor}");
        }
    }
}

#[test]
fn a_declaration_is_told_from_a_command() {
    let known = snapshot();
    let told = |line: &str| declares(&line.split_whitespace().collect::<Vec<_>>(), &known.commands);
    for line in ["primitive a lsb:b", "node n1 attributes a=b", "property a=b", "ms m web"] {
        assert!(told(line), "{line}");
    }
    for line in ["node standby n1", "node", "node --help", "status", "resource move a", ""] {
        assert!(!told(line), "{line}");
    }
}
