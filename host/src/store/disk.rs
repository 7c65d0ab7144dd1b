//! The few things the store asks of a file system, so that a test can be the file system.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::error::StoreError;

/// One directory of files.
pub(super) trait Disk {
    /// The path of a file in it, for messages.
    fn path(&self, name: &str) -> PathBuf;
    /// The names in it.
    fn list(&self) -> Result<Vec<String>, StoreError>;
    /// All of a file.
    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError>;
    /// A new file, replacing one of that name; neither it nor its name is durable yet.
    fn write_new(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;
    /// Overwrites a part of an existing file; not durable yet.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), StoreError>;
    /// Makes a file's bytes and size durable.
    fn sync(&mut self, name: &str) -> Result<(), StoreError>;
    /// Replaces `to` by `from`; durable after [`Disk::sync_dir`].
    fn rename(&mut self, from: &str, to: &str) -> Result<(), StoreError>;
    /// Removes a file; fine if there is none.
    fn remove(&mut self, name: &str) -> Result<(), StoreError>;
    /// Makes names durable.
    fn sync_dir(&mut self) -> Result<(), StoreError>;
}

/// The configuration in a store may hold agents' passwords: nobody but its owner reads it.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// With what the names of the store's own files begin.
const OWN: [&str; 4] = ["log-", "snapshot-", "spare", "lock"];

/// The real one.
#[derive(Debug)]
pub(super) struct Directory {
    dir: PathBuf,
    handle: File,
    _lock: File,
    /// The file written last, kept open.
    open: Option<(String, File)>,
}

/// Keeps every other process out of the store in `dir` until what it returns is closed.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(FILE_MODE);
    let file = options.open(&path).map_err(|source| unopened(dir, &path, source))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked { dir: dir.to_owned() }),
        Err(error) => Err(StoreError::Unlockable { path, source: error.into() }),
    }
}

fn unopened(dir: &Path, path: &Path, source: io::Error) -> StoreError {
    // Only these are about whose file it is, or what.
    if matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory) {
        let (dir, path) = (dir.to_owned(), path.to_owned());
        return StoreError::LockFile { dir, path, source };
    }
    StoreError::io("open", path, source)
}

impl Directory {
    /// Opens `dir`, created if missing, for this process alone. Rights that others have on it or on a
    /// file in it are taken away.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let io = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::io(doing, &path, source)
        };
        if !dir.is_dir() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(DIRECTORY_MODE).create(dir).map_err(io("create", dir))?;
            let parent = dir.parent().filter(|it| !it.as_os_str().is_empty());
            if let Some(parent) = parent {
                File::open(parent).and_then(|it| it.sync_all()).map_err(io("sync", parent))?;
            }
        }
        restrict(dir, DIRECTORY_MODE, &set_mode).map_err(|source| exposed(dir, dir, source))?;
        let lock = lock(dir)?;
        restrict_files(dir, &set_mode)?;
        let handle = File::open(dir).map_err(io("open", dir))?;
        Ok(Self { dir: dir.to_owned(), handle, _lock: lock, open: None })
    }

    fn on<T>(
        &mut self,
        doing: &'static str,
        name: &str,
        act: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<T, StoreError> {
        let path = self.dir.join(name);
        let file = match self.open.take() {
            Some((open, file)) if open == name => file,
            Some(_) | None => OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .map_err(|source| StoreError::io("open", &path, source))?,
        };
        let result = act(&file).map_err(|source| StoreError::io(doing, &path, source));
        self.open = Some((name.to_owned(), file));
        result
    }
}

/// Changes the mode of a file or directory.
type SetMode = dyn Fn(&Path, u32) -> io::Result<()>;

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Gives `path` this mode where group or others have any right on it.
fn restrict(path: &Path, mode: u32, set: &SetMode) -> io::Result<()> {
    if fs::metadata(path)?.mode() & 0o077 == 0 { Ok(()) } else { set(path, mode) }
}

/// Takes others' rights from every file in `dir`. A file that is not the store's own keeps them where they cannot be
/// taken, which is told: it is no reason not to start.
fn restrict_files(dir: &Path, set: &SetMode) -> Result<(), StoreError> {
    let list = |source| StoreError::io("list", dir, source);
    for entry in fs::read_dir(dir).map_err(list)? {
        let entry = entry.map_err(list)?;
        if !entry.file_type().map_err(list)?.is_file() {
            continue;
        }
        let Err(source) = restrict(&entry.path(), FILE_MODE, set) else { continue };
        let name = entry.file_name();
        if OWN.iter().any(|own| name.to_string_lossy().starts_with(own)) {
            return Err(exposed(dir, &entry.path(), source));
        }
        tracing::warn!(
            "cannot take others' rights from {}: {source}; it is no file of the store: move it elsewhere",
            entry.path().display()
        );
    }
    Ok(())
}

fn exposed(dir: &Path, path: &Path, source: io::Error) -> StoreError {
    if source.kind() == io::ErrorKind::PermissionDenied {
        return StoreError::Exposed { dir: dir.to_owned(), path: path.to_owned(), source };
    }
    StoreError::io("take others' rights from", path, source)
}

impl Disk for Directory {
    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.clone() } else { self.dir.join(name) }
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        let list = || -> io::Result<Vec<String>> {
            fs::read_dir(&self.dir)?
                .map(|it| Ok(it?.file_name().to_string_lossy().into_owned()))
                .collect()
        };
        list().map_err(|source| StoreError::io("list", &self.dir, source))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.dir.join(name);
        fs::read(&path).map_err(|source| StoreError::io("read", &path, source))
    }

    fn write_new(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.dir.join(name);
        self.open = None;
        let write = || -> io::Result<File> {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .read(true)
                .write(true)
                .mode(FILE_MODE)
                .open(&path)?;
            file.write_all(bytes)?;
            Ok(file)
        };
        let file = write().map_err(|source| StoreError::io("write", &path, source))?;
        self.open = Some((name.to_owned(), file));
        Ok(())
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.on("write", name, |file| file.write_all_at(bytes, offset))
    }

    fn sync(&mut self, name: &str) -> Result<(), StoreError> {
        self.on("sync", name, File::sync_data)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        let (old, new) = (self.dir.join(from), self.dir.join(to));
        fs::rename(&old, &new).map_err(|source| StoreError::io("rename", &old, source))?;
        if let Some((open, _)) = &mut self.open
            && open == from
        {
            to.clone_into(open);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        let path = self.dir.join(name);
        if self.open.as_ref().is_some_and(|(open, _)| open == name) {
            self.open = None;
        }
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &path, e))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn sync_dir(&mut self) -> Result<(), StoreError> {
        self.handle.sync_all().map_err(|source| StoreError::io("sync", &self.dir, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_that_cannot_be_opened_is_named_with_what_it_is_for_and_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let (dir, path) = (dir.path(), dir.path().join("lock"));
        fs::create_dir(&path).unwrap();
        let no_file = Directory::open(dir).unwrap_err();
        // As the kernel answers for what belongs to somebody else.
        let foreign = unopened(dir, &path, io::Error::from_raw_os_error(13));
        for error in [no_file, foreign] {
            assert!(matches!(error, StoreError::LockFile { .. }), "{error}");
            let told = error.to_string();
            assert!(told.contains(&format!("cannot open {}, ", path.display())), "{told}");
            assert!(told.contains("keeps a second one out"), "{told}");
            assert!(told.contains(&format!("chown -R USER {}", dir.display())), "{told}");
        }
        // Neither is about whose file it is.
        let full = unopened(dir, &path, io::Error::from_raw_os_error(28));
        assert!(matches!(full, StoreError::DiskFull { .. }), "{full}");
        fs::remove_dir(&path).unwrap();
        drop(Directory::open(dir).unwrap());
    }

    #[test]
    fn a_file_whose_rights_cannot_be_changed_is_named_with_a_remedy_if_it_is_the_stores_own() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        // As the kernel answers for what belongs to somebody else.
        let refuse: &SetMode = &|_, _| Err(io::Error::from_raw_os_error(1));
        let make = |name: &str| {
            fs::write(dir.join(name), b"x").unwrap();
            set_mode(&dir.join(name), 0o644).unwrap();
        };
        make("notes.txt");
        restrict_files(dir, refuse).unwrap();
        make("log-0000000000000001");
        let error = restrict_files(dir, refuse).unwrap_err();
        assert!(matches!(error, StoreError::Exposed { .. }), "{error}");
        let told = error.to_string();
        let own = dir.join("log-0000000000000001");
        assert!(told.contains(&own.display().to_string()), "{told}");
        assert!(told.contains(&format!("chown -R USER {}", dir.display())), "{told}");
        restrict_files(dir, &set_mode).unwrap();
        restrict_files(dir, refuse).unwrap();
    }
}
