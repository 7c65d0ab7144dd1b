//! Rust files that no `mod` line reaches are dead.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::Complaint;
use crate::sources::Source;

pub(super) fn complaints(sources: &[Source]) -> Vec<Complaint> {
    let rust: Vec<&Source> = sources.iter().filter(|source| source.is_rust()).collect();
    let known: BTreeSet<&Path> = rust.iter().map(|source| source.path.as_path()).collect();
    let mut reached: BTreeSet<PathBuf> = BTreeSet::new();
    let mut open: Vec<PathBuf> =
        rust.iter().filter(|source| is_root(&source.path)).map(|s| s.path.clone()).collect();
    while let Some(path) = open.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let Some(source) = rust.iter().find(|source| source.path == path) else { continue };
        open.extend(children(source).into_iter().filter(|child| known.contains(child.as_path())));
    }
    rust.iter()
        .filter(|source| !reached.contains(&source.path))
        .map(|source| Complaint::file(&source.path, "no mod line reaches this file: it is dead"))
        .collect()
}

/// Files that Cargo compiles by their place: library, binaries, tests, benches, examples.
fn is_root(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    let Some((file, folders)) = parts.split_last() else { return false };
    match folders.last().map(AsRef::as_ref) {
        Some("src") => file == "lib.rs" || file == "main.rs",
        Some("bin" | "tests" | "benches" | "examples") => true,
        _ => file == "build.rs" || file == "main.rs",
    }
}

/// Files that the `mod` lines, `#[path]` attributes and `include!`s of `source` may mean.
fn children(source: &Source) -> Vec<PathBuf> {
    let here = source.path.parent().unwrap_or_else(|| Path::new("")).to_path_buf();
    let stem = source.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let below = match stem.as_deref() {
        Some("lib" | "main" | "mod") | None => here.clone(),
        Some(stem) => here.join(stem),
    };
    let mut found = Vec::new();
    for (_, line) in source.lines() {
        let line = line.trim();
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|l| l.split('"').next()) {
            found.push(normal(&here.join(path)));
            found.push(normal(&below.join(path)));
        }
        if let Some(path) = line.split("include!(\"").nth(1).and_then(|l| l.split('"').next()) {
            found.push(normal(&here.join(path)));
        }
        let declared = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod "));
        if let Some((visibility, name)) = declared
            && (visibility.is_empty() || visibility.starts_with("pub"))
        {
            for folder in [&below, &here] {
                found.push(folder.join(format!("{name}.rs")));
                found.push(folder.join(name).join("mod.rs"));
            }
        }
    }
    found
}

fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        if part == std::path::Component::ParentDir {
            out.pop();
        } else {
            out.push(part);
        }
    }
    out
}
