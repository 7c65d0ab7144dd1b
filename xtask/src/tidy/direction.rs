//! Imports between crates go one way, as [`crate::layout`] draws it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::Complaint;
use crate::layout::{self, Kind};
use crate::sources::Source;

const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn complaints(sources: &[Source]) -> Result<Vec<Complaint>> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.path.ends_with("Cargo.toml")) {
        let manifest: toml::Table = source
            .text
            .parse()
            .with_context(|| format!("{} is not TOML", source.path.display()))?;
        found.extend(judge(&source.path, &manifest));
    }
    Ok(found)
}

fn judge(path: &Path, manifest: &toml::Table) -> Vec<Complaint> {
    let complain = |text: String| Complaint::file(path, text);
    let Some(name) = manifest.get("package").and_then(|p| p.get("name")).and_then(|n| n.as_str())
    else {
        return Vec::new();
    };
    let Some(room) = layout::find(name) else {
        return vec![complain(format!(
            "package {name} is not in xtask/src/layout.rs: say there what it is and whom it may import"
        ))];
    };
    let mut found = Vec::new();
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    if folder != Path::new(room.folder) {
        found.push(complain(format!("package {name} belongs in the folder {:?}", room.folder)));
    }
    let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    if inherits.and_then(toml::Value::as_bool) != Some(true) {
        found.push(complain("does not inherit the lints: add [lints] workspace = true".into()));
    }
    for table in TABLES {
        let Some(dependencies) = manifest.get(table).and_then(|t| t.as_table()) else { continue };
        for (dependency, how) in dependencies {
            let from_workspace = how.get("workspace").and_then(toml::Value::as_bool);
            if from_workspace != Some(true) {
                found.push(complain(format!(
                    "{dependency} is declared here: declare it once, in [workspace.dependencies]"
                )));
            }
            if table != "dev-dependencies" {
                found.extend(forbidden(room, dependency).map(complain));
            }
        }
    }
    found
}

fn forbidden(room: &layout::Room, dependency: &str) -> Option<String> {
    if room.kind == Kind::Bench {
        return None;
    }
    let ours = layout::find(dependency).is_some();
    if ours && !room.may_import.contains(&dependency) {
        return Some(format!(
            "{} may not import {dependency}: arrows go one way (xtask/src/layout.rs)",
            room.package
        ));
    }
    if room.kind == Kind::Pure && layout::NOT_IN_PURE.contains(&dependency) {
        return Some(format!(
            "{} is pure and may not use {dependency}, which reaches the system",
            room.package
        ));
    }
    None
}
