//! Votes on running daemons: what an operator of votequorum expects to see and to happen.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use haven_lab::{Family, Fault};
use haven_netns_tests::lab;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn with_wait_for_all_nothing_starts_until_all_were_seen_together() {
    let Some(mut lab) = lab("q-wfa", 3, false, Family::V4) else { return };
    let vip = lab.cluster.bed.topology().vips()[0];
    let text = lab.haven("n2", &["configure", "show"]).unwrap();
    let file = lab.cluster.bed.dir().join("wait.crm");
    std::fs::write(&file, format!("{text}\nproperty wait_for_all=yes\n")).unwrap();
    lab.haven("n2", &["configure", "load", &file.display().to_string()]).unwrap();
    for node in ["n1", "n2", "n3"] {
        lab.cluster.inject(&Fault::Kill(node.into())).unwrap();
    }
    lab.wait("the end of every process", LIMIT, |lab| {
        let system = &lab.cluster.system;
        ["n1", "n2", "n3"].iter().all(|node| !system.runs(&lab.cluster.bed, node))
    });
    for node in ["n1", "n2"] {
        lab.cluster.system.start(&lab.cluster.bed, node).unwrap();
    }
    lab.wait("a coordinator of two", LIMIT, |lab| {
        lab.json("n1", &["status"])["coordinator"]["node"].is_string()
    });
    let status = lab.haven("n1", &["status"]).unwrap_or_else(|error| error.to_string());
    assert!(status.contains("NO QUORUM (2 of 3 votes"), "{status}");
    assert!(status.contains("n3 is missing"), "{status}");
    let flat = status.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("start n3; if that is not possible: property wait_for_all=no"), "{flat}");
    // A node that has just started promises nothing for some seconds, so absence is no proof before.
    let owner = lab.cluster.owner(vip, lab.cluster.system.settle_time() + Duration::from_secs(2));
    assert_eq!(owner.unwrap(), None, "it was started without a quorum");
    lab.cluster.system.start(&lab.cluster.bed, "n3").unwrap();
    lab.cluster.restore().unwrap();
    // Seen once is enough.
    lab.cluster.inject(&Fault::Kill("n3".into())).unwrap();
    lab.wait("the verdict on n3", LIMIT, |lab| {
        lab.json("n1", &["status"])["quorum"]["present"] == 2
    });
    assert_eq!(lab.json("n1", &["status"])["quorum"]["quorate"], true);
}

#[test]
fn a_minority_says_that_it_is_one_and_what_to_do() {
    let Some(mut lab) = lab("q-part", 3, false, Family::V4) else { return };
    let topology = lab.cluster.bed.topology().clone();
    let parted = Fault::partition("n1|n2,n3", &topology).unwrap();
    lab.cluster.inject(&parted).unwrap();
    lab.wait("the minority's own judgement", LIMIT, |lab| {
        lab.json("n1", &["status"])["quorum"]["quorate"] == false
    });
    let quorum = lab.json("n1", &["status"])["quorum"].clone();
    assert_eq!(quorum["reason"], "only 1 of 3 votes are present, 2 are needed");
    let remedy = "start the daemon on n2 or n3, or mend the links to there";
    assert_eq!(quorum["remedy"], remedy);
    let majority = lab.json("n2", &["status"])["quorum"].clone();
    assert_eq!((&majority["quorate"], &majority["present"]), (&true.into(), &2.into()));
    assert!(lab.log("n1").contains("quorum lost"), "nothing in the log");
    lab.cluster.restore().unwrap();
    assert_eq!(lab.json("n1", &["status"])["quorum"]["quorate"], true);
}

// spec: L8
#[test]
fn with_lease_off_an_address_lives_on_without_a_majority_and_says_so() {
    let Some(mut lab) = lab("q-off", 3, false, Family::V4) else { return };
    let vip = lab.cluster.bed.topology().vips()[0];
    let text = lab.haven("n1", &["configure", "show"]).unwrap();
    let file = lab.cluster.bed.dir().join("off.crm");
    std::fs::write(&file, text.replace(" op monitor", " meta lease=off op monitor")).unwrap();
    let path = file.display().to_string();
    let judged = lab.haven("n1", &["configure", "verify", &path]).unwrap();
    assert!(judged.contains("HV0312"), "{judged}");
    lab.haven("n1", &["configure", "load", &path]).unwrap();
    lab.wait("the start without a lease", LIMIT, |lab| {
        let vip = lab.json("n1", &["status"])["resources"][0].clone();
        vip["lease"].is_null() && vip["active"][0]["role"] == "Started"
    });
    lab.cluster.wait_served().unwrap();
    let status = lab.haven("n2", &["status"]).unwrap();
    assert!(status.contains("AT RISK") && status.contains("UNPROTECTED"), "{status}");
    // The two others are gone: no majority, and it serves all the same.
    let owner = lab.cluster.owner(vip, LIMIT).unwrap().unwrap();
    let others: Vec<_> = ["n1", "n2", "n3"].into_iter().filter(|n| *n != owner).collect();
    for node in &others {
        lab.cluster.inject(&Fault::Kill((*node).to_owned())).unwrap();
    }
    lab.wait("the loss of the majority", LIMIT, |lab| {
        lab.json(&owner, &["status"])["quorum"]["quorate"] == false
    });
    let alone = lab.cluster.owner(vip, Duration::from_secs(5)).unwrap();
    assert_eq!(alone.as_deref(), Some(owner.as_str()));
    // Under a lease again, the same loss silences it.
    lab.cluster.restore().unwrap();
    std::fs::write(&file, text).unwrap();
    lab.haven("n1", &["configure", "load", &path]).unwrap();
    lab.wait("the lease", LIMIT, |lab| {
        let vip = lab.json("n1", &["status"])["resources"][0].clone();
        vip["lease"]["gate"] == "open" && vip["active"].as_array().is_some_and(|a| a.len() == 1)
    });
    lab.cluster.wait_served().unwrap();
    let owner = lab.cluster.owner(vip, LIMIT).unwrap().unwrap();
    for node in ["n1", "n2", "n3"].into_iter().filter(|n| *n != owner) {
        lab.cluster.inject(&Fault::Kill(node.to_owned())).unwrap();
    }
    lab.wait("the loss of the majority", LIMIT, |lab| {
        lab.json(&owner, &["status"])["quorum"]["quorate"] == false
    });
    lab.wait("the end of its lease", LIMIT, |lab| {
        lab.cluster.owner(vip, Duration::from_millis(100)).unwrap().is_none()
    });
    assert_eq!(lab.cluster.owner(vip, Duration::from_secs(3)).unwrap(), None);
}
