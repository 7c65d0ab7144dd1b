//! The text files of the tree.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders that hold no source of ours.
const SKIPPED: &[&str] = &["target", ".git", "node_modules", "corpus"];

/// A text file and its path from the root.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path from the root of the tree.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

impl Source {
    /// True for Rust code.
    #[must_use]
    pub fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "rs")
    }

    /// Numbered lines, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// From which line on the file is test code: line 1 for files that are tests throughout.
    #[must_use]
    pub fn tests_from(&self) -> Option<usize> {
        let is_test_file = self.path.components().any(|part| part.as_os_str() == "tests")
            || self.path.file_stem().is_some_and(|stem| {
                let stem = stem.to_string_lossy();
                stem == "tests" || stem.ends_with("_tests")
            });
        if is_test_file {
            return Some(1);
        }
        self.lines().find(|(_, line)| line.trim() == "#[cfg(test)]").map(|(number, _)| number)
    }
}

/// Reads every text file under `root` that a person writes, in the order of paths.
///
/// # Errors
/// When a folder or file cannot be read. Files that are not UTF-8 are left out.
pub fn read(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    walk(root, root, &mut sources)?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn walk(root: &Path, folder: &Path, into: &mut Vec<Source>) -> Result<()> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot list the folder {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().with_context(|| format!("cannot stat {}", path.display()))?;
        if SKIPPED.iter().any(|skipped| name == *skipped) || kind.is_symlink() {
            continue;
        }
        if kind.is_dir() {
            walk(root, &path, into)?;
        } else if name != "Cargo.lock" {
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot read {}", path.display()));
                }
            };
            if let Ok(text) = String::from_utf8(bytes) {
                let path = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
                into.push(Source { path, text });
            }
        }
    }
    Ok(())
}
