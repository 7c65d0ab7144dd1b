//! Component kill: daemons die by signal 9 under load, the coordinator's among them; what they started lives on, and
//! is put in order when they are back.

use std::time::Duration;

use haven_netns_tests::audits::{Audited, audited};

const LIMIT: Duration = Duration::from_secs(30);

/// Where each resource runs and as which process.
fn places(audited: &Audited) -> Vec<(&'static str, Option<u32>)> {
    ["a", "b", "x", "y", "lone"]
        .iter()
        .map(|resource| {
            let node = audited.node_of(resource).unwrap();
            (node, audited.service(node, resource))
        })
        .collect()
}

#[test]
#[ignore = "forms a cluster and kills each daemon under load"]
fn after_a_killed_daemon_has_come_back_everything_runs_once_and_stays() {
    let Some(audited) = audited("s-kill", "stonith-enabled=false") else { return };
    let cluster = &audited.lab.cluster;
    for node in ["n1", "n2", "n3"] {
        let version = |lab: &haven_netns_tests::Lab, node: &str| {
            lab.json(node, &["status"])["configuration"].to_string()
        };
        // Load: restarts and changes of the configuration from another node, while it dies.
        let other = if node == "n1" { "n2" } else { "n1" };
        let under_way: Vec<_> = ["lone", "x"]
            .iter()
            .map(|resource| {
                audited.lab.begin(other, &["resource", "restart", resource, "--timeout", "5s"])
            })
            .collect();
        audited.kill_daemon(node);
        // Without fencing its services are nobody's until it is back: the others start theirs meanwhile, and what
        // is found twice then is ended. Afterwards everything runs once.
        audited.note_kill(node);
        assert!(!cluster.system.runs(&cluster.bed, node), "{node} is still there");
        cluster.system.start(&cluster.bed, node).unwrap();
        audited.lab.wait("the return of the node", LIMIT, |lab| {
            lab.json(node, &["status"])["nodes"].as_array().is_some_and(|nodes| {
                nodes.len() == 3 && nodes.iter().all(|node| node["state"] == "online")
            })
        });
        // Their clients may have lost the coordinator; what they asked for is done or not, never half.
        under_way.into_iter().for_each(|asked| drop(asked.join().unwrap()));
        audited.audit_all_running();
        let before = places(&audited);
        audited.load(&format!("property batch-limit={}\n", 10 + node.len()));
        audited.audit_all_running();
        assert_eq!(places(&audited), before, "a change of an option moved or restarted something");
        assert_eq!(version(&audited.lab, node), version(&audited.lab, other));
    }
}
