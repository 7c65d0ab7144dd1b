//! Every pure crate carries the same `clippy.toml`, and none but `host` holds unsafe code.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Complaint;
use crate::layout::{Kind, ROOMS};
use crate::sources::Source;

/// What a pure crate's `clippy.toml` says.
pub(super) const TEMPLATE: &str = include_str!("../../clippy-pure.toml");

fn expected() -> impl Iterator<Item = PathBuf> {
    ROOMS
        .iter()
        .filter(|room| room.kind == Kind::Pure)
        .map(|room| Path::new(room.folder).join("clippy.toml"))
}

pub(super) fn complaints(sources: &[Source]) -> Vec<Complaint> {
    let mut found = Vec::new();
    let text_of = |path: &Path| {
        sources.iter().find(|source| source.path == path).map(|source| source.text.as_str())
    };
    for path in expected() {
        let present = path.with_file_name("Cargo.toml");
        if text_of(&present).is_some() && text_of(&path) != Some(TEMPLATE) {
            found.push(Complaint::file(
                path,
                "is not the file of pure crates: run `cargo xtask tidy --fix`",
            ));
        }
    }
    for source in sources.iter().filter(|source| source.path.ends_with("clippy.toml")) {
        if !expected().any(|path| path == source.path) {
            found.push(Complaint::file(
                &source.path,
                "only pure crates carry a clippy.toml (xtask/src/layout.rs)",
            ));
        }
    }
    let unsafe_word = concat!("allow(unsafe", "_code");
    for source in sources.iter().filter(|source| source.is_rust()) {
        for (number, line) in source.lines() {
            if line.contains(unsafe_word) && !source.path.starts_with("host") {
                found.push(Complaint::line(
                    &source.path,
                    number,
                    "unsafe code lives in host, nowhere else",
                ));
            }
        }
    }
    found
}

pub(super) fn write(root: &Path) -> Result<usize> {
    let mut changed = 0;
    for path in expected() {
        let file = root.join(&path);
        let folder = file.parent().unwrap_or(root);
        let same = fs::read_to_string(&file).is_ok_and(|text| text == TEMPLATE);
        if folder.join("Cargo.toml").exists() && !same {
            fs::write(&file, TEMPLATE)
                .with_context(|| format!("cannot write {}", file.display()))?;
            changed += 1;
        }
    }
    Ok(changed)
}
