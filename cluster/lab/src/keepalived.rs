//! keepalived in a bed, for comparison: one VRRP instance per address, all nodes backups of
//! falling priority that never preempt.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::bed::Bed;
use crate::error::LabError;
use crate::system::System;
use crate::topology::{Node, Place, prefix_length};
use crate::wait;

/// keepalived with one advertisement interval.
#[derive(Clone, Copy, Debug)]
pub struct Keepalived {
    advertisement: Duration,
}

impl Keepalived {
    /// keepalived that advertises each `advertisement` (10 ms to 40 s).
    #[must_use]
    pub const fn new(advertisement: Duration) -> Self {
        Self { advertisement }
    }

    /// The configuration file of `node`.
    fn configuration(self, node: &Node, vips: &[IpAddr]) -> String {
        let mut text = format!("global_defs {{\n router_id {}\n vrrp_version 3\n}}\n", node.name);
        for vip in vips {
            let (family, id) = if vip.is_ipv6() { ("v6", 52) } else { ("v4", 51) };
            let interval = self.advertisement.as_secs_f64();
            let _ = writeln!(
                text,
                "vrrp_instance {family} {{\n state BACKUP\n interface client\n \
                 virtual_router_id {id}\n priority {}\n advert_int {interval}\n nopreempt\n \
                 virtual_ipaddress {{\n  {vip}/{} dev client\n }}\n}}",
                201 - node.index,
                prefix_length(*vip),
            );
        }
        text
    }

    fn pid(bed: &Bed, node: &str) -> Option<Pid> {
        let text = std::fs::read_to_string(pid_file(bed, node)).ok()?;
        let pid = Pid::from_raw(text.trim().parse().ok()?)?;
        let namespace = bed.topology().namespace(&Place::Node(node.to_owned()));
        crate::processes::of(&namespace).ok()?.contains(&pid).then_some(pid)
    }

    fn stop(bed: &Bed, node: &str) -> Result<(), LabError> {
        let Some(pid) = Self::pid(bed, node) else { return Ok(()) };
        kill_process(pid, Signal::TERM)
            .map_err(|e| LabError::io(format!("stop keepalived on {node}"))(e.into()))
    }
}

fn pid_file(bed: &Bed, node: &str) -> PathBuf {
    bed.node_dir(node).join("keepalived.pid")
}

impl System for Keepalived {
    fn form(&self, bed: &Bed) -> Result<(), LabError> {
        for node in bed.topology().workers() {
            let path = bed.node_dir(&node.name).join("keepalived.conf");
            let text = self.configuration(node, &bed.topology().vips());
            std::fs::write(&path, text)
                .map_err(LabError::io(format!("write {}", path.display())))?;
        }
        for node in bed.topology().workers() {
            self.start(bed, &node.name)?;
            // The first one is master before the next one looks: nodes started together all are
            // for a moment, and clients remember a wrong one.
            std::thread::sleep(self.advertisement * 4 + Duration::from_millis(500));
        }
        Ok(())
    }

    fn start(&self, bed: &Bed, node: &str) -> Result<(), LabError> {
        let dir = bed.node_dir(node);
        drop(std::fs::remove_file(pid_file(bed, node)));
        let mut command = Command::new("keepalived");
        command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]);
        command.arg(dir.join("keepalived.conf")).arg("--pid").arg(pid_file(bed, node));
        command.arg("--vrrp_pid").arg(dir.join("vrrp.pid"));
        bed.spawn(&Place::Node(node.to_owned()), &mut command, &self.log(bed, node)).map(drop)
    }

    fn runs(&self, bed: &Bed, node: &str) -> bool {
        Self::pid(bed, node).is_some()
    }

    fn settled(&self, bed: &Bed) -> bool {
        bed.topology().workers().all(|node| self.runs(bed, &node.name))
    }

    fn switch_over(&self, bed: &Bed, _: IpAddr, from: &str, to: &str) -> Result<(), LabError> {
        // The heir is the one of highest priority: whoever else is above `to` stops first.
        let nodes: Vec<_> = bed.topology().workers().map(|n| n.name.clone()).collect();
        for node in nodes.iter().filter(|node| *node != from && *node != to) {
            Self::stop(bed, node)?;
            wait::until(Duration::from_secs(3), Duration::from_millis(5), || !self.runs(bed, node));
        }
        Self::stop(bed, from)
    }

    fn after_switch_over(&self, bed: &Bed, _: &str) -> Result<(), LabError> {
        for node in bed.topology().workers() {
            if !self.runs(bed, &node.name) {
                self.start(bed, &node.name)?;
            }
        }
        Ok(())
    }

    fn restart(&self, bed: &Bed, node: &str) -> Result<(), LabError> {
        Self::stop(bed, node)?;
        wait::until(Duration::from_secs(5), Duration::from_millis(5), || !self.runs(bed, node));
        self.start(bed, node)
    }

    fn forget_failures(&self, _: &Bed) -> Result<(), LabError> {
        Ok(())
    }

    fn coordinator(&self, _: &Bed) -> Option<String> {
        None
    }

    fn settle_time(&self) -> Duration {
        self.advertisement * 4
    }

    fn is_daemon(&self) -> fn(&str) -> bool {
        |line| line.starts_with("keepalived")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_an_instance_of_its_own_family() {
        let node = Node { name: "n2".into(), index: 2, witness: false };
        let vips = [IpAddr::from([10, 77, 1, 100]), "fd77:0:0:1::100".parse().unwrap()];
        let text = Keepalived::new(Duration::from_millis(30)).configuration(&node, &vips);
        assert!(text.contains("10.77.1.100/24") && text.contains("fd77:0:0:1::100/64"), "{text}");
        assert!(text.contains("advert_int 0.03\n") && text.contains("priority 199\n"), "{text}");
    }
}
