//! All that one call started: the child, its process group, its control group.

use std::fs;

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use super::cgroup::Leaf;

/// The environment variable that tells the processes of one call where there are no control groups.
pub(super) const MARK: &str = "HAVEN_CALL";

/// The processes of one call. Dropped while armed it kills them.
#[derive(Debug)]
pub(super) struct Family {
    /// The child, not reaped yet: neither its number nor its group's can belong to anybody else.
    pub(super) leader: Pid,
    pub(super) leaf: Option<Leaf>,
    /// Value of [`MARK`] in the environment; empty where there is a control group.
    pub(super) mark: String,
    pub(super) armed: bool,
}

impl Family {
    /// Sends `signal` to all.
    pub(super) fn signal(&self, signal_: Signal) {
        kill_process_group(self.leader, signal_).ok();
        for pid in self.strays() {
            signal(pid, signal_);
        }
    }

    pub(super) fn kill(&self) {
        kill_process_group(self.leader, Signal::KILL).ok();
        match &self.leaf {
            Some(leaf) => leaf.kill(),
            // Somebody who forks while we look is found in the next round.
            None => {
                for _round in 0..16 {
                    let strays = self.strays();
                    if strays.is_empty() {
                        break;
                    }
                    strays.into_iter().for_each(|pid| signal(pid, Signal::KILL));
                }
            }
        }
    }

    /// Whether nothing of it runs any more; a leader that has ended counts as gone.
    pub(super) fn gone(&self, leader_ended: bool) -> bool {
        if !leader_ended || !self.strays().is_empty() {
            return false;
        }
        // The leader is the group's last member until it is reaped; it cannot be told apart by a
        // signal, so the group is looked through.
        match test_kill_process_group(self.leader) {
            Err(_) => true,
            Ok(()) => group_members(self.leader).is_empty(),
        }
    }

    /// The processes of it that still run, as far as they can be found.
    pub(super) fn left(&self, leader_ended: bool) -> Vec<u32> {
        let mut left = self.strays();
        left.extend(group_members(self.leader));
        let leader = self.leader.as_raw_nonzero().get().unsigned_abs();
        left.retain(|pid| !leader_ended || *pid != leader);
        left.sort_unstable();
        left.dedup();
        left
    }

    /// Members outside of the process group, as far as they can be found.
    fn strays(&self) -> Vec<u32> {
        let leader = self.leader.as_raw_nonzero().get().unsigned_abs();
        let mut all = match &self.leaf {
            Some(leaf) => leaf.members(),
            None => marked(&self.mark),
        };
        all.retain(|pid| *pid != leader && !zombie(*pid));
        all
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if self.armed {
            self.kill();
        }
    }
}

pub(super) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Gone meanwhile is as good.
        kill_process(pid, signal).ok();
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Processes whose environment carries the mark.
fn marked(mark: &str) -> Vec<u32> {
    if mark.is_empty() {
        return Vec::new();
    }
    let entry = format!("{MARK}={mark}");
    let carries = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == entry.as_bytes())
    };
    processes().filter(carries).collect()
}

/// Living members of the process group that `leader` began.
fn group_members(leader: Pid) -> Vec<u32> {
    let wanted = leader.as_raw_nonzero().get();
    let belongs = |pid: &u32| {
        let fields = stat(*pid);
        fields.get(2).and_then(|group| group.parse::<i32>().ok()) == Some(wanted)
            && fields.first().is_some_and(|state| state != "Z" && state != "X")
    };
    processes().filter(belongs).collect()
}

fn zombie(pid: u32) -> bool {
    stat(pid).first().is_none_or(|state| state == "Z" || state == "X")
}

/// The fields of `/proc/PID/stat` from the state on (proc(5), field 3): state, parent, group, …
fn stat(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    after_name.split_whitespace().map(str::to_owned).collect()
}
