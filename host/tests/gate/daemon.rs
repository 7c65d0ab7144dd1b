//! A process that owns a gate, to be stopped and killed: this test binary, started again.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use haven_host::gate::{Choice, EntryKind, Gate, Renewal, Upkeep};

use crate::bed::{Bed, GROUP, entries, from_now};

const ROLE: &str = "HAVEN_GATE_TEST_DAEMON";
const MARK: &str = "#gate ";

/// The owner's process, seen from the test.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Daemon {
    /// Starts a process in the node's namespace; it has not opened the gate yet.
    pub(crate) fn start(bed: &Bed) -> Self {
        Self::start_by(bed, Command::new("ip"), &["netns", "exec", &bed.node.name])
    }

    /// Like [`Self::start`], by way of another command in front of the binary.
    pub(crate) fn start_by(bed: &Bed, mut command: Command, front: &[&str]) -> Self {
        let mut child = command
            .args(front)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "daemon::body", "--nocapture", "--test-threads=1"])
            .env(ROLE, bed.lock.as_os_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    /// The process that has the gate: `ip netns exec` becomes the binary, so it is the child itself.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Gives an order without waiting for the answer.
    pub(crate) fn order(&mut self, order: &str) {
        writeln!(self.input, "{order}").unwrap();
        self.input.flush().unwrap();
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the daemon ended");
            // The test harness of the child may have left text on the line.
            if let Some(at) = line.find(MARK) {
                return line[at + MARK.len()..].trim().to_owned();
            }
        }
    }

    /// Whether an answer waits to be read.
    pub(crate) fn answered(&self) -> bool {
        let mut wait =
            [rustix::event::PollFd::new(self.output.get_ref(), rustix::event::PollFlags::IN)];
        !self.output.buffer().is_empty()
            || rustix::event::poll(&mut wait, Some(&rustix::event::Timespec::default())).unwrap()
                > 0
    }

    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.answer()
    }

    /// Opens the gate with both VIPs in `kind`, as a new owner does.
    pub(crate) fn own(&mut self, kind: &str) {
        assert_eq!(self.ask("open"), "ok");
        assert_eq!(self.ask(&format!("entries {kind}")), "ok");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Not a test by itself: the process that [`Daemon::start`] starts.
#[test]
fn body() {
    let Some(lock) = std::env::var_os(ROLE) else { return };
    let mut config = haven_host::gate::Config {
        instance: "n1".to_owned(),
        lock: lock.into(),
        back_end: Choice::Auto,
    };
    let mut gate: Option<(Gate, Upkeep)> = None;
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match (words.as_slice(), gate.as_mut()) {
            (["choice", "clsact"], _) => {
                config.back_end = Choice::BpfClsact;
                "ok".to_owned()
            }
            (["choice", "auto"], _) => {
                config.back_end = Choice::Auto;
                "ok".to_owned()
            }
            (["choice", "nft"], _) => {
                config.back_end = Choice::Nft;
                "ok".to_owned()
            }
            (["open"], None) => match Gate::open(&config) {
                Ok(opened) => {
                    gate = Some(opened);
                    "ok".to_owned()
                }
                Err(e) => format!("error {e}"),
            },
            (["entries", kind], Some((gate, _))) => {
                let kind = match *kind {
                    "real-server" => EntryKind::RealServer,
                    _ => EntryKind::Exclusive,
                };
                gate.set_entries(&entries(kind)).unwrap();
                "ok".to_owned()
            }
            (["renew", millis], Some((gate, _))) => {
                let deadline = from_now(Duration::from_millis(millis.parse().unwrap()));
                answer_to(gate.renew(GROUP, deadline))
            }
            (["renew-at", nanos], Some((gate, _))) => {
                let deadline = haven_base::Instant::from_nanos(nanos.parse().unwrap());
                answer_to(gate.renew(GROUP, deadline))
            }
            (["thread"], _) => rustix::thread::gettid().as_raw_nonzero().to_string(),
            (["open-groups"], Some((gate, _))) => {
                let now = from_now(Duration::ZERO);
                gate.deadlines().unwrap().iter().filter(|d| d.until > now).count().to_string()
            }
            (["close"], Some((gate, _))) => {
                gate.close(GROUP).unwrap();
                "ok".to_owned()
            }
            (["deadline"], Some((gate, _))) => {
                format!("{:?}", gate.deadlines().unwrap().first().map(|d| d.until.as_nanos()))
            }
            other => panic!("an order the daemon does not know: {other:?}"),
        };
        println!("{MARK}{answer}");
    }
}

fn answer_to(renewal: Result<Renewal, haven_host::gate::GateError>) -> String {
    match renewal.unwrap() {
        Renewal::Open { until } => format!("open {}", until.as_nanos()),
        Renewal::Lapsed => "lapsed".to_owned(),
    }
}
