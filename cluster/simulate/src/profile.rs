//! How long decisions take, for all saved configurations of a folder.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use haven_policy::{Options, schedule};

use crate::Args;
use crate::input;
use crate::run::When;
use crate::text::Text;

/// Decides for each XML file of a folder, as often as asked for, and prints the seconds taken.
pub(crate) fn run(args: &Args, folder: &Path, out: &mut dyn Write) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("cannot read {}: {e}", folder.display());
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    let hidden = |p: &Path| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
    files.retain(|p| p.is_file() && p.extension().is_some_and(|e| e == "xml") && !hidden(p));
    files.sort();
    let mut text = Text::new(out, true);
    text.open("Timings");
    for file in files {
        match timed(args, &file) {
            Ok(seconds) => text.item(&format!("Testing {} ... {seconds:.2} secs", file.display())),
            Err(why) => text.item(&format!("Testing {} ... {why}", file.display())),
        }
    }
    text.close();
    text.finish().map_err(|e| format!("cannot write the report: {e}"))
}

fn timed(args: &Args, file: &Path) -> Result<f64, String> {
    let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
    let start = Instant::now();
    let (cib, status) = input::document(&text, args.lenient).map_err(|e| e.to_string())?;
    let now = When::of(args, status.recorded_at)?.now;
    let options = Options {
        scores: args.show_scores,
        utilization: args.show_utilization,
        sanitized: true,
        ..Options::default()
    };
    for _ in 0..args.repeat {
        drop(schedule(&cib, &status, now, &options));
    }
    Ok(start.elapsed().as_secs_f64())
}
