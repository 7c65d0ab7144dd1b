//! A member leaves by the command, is told so, and joins anew with an empty store.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use haven_lab::Family;
use haven_netns_tests::{Lab, assert_unmoved, lab};

const PATIENCE: Duration = Duration::from_secs(20);

fn owner(lab: &Lab, asked: &str) -> String {
    let located = lab.haven(asked, &["resource", "locate", "vip"]).unwrap();
    located.trim().rsplit(' ').next().unwrap().to_owned()
}

fn members(lab: &Lab, asked: &str) -> usize {
    lab.json(asked, &["status"])["nodes"].as_array().map_or(0, Vec::len)
}

/// `ip status` and `ip why`: who owns the address, by which lease, and why `other` does not.
fn told(lab: &Lab, owner: &str, other: &str, vip: &str) {
    let rows = lab.json(owner, &["ip", "status"]);
    let row = rows[0].clone();
    assert!(row["address"] == vip && row["owner"] == owner && row["state"] == "up", "{row}");
    assert!(
        row["epoch"].as_u64() >= Some(1) && row["announced"]["sent"].as_u64() >= Some(1),
        "{row}"
    );
    assert_eq!(row["conflicts"], 0, "{row}");
    let why = lab.haven(other, &["ip", "why", vip]).unwrap();
    assert!(
        why.contains(&format!("owned by {owner}")) && why.contains("holds lease epoch"),
        "{why}"
    );
    assert!(why.contains(&format!("not {other}")), "{why}");
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn who_leaves_is_told_so_moves_nothing_and_joins_anew() {
    let Some(lab) = lab("l-leave", 4, false, Family::V4) else { return };
    let vip = lab.cluster.bed.topology().vips()[0].to_string();
    let owner = owner(&lab, "n1");
    let names = ["n1", "n2", "n3", "n4"];
    let goes = *names.iter().rev().find(|name| **name != owner).unwrap();
    let rest: Vec<&str> = names.into_iter().filter(|name| *name != goes).collect();
    told(&lab, &owner, goes, &vip);
    let measuring = lab.measure();
    let said = lab.haven(goes, &["cluster", "leave"]).unwrap();
    let expected = format!("{goes} is no member any more; its daemon ends");
    assert!(said.contains(&expected), "{said}");
    let (bed, system) = (&lab.cluster.bed, &lab.cluster.system);
    lab.wait("the end of its daemon", PATIENCE, |_| !system.runs(bed, goes));
    lab.wait("the others' word of it", PATIENCE, |lab| {
        rest.iter().all(|node| members(lab, node) == 3)
    });
    system.start(bed, goes).unwrap();
    lab.wait("its refusal to start", PATIENCE, |lab| {
        lab.log(goes).contains("belongs to none") && !system.runs(bed, goes)
    });
    told(&lab, &owner, rest.iter().find(|name| **name != owner).unwrap(), &vip);
    let printed = lab.haven(rest[0], &["cluster", "token"]).unwrap();
    let words: Vec<_> = printed.split_whitespace().collect();
    let at = words.windows(3).position(|w| w == ["haven", "cluster", "join"]).unwrap();
    lab.haven(goes, &["cluster", "join", words[at + 3], words[at + 4]]).unwrap();
    let kept = std::fs::read_dir(bed.node_state(goes)).unwrap().flatten();
    let former = |name: String| name.starts_with("store.former-");
    assert!(
        kept.filter_map(|entry| entry.file_name().into_string().ok()).any(former),
        "what it knew is set aside, and the new member begins with nothing"
    );
    system.start(bed, goes).unwrap();
    lab.wait("its return", PATIENCE, |lab| {
        names.iter().all(|node| {
            lab.haven(node, &["status"]).is_ok_and(|text| text.contains("4 of 4 nodes"))
        })
    });
    told(&lab, &owner, goes, &vip);
    assert_unmoved(&measuring.finish().unwrap());
}
