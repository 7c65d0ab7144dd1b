//! An agent that notes when each of its calls began and ended, and what that says of its engine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::LabError;
use crate::{namespace, wait};

/// Its service is a process. Notes are lines `ACTION CODE BEGIN END`, in seconds since 1970.
const AGENT: &str = r#"#!/bin/bash
begin=$EPOCHREALTIME
notes=$OCF_RESKEY_notes
code=0
case $1 in
start)
    setsid sleep 1000000 </dev/null >/dev/null 2>&1 &
    echo $! >"$notes.pid" ;;
stop)
    [ -e "$notes.pid" ] && kill -9 "$(<"$notes.pid")" 2>/dev/null
    rm -f "$notes.pid" ;;
monitor)
    { [ -e "$notes.pid" ] && kill -0 "$(<"$notes.pid")" 2>/dev/null; } || code=7 ;;
meta-data)
    cat <<EOF
<?xml version="1.0"?>
<resource-agent name="Timed" version="1.0"><version>1.1</version>
<longdesc lang="en">Notes when its calls begin and end.</longdesc><shortdesc lang="en">Notes its calls</shortdesc>
<parameters><parameter name="notes" required="1"><longdesc lang="en">File</longdesc>
<shortdesc lang="en">File</shortdesc><content type="string"/></parameter></parameters>
<actions><action name="start" timeout="20s"/><action name="stop" timeout="20s"/>
<action name="monitor" timeout="20s" interval="10s"/><action name="meta-data" timeout="5s"/></actions>
</resource-agent>
EOF
    exit 0 ;;
*) exit 3 ;;
esac
echo "$1 $code $begin $EPOCHREALTIME" >>"$notes"
exit $code
"#;

/// Installs it as `ocf:lab:Timed` below an `OCF_ROOT`.
///
/// # Errors
/// [`LabError::Io`]
pub fn install(root: &Path) -> Result<(), LabError> {
    let dir = root.join("resource.d/lab");
    let file = dir.join("Timed");
    std::fs::create_dir_all(&dir)
        .and_then(|()| std::fs::write(&file, AGENT))
        .and_then(|()| std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)))
        .map_err(LabError::io(format!("install {}", file.display())))
}

/// Copies this host's agents to another `OCF_ROOT`.
///
/// # Errors
/// Those of the command.
pub fn copy_agents(root: &Path) -> Result<(), LabError> {
    let mut command = Command::new("cp");
    command.args(["-a", "/usr/lib/ocf"]).arg(root);
    namespace::run(&mut command, "", "the host").map(drop)
}

/// One call as the agent noted it; instants in microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Noted {
    action: String,
    code: i32,
    begin: u64,
    end: u64,
}

fn micros(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once(['.', ','])?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + fraction.parse::<u64>().ok()?)
}

fn read(notes: &Path) -> Vec<Noted> {
    let text = std::fs::read_to_string(notes).unwrap_or_default();
    let parse = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let [action, code, begin, end] = words.as_slice() else { return None };
        Some(Noted {
            action: (*action).to_owned(),
            code: code.parse().ok()?,
            begin: micros(begin)?,
            end: micros(end)?,
        })
    };
    text.lines().filter_map(parse).collect()
}

/// The time between the calls of a recovery: monitor that failed, stop, start.
fn between(calls: &[Noted]) -> Option<Duration> {
    let at = |action: &str, after: u64| {
        calls.iter().find(|call| call.action == action && call.begin >= after)
    };
    let failed = calls.iter().find(|call| call.action == "monitor" && call.code == 7)?;
    let stop = at("stop", failed.end)?;
    let start = at("start", stop.end)?;
    Some(Duration::from_micros((stop.begin - failed.end) + (start.begin - stop.end)))
}

/// Kills the service `failures` times, each time once it runs and was monitored. What was between the
/// agent's calls in each recovery.
///
/// # Errors
/// [`LabError::TimedOut`] where one takes longer than `limit`.
pub fn fail(notes: &Path, failures: u32, limit: Duration) -> Result<Vec<Duration>, LabError> {
    let late = |what: &str| LabError::TimedOut {
        what: what.to_owned(),
        seconds: limit.as_secs(),
        hint: format!("see {}", notes.display()),
    };
    let step = Duration::from_millis(5);
    let mut gaps = Vec::new();
    let mut seen = 0;
    for _ in 0..failures {
        let watched = |calls: &[Noted]| {
            let start = calls.iter().rposition(|c| c.action == "start" && c.code == 0);
            start.is_some_and(|at| calls[at..].iter().any(|c| c.action == "monitor" && c.code == 0))
        };
        let running = || read(notes).get(seen..).is_some_and(watched);
        if !wait::until(limit, step, running) {
            return Err(late("a started and monitored service"));
        }
        seen = read(notes).len();
        let text = std::fs::read_to_string(notes.with_extension("pid")).unwrap_or_default();
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        let Some(pid) = pid else { return Err(late("the service's process id")) };
        kill_process(pid, Signal::KILL).map_err(|e| LabError::io("kill the service")(e.into()))?;
        let mut gap = None;
        let recovered = || {
            gap = read(notes).get(seen..).and_then(between);
            gap.is_some()
        };
        if !wait::until(limit, step, recovered) {
            return Err(late("the recovery of the service"));
        }
        gaps.extend(gap);
    }
    Ok(gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_calls_counts() {
        let call =
            |action: &str, code, begin, end| Noted { action: action.to_owned(), code, begin, end };
        let mut calls = vec![
            call("monitor", 0, 100, 110),
            call("monitor", 7, 300, 310),
            call("stop", 0, 312, 400),
        ];
        assert_eq!(between(&calls), None, "not over yet");
        calls.push(call("start", 0, 405, 900));
        assert_eq!(between(&calls), Some(Duration::from_micros(2 + 5)));
        assert_eq!(micros("12.000345"), Some(12_000_345));
    }
}
