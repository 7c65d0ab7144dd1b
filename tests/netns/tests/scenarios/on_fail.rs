//! What a failed monitor leads to, by the word that its operation has for it.

use std::path::Path;
use std::time::Duration;

use haven_lab::Family;
use haven_netns_tests::audits::{Audited, audited};
use haven_netns_tests::{Lab, lab};

const LIMIT: Duration = Duration::from_secs(30);
const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// Each word with a resource that is watched by it, on a node of its own choice, and one upon that.
fn configuration(audited: &Audited) -> String {
    let mut lines = String::new();
    for (word, node) in
        [("restart", 1), ("ignore", 1), ("block", 1), ("stop", 2), ("fence", 2), ("standby", 3)]
    {
        lines += &audited.primitive(word, &format!("op monitor interval=500ms on-fail={word}"));
        lines += &audited.primitive(&format!("{word}-upon"), "op monitor interval=500ms");
        lines += &format!("order {word}-o Mandatory: {word} {word}-upon\n");
        lines += &format!("colocation {word}-c inf: {word}-upon {word}\n");
        lines += &format!("location {word}-l {word} 100: n{node}\n");
    }
    lines
}

/// The service of `word` dies behind the cluster's back; until that is counted and followed by nothing more.
fn fail(audited: &Audited, word: &str) -> &'static str {
    let node = audited.node_of(word).unwrap();
    audited.kill_service(node, word);
    audited.lab.wait(&format!("the count of {word}"), LIMIT, |lab| {
        let text = lab.haven("n1", &["resource", "failures", word]).unwrap_or_default();
        text.contains("monitor every 500 ms") && text.contains("code 7")
    });
    audited.wait_settled();
    node
}

fn trouble(lab: &Lab, id: &str) -> String {
    let status = lab.json("n2", &["status"]);
    let found = status["resources"].as_array().unwrap().iter().find(|r| r["id"] == id);
    found.map(|it| format!("{} {}", it["active"], it["trouble"])).unwrap_or_default()
}

#[test]
#[ignore = "forms a cluster and lets a service die for each word"]
fn each_word_has_its_consequence_and_no_other() {
    let Some(audited) = audited("s-onfail", "stonith-enabled=false") else { return };
    audited.load(&configuration(&audited));
    let words = ["restart", "ignore", "block", "stop", "fence", "standby"];
    audited.lab.wait("the starts", LIMIT, |_| {
        words.iter().all(|word| audited.node_of(&format!("{word}-upon")).is_some())
    });
    audited.wait_settled();
    audited.audit();
    let changes =
        |word: &str| [word.to_owned(), format!("{word}-upon")].map(|r| audited.changes_of(&r));

    // Where it was, and what runs upon it with it.
    let before = changes("restart");
    let node = fail(&audited, "restart");
    assert_eq!(audited.node_of("restart"), Some(node), "restarted where it was");
    assert_eq!(audited.node_of("restart-upon"), Some(node));
    assert!(changes("restart").iter().zip(before).all(|(now, before)| *now >= before + 2));
    audited.audit();

    // It counts as running, so nothing is done; and nothing is done where that is the word.
    // What runs upon one that is known to have failed is stopped, as Pacemaker does.
    for word in ["ignore", "block"] {
        let before = changes(word);
        let node = fail(&audited, word);
        assert_eq!(changes(word)[0], before[0], "{word}: something was done");
        let upon = audited.node_of(&format!("{word}-upon"));
        assert_eq!(upon, Some(node).filter(|_| word == "ignore"));
        let told = trouble(&audited.lab, word);
        assert!(told.contains(node), "{word} counts as active: {told}");
        let said = "failed: not running; on-fail=block, so nothing is done about it until";
        assert_eq!(told.contains(said), word == "block", "{told}");
        audited.audit();
    }

    // With fencing off what asks for it is stopped.
    for word in ["stop", "fence"] {
        fail(&audited, word);
        assert_eq!(audited.node_of(word), None, "{word}: started again");
        assert_eq!(audited.node_of(&format!("{word}-upon")), None);
        let status = audited.lab.json("n1", &["status"]);
        let online = |node: &serde_json::Value| node["state"] == "online";
        assert!(status["nodes"].as_array().unwrap().iter().all(online), "{status}");
        audited.audit();
    }

    // Its node is emptied, until the failure is forgotten.
    fail(&audited, "standby");
    let empty = |audited: &Audited| {
        let all = ["a", "b", "x", "y", "lone", "restart", "standby", "standby-upon"];
        all.iter().all(|resource| audited.node_of(resource).is_some_and(|node| node != "n3"))
    };
    audited.lab.wait("an empty n3", LIMIT, |_| empty(&audited));
    audited.audit_all_running();
    audited.lab.haven("n1", &["resource", "cleanup", "standby"]).unwrap();
    audited.lab.wait("the return to n3", LIMIT, |_| audited.node_of("standby-upon") == Some("n3"));
    audited.audit_all_running();

    // Whatever was left alone or stopped comes back once its failure is forgotten.
    for word in ["block", "stop", "fence"] {
        audited.lab.haven("n1", &["resource", "cleanup", word]).unwrap();
        audited.lab.wait(&format!("the return of {word}"), LIMIT, |_| {
            audited.node_of(word).is_some() && audited.node_of(&format!("{word}-upon")).is_some()
        });
    }
    audited.audit_all_running();
}

fn load(lab: &Lab, text: &str) {
    let file = lab.cluster.bed.dir().join("on-fail.crm");
    std::fs::write(&file, text).unwrap();
    lab.haven("n1", &["configure", "load", &file.display().to_string()]).unwrap();
}

fn count(lab: &Lab, node: &str, name: &str) -> u64 {
    lab.json(node, &["node", "counters"])[name].as_u64().unwrap_or_default()
}

#[test]
#[ignore = "forms a cluster, lets a promoted instance fail, and asks for fencing that is not there"]
fn demote_demotes_and_fence_without_a_device_says_so() {
    let Some(lab) = lab("s-demote", 3, false, Family::V4) else { return };
    if !Path::new("/usr/lib/ocf/resource.d/pacemaker/Stateful").exists() {
        haven_netns_tests::skip("pacemaker-resource-agents is not installed", "demotion");
        return;
    }
    load(
        &lab,
        "primitive device stonith:fence_lab
primitive s ocf:pacemaker:Stateful op monitor interval=300ms role=Promoted on-fail=demote op monitor interval=1s role=Unpromoted
clone ms s meta promotable=true
primitive f ocf:haven:Dummy op monitor interval=300ms on-fail=fence
primitive other ocf:haven:Dummy op monitor interval=300ms
",
    );
    let file = |node: &str, name: &str| lab.cluster.bed.node_dir(node).join(name);
    let in_state = |state: &str| {
        let says = |node: &&str| {
            let text =
                std::fs::read_to_string(file(node, "agents/Stateful-s.state")).unwrap_or_default();
            text.trim() == state
        };
        NODES.into_iter().filter(says).collect::<Vec<_>>()
    };
    let settled = || in_state("Promoted").len() == 1 && in_state("Unpromoted").len() == 2;
    lab.wait("one that is promoted", LIMIT, |_| settled());
    let node = in_state("Promoted")[0];
    let stops = count(&lab, node, "operation_s_stop_0_count");
    // The service says of itself that it is no longer promoted.
    std::fs::write(file(node, "agents/Stateful-s.state"), "Unpromoted\n").unwrap();
    lab.wait("the demotion", LIMIT, |lab| count(lab, node, "operation_s_demote_0_count") >= 1);
    lab.wait("one that is promoted again", LIMIT, |_| settled());
    assert_eq!(count(&lab, node, "operation_s_stop_0_count"), stops, "demoted, not stopped");
    let failures = lab.haven("n2", &["resource", "failures", "s"]).unwrap();
    assert!(failures.contains("monitor every 300 ms"), "{failures}");

    let runs = |name: &str| {
        let there = |node: &&str| file(node, &format!("run/Dummy-{name}.state")).exists();
        NODES.into_iter().filter(there).collect::<Vec<_>>()
    };
    lab.wait("the start of both", LIMIT, |_| runs("f").len() == 1 && runs("other").len() == 1);
    let (place, beside) = (runs("f")[0], runs("other"));
    std::fs::remove_file(file(place, "run/Dummy-f.state")).unwrap();
    lab.wait("the wish for a device", LIMIT, |lab| {
        NODES.iter().any(|node| {
            let log = lab.log(node);
            log.contains("HV1701") && log.contains("cannot drive fencing devices yet")
        })
    });
    // Nobody can vouch for that node, so what it runs is started nowhere else; the address needs nobody to.
    lab.wait("the address", LIMIT, |lab| {
        lab.haven("n2", &["resource", "locate", "vip"])
            .is_ok_and(|text| text.contains("Started on"))
    });
    assert_eq!(runs("f"), [] as [&str; 0], "started elsewhere without fencing");
    assert_eq!(runs("other"), beside);
    load(&lab, "property stonith-enabled=false\n");
    lab.haven("n1", &["resource", "cleanup", "f"]).unwrap();
    lab.wait("the return of f", LIMIT, |_| runs("f").len() == 1);
}
