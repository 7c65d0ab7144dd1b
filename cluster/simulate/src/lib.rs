//! `haven simulate`: what the policy engine would do with a saved configuration and status.

use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use haven_base::WallTime;
use haven_cib::Cib;
use haven_policy::{Options, schedule};

/// Show what the cluster would do.
#[derive(Debug, Parser)]
#[command(name = "simulate", disable_version_flag = true)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Args {
    /// Configuration and status to look at.
    #[arg(short = 'x', long, value_name = "FILE")]
    pub xml_file: Option<PathBuf>,
    /// Write the transition graph here.
    #[arg(short = 'G', long, value_name = "FILE")]
    pub save_graph: Option<PathBuf>,
    /// Show placement scores.
    #[arg(short = 's', long)]
    pub show_scores: bool,
    /// Show capacity and its use.
    #[arg(short = 'U', long)]
    pub show_utilization: bool,
    /// Carry the transition out on paper and show what results.
    #[arg(short = 'S', long)]
    pub simulate: bool,
    /// Print less.
    #[arg(short = 'Q', long)]
    pub quiet: bool,
    /// Print the whole decision as JSON and nothing else.
    #[arg(long)]
    pub json: bool,
    /// Plan as if it were this time.
    #[arg(short = 't', long, value_name = "DATE")]
    pub set_datetime: Option<String>,
}

/// Runs the command; the exit code.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match try_run(args, out) {
        Ok(()) => 0,
        Err(text) => {
            drop(writeln!(err, "simulate: {text}"));
            1
        }
    }
}

fn try_run(args: &Args, out: &mut dyn Write) -> Result<(), String> {
    let file = args.xml_file.as_ref().ok_or("name a saved configuration with --xml-file")?;
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let (cib, status) = Cib::from_xml(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    let now = match &args.set_datetime {
        Some(t) => {
            haven_policy::parse_time(t).ok_or_else(|| format!("'{t}' is no ISO 8601 time"))?
        }
        None => status.recorded_at.map_or_else(clock, WallTime::from_seconds),
    };
    let options = Options {
        scores: args.show_scores,
        utilization: args.show_utilization,
        summary: !args.quiet,
        sanitized: true,
        ..Options::default()
    };
    let decision = schedule(&cib, &status, now, &options);
    if let Some(path) = &args.save_graph {
        std::fs::write(path, haven_policy::xml::to_xml(&decision.graph, 0))
            .map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let told = |e: std::io::Error| e.to_string();
    if args.json {
        let text = serde_json::to_string_pretty(&decision).map_err(|e| e.to_string())?;
        return writeln!(out, "{text}").map_err(told);
    }
    if !decision.summary.is_empty() {
        writeln!(out, "Transition Summary:").map_err(told)?;
        for line in &decision.summary {
            writeln!(out, "  * {line}").map_err(told)?;
        }
        writeln!(out).map_err(told)?;
    }
    for line in decision.scores.iter().chain(&decision.utilization) {
        writeln!(out, "{line}").map_err(told)?;
    }
    Ok(())
}

fn clock() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime::from_seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
