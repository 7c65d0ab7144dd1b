//! What must be true of a cluster whatever was done to it, judged from what its agents noted and from what
//! runs, not from what its daemons say.
//!
//! Every call of `ocf:lab:Journal` writes a line: where, of which resource, what, and when it began and
//! ended. Its service is a process, so that what is left behind can be counted.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haven_lab::{Bed, Family, processes};

use crate::{Lab, lab_with};

const AGENT: &str = r#"#!/bin/bash
begin=$EPOCHREALTIME
home=${HA_VARRUN%/*}
node=${home##*/}
pid=$HA_VARRUN/$OCF_RESOURCE_INSTANCE.pid
code=0
case $1 in
start)
    if ! { [ -e "$pid" ] && kill -0 "$(<"$pid")" 2>/dev/null; }; then
        setsid sleep 1000000 </dev/null >/dev/null 2>&1 &
        echo $! >"$pid"
    fi ;;
stop)
    [ -e "$pid" ] && kill -9 "$(<"$pid")" 2>/dev/null
    rm -f "$pid" ;;
monitor)
    { [ -e "$pid" ] && kill -0 "$(<"$pid")" 2>/dev/null; } || code=7 ;;
meta-data)
    echo '<resource-agent name="Journal"><shortdesc>Notes its calls</shortdesc><parameters>
    <parameter name="journal" required="1"/></parameters><actions><action name="start" timeout="20s"/>
    <action name="stop" timeout="20s"/><action name="monitor" timeout="20s" interval="1s"/>
    <action name="meta-data"/></actions></resource-agent>'
    exit 0 ;;
*) exit 3 ;;
esac
echo "$node $OCF_RESOURCE_INSTANCE $1 $code $begin $EPOCHREALTIME" >>"$OCF_RESKEY_journal"
exit $code
"#;

/// The resources of every scenario: a pair that is ordered and colocated, a group, one by itself.
const RESOURCES: [&str; 5] = ["a", "b", "x", "y", "lone"];
/// What must run where its base runs, from after its start to before its stop; and every `NAME-upon`
/// where `NAME` runs.
const NESTED: [(&str, &str); 2] = [("b", "a"), ("y", "x")];
const UPON: &str = "-upon";
const NODES: [&str; 3] = ["n1", "n2", "n3"];
const SETTLED: Duration = Duration::from_secs(40);

/// A cluster of three with the resources of the scenarios.
#[derive(Debug)]
pub struct Audited {
    /// The cluster, its configuration loaded.
    pub lab: Lab,
}

/// From the beginning of a start to the end of the stop, or of everything on that node.
#[derive(Clone, Debug, PartialEq)]
struct Activity {
    node: String,
    /// When the start began and ended, in microseconds since 1970.
    up: (u64, u64),
    /// When the stop began and ended; the end of time while it runs.
    down: (u64, u64),
}

#[derive(Clone, Debug)]
struct Noted {
    node: String,
    resource: String,
    action: String,
    code: i32,
    begin: u64,
    end: u64,
}

/// A cluster with all resources started; nothing where it cannot be built. `property` is added to it.
#[must_use]
pub fn audited(name: &str, property: &str) -> Option<Audited> {
    let lab = lab_with(name, 3, false, Family::V4, install)?;
    let audited = Audited { lab };
    let mut lines = format!("property {property}\n");
    for resource in RESOURCES {
        lines += &audited.primitive(resource, "op monitor interval=500ms");
    }
    lines += "group g x y\norder a-b Mandatory: a b\ncolocation b-a inf: b a\n";
    audited.load(&lines);
    audited.wait_all();
    audited.audit();
    Some(audited)
}

fn install(bed: &Bed) {
    let dir = haven_lab::haven::ocf_root(bed).join("resource.d/lab");
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("Journal");
    std::fs::write(&file, AGENT).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

impl Audited {
    /// The line of one more resource whose calls are noted; `more` follows its parameters. One called
    /// `NAME-upon` is audited to run only where, and while, `NAME` does.
    #[must_use]
    pub fn primitive(&self, resource: &str, more: &str) -> String {
        let journal = self.lab.cluster.bed.dir().join("journal");
        format!(
            "primitive {resource} ocf:lab:Journal params journal={} {more}\n",
            journal.display()
        )
    }

    /// Adds configuration lines.
    pub fn load(&self, lines: &str) {
        let file = self.lab.cluster.bed.dir().join("scenario.crm");
        std::fs::write(&file, lines).unwrap();
        let path = file.display().to_string();
        self.lab.haven(self.speaker(), &["configure", "load", &path]).unwrap();
    }

    /// A node whose daemon runs.
    #[must_use]
    pub fn speaker(&self) -> &'static str {
        let cluster = &self.lab.cluster;
        let runs = |node: &&str| cluster.system.runs(&cluster.bed, node);
        NODES.into_iter().find(runs).unwrap()
    }

    /// Where a resource's service runs by its process, if it does anywhere.
    #[must_use]
    pub fn node_of(&self, resource: &str) -> Option<&'static str> {
        NODES.into_iter().find(|node| self.runs(node, resource))
    }

    /// The process of a resource's service on a node.
    #[must_use]
    pub fn service(&self, node: &str, resource: &str) -> Option<u32> {
        let notes = self.lab.cluster.bed.node_dir(node).join("agents");
        let text = std::fs::read_to_string(notes.join(format!("{resource}.pid"))).ok()?;
        let pid: u32 = text.trim().parse().ok()?;
        is_service(pid).then_some(pid)
    }

    fn runs(&self, node: &str, resource: &str) -> bool {
        self.service(node, resource).is_some()
    }

    /// Ends a service behind the cluster's back.
    pub fn kill_service(&self, node: &str, resource: &str) {
        let pid = self.service(node, resource).unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    /// Ends a node's daemon by signal 9; what it started lives on.
    pub fn kill_daemon(&self, node: &str) {
        let cluster = &self.lab.cluster;
        let place = haven_lab::Place::Node(node.to_owned());
        let inside = processes::of(&cluster.bed.topology().namespace(&place)).unwrap();
        let is_daemon = |pid: &rustix::process::Pid| {
            let number = u32::try_from(pid.as_raw_nonzero().get()).unwrap_or_default();
            cluster.system.is_daemon()(&command_line(number))
        };
        let daemon = inside.into_iter().find(is_daemon).unwrap();
        rustix::process::kill_process(daemon, rustix::process::Signal::KILL).unwrap();
        self.lab.wait("the end of the daemon", Duration::from_secs(10), |_| {
            !cluster.system.runs(&cluster.bed, node)
        });
    }

    /// Calls of a resource's agent on a node so far.
    #[must_use]
    pub fn calls(&self, node: &str, resource: &str) -> usize {
        let on_it = |call: &&Noted| call.node == node && call.resource == resource;
        self.journal().iter().filter(on_it).count()
    }

    /// Waits until every resource runs.
    pub fn wait_all(&self) {
        self.lab.wait("all resources", SETTLED, |_| {
            RESOURCES.iter().all(|resource| self.node_of(resource).is_some())
        });
        self.wait_settled();
    }

    /// Waits until no operation is under way and none was for a moment.
    pub fn wait_settled(&self) {
        let mut before = (self.changes(), std::time::Instant::now());
        self.lab.wait("an end of operations", SETTLED, |_| {
            let now = self.changes();
            if now != before.0 {
                before = (now, std::time::Instant::now());
            }
            before.1.elapsed() > Duration::from_secs(1)
        });
    }

    /// Starts and stops so far.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.journal().iter().filter(|call| call.action != "monitor").count()
    }

    /// Starts and stops of one resource so far.
    #[must_use]
    pub fn changes_of(&self, resource: &str) -> usize {
        let of = |call: &&Noted| call.resource == resource && call.action != "monitor";
        self.journal().iter().filter(of).count()
    }

    /// Notes that every process of a node was killed, its services among them.
    pub fn note_kill(&self, node: &str) {
        use std::io::Write as _;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = format!("{}.{:06}", now.as_secs(), now.subsec_micros());
        let path = self.lab.cluster.bed.dir().join("journal");
        let mut file = std::fs::File::options().append(true).open(path).unwrap();
        writeln!(file, "{node} * killed 0 {now} {now}").unwrap();
    }

    /// All audits.
    ///
    /// # Panics
    /// When one finds something.
    pub fn audit(&self) {
        self.active_at_most_once();
        self.order_and_colocation_held();
        self.configuration_is_equal();
        self.nothing_left_behind();
    }

    /// All audits, and that every resource runs.
    ///
    /// # Panics
    /// When one finds something.
    pub fn audit_all_running(&self) {
        self.wait_all();
        for resource in RESOURCES {
            let on: Vec<_> = NODES.iter().filter(|node| self.runs(node, resource)).collect();
            assert_eq!(on.len(), 1, "{resource} runs on {on:?}");
        }
        self.audit();
    }

    /// No resource was active on two nodes at any instant.
    fn active_at_most_once(&self) {
        for (resource, all) in self.activities() {
            for (number, one) in all.iter().enumerate() {
                for other in &all[number + 1..] {
                    let overlap = one.up.0 < other.down.1 && other.up.0 < one.down.1;
                    let apart = one.node != other.node;
                    assert!(!(overlap && apart), "{resource} was active twice: {one:?} {other:?}");
                }
            }
        }
    }

    /// What depends on another ran only on its node, began after its start and ended before its stop.
    fn order_and_colocation_held(&self) {
        let all = self.activities();
        let of = |resource: &str| all.get(resource).map(Vec::as_slice).unwrap_or_default();
        let upon = all.keys().filter_map(|id| Some((id.as_str(), id.strip_suffix(UPON)?)));
        for (inner, outer) in NESTED.into_iter().chain(upon) {
            for one in of(inner) {
                let around = of(outer).iter().any(|base| {
                    base.node == one.node
                        && base.up.1 <= one.up.0
                        && (one.down.1 <= base.down.0 || killed_with(base, one))
                });
                assert!(around, "{inner} ran without {outer}: {one:?} beside {:?}", of(outer));
            }
        }
    }

    /// Every node shows the same configuration.
    fn configuration_is_equal(&self) {
        let cluster = &self.lab.cluster;
        let up: Vec<_> =
            NODES.into_iter().filter(|node| cluster.system.runs(&cluster.bed, node)).collect();
        let show = |node: &str| self.lab.haven(node, &["configure", "show"]).unwrap();
        let version = |node: &str| self.lab.json(node, &["status"])["configuration"].clone();
        self.lab.wait("the same configuration on all nodes", Duration::from_secs(10), |_| {
            up.iter().all(|node| version(node) == version(up[0]) && show(node) == show(up[0]))
        });
    }

    /// No service runs but those of active resources, and no agent.
    fn nothing_left_behind(&self) {
        let bed = &self.lab.cluster.bed;
        let all: BTreeSet<String> = self.journal().into_iter().map(|call| call.resource).collect();
        self.lab.wait("nothing left behind", Duration::from_secs(10), |_| {
            NODES.iter().all(|node| {
                let place = haven_lab::Place::Node((*node).to_owned());
                let inside = processes::of(&bed.topology().namespace(&place)).unwrap_or_default();
                let lines: Vec<_> = inside
                    .iter()
                    .filter_map(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok())
                    .map(command_line)
                    .collect();
                let services = lines.iter().filter(|line| line.contains("sleep 1000000")).count();
                let wanted = all.iter().filter(|r| self.runs(node, r)).count();
                let agents = lines.iter().any(|line| line.contains("resource.d/"));
                services == wanted && (!agents || self.monitoring())
            })
        });
    }

    /// Monitors run all the time: an agent that is seen is left behind only when nothing is monitored.
    fn monitoring(&self) -> bool {
        RESOURCES.iter().any(|resource| self.node_of(resource).is_some())
    }

    /// Each resource's times of activity, in order.
    fn activities(&self) -> BTreeMap<String, Vec<Activity>> {
        const NOT_YET: (u64, u64) = (u64::MAX, u64::MAX);
        let mut all: BTreeMap<String, Vec<Activity>> = BTreeMap::new();
        for call in self.journal() {
            if call.action == "killed" {
                let on_it = |a: &&mut Activity| a.node == call.node && a.down == NOT_YET;
                all.values_mut()
                    .flatten()
                    .filter(on_it)
                    .for_each(|a| a.down = (call.begin, call.end));
                continue;
            }
            let activities = all.entry(call.resource.clone()).or_default();
            let open = activities.iter_mut().find(|a| a.node == call.node && a.down == NOT_YET);
            match (call.action.as_str(), open) {
                ("start", None) => activities.push(Activity {
                    node: call.node,
                    up: (call.begin, call.end),
                    down: NOT_YET,
                }),
                ("stop", Some(open)) if call.code == 0 => open.down = (call.begin, call.end),
                _ => {}
            }
        }
        all
    }

    /// All calls, by their end.
    fn journal(&self) -> Vec<Noted> {
        let path = self.lab.cluster.bed.dir().join("journal");
        let mut calls = read(&path);
        calls.sort_by_key(|call| call.end);
        calls
    }
}

/// Both ended by the kill of their node.
fn killed_with(base: &Activity, one: &Activity) -> bool {
    base.down == one.down && base.down.0 == base.down.1
}

fn read(path: &Path) -> Vec<Noted> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let micros = |text: &str| -> Option<u64> {
        let (seconds, fraction) = text.split_once('.')?;
        Some(seconds.parse::<u64>().ok()? * 1_000_000 + fraction.parse::<u64>().ok()?)
    };
    let parse = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let [node, resource, action, code, begin, end] = words.as_slice() else { return None };
        Some(Noted {
            node: (*node).to_owned(),
            resource: (*resource).to_owned(),
            action: (*action).to_owned(),
            code: code.parse().ok()?,
            begin: micros(begin)?,
            end: micros(end)?,
        })
    };
    text.lines().filter_map(parse).collect()
}

fn command_line(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ")
}

fn is_service(pid: u32) -> bool {
    command_line(pid).contains("sleep 1000000")
}
