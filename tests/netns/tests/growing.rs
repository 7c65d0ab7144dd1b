//! Members are added while an address is served.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use haven_lab::haven::{config_file, node_configuration};
use haven_lab::system::SystemKind;
use haven_lab::{Bed, BedOptions, Cluster, Family, MeasureOptions, Measuring, Report, Topology};
use haven_netns_tests::{Lab, assert_one_owner, can_run, haven};

const LIMIT: Duration = Duration::from_secs(40);

/// The first node alone, serving; the others have their files, and have not joined.
fn alone(name: &str, nodes: u8) -> Option<Lab> {
    if !can_run(name) {
        return None;
    }
    let topology = Topology::new(name, nodes, false, Family::V4).unwrap();
    let config = haven_lab::haven::default_configuration(&topology);
    let options =
        BedOptions { topology, dir: None, haven: haven(), config, system: SystemKind::Haven };
    let lab = Lab { cluster: Cluster::of(Bed::create(options).unwrap()) };
    let bed = &lab.cluster.bed;
    for node in &bed.topology().nodes {
        std::fs::write(config_file(bed, &node.name), node_configuration(bed, node)).unwrap();
    }
    lab.haven("n1", &["cluster", "init"]).unwrap();
    lab.cluster.system.start(bed, "n1").unwrap();
    lab.wait("an answer of n1", LIMIT, |lab| {
        lab.json("n1", &["status"])["quorum"]["quorate"] == true
    });
    let file = bed.dir().join("cluster.crm");
    std::fs::write(&file, bed.config()).unwrap();
    let file = file.display().to_string();
    lab.wait("the configuration", LIMIT, |lab| {
        lab.haven("n1", &["configure", "load", &file]).is_ok()
    });
    lab.wait("the address", LIMIT, |lab| {
        lab.haven("n1", &["resource", "locate", "vip"]).is_ok_and(|text| text.contains("on n1"))
    });
    // The service on every node; daemons that have no identity yet end at once.
    lab.cluster.start_missing().unwrap();
    Some(lab)
}

fn join(lab: &Lab, node: &str) {
    let printed = lab.haven("n1", &["cluster", "token"]).unwrap();
    let words: Vec<_> = printed.split_whitespace().collect();
    let at = words.windows(3).position(|w| w == ["haven", "cluster", "join"]).unwrap();
    lab.haven(node, &["cluster", "join", words[at + 3], words[at + 4]]).unwrap();
    lab.cluster.system.start(&lab.cluster.bed, node).unwrap();
    lab.wait("the new member", LIMIT, |lab| {
        let status = lab.json("n1", &["status"]);
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        nodes.iter().any(|it| it["name"] == node && it["state"] == "online")
    });
}

/// What a voter is silent for when it has just become one, and a little.
const FIRST_SECONDS: Duration = Duration::from_secs(7);

/// Watches the address while `node` joins, and until a new voter has passed its first seconds.
fn grow(lab: &Lab, node: &str) -> Report {
    let vip = lab.cluster.bed.topology().vips()[0];
    let measuring = Measuring::start(&lab.cluster.bed, vip, MeasureOptions::default()).unwrap();
    join(lab, node);
    let joined = std::time::Instant::now();
    lab.wait("the end of the first seconds", LIMIT, |_| joined.elapsed() > 2 * FIRST_SECONDS);
    let report = measuring.finish().unwrap();
    let table = report.table();
    assert_one_owner(&report);
    assert_eq!(report.probes.moves, 0, "{table}");
    report
}

/// The only voter of a cluster cannot renew a lease without the second, and that promises nothing in its first
/// seconds (L4). The third is not waited for.
#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn an_address_is_silent_for_seconds_when_the_second_member_joins_and_never_after() {
    let Some(lab) = alone("g-grow", 4) else { return };
    let second = grow(&lab, "n2");
    assert!(second.probes.outage <= FIRST_SECONDS, "{}", second.table());
    let said = "no majority renewed it in time; this host is silent for it until one does";
    assert!(lab.log("n1").contains(said), "a silence is told");
    for node in ["n3", "n4"] {
        let report = grow(&lab, node);
        assert!(report.probes.outage <= Duration::from_millis(500), "{node}: {}", report.table());
    }
    let text = lab.haven("n4", &["status"]).unwrap();
    assert!(text.contains("4 of 4 nodes") && text.contains("survives 1 node loss"), "{text}");
}
