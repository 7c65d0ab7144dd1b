//! From options to files, report and exit code.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use haven_base::WallTime;
use haven_policy::Decision;
use serde_json::{Value, json};

use crate::execute::Line;
use crate::input::{self, Live, Snapshot};
use crate::session::{Session, simulate};
use crate::text::{Sections, Text};
use crate::{Args, dot, profile, time};

/// Runs the command for a file; the exit code.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    run_with(args, None, out, err)
}

/// Runs the command; `live` asks the running cluster. The exit code.
pub fn run_with(
    args: &Args,
    live: Option<Live<'_>>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let result = match &args.output_to {
        None => try_run(args, live, out, err),
        Some(path) => std::fs::File::create(path)
            .map_err(|e| format!("cannot write {}: {e}", path.display()))
            .and_then(|mut file| try_run(args, live, &mut file, err)),
    };
    match result {
        Ok(code) => code,
        Err(text) => {
            // There is nobody to tell when this fails, too.
            drop(writeln!(err, "simulate: {text}"));
            1
        }
    }
}

fn try_run(
    args: &Args,
    live: Option<Live<'_>>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, String> {
    if let Some(folder) = &args.profile {
        return profile::run(args, folder, out).map(|()| 0);
    }
    let read = input::read(args, live)?;
    if read.cib.validate_with.as_deref() == Some("none") {
        drop(writeln!(err, "{UNVALIDATED}"));
    }
    let when = When::of(args, read.status.recorded_at)?;
    let session = simulate(args, read, when.now);
    for text in session.errors() {
        drop(writeln!(err, "{text}"));
    }
    for text in save(args, &session)? {
        drop(writeln!(err, "{text}"));
    }
    let written = if args.json {
        let text = serde_json::to_string_pretty(&session.json()).map_err(|e| e.to_string())?;
        writeln!(out, "{text}")
    } else {
        report(args, &session, &when, out)
    };
    written.map_err(|e| format!("cannot write the report: {e}"))?;
    let failed = session.execution.as_ref().is_some_and(|e| !e.complete);
    // The program ends: what is left needs no tidying.
    std::mem::forget(session);
    Ok(u8::from(failed))
}

/// Said of documents that ask for no validation.
const UNVALIDATED: &str = "Schema validation of configuration is disabled (support for validate-with set \
                           to \"none\" is deprecated and will be removed in a future release)";

/// The time everything is decided for, and what is said of it.
pub(crate) struct When {
    pub(crate) now: WallTime,
    said: Option<String>,
}

impl When {
    pub(crate) fn of(args: &Args, recorded: Option<i64>) -> Result<Self, String> {
        if let Some(text) = &args.set_datetime {
            let now = haven_policy::parse_time(text)
                .ok_or_else(|| format!("cannot use '{text}' as the time: it is not ISO 8601"))?;
            return Ok(Self { now, said: Some(format!("Setting effective cluster time: {text}")) });
        }
        Ok(match recorded.filter(|t| *t != 0) {
            Some(t) => Self {
                now: WallTime::from_seconds(t),
                said: Some(format!("Using the original execution date of: {}", time::utc(t))),
            },
            None => Self { now: clock(), said: None },
        })
    }
}

fn clock() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime::from_seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

impl Session {
    fn errors(&self) -> Vec<String> {
        let mut list = Vec::new();
        list.extend(self.modifications.iter().flat_map(|m| m.errors.clone()));
        if let Some(e) = &self.execution {
            list.extend(e.errors.clone());
            if !e.complete {
                list.push("Transition failed: terminated".to_owned());
                list.push("An invalid transition was produced".to_owned());
            }
        }
        list
    }

    fn json(&self) -> Value {
        let lines = |list: &[Line]| -> Vec<String> {
            let text = |l: &Line| match l {
                Line::Item(t) | Line::Remark(t) => t.clone(),
            };
            list.iter().map(text).collect()
        };
        let mut all = self.decision.as_ref().map_or_else(|| json!({}), |d: &Decision| json!(d));
        all["before"] = json!(self.before);
        if let Some(m) = &self.modifications {
            all["modifications"] = json!(lines(&m.lines));
        }
        if let Some(e) = &self.execution {
            all["executed"] = json!(lines(&e.lines));
            all["complete"] = json!(e.complete);
        }
        if let Some(a) = &self.after {
            all["after"] = json!(a);
        }
        all
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// Writes the files that were asked for; what is to be said about it.
fn save(args: &Args, session: &Session) -> Result<Vec<String>, String> {
    let input = &session.input;
    let mut said = Vec::new();
    let mut document = |path: &Path, snapshot: &Snapshot| {
        let mut snapshot = snapshot.clone();
        // From here a configuration leaves the cluster; what is read from a file stays as it is.
        let leases = if args.live_check { snapshot.without_leases() } else { 0 };
        if leases > 0 {
            said.push(format!(
                "{}: requires=lease is written as requires=quorum in {leases} places, since \
                 Pacemaker knows no leases",
                path.display()
            ));
        }
        write(path, &snapshot.cib.to_xml_with(&snapshot.status))
    };
    if let Some(path) = &args.save_input {
        document(path, input)?;
    }
    if let Some(decision) = &session.decision {
        if let Some(path) = &args.save_graph {
            std::fs::File::create(path)
                .and_then(|mut file| haven_policy::xml::write_xml(&decision.graph, 0, &mut file))
                .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        }
        if let Some(path) = &args.save_dotfile {
            write(path, &dot::digraph(decision, args.all_actions, args.verbose > 0))?;
        }
    }
    let output = session.output.as_ref().unwrap_or(input);
    if let Some(path) = &args.save_output {
        document(path, output)?;
    }
    if args.in_place
        && let Some(path) = args.xml_file.as_deref().filter(|p| *p != Path::new("-"))
    {
        document(path, output)?;
    }
    Ok(said)
}

/// Prints the report.
fn report(args: &Args, session: &Session, when: &When, out: &mut dyn Write) -> std::io::Result<()> {
    let mut text = Text::new(out, !(args.show_scores && args.quiet));
    let date = |text: &mut Text<'_>| {
        if let Some(said) = when.said.as_ref().filter(|_| !args.quiet) {
            text.remark(said);
        }
    };
    let sections =
        Sections { pending: true, attributes: args.show_attrs, failures: args.show_failcounts };
    date(&mut text);
    let mut begun = false;
    if !args.quiet {
        begun = overview(session, &mut text);
        if begun {
            text.space();
        }
        text.state("Current cluster status", &session.before, sections);
        begun = true;
    }
    if let Some(m) = &session.modifications {
        if !args.quiet {
            text.space();
            text.open("Performing Requested Modifications");
            text.lines(&m.lines);
            text.close();
        }
        date(&mut text);
        begun = true;
    }
    let Some(decision) = &session.decision else { return text.finish() };
    begun |= placements(args, decision, begun, &mut text);
    if !args.quiet {
        if begun {
            text.space();
        }
        text.open("Transition Summary");
        decision.summary.iter().for_each(|line| text.item(line));
        text.close();
    }
    if let Some(execution) = &session.execution {
        if begun {
            text.space();
        }
        if args.quiet {
            return text.finish();
        }
        text.open("Executing Cluster Transition");
        text.lines(&execution.lines);
        text.close();
        date(&mut text);
        if let Some(after) = &session.after {
            text.space();
            text.state("Revised Cluster Status", after, Sections { pending: false, ..sections });
        }
    }
    text.finish()
}

/// Warnings before everything else; whether there was one.
fn overview(session: &Session, text: &mut Text<'_>) -> bool {
    let state = &session.before;
    let mut begun = false;
    if state.maintenance {
        text.space();
        text.remark("              *** Resource management is DISABLED ***");
        text.remark("  The cluster will not attempt to start, stop or recover services");
        begun = true;
    }
    if state.disabled > 0 || state.blocked > 0 {
        if begun {
            text.space();
        }
        text.remark(&format!(
            "{} of {} resource instances DISABLED and {} BLOCKED from further action due to failure",
            state.disabled, state.instances, state.blocked
        ));
        begun = true;
    }
    begun
}

/// Scores and capacities; whether they were asked for.
fn placements(args: &Args, decision: &Decision, begun: bool, text: &mut Text<'_>) -> bool {
    let heading = match (args.show_scores, args.show_utilization) {
        (true, true) => "Assignment Scores and Utilization Information",
        (true, false) => "Assignment Scores",
        (false, true) => "Utilization Information",
        (false, false) => return false,
    };
    if begun {
        text.space();
    }
    text.open(heading);
    if !args.quiet {
        decision.remarks.iter().for_each(|line| text.remark(line));
    }
    let lines = if args.show_scores { &decision.scores } else { &decision.utilization };
    lines.iter().for_each(|line| text.item(line));
    text.close();
    true
}
