//! A civil clock that jumps, and disks that turn read-only or fail to sync, under daemons that run.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haven_lab::haven::config_file;
use haven_lab::{Family, Fault, Place};
use haven_netns_tests::{Lab, assert_unmoved, lab, skip};

const LIMIT: Duration = Duration::from_secs(30);
const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// Stands between a daemon and the civil clock of the C library, which all of it reads: adds the seconds in a
/// file. All other clocks are the kernel's.
const SHIFT: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile long long *shift;
static int (*real)(clockid_t, struct timespec *);
__attribute__((constructor)) static void begin(void) {
    real = dlsym(RTLD_NEXT, "clock_gettime");
    int fd = open(getenv("TEST_WORDS"), O_RDONLY | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
    shift = map == MAP_FAILED ? 0 : map;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = real(clock, now);
    if (!failed && shift && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *shift;
    return failed;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec at;
    int failed = clock_gettime(CLOCK_REALTIME, &at);
    now->tv_sec = at.tv_sec;
    now->tv_usec = at.tv_nsec / 1000;
    return failed;
}
time_t time(time_t *to) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (to) *to = at.tv_sec;
    return at.tv_sec;
}
"#;

fn kill(lab: &mut Lab, node: &str) {
    lab.cluster.inject(&Fault::Kill(node.to_owned())).unwrap();
    lab.wait("the end of its processes", LIMIT, |lab| {
        !lab.cluster.system.runs(&lab.cluster.bed, node)
    });
}

/// Minutes since midnight (UTC) by the newest line of a daemon's log.
fn minute_of_log(lab: &Lab, node: &str) -> Option<u64> {
    let log = lab.log(node);
    let time = log.lines().rev().find_map(|line| line.split_once('T')?.1.get(..5))?;
    let (hours, minutes) = time.split_once(':')?;
    Some(hours.parse::<u64>().ok()? * 60 + minutes.parse::<u64>().ok()?)
}

/// Whether the log's clock is ahead by so many minutes; one more or less is the turn of a minute.
fn ahead(lab: &Lab, node: &str, minutes: i64) -> bool {
    const DAY: i64 = 24 * 60;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60 % 1440;
    let Some(said) = minute_of_log(lab, node) else { return false };
    let apart = i64::try_from(said).unwrap() - i64::try_from(now).unwrap() - minutes;
    let apart = (apart % DAY + DAY) % DAY;
    apart <= 1 || apart >= DAY - 1
}

/// Stands between a daemon and the disk under its store: while the first word of a file is set, nothing is
/// synced there and an I/O error is told. The second word counts how often.
const DISK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static volatile long long *words;
__attribute__((constructor)) static void begin(void) {
    int fd = open(getenv("TEST_WORDS"), O_RDWR | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(0, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    words = map == MAP_FAILED ? 0 : map;
}
static int fails(int fd) {
    char link[64], path[4096];
    if (!words || !words[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    if (!strstr(path, "/store")) return 0;
    __atomic_add_fetch(&words[1], 1, __ATOMIC_SEQ_CST);
    errno = EIO;
    return 1;
}
int fsync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    return fails(fd) ? -1 : real(fd);
}
int fdatasync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    return fails(fd) ? -1 : real(fd);
}
"#;

/// Daemons with a library of the test's between them and the C library, which reads two words of a file.
struct Shim {
    library: PathBuf,
    words: std::fs::File,
    path: PathBuf,
}

impl Shim {
    /// None where there is no compiler.
    fn build(dir: &Path, code: &str) -> Option<Self> {
        let (source, library, path) =
            (dir.join("shim.c"), dir.join("shim.so"), dir.join("shim-words"));
        std::fs::write(&source, code).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O", "-o"]).arg(&library).arg(&source).arg("-ldl");
        if !cc.status().is_ok_and(|status| status.success()) {
            return None;
        }
        std::fs::write(&path, [0; 16]).unwrap();
        let words = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        Some(Self { library, words, path })
    }

    fn set(&self, word: i64) {
        self.words.write_all_at(&word.to_ne_bytes(), 0).unwrap();
    }

    fn counted(&self) -> i64 {
        let mut word = [0; 8];
        self.words.read_exact_at(&mut word, 8).unwrap();
        i64::from_ne_bytes(word)
    }

    fn start(&self, lab: &Lab, node: &str) {
        let bed = &lab.cluster.bed;
        let mut daemon = Command::new(bed.haven());
        daemon.args(["node", "run", "--config"]).arg(config_file(bed, node));
        daemon.env("LD_PRELOAD", &self.library).env("TEST_WORDS", &self.path);
        let log = lab.cluster.system.log(bed, node);
        bed.spawn(&Place::Node(node.to_owned()), &mut daemon, &log).unwrap();
    }
}

fn load(lab: &Lab, text: &str) {
    let file = lab.cluster.bed.dir().join("clock.crm");
    std::fs::write(&file, text).unwrap();
    lab.haven("n1", &["configure", "load", &file.display().to_string()]).unwrap();
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn a_jump_of_the_civil_clock_is_noticed_by_nobody_who_is_served() {
    let Some(mut lab) = lab("c-jump", 3, false, Family::V4) else { return };
    let Some(clocks) = Shim::build(lab.cluster.bed.dir(), SHIFT) else {
        skip("there is no C compiler", "a jump of the civil clock");
        return;
    };
    let vip = lab.cluster.bed.topology().vips()[0];
    for node in NODES {
        kill(&mut lab, node);
    }
    NODES.iter().for_each(|node| clocks.start(&lab, node));
    lab.wait("the return of every node", 2 * LIMIT, |lab| {
        lab.cluster.system.settled(&lab.cluster.bed)
    });
    lab.cluster.restore().unwrap();
    lab.cluster.place(vip, "n1").unwrap();
    load(
        &lab,
        "primitive d ocf:haven:Dummy op monitor interval=200ms\nproperty stonith-enabled=false\n",
    );
    let watched = |lab: &Lab| {
        let count = |node: &&str| {
            lab.json(node, &["node", "counters"])["operation_d_monitor_200_count"].as_u64()
        };
        NODES.iter().filter_map(count).sum::<u64>()
    };
    lab.wait("the watching", LIMIT, |lab| watched(lab) > 0);
    let measuring = lab.measure();
    for (number, minutes) in [60, -60, 0].into_iter().enumerate() {
        clocks.set(minutes * 60);
        let (before, limit) = (watched(&lab), number + 10);
        load(&lab, &format!("property batch-limit={limit}\n"));
        for node in NODES {
            lab.wait("a clock that has jumped", LIMIT, |lab| ahead(lab, node, minutes));
        }
        lab.wait("the watching, at its pace", Duration::from_secs(10), |lab| {
            watched(lab) >= before + 10
        });
        let failures = lab.haven("n2", &["resource", "failures"]).unwrap();
        assert!(failures.contains("no failures"), "{failures}");
    }
    assert_unmoved(&measuring.finish().unwrap());
    // Who comes back while all clocks are early is known and believed: keys, certificates, lives.
    clocks.set(-3600);
    kill(&mut lab, "n3");
    clocks.start(&lab, "n3");
    lab.wait("the return of n3", 2 * LIMIT, |lab| lab.cluster.system.settled(&lab.cluster.bed));
    load(&lab, "property batch-limit=9\n");
    lab.wait("the configuration on n3", LIMIT, |lab| {
        lab.haven("n3", &["configure", "show"]).is_ok_and(|text| text.contains("batch-limit=9"))
    });
}

/// A file system of its own in a file, over a directory; gone at the end.
struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// None where no loop device is to be had.
    fn new(image: &Path, at: &Path) -> Option<Self> {
        let file = std::fs::File::create(image).unwrap();
        file.set_len(32 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image).status();
        if !made.is_ok_and(|status| status.success()) {
            return None;
        }
        let disk = Self { image: image.to_owned(), at: at.to_owned() };
        disk.mount().then_some(disk)
    }

    fn mount(&self) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop,errors=remount-ro"]).arg(&self.image).arg(&self.at);
        mount.status().is_ok_and(|status| status.success())
    }

    /// What the kernel does once it finds the file system damaged: nothing is written any more.
    fn turn_read_only(&self) -> bool {
        let mut losetup = Command::new("losetup");
        let listed = losetup.args(["-n", "-O", "NAME", "-j"]).arg(&self.image).output().unwrap();
        let device = String::from_utf8(listed.stdout).unwrap();
        let name = device.trim().rsplit('/').next().unwrap_or_default().to_owned();
        let trigger = Path::new("/sys/fs/ext4").join(name).join("trigger_fs_error");
        std::fs::write(trigger, "1").is_ok()
    }

    /// What an operator does about it.
    fn repair(&self) {
        assert!(Command::new("umount").arg(&self.at).status().unwrap().success(), "umount");
        let check = Command::new("e2fsck").args(["-f", "-y"]).arg(&self.image).output().unwrap();
        // 1: errors were corrected (e2fsck(8)).
        assert!(check.status.code().is_some_and(|code| code <= 1), "{check:?}");
        assert!(self.mount(), "mount");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.at).status());
    }
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn an_owner_whose_disk_turns_read_only_keeps_its_address_and_says_what_to_do() {
    let Some(mut lab) = lab("c-ro", 3, false, Family::V4) else { return };
    let state = lab.cluster.bed.node_state("n1");
    let vip = lab.cluster.bed.topology().vips()[0];
    kill(&mut lab, "n1");
    let aside = state.with_extension("aside");
    let copy = |from: &Path, to: &Path| {
        assert!(
            Command::new("cp").args(["-a", "--"]).arg(from).arg(to).status().unwrap().success()
        );
    };
    copy(&state, &aside);
    let Some(disk) = Disk::new(&state.with_extension("image"), &state) else {
        skip("there is no loop device or no mkfs.ext4", "a disk that turns read-only");
        return;
    };
    copy(&aside.join("."), &state);
    assert!(Command::new("sync").arg("-f").arg(&state).status().unwrap().success(), "sync");
    let back = |lab: &mut Lab| {
        lab.cluster.start_missing().unwrap();
        lab.wait("the return of every node", 2 * LIMIT, |lab| {
            lab.cluster.system.settled(&lab.cluster.bed)
        });
        lab.cluster.restore().unwrap();
    };
    back(&mut lab);
    lab.cluster.place(vip, "n1").unwrap();
    lab.haven("n2", &["cluster", "handover", "n1"]).unwrap();
    lab.wait("n1 to coordinate", LIMIT, |lab| {
        lab.json("n2", &["status"])["coordinator"]["node"] == "n1"
    });
    let measuring = lab.measure();
    if !disk.turn_read_only() {
        drop(measuring.finish());
        skip("this kernel's ext4 has no trigger_fs_error", "a disk that turns read-only");
        return;
    }
    // The next change of the configuration is the first thing that n1 cannot write.
    drop(lab.haven("n2", &["node", "standby", "n3"]));
    lab.wait("the alarm", LIMIT, |lab| {
        let alarms = lab.json("n1", &["status"])["alarms"].to_string();
        alarms.contains("the store failed")
            && alarms.contains("the file system is read-only; see the kernel's log for why")
            && alarms.contains("no longer votes")
            && alarms.contains("make the disk sound, then restart the daemon")
    });
    lab.wait("another coordinator", LIMIT, |lab| {
        let coordinator = lab.json("n2", &["status"])["coordinator"]["node"].clone();
        coordinator.is_string() && coordinator != "n1"
    });
    assert!(lab.log("n1").contains("the store failed: this node no longer votes"));
    // The others decide without it; it answers beats still, and its lease lives on their promises.
    for online in ["online", "standby", "online"] {
        lab.haven("n2", &["node", online, "n3"]).unwrap();
    }
    assert!(lab.cluster.system.settled(&lab.cluster.bed), "n1 answers beats, so it is a member");
    assert_unmoved(&measuring.finish().unwrap());
    kill(&mut lab, "n1");
    disk.repair();
    back(&mut lab);
    let status = lab.json("n1", &["status"]);
    assert!(!status["alarms"].to_string().contains("store"), "{status}");
    assert_eq!(status["configuration"], lab.json("n2", &["status"])["configuration"]);
    // The lab removes the directory, so nothing may be mounted there.
    drop(disk);
}

/// Starts `node` over `shim` and waits until all is well.
fn restore(lab: &mut Lab, shim: &Shim, node: &str) {
    lab.wait("the return of every node", 2 * LIMIT, |lab| {
        // A predecessor that is still on its way out makes a start fail: as a supervisor does.
        if !lab.cluster.system.runs(&lab.cluster.bed, node) {
            shim.start(lab, node);
        }
        lab.cluster.system.settled(&lab.cluster.bed)
    });
    lab.cluster.restore().unwrap();
}

fn coordinate(lab: &Lab, node: &str) {
    lab.haven("n2", &["cluster", "handover", node]).unwrap();
    lab.wait("the handover", LIMIT, |lab| {
        lab.json("n2", &["status"])["coordinator"]["node"] == node
    });
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn an_owner_whose_disk_fails_to_sync_votes_no_more_answers_beats_and_says_what_to_do() {
    let Some(mut lab) = lab("c-sync", 3, false, Family::V4) else { return };
    let Some(disk) = Shim::build(lab.cluster.bed.dir(), DISK) else {
        skip("there is no C compiler", "a disk that fails to sync");
        return;
    };
    let vip = lab.cluster.bed.topology().vips()[0];
    kill(&mut lab, "n1");
    restore(&mut lab, &disk, "n1");
    let started = std::time::Instant::now();
    lab.cluster.place(vip, "n1").unwrap();
    coordinate(&lab, "n1");
    let measuring = lab.measure();
    disk.set(1);
    // The next change of the configuration is the first thing that n1 cannot sync.
    drop(lab.haven("n2", &["node", "standby", "n3"]));
    lab.wait("the alarm", LIMIT, |lab| {
        let alarms = lab.json("n1", &["status"])["alarms"].to_string();
        alarms.contains("the store failed (cannot sync ")
            && alarms.contains("/store/log-")
            && alarms.contains("Input/output error")
            && alarms.contains("no longer votes")
            && alarms.contains("make the disk sound, then restart the daemon")
    });
    assert!(lab.log("n1").contains("the store failed: this node no longer votes: cannot sync "));
    lab.wait("another coordinator", LIMIT, |lab| {
        let coordinator = lab.json("n2", &["status"])["coordinator"]["node"].clone();
        coordinator.is_string() && coordinator != "n1"
    });
    let failed = disk.counted();
    for online in ["online", "standby", "online"] {
        lab.haven("n2", &["node", online, "n3"]).unwrap();
    }
    assert!(lab.cluster.system.settled(&lab.cluster.bed), "n1 answers beats, so it is a member");
    // Who was started lately promises no lease for 5.5 s.
    lab.wait("n1 to promise", LIMIT, |_| started.elapsed() > Duration::from_secs(7));
    // Without n3 the lease lives on what n1 and n2 promise, while one vote is left for changes.
    kill(&mut lab, "n3");
    let change = lab.begin("n2", &["node", "standby", "n3"]);
    let before = lab.json("n2", &["status"])["configuration"].clone();
    lab.wait("the loss of n3", LIMIT, |lab| {
        let status = lab.json("n2", &["status"]);
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        nodes.iter().any(|it| it["name"] == "n3" && it["state"] != "online")
    });
    let passed = std::time::Instant::now();
    lab.wait("some terms of elections", LIMIT, |_| passed.elapsed() > Duration::from_secs(3));
    assert_eq!(lab.json("n2", &["status"])["configuration"], before, "one vote is no majority");
    assert_unmoved(&measuring.finish().unwrap());
    lab.cluster.start_missing().unwrap();
    // It is made once n3 is back, or its author was told that it was not.
    drop(change.join().unwrap());
    lab.wait("decisions without n1", LIMIT, |lab| {
        lab.haven("n2", &["node", "online", "n3"]).is_ok()
    });
    // What could not be synced is not on the disk, whatever a second try would say: there was none.
    assert_eq!(disk.counted(), failed, "the store was touched after it had failed");
    kill(&mut lab, "n1");
    disk.set(0);
    restore(&mut lab, &disk, "n1");
    let status = lab.json("n1", &["status"]);
    assert!(!status["alarms"].to_string().contains("store"), "{status}");
    assert_eq!(status["configuration"], lab.json("n2", &["status"])["configuration"]);
    // A full member: it decides again, and what it decides is kept.
    coordinate(&lab, "n1");
    load(&lab, "property batch-limit=9\n");
}
