//! Who is no member: a machine that has the cluster's address, and packets of strangers at the cluster's ports.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use haven_lab::haven::resource;
use haven_lab::{Bed, Family, Place, namespace};
use haven_netns_tests::{Lab, lab};

const PATIENCE: Duration = Duration::from_secs(20);
/// The stranger's hardware address.
const MAC: &str = "02:68:76:00:0b:ad";

fn run(place: &str, line: &str) -> Result<String, haven_lab::LabError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    namespace::within(place, || namespace::run(Command::new(words[0]).args(&words[1..]), "", place))
}

/// A machine on the clients' network that has every address of the lab and answers for them, without a word of its own
/// accord. Its namespace goes with the lab.
fn stranger(bed: &Bed) {
    let topology = bed.topology();
    let name = format!("{}stranger", haven_lab::Topology::namespace_prefix(&topology.name));
    let bridges = topology.namespace(&Place::Bridges);
    namespace::ip_batch(None, &format!("netns add {name}\n")).unwrap();
    let cable = format!(
        "link add name stranger type veth peer name client address {MAC} netns {name}\n\
         link set dev stranger master br-client up\n"
    );
    namespace::ip_batch(Some(&bridges), &cable).unwrap();
    let address = |vip: &IpAddr| match vip {
        IpAddr::V4(_) => format!("addr add {vip}/24 dev client\n"),
        IpAddr::V6(_) => format!("addr add {vip}/64 dev client nodad\n"),
    };
    let addresses: String = topology.vips().iter().map(address).collect();
    let lines = format!("{addresses}link set dev client up\n");
    namespace::ip_batch(Some(&name), &lines).unwrap();
}

/// The hardware address the client has for `vip`.
fn known_to_client(lab: &Lab, vip: IpAddr) -> String {
    let client = lab.cluster.bed.topology().namespace(&Place::Client);
    run(&client, &format!("ip neigh show {vip} dev client")).unwrap_or_default()
}

/// Who has an address need not say so by itself, and the owner asks nobody before it serves: by the announcements that
/// follow it looks for others.
#[test]
fn a_stranger_that_has_the_address_before_is_named_where_one_looks_and_defended_against() {
    let Some(lab) = lab("st-vip", 3, false, Family::Both) else { return };
    let bed = &lab.cluster.bed;
    let vips = bed.topology().vips();
    let client = bed.topology().namespace(&Place::Client);
    for vip in &vips {
        lab.haven("n1", &["resource", "stop", &resource(bed.topology(), *vip)]).unwrap();
        drop(run(&client, &format!("ip neigh flush {vip} dev client")));
    }
    stranger(bed);
    for vip in vips {
        lab.wait("the stranger's answers", PATIENCE, |lab| {
            drop(run(&client, &format!("ping -c 1 -W 1 {vip}")));
            known_to_client(lab, vip).contains(MAC)
        });
        let id = resource(bed.topology(), vip);
        let begun = Instant::now();
        lab.haven("n1", &["resource", "start", &id]).unwrap();
        let located = lab.haven("n1", &["resource", "locate", &id]).unwrap();
        let owner = located.trim().rsplit(' ').next().unwrap().to_owned();
        named(&lab, &owner, vip);
        defended(&lab, &owner, vip, begun);
    }
}

/// In the log, in status, and in both commands about addresses; the other nodes' status says nothing of it.
fn named(lab: &Lab, owner: &str, vip: IpAddr) {
    let claims = format!("conflict: {MAC} claims {vip} on client; find that station");
    let remedy = format!("take {vip} off it");
    lab.wait("the conflict in the log", PATIENCE, |lab| {
        lab.log(owner).lines().any(|line| line.contains(&claims) && line.contains(&remedy))
    });
    let address = vip.to_string();
    for words in [&["status"][..], &["ip", "status"], &["ip", "why", &address]] {
        let said = lab.haven(owner, words).unwrap_or_else(|error| error.to_string());
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&format!("{MAC} on client claims {vip}, too")), "{words:?}: {said}");
        assert!(said.contains(&remedy), "{words:?}: {said}");
    }
    let rows = lab.json(owner, &["ip", "status"]);
    let row =
        rows.as_array().unwrap().iter().find(|row| row["address"] == address).unwrap().clone();
    assert!(row["conflicts"].as_u64().unwrap() >= 1 && row["state"] == "up", "{row}");
}

/// The client believes the owner again, though it knew the stranger.
fn defended(lab: &Lab, owner: &str, vip: IpAddr, begun: Instant) {
    let index = lab.cluster.bed.topology().node(owner).unwrap().index;
    let mac = format!("02:68:76:00:01:{index:02x}");
    lab.wait("the client's return to the owner", PATIENCE, |lab| {
        known_to_client(lab, vip).contains(&mac)
    });
    let log = lab.log(owner);
    let about = format!("claims {vip} ");
    let told = log.lines().filter(|line| line.contains("conflict: ") && line.contains(&about));
    let (told, most) = (told.count() as u64, begun.elapsed().as_secs() / 10 + 1);
    assert!(told <= most, "a line in ten seconds: {told}, {most} at most");
}
