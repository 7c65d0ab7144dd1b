//! Developer commands: what `cargo xtask` runs, as functions that tests call, too.

pub mod check;
pub mod deny;
pub mod layout;
pub mod sources;
pub mod spec;
pub mod tidy;

use std::fmt;
use std::path::PathBuf;

/// One thing that is not as it should be, at a place in the tree.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Complaint {
    /// Path from the root of the tree.
    pub path: PathBuf,
    /// Line from 1; none when it concerns the whole file.
    pub line: Option<usize>,
    /// What was found, and what to do.
    pub text: String,
}

impl Complaint {
    /// A complaint about a whole file.
    pub fn file(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, text: text.into() }
    }

    /// A complaint about one line, counted from 1.
    pub fn line(path: impl Into<PathBuf>, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.into(), line: Some(line), text: text.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.text),
            None => write!(f, "{}: {}", self.path.display(), self.text),
        }
    }
}

/// The root of the tree that this program was built from.
#[must_use]
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}
