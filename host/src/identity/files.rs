//! Files that survive a power cut at any moment, and files nobody else may read.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A secret that others can read is no secret.
    #[error("will not use {}: its mode is {mode:04o}, so others can read it; run `chmod 600 {}` and consider whether the secret is still one", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl FileError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether the file does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Writes a file of this mode so that after a crash the old or the new content is there, whole: a
/// temporary file beside it, synced, renamed over it, the directory synced. Missing directories are
/// made, mode 0700.
///
/// # Errors
/// [`FileError`]; the old content is then untouched.
pub fn write_durable(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let directory = parent(path);
    make_directory(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = directory.join(name);
    remove(&temporary)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .map_err(FileError::io("create", &temporary))?;
    file.write_all(bytes).map_err(FileError::io("write", &temporary))?;
    file.sync_all().map_err(FileError::io("sync", &temporary))?;
    drop(file);
    std::fs::rename(&temporary, path).map_err(FileError::io("replace", path))?;
    sync_directory(directory)
}

/// [`write_durable`] with mode 0600.
///
/// # Errors
/// [`FileError`].
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_durable(path, bytes, 0o600)
}

/// Reads a file that only its owner may read.
///
/// # Errors
/// [`FileError::Exposed`] when group or others have any right on it; else [`FileError::Io`].
pub fn read_secret(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut file = File::open(path).map_err(FileError::io("open", path))?;
    let metadata = file.metadata().map_err(FileError::io("examine", path))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(FileError::io("read", path))?;
    Ok(bytes)
}

/// Removes a file so that it does not come back after a crash; false where there was none.
///
/// # Errors
/// [`FileError::Io`].
pub(super) fn remove_durable(path: &Path) -> Result<bool, FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::io("remove", path)(error)),
        Ok(()) => sync_directory(parent(path)).map(|()| true),
    }
}

/// Makes renames and removals in a directory durable.
///
/// # Errors
/// [`FileError::Io`].
pub fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(FileError::io("sync", path))
}

/// Takes the rights that group and others have on a directory, and so on all that is in it.
///
/// # Errors
/// [`FileError::Io`], where the directory belongs to somebody else for instance.
pub fn close_directory(path: &Path) -> Result<(), FileError> {
    let mode = std::fs::metadata(path).map_err(FileError::io("read", path))?.mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let own = std::fs::Permissions::from_mode(mode & 0o7700);
    std::fs::set_permissions(path, own).map_err(FileError::io("take others' rights from", path))
}

fn make_directory(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path).map_err(FileError::io("create", path))?;
    sync_directory(parent(path))
}

fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The directory of a path; the current one for a bare name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_for_its_owner_only_and_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/key");
        write_secret(&path, b"one").unwrap();
        // What a crash left is no obstacle.
        std::fs::write(directory.path().join("deep/er/key.new"), b"rest").unwrap();
        write_secret(&path, b"two").unwrap();
        assert_eq!(read_secret(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let above = path.parent().unwrap();
        assert_eq!(std::fs::metadata(above).unwrap().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(above).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_secret(&path, b"one").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_secret(&path).unwrap_err();
        assert!(error.to_string().contains("0640"), "{error}");
        let missing = read_secret(&directory.path().join("none")).unwrap_err();
        assert!(missing.is_missing() && !error.is_missing());
    }
}
