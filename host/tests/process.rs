//! Children of the real kernel, well-behaved and hostile.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use haven_host::process::{Call, CallError, Cgroups, Ended, Launcher};
use haven_skipped::{skip, this_test};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A call of a script; `$D` in it is this directory.
    fn script(&self, scope: &str, body: &str) -> Call {
        let program = self.file(&format!("{scope}.sh"));
        std::fs::write(&program, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        call(scope, &program, self.dir.path())
    }
}

fn call(scope: &str, program: &Path, dir: &Path) -> Call {
    let variables = [("D", dir.to_str().unwrap()), ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")];
    Call {
        scope: scope.to_owned(),
        program: program.to_owned(),
        args: vec!["monitor".to_owned()],
        environment: BTreeMap::from(variables.map(|(k, v)| (k.to_owned(), v.to_owned()))),
        stdout_max: 64 * 1024,
        stderr_max: 4096,
        note_prefix: "ocf-exit-reason:",
    }
}

const NO_GROUPS: &str = "no cgroup2 hierarchy is writable here";

/// A launcher with control groups where this machine has them, and one without.
#[track_caller]
fn launchers() -> Vec<(Launcher, &'static str)> {
    let mut all = vec![(Launcher::start(None).unwrap(), "without control groups")];
    match Cgroups::open(&format!("test-{}", std::process::id())) {
        Some(groups) => all.push((Launcher::start(Some(groups)).unwrap(), "with control groups")),
        None => skip(NO_GROUPS, &format!("{} with control groups", this_test())),
    }
    all
}

async fn run(launcher: &Launcher, call: Call) -> Ended {
    tokio::time::timeout(Duration::from_secs(20), launcher.call(call)).await.unwrap().unwrap()
}

/// Gives a call up once `file` exists, and waits until its scope is free again.
async fn give_up_once(launcher: &Launcher, call: Call, file: &Path) -> Duration {
    let (scope, dir) = (call.scope.clone(), call.program.parent().unwrap().to_owned());
    let work = tokio::spawn({
        let launcher = launcher.clone();
        async move { launcher.call(call).await }
    });
    until(|| file.exists()).await;
    let began = Instant::now();
    work.abort();
    let mut next = self::call(&scope, Path::new("/bin/true"), &dir);
    next.args.clear();
    run(launcher, next).await;
    began.elapsed()
}

async fn until(mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < limit, "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn pid_in(file: &Path) -> u32 {
    std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn a_child_inherits_nothing_of_the_daemon() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let leaked = std::fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    rustix::process::setpriority_process(None, -5).ok();
    for (launcher, kind) in launchers() {
        let place = Place::new();
        // Each line by one process that the shell waits for, or by the shell itself: what it holds open
        // while it starts a pipeline is its own affair.
        let body = "env; umask; pwd; cut -d' ' -f19,41 /proc/$$/stat; cut -d' ' -f5 /proc/$$/stat
            echo $PPID; ls /proc/$$/fd";
        let ended = run(&launcher, place.script("clean", body)).await;
        let out = &ended.stdout;
        for line in out.lines().take_while(|line| line.contains('=')) {
            let name = line.split('=').next().unwrap();
            let expected = ["D", "PATH", "PWD", "HAVEN_CALL", "OLDPWD"].contains(&name);
            assert!(expected, "{kind}: {name} leaked\n{out}");
        }
        let rest: Vec<&str> = out.lines().skip_while(|line| line.contains('=')).collect();
        assert_eq!(rest[0], "0022", "{kind}: mask\n{out}");
        assert_eq!(rest[1], "/", "{kind}: directory");
        assert_eq!(rest[2], "0 0", "{kind}: nice and scheduling policy");
        let own = rustix::process::getpgrp().as_raw_nonzero().to_string();
        assert!(rest[3] != own && rest[3] != "0", "{kind}: a process group of its own");
        assert_ne!(rest[4], std::process::id().to_string(), "{kind}: the parent is not the daemon");
        let mut signals = call("signals", Path::new("/bin/grep"), place.dir.path());
        signals.args = ["-E", "^Sig(Ign|Blk)", "/proc/self/status"].map(Into::into).into();
        let signals = run(&launcher, signals).await.stdout;
        assert_eq!(signals.lines().count(), 2, "{kind}: {signals}");
        for line in signals.lines() {
            let mask = u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap();
            // 32 and 33 are the C library's own.
            assert_eq!(mask & 0x7fff_ffff, 0, "{kind}: {line}");
        }
        let open: Vec<u32> = rest[5..].iter().map(|fd| fd.parse().unwrap()).collect();
        // The shell keeps its script at 10.
        assert!(open.iter().all(|fd| *fd <= 2 || *fd == 10), "{kind}: descriptors {open:?}");
    }
}

#[tokio::test]
async fn codes_signals_reasons_and_files_that_cannot_run() {
    for (launcher, kind) in launchers() {
        let place = Place::new();
        let body = "echo ocf-exit-reason:the disk is full >&2; echo noise >&2; exit 5";
        let ended = run(&launcher, place.script("code", body)).await;
        assert_eq!((ended.code, &ended.notes[..]), (Some(5), &["the disk is full".to_owned()][..]));
        let ended = run(&launcher, place.script("signal", "kill -9 $$")).await;
        assert_eq!((ended.code, ended.signal), (None, Some(9)), "{kind}");
        let missing = call("none", Path::new("/nonexistent/agent"), place.dir.path());
        let error = launcher.call(missing).await.unwrap_err();
        assert!(matches!(error, CallError::NotRunnable { .. }), "{kind}: {error}");
        let plain = place.file("plain");
        std::fs::write(&plain, "#!/bin/sh\n").unwrap();
        let error = launcher.call(call("plain", &plain, place.dir.path())).await.unwrap_err();
        assert!(matches!(error, CallError::NotRunnable { .. }), "{kind}: {error}");
    }
}

#[tokio::test]
async fn a_flood_neither_blocks_nor_grows() {
    for (launcher, kind) in launchers() {
        let place = Place::new();
        let body = "echo ocf-exit-reason:early >&2; head -c 8000000 /dev/zero >&2
            head -c 3000000 /dev/zero; exit 7";
        let ended = run(&launcher, place.script("flood", body)).await;
        assert_eq!(ended.code, Some(7), "{kind}");
        assert_eq!((ended.stdout.len(), ended.stderr.len()), (64 * 1024, 4096), "{kind}");
        assert_eq!(ended.notes, ["early"], "{kind}");
    }
}

#[tokio::test]
async fn a_service_left_behind_lives_on_with_its_standard_error() {
    for (launcher, kind) in launchers() {
        let place = Place::new();
        let body = "setsid sh -c 'echo $$ >$D/pid.new; mv $D/pid.new $D/pid
            while ! [ -e $D/go ]; do sleep 0.01; done; echo still here >&2 && touch $D/wrote; sleep 60' &
            while ! [ -e $D/pid ]; do sleep 0.01; done";
        let ended = run(&launcher, place.script("web:0", body)).await;
        assert_eq!(ended.code, Some(0), "{kind}: the answer does not wait for the service");
        let service = pid_in(&place.file("pid"));
        std::fs::write(place.file("go"), "").unwrap();
        until(|| place.file("wrote").exists()).await;
        assert!(lives(service), "{kind}");
        if let Some(groups) = launcher.cgroups() {
            assert!(groups.left("web:0").contains(&service), "{kind}: known as left behind");
            assert_eq!(groups.kill_stale_calls(), 0, "a service is no stale call");
            for pid in groups.left("web:0") {
                let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
            until(|| groups.left("web:0").is_empty()).await;
            assert_eq!(groups.kill_stale_calls(), 0);
        } else {
            let group = rustix::process::Pid::from_raw(i32::try_from(service).unwrap()).unwrap();
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        }
    }
}

#[tokio::test]
async fn given_up_a_call_dies_with_all_that_forked_away() {
    for (launcher, kind) in launchers() {
        let place = Place::new();
        let body = "setsid sh -c 'echo $$ >$D/away.new; mv $D/away.new $D/away; exec sleep 60' &
            sleep 60 & echo $! >$D/near; while ! [ -e $D/away ]; do sleep 0.01; done
            touch $D/ready; wait";
        let took = give_up_once(&launcher, place.script("fork", body), &place.file("ready")).await;
        assert!(took < Duration::from_secs(2), "{kind}: TERM was enough, {took:?}");
        for name in ["away", "near"] {
            assert!(!lives(pid_in(&place.file(name))), "{kind}: {name} is left");
        }
    }
}

#[tokio::test]
async fn who_kills_its_parent_ends_its_own_call_with_all_of_it() {
    for (launcher, kind) in launchers() {
        let place = Place::new();
        let body = "setsid sh -c 'echo $$ >$D/away.new; mv $D/away.new $D/away; exec sleep 60' &
            while ! [ -e $D/away ]; do sleep 0.01; done
            echo $$ >$D/self; trap '' TERM; kill -9 $PPID; while :; do sleep 1; done";
        let ended = run(&launcher, place.script("parent", body)).await;
        assert_eq!((ended.code, ended.signal), (None, Some(9)), "{kind}");
        for name in ["away", "self"] {
            assert!(!lives(pid_in(&place.file(name))), "{kind}: {name} is left");
        }
    }
}

#[tokio::test]
async fn who_ignores_term_is_killed_after_the_grace_and_the_scope_waits() {
    let place = Place::new();
    let mut works = Vec::new();
    for (number, (launcher, kind)) in launchers().into_iter().enumerate() {
        let body = format!(
            "trap '' TERM; echo $$ >$D/deaf{number}; touch $D/ready{number}
            while :; do sleep 0.1; done"
        );
        let call = place.script(&format!("deaf{number}"), &body);
        let ready = place.file(&format!("ready{number}"));
        let pid = place.file(&format!("deaf{number}"));
        works.push(tokio::spawn(async move {
            let took = give_up_once(&launcher, call, &ready).await;
            assert!(took >= Duration::from_secs(5), "{kind}: asked first, {took:?}");
            assert!(took < Duration::from_secs(8), "{kind}: {took:?}");
            assert!(!lives(pid_in(&pid)), "{kind}");
        }));
    }
    for work in works {
        work.await.unwrap();
    }
}

#[tokio::test]
async fn calls_of_one_scope_never_overlap_and_others_do() {
    for (launcher, kind) in launchers() {
        let place = Place::new();
        let body = "mkdir $D/lock || exit 1; sleep 0.05; rmdir $D/lock";
        let one = place.script("one", body);
        let again = (run(&launcher, one.clone()), run(&launcher, one.clone()));
        let (first, second) = tokio::join!(again.0, again.1);
        assert_eq!((first.code, second.code), (Some(0), Some(0)), "{kind}");
        let meet = "touch $D/$1; while ! [ -e $D/$2 ]; do sleep 0.01; done";
        let (mut left, mut right) = (place.script("a", meet), place.script("b", meet));
        left.args = vec!["l".into(), "r".into()];
        right.args = vec!["r".into(), "l".into()];
        let (left, right) = tokio::join!(run(&launcher, left), run(&launcher, right));
        assert_eq!((left.code, right.code), (Some(0), Some(0)), "{kind}");
    }
}

#[tokio::test]
async fn a_call_that_an_earlier_life_had_under_way_is_ended() {
    let Some(groups) = Cgroups::open(&format!("stale-{}", std::process::id())) else {
        return skip(NO_GROUPS, "a call that an earlier life had under way");
    };
    let place = Place::new();
    let launcher = Launcher::start(Some(groups.clone())).unwrap();
    let call = place.script("old", "echo $$ >$D/pid.new; mv $D/pid.new $D/pid; exec sleep 60");
    let work = tokio::spawn(async move { launcher.call(call).await });
    until(|| place.file("pid").exists()).await;
    assert!(groups.kill_stale_calls() >= 1, "the shell, and its last command perhaps");
    let ended = work.await.unwrap().unwrap();
    assert_eq!(ended.signal, Some(9));
    assert_eq!(groups.kill_stale_calls(), 0);
}
