//! What a node learns of its surroundings, and whom it tells what happens, on a cluster of three.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haven_lab::{Family, Fault};
use haven_netns_tests::{Lab, lab};

const PATIENCE: Duration = Duration::from_secs(20);

fn program(lab: &Lab, name: &str, lines: &str) -> PathBuf {
    let path = lab.cluster.bed.dir().join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn runs(lab: &Lab, node: &str) -> bool {
    lab.cluster.bed.node_dir(node).join("agents/Dummy-d.state").exists()
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn checks_keep_resources_away_and_alerts_tell_of_it() {
    let Some(mut lab) = lab("su-check", 3, false, Family::V4) else { return };
    if !Path::new("/usr/lib/ocf/resource.d/pacemaker/Dummy").exists() {
        haven_netns_tests::skip("pacemaker-resource-agents is not installed", "local checks");
        return;
    }
    let dir = lab.cluster.bed.dir().to_owned();
    let (flag, told) = (dir.join("uplink"), dir.join("told"));
    std::fs::write(&flag, "").unwrap();
    let check = program(&lab, "check", &format!("test -e {}", flag.display()));
    let words = "$CRM_alert_kind $CRM_alert_node $CRM_alert_desc $CRM_alert_rsc $CRM_alert_task \
                 $CRM_alert_rc $CRM_alert_attribute_name $CRM_alert_attribute_value $colour";
    let log = program(&lab, "log", &format!("echo {words} >> $CRM_alert_recipient"));
    let hang = program(&lab, "hang", "sleep 600");
    // Only n1 looks; its daemon is replaced to read it.
    let config = haven_lab::haven::config_file(&lab.cluster.bed, "n1");
    let mut text = std::fs::read_to_string(&config).unwrap();
    text.push_str(&format!(
        "\n[[check]]\nname = \"uplink\"\nkind = \"script\"\npath = \"{}\"\ninterval = \"200ms\"\n\
         failures = 2\nattribute = \"uplink\"\nmultiplier = 1000\ndelay = \"300ms\"\n\
         \n[[check]]\nname = \"self\"\nkind = \"ping\"\ntargets = [\"127.0.0.1\"]\ninterval = \"200ms\"\n",
        check.display()
    ));
    std::fs::write(&config, text).unwrap();
    lab.haven("n1", &["node", "restart"]).unwrap();
    let attribute = |lab: &Lab, name: &str| {
        lab.haven("n2", &["node", "attribute", "n1", "get", name])
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    lab.wait("the first values", PATIENCE, |lab| {
        attribute(lab, "uplink") == "1000" && attribute(lab, "reach-self") == "1"
    });
    let file = dir.join("surroundings.crm");
    let lines = format!(
        "property stonith-enabled=false
primitive d ocf:pacemaker:Dummy
location d-likes-n1 d 100: n1
location d-with-uplink d rule -inf: defined uplink and uplink eq 0
xml '<alert id=\"log\" path=\"{}\"><select><select_nodes/><select_resources/><select_attributes><attribute id=\"a\" name=\"uplink\"/></select_attributes></select><instance_attributes id=\"i\"><nvpair id=\"c\" name=\"colour\" value=\"blue\"/></instance_attributes><recipient id=\"log-1\" value=\"{}\"/></alert>'
xml '<alert id=\"hang\" path=\"{}\"><meta_attributes id=\"m\"><nvpair id=\"t\" name=\"timeout\" value=\"1s\"/></meta_attributes></alert>'
",
        log.display(),
        told.display(),
        hang.display()
    );
    std::fs::write(&file, lines).unwrap();
    lab.haven("n2", &["configure", "load", &file.display().to_string()]).unwrap();
    lab.wait("the start where it likes to be", PATIENCE, |lab| runs(lab, "n1"));
    std::fs::remove_file(&flag).unwrap();
    lab.wait("the move away", PATIENCE, |lab| {
        !runs(lab, "n1") && (runs(lab, "n2") || runs(lab, "n3"))
    });
    assert_eq!(attribute(&lab, "uplink"), "0");
    let place = if runs(&lab, "n2") { "n2" } else { "n3" };
    let has = |line: &str| {
        let text = std::fs::read_to_string(&told).unwrap_or_default();
        text.lines().any(|told| told == line)
    };
    lab.wait("the alerts of it", PATIENCE, |_| {
        has("resource n1 ok d start 0 blue")
            && has("attribute n1 uplink 0 blue")
            && has("resource n1 ok d stop 0 blue")
            && has(&format!("resource {place} ok d start 0 blue"))
    });
    // A program that never ends holds nothing up, and is ended.
    lab.wait("the end of what hangs", PATIENCE, |lab| {
        lab.log("n1").contains("was ended after 1000 ms")
    });
    std::fs::write(&flag, "").unwrap();
    lab.wait("its return", PATIENCE, |lab| runs(lab, "n1"));
    let coordinator =
        lab.json("n1", &["status"])["coordinator"]["node"].as_str().unwrap().to_owned();
    lab.cluster.inject(&Fault::Kill(coordinator.clone())).unwrap();
    lab.wait("the alert of a lost coordinator", PATIENCE, |_| {
        has(&format!("node {coordinator} lost blue"))
    });
}
