//! The daemon as a service of systemd: what it tells the manager, and when.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use haven_lab::Place;
use haven_lab::haven::{config_file, node_configuration};
use haven_netns_tests::unformed;
use rustix::process::Signal;

const LIMIT: Duration = Duration::from_secs(20);

/// The next thing that is told to the manager.
fn told(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 1024];
    let length = manager.recv(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
}

#[test]
fn the_manager_is_told_of_readiness_and_of_an_end_and_of_none_at_a_planned_restart() {
    let Some(lab) = unformed("sd-notify", 1) else { return };
    let bed = &lab.cluster.bed;
    let node = &bed.topology().nodes[0];
    std::fs::write(config_file(bed, "n1"), node_configuration(bed, node)).unwrap();
    lab.haven("n1", &["cluster", "init"]).unwrap();

    let path = bed.dir().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let mut daemon = Command::new(bed.haven());
    daemon.args(["node", "run", "--config"]).arg(config_file(bed, "n1"));
    daemon.env("NOTIFY_SOCKET", &path);
    let log = bed.node_dir("n1").join("daemon.log");
    bed.spawn(&Place::Node("n1".to_owned()), &mut daemon, &log).unwrap();
    assert_eq!(told(&manager), "READY=1");
    // Whoever was told so finds it answering.
    lab.haven("n1", &["status"]).unwrap();

    lab.wait("a planned restart", LIMIT, |lab| lab.haven("n1", &["node", "restart"]).is_ok());
    assert_eq!(told(&manager), "READY=1", "the next process, and no stop before it");
    lab.haven("n1", &["status"]).unwrap();

    bed.signal("n1", Signal::TERM).unwrap();
    assert_eq!(told(&manager), "STOPPING=1");
    lab.wait("its end", LIMIT, |lab| !lab.cluster.system.runs(&lab.cluster.bed, "n1"));
}
