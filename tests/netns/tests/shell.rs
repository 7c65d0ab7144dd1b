//! The interactive shell at a terminal, and two operators who load at one instant.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use haven_lab::{Family, Place, namespace};
use haven_netns_tests::{Lab, lab};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const PATIENCE: Duration = Duration::from_secs(20);

/// A person's terminal with `haven shell` on it.
struct Terminal {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    shell: Child,
}

impl Terminal {
    fn open(lab: &Lab, node: &str) -> Self {
        let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&own).unwrap();
        unlockpt(&own).unwrap();
        let name = ptsname(&own, Vec::new()).unwrap();
        let other = || -> Stdio {
            let flags = OFlags::RDWR | OFlags::NOCTTY;
            File::from(rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap()).into()
        };
        let bed = &lab.cluster.bed;
        let mut command = Command::new(bed.haven());
        command.arg("shell").arg("--config").arg(haven_lab::haven::config_file(bed, node));
        command.stdin(other()).stdout(other()).stderr(other());
        command.env("TERM", "xterm").env("HOME", bed.dir()).env_remove("XDG_STATE_HOME");
        let within = bed.topology().namespace(&Place::Node(node.to_owned()));
        let shell = std::thread::scope(|scope| {
            let begun = scope.spawn(|| namespace::within(&within, || Ok(command.spawn().unwrap())));
            begun.join().unwrap().unwrap()
        });
        drop(command);
        let keyboard = File::from(own);
        let mut reader = keyboard.try_clone().unwrap();
        let (tell, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end of the shell ends the terminal with an error.
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                if tell.send(bytes[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keyboard, screen, seen: String::new(), shell }
    }

    fn types(&mut self, keys: &str) {
        self.seen.clear();
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows `text` since the last keys.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.seen.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("\"{text}\" does not appear; on the screen is:\n{}", self.seen),
            }
        }
    }

    /// Types keys, Tab after them, and waits for what that completes them to; the rest and Enter follow.
    #[track_caller]
    fn completes(&mut self, keys: &str, to: &str, rest: &str) {
        self.types(&format!("{keys}\t"));
        self.shows(to);
        self.types(&format!("{rest}\r"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.shell.kill());
        drop(self.shell.wait());
    }
}

fn load(lab: &Lab, node: &str, text: &str, words: &[&str]) -> Result<String, String> {
    let file = lab.cluster.bed.dir().join(format!("load-{node}.crm"));
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let words = [&["configure", "load", &file], words].concat();
    lab.haven(node, &words).map_err(|error| error.to_string())
}

#[test]
fn at_a_terminal_tab_completes_from_the_cluster_as_it_is_and_answers_follow() {
    let Some(lab) = lab("sh-pty", 3, false, Family::V4) else { return };
    load(&lab, "n1", "property stonith-enabled=false", &[]).unwrap();
    let mut terminal = Terminal::open(&lab, "n1");
    terminal.shows("/n1)> ");
    // An agent's name; Ctrl-U takes the line away.
    terminal.types("primitive other ocf:haven:i\t");
    terminal.shows("ocf:haven:ip ");
    terminal.types("\x15primitive web ocf:haven:Dummy op monitor interval=1s\r");
    terminal.shows("committed: web");
    terminal.shows("/n1)> ");
    // What was just declared.
    lab.wait("the start", PATIENCE, |lab| {
        lab.haven("n1", &["resource", "locate", "web"])
            .is_ok_and(|text| text.contains("Started on"))
    });
    terminal.completes("resource locate w", "locate web", "");
    terminal.shows("web is Started on n");
    terminal.shows("/n1)> ");
    // What somebody else declares elsewhere while the shell is open.
    load(&lab, "n2", "primitive laterborn ocf:haven:Dummy op monitor interval=1s", &[]).unwrap();
    terminal.completes("resource stop later", "stop laterborn", "");
    terminal.shows("laterborn is stopped");
    terminal.shows("/n1)> ");
    // A node's name, an option's name, its values.
    terminal.completes("node standby n\t", "n3", "3");
    terminal.shows("n3 is in standby");
    terminal.shows("/n1)> ");
    terminal.completes("property no-quorum-p", "property no-quorum-policy=", "freeze");
    terminal.shows("committed: property");
    terminal.shows("/n1)> ");
    terminal.types("help no-quorum-policy\r");
    terminal.shows("freeze");
    for part in ["allowed:", "default:"] {
        terminal.shows(part);
    }
    terminal.shows("/n1)> ");
    // A mistake is named, and the shell goes on.
    terminal.types("primitve x ocf:haven:Dummy\r");
    terminal.shows("did you mean \"primitive\"?");
    terminal.shows("/n1)> ");
    terminal.types("quit\r");
    let ended = haven_lab::wait::until(
        PATIENCE,
        Duration::from_millis(20),
        || matches!(terminal.shell.try_wait(), Ok(Some(status)) if status.success()),
    );
    assert!(ended, "{}", terminal.seen);
}

/// Twenty objects that say whose they are.
fn whole(whose: &str, round: usize) -> String {
    (0..20).map(|n| format!("tag {whose}-{round}-{n} n1\n")).collect()
}

#[test]
fn two_loads_at_one_instant_are_one_after_the_other_or_one_is_refused_and_never_a_mix() {
    let Some(lab) = lab("sh-two", 3, false, Family::V4) else { return };
    let shown = || lab.haven("n3", &["configure", "show"]).unwrap();
    let both = |round: usize, words: &[&str]| {
        let file = |whose: &str| {
            let file = lab.cluster.bed.dir().join(format!("{whose}.crm"));
            std::fs::write(&file, whole(whose, round)).unwrap();
            file.display().to_string()
        };
        let (a, b) = (file("a"), file("b"));
        let begun = [("n1", &a), ("n2", &b)]
            .map(|(node, file)| lab.begin(node, &[&["configure", "load", file], words].concat()));
        begun.map(|load| load.join().unwrap())
    };
    let there = |whose: &str, round| {
        let text = shown();
        let (has, all) = (|line: &&str| text.contains(*line), whole(whose, round));
        let count = all.lines().map(|line| line.replace(" n1", ": n1")).collect::<Vec<_>>();
        count.iter().filter(|line| has(&line.as_str())).count()
    };
    for round in 0..8 {
        // As the whole: whoever came last has all, the other nothing.
        let made = both(round, &["--replace", "--force"]);
        assert!(made.iter().any(Result::is_ok), "{made:?}");
        let counts = (there("a", round), there("b", round));
        assert!(matches!(counts, (20, 0) | (0, 20)), "{counts:?}: {made:?}");
        // Both expect the version before: one is refused.
        let version = lab.json("n1", &["configure", "show"])["version"].clone();
        let part = |name: &str| version[name].as_u64().unwrap();
        let version = format!("{}.{}.{}", part("admin_epoch"), part("epoch"), part("num_updates"));
        let made = both(100 + round, &["--expect", &version]);
        assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1, "{made:?}");
        let counts = (there("a", 100 + round), there("b", 100 + round));
        assert!(matches!(counts, (20, 0) | (0, 20)), "{counts:?}: {made:?}");
        // Beside each other: both are made, or one is told.
        let made = both(200 + round, &[]);
        assert!(made.iter().any(Result::is_ok), "{made:?}");
        for (whose, made) in ["a", "b"].into_iter().zip(&made) {
            let expected = if made.is_ok() { 20 } else { 0 };
            assert_eq!(there(whose, 200 + round), expected, "{made:?}");
        }
    }
}
