//! Hosts that are not as they should be: a node says what is wrong and what to do, the others go on,
//! and nobody lies.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use haven_lab::haven::config_file;
use haven_lab::{Family, Fault, Place};
use haven_netns_tests::{Lab, assert_unmoved, lab};

const LIMIT: Duration = Duration::from_secs(30);

fn ip(lab: &Lab, node: &str, args: &str) {
    let mut command = Command::new("ip");
    command.args(args.split_whitespace());
    lab.cluster.bed.run(&Place::Node(node.to_owned()), &mut command).unwrap();
}

/// Whether `node` sees `peer` as a member, and its link 0 to it in this state.
fn sees(lab: &Lab, node: &str, peer: &str, link: &str) -> bool {
    let status = lab.json(node, &["status"]);
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    nodes
        .iter()
        .any(|it| it["name"] == peer && it["state"] == "online" && it["links"][0]["state"] == link)
}

/// Starts what does not run and waits until all is well.
fn restore(lab: &mut Lab) {
    lab.wait("the return of every node", 2 * LIMIT, |lab| {
        // A predecessor that is still on its way out makes a start fail: as a supervisor does.
        lab.cluster.start_missing().unwrap();
        lab.cluster.system.settled(&lab.cluster.bed)
    });
    lab.cluster.restore().unwrap();
}

fn stop(lab: &mut Lab, node: &str) {
    lab.cluster.inject(&Fault::Kill(node.to_owned())).unwrap();
    lab.wait("the end of its processes", LIMIT, |lab| {
        !lab.cluster.system.runs(&lab.cluster.bed, node)
    });
}

/// What `haven node run` says when it cannot.
fn refused(lab: &Lab, node: &str) -> String {
    lab.haven(node, &["node", "run"]).unwrap_err().to_string()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-a", "--"]).arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp {} {}", from.display(), to.display());
}

/// A file system over a directory, gone at the end.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, args: &[&str]) -> Self {
        let status = Command::new("mount").args(args).arg(at).status().unwrap();
        assert!(status.success(), "mount {args:?} {}", at.display());
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: whatever still has a file open there ends with the lab.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// `haven node run` on a node, by a root that lacks capabilities.
fn run_without(lab: &Lab, node: &str, capabilities: &str) {
    let bed = &lab.cluster.bed;
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set={capabilities}")).arg(bed.haven());
    command.args(["node", "run", "--config"]).arg(config_file(bed, node));
    bed.spawn(&Place::Node(node.to_owned()), &mut command, &lab.cluster.system.log(bed, node))
        .unwrap();
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn a_daemon_without_a_capability_says_so_and_goes_on_or_does_not_start() {
    let Some(mut lab) = lab("b-caps", 3, false, Family::V4) else { return };
    for node in ["n1", "n2", "n3"] {
        stop(&mut lab, node);
        run_without(&lab, node, "-sys_nice");
    }
    lab.cluster.restore().unwrap();
    let shown = lab.haven("n1", &["status"]).unwrap();
    assert!(shown.contains("give the daemon CAP_SYS_NICE"), "{shown}");
    let status = lab.json("n1", &["status"]);
    let resources = status["resources"].as_array().unwrap();
    let asked = resources.iter().find_map(|it| it["lease"]["duration_ms"].as_u64());
    assert!(
        asked.is_some_and(|ms| ms >= 250),
        "beats that may be late are not asked of so soon: {asked:?}"
    );

    stop(&mut lab, "n2");
    run_without(&lab, "n2", "-net_admin");
    lab.wait("its words", LIMIT, |lab| lab.log("n2").contains("CAP_NET_ADMIN"));
    lab.wait("its end", LIMIT, |lab| !lab.cluster.system.runs(&lab.cluster.bed, "n2"));
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn a_missing_address_of_a_link_is_waited_for_on_the_other_link() {
    let Some(lab) = lab("b-addr", 3, false, Family::V4) else { return };
    let measuring = lab.measure();
    ip(&lab, "n2", "addr del 10.77.0.2/24 dev hb");
    lab.wait("the report of the link", LIMIT, |lab| {
        lab.log("n2").contains("link 0: no interface has the address 10.77.0.2: waiting for it")
    });
    lab.wait("one link to stand in for the other", LIMIT, |lab| sees(lab, "n1", "n2", "down"));
    ip(&lab, "n2", "addr add 10.77.0.2/24 dev hb");
    lab.wait("the link's return", LIMIT, |lab| {
        lab.log("n2").contains("link 0: works again") && sees(lab, "n1", "n2", "up")
    });
    assert_unmoved(&measuring.finish().unwrap());
}

#[test]
fn a_renamed_interface_goes_on_and_a_missing_one_is_waited_for() {
    let Some(mut lab) = lab("b-name", 3, false, Family::V4) else { return };
    let file = config_file(&lab.cluster.bed, "n2");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("port = ", "device = \"hb\"\nport = ", 1)).unwrap();
    lab.haven("n2", &["node", "restart"]).unwrap();
    lab.wait("the restart", LIMIT, |lab| sees(lab, "n1", "n2", "up"));
    for step in ["link set hb down", "link set hb name hb7", "link set hb7 up"] {
        ip(&lab, "n2", step);
    }
    lab.wait("the link under its new name", LIMIT, |lab| sees(lab, "n1", "n2", "up"));
    // A daemon that starts now looks for the old name in vain, and lives by the other link.
    stop(&mut lab, "n2");
    lab.cluster.start_missing().unwrap();
    lab.wait("the report of the link", LIMIT, |lab| {
        lab.log("n2").contains("link 0: no interface named hb: waiting for it")
    });
    lab.wait("membership by the other link", LIMIT, |lab| sees(lab, "n1", "n2", "down"));
    for step in ["link set hb7 down", "link set hb7 name hb", "link set hb up"] {
        ip(&lab, "n2", step);
    }
    lab.wait("the link's return", LIMIT, |lab| sees(lab, "n1", "n2", "up"));
    assert!(lab.log("n2").contains("link 0: works again"));
}

// spec: L8
#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn a_leased_address_is_started_where_the_gate_is_in_force_and_nowhere_else() {
    let Some(lab) = lab("b-gate", 3, false, Family::V4) else { return };
    let located = |lab: &Lab| lab.haven("n3", &["resource", "locate", "vip"]).unwrap_or_default();
    let owner = located(&lab);
    let lacking = if owner.contains("n1") { "n2" } else { "n1" };
    let vip = lab.cluster.bed.topology().vips()[0].to_string();
    let addresses = |lab: &Lab| {
        let mut command = Command::new("ip");
        command.args(["address", "show", "dev", "client"]);
        lab.cluster.bed.run(&Place::Node(lacking.to_owned()), &mut command).unwrap()
    };
    // A block of filters that is shared takes none from whoever names the device.
    let tc = |lab: &Lab, args: &str| {
        let mut command = Command::new("tc");
        command.args(args.split_whitespace());
        lab.cluster.bed.run(&Place::Node(lacking.to_owned()), &mut command).unwrap();
    };
    tc(&lab, "qdisc add dev client ingress_block 22 clsact");
    let file = config_file(&lab.cluster.bed, lacking);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n[gate]\nbackend = \"bpf-clsact\"\n")).unwrap();
    lab.haven(lacking, &["node", "restart"]).unwrap();
    let alarmed = |lab: &Lab| {
        let status = lab.haven(lacking, &["status"]).unwrap_or_default();
        status.contains("the gate is not in force on client (ingress)")
    };
    lab.wait("the alarm", LIMIT, alarmed);
    let moved = lab.haven("n3", &["resource", "move", "vip", lacking]);
    assert!(moved.is_err(), "{moved:?}");
    let failures = |lab: &Lab| {
        let text = lab.haven("n3", &["resource", "failures", "vip"]).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    lab.wait("a start that is refused, and one elsewhere", LIMIT, |lab| {
        assert!(!addresses(lab).contains(&vip), "an address that its lease does not protect");
        let at = located(lab);
        failures(lab).contains("the gate is not in force on client")
            && ["n1", "n2", "n3"].iter().any(|node| *node != lacking && at.contains(node))
    });
    // Once mended, and told so, it may.
    tc(&lab, "qdisc del dev client clsact");
    ip(&lab, lacking, "link set client alias mended");
    lab.wait("the end of the alarm", LIMIT, |lab| !alarmed(lab));
    lab.haven("n3", &["resource", "cleanup", "vip"]).unwrap();
    lab.wait("the start", LIMIT, |lab| addresses(lab).contains(&vip));
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn an_owner_whose_disk_is_full_keeps_its_address_and_says_what_to_do() {
    let Some(mut lab) = lab("b-full", 3, false, Family::V4) else { return };
    let state = lab.cluster.bed.node_state("n1");
    let vip = lab.cluster.bed.topology().vips()[0];
    stop(&mut lab, "n1");
    let aside = state.with_extension("aside");
    copy(&state, &aside);
    let disk = Mounted::new(&state, &["-t", "tmpfs", "-o", "size=8m", "haven-test"]);
    copy(&aside.join("."), &state);
    restore(&mut lab);
    lab.cluster.place(vip, "n1").unwrap();
    // Whatever is left of the disk goes to somebody else; what was reserved is used up by and by.
    let filler = state.join("filler");
    drop(std::fs::write(&filler, vec![1; 16 << 20]));
    let measuring = lab.measure();
    let text = lab.haven("n2", &["configure", "show"]).unwrap();
    let mut failed = false;
    for round in 0..60 {
        let load = lab.cluster.bed.dir().join("large.crm");
        // Words that no agent is handed.
        let much = format!("{round}{}", "x".repeat(150_000));
        let line = format!(
            "\nprimitive d{} ocf:haven:Dummy description={much} meta target-role=Stopped\n",
            round % 2
        );
        std::fs::write(&load, format!("{text}{line}")).unwrap();
        // The coordinator may change meanwhile, and a load may be lost with it.
        drop(lab.haven("n2", &["configure", "load", &load.display().to_string()]));
        let alarms = lab.json("n1", &["status"])["alarms"].to_string();
        failed = alarms.contains("the store failed");
        if failed {
            assert!(alarms.contains("no longer votes"), "{alarms}");
            assert!(alarms.contains("make the disk sound, then restart the daemon"), "{alarms}");
            break;
        }
    }
    assert!(failed, "the disk was never full: {}", lab.log("n1"));
    // The others decide without it, and its lease lives on their promises.
    lab.wait("another coordinator", LIMIT, |lab| {
        let coordinator = lab.json("n2", &["status"])["coordinator"]["node"].clone();
        coordinator.is_string() && coordinator != "n1"
    });
    lab.haven("n2", &["node", "standby", "n3"]).unwrap();
    lab.haven("n2", &["node", "online", "n3"]).unwrap();
    assert_unmoved(&measuring.finish().unwrap());
    // Mended and started anew it is as before.
    std::fs::remove_file(&filler).unwrap();
    stop(&mut lab, "n1");
    restore(&mut lab);
    let status = lab.json("n1", &["status"]);
    assert!(!status["alarms"].to_string().contains("store"), "{status}");
    assert_eq!(status["configuration"], lab.json("n2", &["status"])["configuration"]);
    // The lab removes the directory, so nothing may be mounted there.
    drop(disk);
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn a_read_only_disk_is_named_at_the_start() {
    let Some(mut lab) = lab("b-ro", 3, false, Family::V4) else { return };
    let state = lab.cluster.bed.node_state("n3");
    stop(&mut lab, "n3");
    let path = state.display().to_string();
    let bound = Mounted::new(&state, &["--bind", &path]);
    let again = Mounted::new(&state, &["-o", "remount,ro,bind"]);
    let said = refused(&lab, "n3");
    assert!(said.contains(&path) && said.contains("the file system is read-only"), "{said}");
    std::mem::forget(again);
    drop(bound);
    restore(&mut lab);
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn two_daemons_with_one_id_are_reported_and_disturb_nobody() {
    let Some(mut lab) = lab("b-twin", 3, false, Family::V4) else { return };
    let vip = lab.cluster.bed.topology().vips()[0];
    lab.cluster.place(vip, "n1").unwrap();
    stop(&mut lab, "n3");
    // Somebody cloned n2's disk.
    let (original, twin) =
        (lab.cluster.bed.node_state("n2"), lab.cluster.bed.node_state("n2-twin"));
    copy(&original, &twin);
    let file = config_file(&lab.cluster.bed, "n3");
    let text = std::fs::read_to_string(&file).unwrap();
    let own = lab.cluster.bed.node_state("n3").display().to_string();
    let text = text.replace(&own, &twin.display().to_string());
    std::fs::write(&file, text.replace("name = \"n3\"", "name = \"n2\"")).unwrap();
    let measuring = lab.measure();
    lab.cluster.system.start(&lab.cluster.bed, "n3").unwrap();
    lab.wait("a report of the twin", LIMIT, |lab| {
        ["n1", "n2", "n3"].iter().any(|node| {
            let alarms = lab.json(node, &["status"])["alarms"].to_string();
            let log = lab.log(node);
            alarms.contains("two daemons run as n2") || log.contains("two processes run as ")
        })
    });
    assert_unmoved(&measuring.finish().unwrap());
    drop(std::fs::remove_dir_all(&twin));
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn two_nodes_with_one_link_address_are_told_and_disturb_nobody() {
    let Some(mut lab) = lab("b-same", 3, false, Family::V4) else { return };
    let vip = lab.cluster.bed.topology().vips()[0];
    lab.cluster.place(vip, "n1").unwrap();
    stop(&mut lab, "n3");
    // Somebody gave n3 the first address of n2, in its kernel and in its file.
    let file = config_file(&lab.cluster.bed, "n3");
    let text = std::fs::read_to_string(&file).unwrap();
    let wrong = text.replacen("local = \"10.77.0.3\"", "local = \"10.77.0.2\"", 1);
    assert_ne!(wrong, text);
    ip(&lab, "n3", "addr add 10.77.0.2/24 dev hb");
    std::fs::write(&file, wrong).unwrap();
    let measuring = lab.measure();
    lab.cluster.system.start(&lab.cluster.bed, "n3").unwrap();
    // Who asked for the address last was answered by n3.
    let mut show = Command::new("ip");
    show.args(["-br", "link", "show", "dev", "hb"]);
    let shown = lab.cluster.bed.run(&Place::Node("n3".to_owned()), &mut show).unwrap();
    let mac = shown.split_whitespace().nth(2).unwrap();
    ip(&lab, "n1", &format!("neigh replace 10.77.0.2 lladdr {mac} nud permanent dev hb"));
    lab.wait("n3 to tell", LIMIT, |lab| {
        let log = lab.log("n3");
        let said = "refused: addressed to n2 (node 2): that node and this one may have one address; \
                    compare [[link]] local of both";
        log.contains("link 0: datagram from 10.77.0.1:") && log.contains(said)
    });
    // The other link carries all of them, and status names the one that does not.
    lab.wait("link 0 to be down", LIMIT, |lab| {
        sees(lab, "n2", "n1", "down") && sees(lab, "n3", "n1", "down")
    });
    assert!(lab.cluster.system.settled(&lab.cluster.bed), "link 1 carries every member");
    lab.haven("n2", &["node", "standby", "n3"]).unwrap();
    lab.haven("n2", &["node", "online", "n3"]).unwrap();
    assert_unmoved(&measuring.finish().unwrap());
    stop(&mut lab, "n3");
    ip(&lab, "n3", "addr del 10.77.0.2/24 dev hb");
    ip(&lab, "n1", "neigh del 10.77.0.2 dev hb");
    std::fs::write(&file, text).unwrap();
    restore(&mut lab);
    lab.wait("every link", LIMIT, |lab| sees(lab, "n2", "n1", "up") && sees(lab, "n1", "n3", "up"));
}

/// The files of the log, oldest first.
fn segments(state: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(state.join("store")).unwrap();
    let mut files: Vec<PathBuf> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("log") && std::fs::read(path).unwrap().iter().any(|b| *b != 0)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn damage_to_a_store_or_to_keys_is_told_from_a_torn_end() {
    let Some(mut lab) = lab("b-rot", 3, false, Family::V4) else { return };
    let state = lab.cluster.bed.node_state("n3");
    stop(&mut lab, "n3");
    let aside = state.with_extension("aside");
    copy(&state, &aside);
    let put_back = || {
        drop(std::fs::remove_dir_all(&state));
        copy(&aside, &state);
    };
    // Power failed in the midst of the last write: the rest is fetched from the others.
    let last = segments(&state).pop().unwrap();
    let mut bytes = std::fs::read(&last).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[used - 8..used].fill(0);
    std::fs::write(&last, &bytes).unwrap();
    restore(&mut lab);
    stop(&mut lab, "n3");
    // Rot in the midst of it: nothing that it says can be relied on.
    put_back();
    let first = segments(&state).remove(0);
    let mut bytes = std::fs::read(&first).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for byte in &mut bytes[used / 3..used / 3 + 16] {
        *byte ^= 0x55;
    }
    std::fs::write(&first, &bytes).unwrap();
    let said = refused(&lab, "n3");
    assert!(said.contains("remove it from the cluster and join it again"), "{said}");
    assert!(said.contains("all of it was kept in"), "{said}");
    let said = refused(&lab, "n3");
    assert!(said.contains("there is none") && said.contains("haven cluster join"), "{said}");
    // Keys that are none.
    put_back();
    std::fs::write(state.join("identity/keys.json"), "{\"sealing\":1,").unwrap();
    let said = refused(&lab, "n3");
    assert!(said.contains("keys.json") && said.contains("restore it from a backup"), "{said}");
    put_back();
    restore(&mut lab);
}
