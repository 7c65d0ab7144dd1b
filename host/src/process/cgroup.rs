//! Control groups (version 2) as a means to know all that a call started.
//!
//! ```text
//! OWN/haven.NAME/SCOPE/call-N     one call; killed whole when the call is given up
//! OWN/haven.NAME/SCOPE/left       what successful calls left running: services
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The part of the hierarchy where calls get groups of their own.
#[derive(Clone, Debug)]
pub struct Cgroups {
    root: PathBuf,
}

impl Cgroups {
    /// A place below the daemon's own group; none where the hierarchy is not mounted or not writable.
    #[must_use]
    pub fn open(name: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let parent = own_group(&mounts, &own)?;
        rustix::fs::access(&parent, rustix::fs::Access::WRITE_OK).ok()?;
        // Made with the first call, so that a daemon without agents of others leaves nothing behind.
        let root = parent.join(format!("haven.{}", file_name(name)));
        Some(Self { root })
    }

    /// A new group for one call.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn leaf(&self, scope: &str, number: u64) -> io::Result<Leaf> {
        let home = self.root.join(file_name(scope));
        let path = home.join(format!("call-{number}"));
        // A call that ends at this moment may take the empty directories above away.
        let made = (0..8).map(|_attempt| fs::create_dir_all(&path)).find(Result::is_ok);
        if made.is_none() {
            fs::create_dir_all(&path)?;
        }
        Ok(Leaf { path, left: home.join("left") })
    }

    /// Processes that calls of `scope` left running.
    #[must_use]
    pub fn left(&self, scope: &str) -> Vec<u32> {
        members(&self.root.join(file_name(scope)).join("left"))
    }

    /// Ends calls that an earlier life of the daemon had under way: nobody waits for them any more.
    /// Services stay. Returns the number of processes that were killed.
    #[must_use]
    pub fn kill_stale_calls(&self) -> usize {
        let mut killed = 0;
        for scope in directories(&self.root) {
            for group in directories(&scope) {
                let call =
                    group.file_name().is_some_and(|n| n.to_string_lossy().starts_with("call-"));
                if call {
                    killed += members(&group).len();
                    kill(&group);
                    drop(fs::remove_dir(&group));
                }
            }
            drop(fs::remove_dir(scope.join("left")));
            drop(fs::remove_dir(&scope));
        }
        drop(fs::remove_dir(&self.root));
        killed
    }
}

/// The group of one call.
#[derive(Debug)]
pub(super) struct Leaf {
    path: PathBuf,
    left: PathBuf,
}

impl Leaf {
    /// The file by which a process enters the group.
    pub(super) fn entrance(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    pub(super) fn members(&self) -> Vec<u32> {
        members(&self.path)
    }

    /// Kills every process in it.
    pub(super) fn kill(&self) {
        kill(&self.path);
    }

    /// Lets what is still running live on as a service of the scope.
    pub(super) fn keep_rest(&self) {
        // What forks between the reading and the moving is found in the next round.
        for _round in 0..16 {
            let rest = self.members();
            if rest.is_empty() {
                return;
            }
            drop(fs::create_dir(&self.left));
            for pid in rest {
                // Gone meanwhile is as good.
                drop(fs::write(self.left.join("cgroup.procs"), pid.to_string()));
            }
        }
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // A group whose killed processes have not been reaped yet stays until the next start.
        drop(fs::remove_dir(&self.path));
        drop(fs::remove_dir(&self.left));
        for above in self.path.ancestors().skip(1).take(2) {
            drop(fs::remove_dir(above));
        }
    }
}

fn kill(group: &Path) {
    if fs::write(group.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    // Kernels before 5.14: one by one, until no fork is faster.
    for _round in 0..16 {
        let members = members(group);
        if members.is_empty() {
            return;
        }
        for pid in members {
            super::family::signal(pid, rustix::process::Signal::KILL);
        }
    }
}

fn members(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    // 0 stands for a process of another pid namespace.
    text.lines().filter_map(|line| line.trim().parse().ok()).filter(|pid| *pid != 0).collect()
}

fn directories(of: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(of) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The directory of the calling process's group: `mounts` is `/proc/self/mountinfo`, `own`
/// `/proc/self/cgroup` (cgroups(7)).
fn own_group(mounts: &str, own: &str) -> Option<PathBuf> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = if root == "/" { own } else { own.strip_prefix(root)? };
        Some(Path::new(point).join(below.trim_start_matches('/')))
    })
}

/// A scope's name as one component of a path; different names stay different.
fn file_name(name: &str) -> String {
    let mut text = String::from("r-");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(byte)),
            other => text.push_str(&format!("%{other:02x}")),
        }
    }
    text.truncate(200);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_below_its_mount() {
        let mounts = "24 1 0:22 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      25 1 0:23 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let own = "3:cpu:/a\n0::/system.slice/haven.service\n";
        let found = own_group(mounts, own).unwrap();
        assert_eq!(found, Path::new("/sys/fs/cgroup/unified/system.slice/haven.service"));
        let inside = "25 1 0:23 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(own_group(inside, "0::/box/x\n").unwrap(), Path::new("/sys/fs/cgroup/x"));
        assert_eq!(own_group(inside, "0::/elsewhere\n"), None);
        assert_eq!(own_group("", own), None);
    }

    #[test]
    fn a_name_is_one_component_whatever_it_holds() {
        assert_eq!(file_name("web:0"), "r-web%3a0");
        assert_eq!(file_name("../../etc"), "r-%2e%2e%2f%2e%2e%2fetc");
        assert_ne!(file_name("a:1"), file_name("a.1"));
    }
}
