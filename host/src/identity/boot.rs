//! Boot ids: one for every life of the daemon, always increasing.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files::{FileError, read_secret, remove_durable, write_secret};

const FILE: &str = "boot";
/// Beside it until the first life begins.
const MARK: &str = "first-life";

/// Why there is no boot id.
#[derive(Debug, thiserror::Error)]
pub enum BootIdError {
    /// The file could not be read or written.
    #[error("cannot raise the boot id, and without that no frame may leave")]
    File(#[source] FileError),
    /// The file holds something else.
    #[error("cannot raise the boot id: {} holds {found:?}, not a number; set this host's clock right, then remove the file: the boot id begins anew from the clock, and for some seconds this node promises no lease", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Its first characters.
        found: String,
    },
}

/// Raises the boot id kept in `state` and returns it once it is on the disk. Call it once per process,
/// before the first frame.
///
/// It is the larger of the id before plus one and the milliseconds since 1970. So it increases when the
/// clock goes back, and (with a sound clock) also when the directory was restored from a backup.
///
/// # Errors
/// [`BootIdError`].
pub fn next_boot_id(state: &Path) -> Result<u64, BootIdError> {
    let clock = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
    raise(&state.join(FILE), clock)
}

/// The boot id of the latest process that had one; none where none ever had.
///
/// # Errors
/// [`BootIdError`].
pub fn last_boot_id(state: &Path) -> Result<Option<u64>, BootIdError> {
    last(&state.join(FILE))
}

/// Notes in `state` that no process of the node ever ran, for [`take_first_life`]. For those who make a node.
///
/// # Errors
/// [`FileError`].
pub fn mark_first_life(state: &Path) -> Result<(), FileError> {
    write_secret(&state.join(MARK), b"no daemon of this node has run yet\n")
}

/// Whether no process of the node ever had a boot id. Only for a node that was [marked](mark_first_life) when it was made,
/// and once: the mark is gone from the disk when this returns. So a boot id that was lost makes no first life. Call it
/// before [`next_boot_id`].
///
/// # Errors
/// [`BootIdError`].
pub fn take_first_life(state: &Path) -> Result<bool, BootIdError> {
    let marked = remove_durable(&state.join(MARK)).map_err(BootIdError::File)?;
    Ok(marked && last_boot_id(state)?.is_none())
}

fn last(path: &Path) -> Result<Option<u64>, BootIdError> {
    match read_secret(path) {
        Ok(bytes) => parse(path, &bytes).map(Some),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(BootIdError::File(error)),
    }
}

fn raise(path: &Path, clock: u64) -> Result<u64, BootIdError> {
    let next = last(path)?.unwrap_or(0).saturating_add(1).max(clock);
    write_secret(path, format!("{next}\n").as_bytes()).map_err(BootIdError::File)?;
    Ok(next)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<u64, BootIdError> {
    let text = String::from_utf8_lossy(bytes);
    text.trim().parse().map_err(|_| BootIdError::Corrupt {
        path: path.to_owned(),
        found: text.chars().take(40).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_increase_whatever_the_clock_does() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(last_boot_id(directory.path()).unwrap(), None);
        let path = directory.path().join(FILE);
        assert_eq!(raise(&path, 1_000).unwrap(), 1_000);
        assert_eq!(raise(&path, 500).unwrap(), 1_001, "the clock went back");
        assert_eq!(raise(&path, 0).unwrap(), 1_002);
        assert_eq!(raise(&path, 9_000).unwrap(), 9_000);
        let first = next_boot_id(directory.path()).unwrap();
        assert_eq!(last_boot_id(directory.path()).unwrap(), Some(first));
        assert!(next_boot_id(directory.path()).unwrap() > first);
    }

    #[test]
    fn a_life_is_the_first_where_the_node_was_marked_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path();
        assert!(!take_first_life(state).unwrap(), "nobody says so");
        mark_first_life(state).unwrap();
        assert!(take_first_life(state).unwrap());
        assert!(!take_first_life(state).unwrap(), "it has begun");
        next_boot_id(state).unwrap();
        std::fs::remove_file(state.join(FILE)).unwrap();
        assert!(!take_first_life(state).unwrap(), "the boot id was lost");
        // A node that was a member before and joins anew.
        next_boot_id(state).unwrap();
        mark_first_life(state).unwrap();
        assert!(!take_first_life(state).unwrap());
        mark_first_life(state).unwrap();
        write_secret(&state.join(FILE), b"seven").unwrap();
        let error = take_first_life(state).unwrap_err();
        assert!(matches!(error, BootIdError::Corrupt { .. }), "{error}");
        std::fs::remove_file(state.join(FILE)).unwrap();
        assert!(!take_first_life(state).unwrap(), "nobody knows");
    }

    #[test]
    fn a_corrupt_file_is_named_and_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        write_secret(&path, b"\0\0\0\0").unwrap();
        let error = next_boot_id(directory.path()).unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0\0\0");
    }
}
