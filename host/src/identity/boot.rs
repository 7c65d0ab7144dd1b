//! Boot ids: one for every life of the daemon, always increasing.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files::{FileError, read_secret, write_secret};

const FILE: &str = "boot";

/// Why there is no boot id.
#[derive(Debug, thiserror::Error)]
pub enum BootIdError {
    /// The file could not be read or written.
    #[error("cannot raise the boot id, and without that no frame may leave")]
    File(#[source] FileError),
    /// The file holds something else.
    #[error("cannot raise the boot id: {} holds {found:?}, not a number; remove the file to begin anew from the clock", path.display())]
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
    fn a_corrupt_file_is_named_and_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        write_secret(&path, b"\0\0\0\0").unwrap();
        let error = next_boot_id(directory.path()).unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0\0\0");
    }
}
