//! Agents that lie, hang, flood, multiply and slip away, in a cluster of three: nothing beyond their own
//! resource is concerned, and whoever looks is told what happened and what to do.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haven_lab::{Bed, Family, MeasureOptions, Measuring, Place, processes};
use haven_netns_tests::{Lab, assert_one_owner, lab_with};

const PATIENCE: Duration = Duration::from_secs(60);
/// Starts and moves beside all of it.
const PROMPT: Duration = Duration::from_secs(5);
const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// What it does is its parameter `mode`; what slips away notes its number.
const AGENT: &str = r#"#!/bin/bash
mode=$OCF_RESKEY_mode
run=$HA_VARRUN/hostile-$OCF_RESOURCE_INSTANCE
hang() { trap '' TERM INT HUP; while :; do sleep 1000; done; }
case $mode:$1 in
*:meta-data)
    printf '<resource-agent name="Hostile"><version>1.1</version><parameters>'
    printf '<parameter name="mode"/></parameters><actions/></resource-agent>'
    exit 0 ;;
everywhere:*) exit 0 ;;
eight:monitor) [ -e "$run" ] || exit 7; exit 8 ;;
flood:monitor)
    [ -e "$run" ] || exit 7
    head -c 10000000 /dev/zero | tr '\0' 'x' | tee /dev/stderr
    exit 0 ;;
*:monitor) [ -e "$run" ] || exit 7; exit 0 ;;
stuck:stop) exit 1 ;;
*:stop) rm -f "$run"; exit 0 ;;
codes:start) exit 211 ;;
hang:start) hang ;;
slip:start)
    # Another session, another user, another name, nothing in the environment, deaf to what ends others.
    env -i setsid setpriv --reuid=65534 --clear-groups bash -c 'trap "" TERM INT HUP
        (trap "" TERM INT HUP; exec -a innocent sleep 1000000) & echo $! $$; wait' >"$run.pids" &
    hang ;;
bomb:start)
    for _ in {1..30}; do
        setsid bash -c 'trap "" TERM; while :; do sleep 0.2 & disown; sleep 0.2; done' &
    done
    hang ;;
pipes:start)
    exec 1>&- 2>&-
    echo nobody hears this; ls /nowhere >&2
    touch "$run"; exit 0 ;;
parent:start) kill -9 $PPID; hang ;;
*:start) touch "$run"; exit 0 ;;
esac
exit 3
"#;

/// Works, but has no useful word about itself: none at all, or five megabytes of something else.
const MUTE: &str = "#!/bin/bash\n[ \"$1\" = meta-data ] && exec sleep 1000000\n";
const BABBLE: &str = "#!/bin/bash
[ \"$1\" = meta-data ] && { head -c 5000000 /dev/zero | tr '\\0' '<'; exit 0; }\n";
const WORKS: &str = "run=$HA_VARRUN/hostile-$OCF_RESOURCE_INSTANCE
case $1 in
start) touch \"$run\" ;;
stop) rm -f \"$run\" ;;
monitor) [ -e \"$run\" ] || exit 7 ;;
esac\n";

fn install(bed: &Bed) {
    let dir = haven_lab::haven::ocf_root(bed).join("resource.d/lab");
    std::fs::create_dir_all(&dir).unwrap();
    let agents = [
        ("Hostile", AGENT.to_owned()),
        ("Mute", format!("{MUTE}{WORKS}")),
        ("Babble", format!("{BABBLE}{WORKS}")),
    ];
    for (name, text) in agents {
        std::fs::write(dir.join(name), text).unwrap();
        std::fs::set_permissions(dir.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
}

fn load(lab: &Lab, text: &str) {
    let file = lab.cluster.bed.dir().join("hostile.crm");
    std::fs::write(&file, text).unwrap();
    lab.haven("n1", &["configure", "load", &file.display().to_string()]).unwrap();
}

fn note(lab: &Lab, node: &str, file: &str) -> PathBuf {
    lab.cluster.bed.node_dir(node).join(file)
}

fn runs(lab: &Lab, file: &str) -> Vec<&'static str> {
    NODES.into_iter().filter(|node| note(lab, node, file).exists()).collect()
}

fn count(lab: &Lab, node: &str, name: &str) -> u64 {
    lab.json(node, &["node", "counters"])[name].as_u64().unwrap_or_default()
}

/// What an operator reads, blanks and breaks of lines made one.
fn failures(lab: &Lab, id: &str) -> String {
    let text = lab.haven("n2", &["resource", "failures", id]).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every process that lives in a node.
fn inside(lab: &Lab, node: &str) -> BTreeSet<i32> {
    let name = lab.cluster.bed.topology().namespace(&Place::Node(node.to_owned()));
    processes::of(&name).unwrap().iter().map(|pid| pid.as_raw_nonzero().get()).collect()
}

/// What everything else is judged by: two healthy resources, the address, the daemons.
struct Healthy {
    node: &'static str,
    processes: Vec<BTreeSet<i32>>,
    watched: u64,
}

const WATCHES: &str = "operation_good_monitor_200_count";
const GOOD: &str = "run/Dummy-good.state";

impl Healthy {
    fn begin(lab: &Lab) -> Self {
        load(
            lab,
            "property stonith-enabled=false
primitive good ocf:haven:Dummy op monitor interval=200ms meta resource-stickiness=100\n",
        );
        lab.wait("the start of good", PATIENCE, |lab| runs(lab, GOOD).len() == 1);
        let node = runs(lab, GOOD)[0];
        Self {
            node,
            processes: NODES.iter().map(|node| inside(lab, node)).collect(),
            watched: count(lab, node, WATCHES),
        }
    }

    fn unharmed(&self, lab: &Lab) {
        let watched = count(lab, self.node, WATCHES);
        lab.wait("the watching of the good one", PATIENCE, |lab| {
            count(lab, self.node, WATCHES) >= watched + 10
        });
        assert!(watched > self.watched);
        for id in ["good", "late", "vip"] {
            assert_eq!(failures(lab, id), "no failures are counted", "{id}");
        }
        assert_eq!(runs(lab, GOOD), [self.node], "it was moved");
    }
}

fn configuration() -> String {
    let hostile = |mode: &str, more: &str| {
        format!("primitive {mode} ocf:lab:Hostile params mode={mode} {more}\n")
    };
    [
        hostile("codes", ""),
        hostile("everywhere", "op monitor interval=1s"),
        hostile("eight", "op monitor interval=500ms meta migration-threshold=2"),
        hostile("hang", "op start timeout=2s interval=0"),
        hostile("slip", "op start timeout=2s interval=0"),
        hostile("bomb", "op start timeout=2s interval=0"),
        hostile("parent", "op start timeout=2s interval=0"),
        hostile("flood", "op monitor interval=1s timeout=15s"),
        hostile("pipes", "op monitor interval=1s"),
        hostile("stuck", "op monitor interval=1s"),
        "primitive mute ocf:lab:Mute\nprimitive babble ocf:lab:Babble\n".to_owned(),
        "primitive late ocf:haven:Dummy op monitor interval=200ms\n".to_owned(),
    ]
    .concat()
}

#[test]
#[ignore = "long: one more whole cluster, run by ./dev test --all"]
fn hostile_agents_concern_nothing_beyond_their_own_resource() {
    let Some(lab) = lab_with("h-host", 3, false, Family::V4, install) else { return };
    let healthy = Healthy::begin(&lab);
    let vip = lab.cluster.bed.topology().vips()[0];
    let measuring = Measuring::start(&lab.cluster.bed, vip, MeasureOptions::default()).unwrap();
    load(&lab, &configuration());
    lab.wait("a start beside all of them", PROMPT, |lab| {
        !runs(lab, "run/Dummy-late.state").is_empty()
    });
    let owner = |lab: &Lab| lab.haven("n2", &["resource", "locate", "vip"]).unwrap_or_default();
    let other = if owner(&lab).contains("n1") { "n2" } else { "n1" };
    lab.haven("n2", &["resource", "move", "vip", other]).unwrap();
    assert!(owner(&lab).contains(other), "moved beside all of them: {}", owner(&lab));
    for id in ["pipes", "mute", "babble", "flood", "stuck"] {
        let file = format!("agents/hostile-{id}");
        lab.wait(&format!("{id}, which only looks odd"), PATIENCE, |lab| {
            runs(lab, &file).len() == 1
        });
    }
    let said = [
        ("codes", "start", "code 211: no result that OCF knows"),
        ("eight", "monitor every 500 ms", "! code 3"),
        ("hang", "start", "the agent did not answer within the timeout"),
        ("slip", "start", "the agent did not answer within the timeout"),
        ("bomb", "start", "the agent did not answer within the timeout"),
        ("parent", "start", "ended by signal 9"),
    ];
    for (id, operation, words) in said {
        lab.wait(&format!("the failure of {id}"), PATIENCE, |lab| {
            let text = failures(lab, id);
            text.contains(operation) && text.contains(words)
        });
        assert!(failures(&lab, id).contains(&format!("haven resource cleanup {id}")), "a remedy");
    }
    drop(lab.haven("n2", &["resource", "stop", "stuck", "--no-wait"]));
    lab.wait("the failed stop", PATIENCE, |lab| failures(lab, "stuck").contains("stop INFINITY"));
    lab.wait("the flood", PATIENCE, |lab| {
        NODES.iter().any(|node| count(lab, node, "operation_flood_monitor_1000_count") >= 3)
    });
    healthy.unharmed(&lab);
    let report = measuring.finish().unwrap();
    assert_one_owner(&report);
    // Milliseconds; a machine that compiles beside it may stand still for longer than a lease.
    assert!(report.probes.outage <= Duration::from_secs(2), "{}", report.table());
    nothing_is_left(&lab, &healthy);
}

/// Whatever slipped away went with the call that was given up.
fn nothing_is_left(lab: &Lab, healthy: &Healthy) {
    let mut slipped = 0;
    for node in NODES {
        let text = std::fs::read_to_string(note(lab, node, "agents/hostile-slip.pids"));
        for pid in text.unwrap_or_default().split_whitespace() {
            let process = Path::new("/proc").join(pid);
            lab.wait("the end of what slipped away", PATIENCE, |_| !process.exists());
            slipped += 1;
        }
    }
    assert!(slipped >= 2, "nothing slipped away");
    lab.haven("n2", &["resource", "stop", "flood"]).unwrap();
    for id in ["everywhere", "pipes"] {
        lab.haven("n2", &["resource", "stop", id]).unwrap();
    }
    lab.wait("no process but the daemons", PATIENCE, |lab| {
        NODES.iter().zip(&healthy.processes).all(|(node, before)| inside(lab, node) == *before)
    });
}
