//! A big store, for rows that restart a daemon: the log is never cut, and filled with changes.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::error::LabError;
use crate::haven::{Haven, config_file};
use crate::wait;

/// Lines of comment that one change brings, of some hundred bytes each.
const LINES: u32 = 18_000;
const MIB: u64 = 1 << 20;

/// Makes the store of every node at least `mib` MiB big. Returns what the smallest holds then, in MiB.
///
/// # Errors
/// Those of files and of haven's commands; [`LabError::TimedOut`] where a store stays smaller.
pub fn fill(cluster: &mut Cluster, mib: u64) -> Result<u64, LabError> {
    let nodes: Vec<String> =
        cluster.bed.topology().workers().map(|node| node.name.clone()).collect();
    for node in &nodes {
        let path = config_file(&cluster.bed, node);
        let written = std::fs::read_to_string(&path).and_then(|text| {
            std::fs::write(&path, format!("{text}\n[store]\nlog_mib = {}\n", (mib * 2).min(1024)))
        });
        written.map_err(LabError::io(format!("rewrite {}", path.display())))?;
        cluster.restart(node)?;
        cluster.restore()?;
    }
    let bed = &cluster.bed;
    let smallest = || nodes.iter().map(|node| size(&bed.node_state(node).join("store"))).min();
    let path = bed.dir().join("filling.crm");
    let file = path.display().to_string();
    // Each change is in the log at its full length, and at least as long as its comments.
    for number in 0..=mib {
        if smallest() >= Some(mib * MIB) {
            break;
        }
        let mut text = bed.config().to_owned();
        for line in 0..LINES {
            let _ = writeln!(text, "# {number}, {line}: {:0>80}", "");
        }
        std::fs::write(&path, text).map_err(LabError::io(format!("write {file}")))?;
        Haven::run_patiently(bed, &nodes[0], &["configure", "load", &file])?;
    }
    if wait::until(Duration::from_secs(30), Duration::from_millis(100), || {
        smallest() >= Some(mib * MIB)
    }) {
        return Ok(smallest().unwrap_or_default() / MIB);
    }
    Err(LabError::TimedOut {
        what: format!("a store of {mib} MiB on every node"),
        seconds: 30,
        hint: format!("see the logs {}/*/daemon.log", bed.dir().display()),
    })
}

/// Bytes of the files in `dir`; files that vanish meanwhile count nothing.
fn size(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}
