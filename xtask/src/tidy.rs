//! What no compiler checks: import direction, purity, size, leftovers, dead files, broken promises, unexplained messages.

mod codes;
mod direction;
mod modules;
mod promises;
mod purity;
mod text;

use std::path::Path;

use anyhow::Result;

use crate::{Complaint, sources};

/// Everything that is untidy under `root`, in the order of paths.
///
/// # Errors
/// When the tree cannot be read or a manifest is not TOML.
pub fn tidy(root: &Path) -> Result<Vec<Complaint>> {
    let sources = sources::read(root)?;
    let mut complaints = direction::complaints(&sources)?;
    complaints.extend(purity::complaints(&sources));
    complaints.extend(modules::complaints(&sources));
    complaints.extend(text::complaints(&sources));
    complaints.extend(promises::complaints(&sources));
    complaints.extend(codes::complaints(&sources));
    complaints.sort();
    Ok(complaints)
}

/// Writes the `clippy.toml` of every pure crate from the template; returns how many changed.
///
/// # Errors
/// When a file cannot be written.
pub fn fix(root: &Path) -> Result<usize> {
    purity::write(root)
}
