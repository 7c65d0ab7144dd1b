//! Everything that must hold before a change is taken: it reads and never mutates.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{Complaint, deny, sources, spec, tidy};

/// How a step ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing to complain about.
    Passed,
    /// The text says what is wrong.
    Failed(String),
}

/// Runs every step, prints each result, and returns the names of those that failed.
///
/// # Errors
/// When a step could not be run at all.
pub fn run(root: &Path, say: &mut dyn FnMut(&str)) -> Result<Vec<&'static str>> {
    type Step = (&'static str, fn(&Path) -> Result<Outcome>);
    let steps: [Step; 6] = [
        ("fmt", |root| cargo(root, &["fmt", "--all", "--check"], &[])),
        ("tidy", |root| Ok(judge(&tidy::tidy(root)?))),
        ("spec", |root| Ok(judge(&spec::table(&sources::read(root)?).complaints))),
        ("deny", licences),
        ("clippy", |root| {
            let args =
                ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
            cargo(root, &args, &[])
        }),
        ("doc", |root| {
            let args = ["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"];
            cargo(root, &args, &[("RUSTDOCFLAGS", "-D warnings")])
        }),
    ];
    let mut failed = Vec::new();
    for (name, step) in steps {
        let start = Instant::now();
        let outcome = step(root).with_context(|| format!("the step {name} could not be run"))?;
        let seconds = start.elapsed().as_secs_f32();
        match outcome {
            Outcome::Passed => say(&format!("{name:<7} passed  {seconds:>6.1} s")),
            Outcome::Failed(text) => {
                say(&format!("{name:<7} FAILED  {seconds:>6.1} s\n{}", text.trim_end()));
                failed.push(name);
            }
        }
    }
    Ok(failed)
}

fn judge(complaints: &[Complaint]) -> Outcome {
    if complaints.is_empty() {
        return Outcome::Passed;
    }
    Outcome::Failed(complaints.iter().map(|complaint| format!("{complaint}\n")).collect())
}

fn licences(root: &Path) -> Result<Outcome> {
    let installed = Command::new("cargo-deny")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if installed {
        cargo(root, &["deny", "--all-features", "check", "bans", "licenses", "sources"], &[])
    } else {
        Ok(judge(&deny::check(root)?))
    }
}

fn cargo(root: &Path, args: &[&str], environment: &[(&str, &str)]) -> Result<Outcome> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(args)
        .envs(environment.iter().copied())
        .current_dir(root)
        .output()
        .with_context(|| format!("cannot run cargo {}", args.join(" ")))?;
    if output.status.success() {
        return Ok(Outcome::Passed);
    }
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(Outcome::Failed(format!("{out}{err}")))
}
