//! Links of the programs that agents of others call: where they are, and how agents find them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use haven_children::environment::PATH;

/// Of whose tools agents ask, where that makes a difference to them.
const FEATURE_SET: &str = "3.19.0";

/// Where the links are, below a node's run directory.
fn folder(run: &Path) -> PathBuf {
    run.join("tools")
}

/// What agents find in their environment beside what the standard names: the links come first among
/// programs, and know the node by its configuration file.
pub(crate) fn environment(run: &Path, config: &Path) -> BTreeMap<String, String> {
    let folder = folder(run).display().to_string();
    let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    BTreeMap::from([
        ("PATH".to_owned(), format!("{folder}:{PATH}")),
        ("HA_SBIN_DIR".to_owned(), folder),
        ("HAVEN_CONFIG".to_owned(), config.display().to_string()),
        ("OCF_RESKEY_crm_feature_set".to_owned(), FEATURE_SET.to_owned()),
    ])
}

/// Makes a link of every tool to this program; links of an earlier program are replaced.
///
/// # Errors
/// What could not be made, in the operator's words.
pub(crate) fn link(run: &Path) -> Result<(), String> {
    let folder = folder(run);
    let failed = |what: &Path, error: io::Error| format!("cannot make {}: {error}", what.display());
    std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    let program = std::env::current_exe().map_err(|error| failed(&folder, error))?;
    // What was replaced while it ran goes by this name; the new one is where the old one was.
    let program = program.display().to_string();
    let program = program.strip_suffix(" (deleted)").unwrap_or(&program);
    for tool in haven_cli::TOOLS {
        let path = folder.join(tool);
        let made = match std::fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        made.and_then(|()| std::os::unix::fs::symlink(program, &path))
            .map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn agents_find_the_links_before_any_other_program() {
        let run = std::env::temp_dir().join(format!("haven-tools-{}", std::process::id()));
        link(&run).unwrap();
        link(&run).unwrap();
        let environment = environment(&run, Path::new("haven.toml"));
        let first = environment["PATH"].split(':').next().unwrap();
        assert_eq!(first, environment["HA_SBIN_DIR"]);
        assert!(Path::new(&environment["HAVEN_CONFIG"]).is_absolute());
        for tool in haven_cli::TOOLS {
            let leads = std::fs::read_link(Path::new(first).join(tool)).unwrap();
            assert_eq!(leads, std::env::current_exe().unwrap());
        }
        std::fs::remove_dir_all(run).unwrap();
    }
}
