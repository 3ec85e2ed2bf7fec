//! The data directory: created with owner-only rights, locked by one process at a time, with a known format.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The content of the format file. A directory with another number belongs to another version of Curlew, and is
/// rejected (except [`OLD_FORMAT`]).
pub(super) const FORMAT: &str = "curlew-data 3\n";
/// The previous format, which has no epochs. It is upgraded on opening: new writes add epochs.
pub(super) const OLD_FORMAT: &str = "curlew-data 2\n";
/// The mode of every file in the directory.
pub(super) const OWNER_ONLY: u32 = 0o600;

/// The data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// The directory cannot be created or used, or its lock file cannot be opened.
    #[error("cannot {action} {}: {source}", path.display())]
    Directory {
        /// The action that failed.
        action: &'static str,
        /// The directory, or the lock file in it.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file in the directory cannot be read, written or locked.
    #[error("cannot {action} {}: {source}", file.display())]
    File {
        /// The action that failed.
        action: &'static str,
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Another process has locked the directory.
    #[error("another curlew (process {process}) uses the data directory {}: stop it (kill {process})", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The id of the other process, as written in the lock file.
        process: String,
    },
    /// Another version of Curlew has written the directory.
    #[error(
        "{} says {found:?}, and this curlew reads only {:?}: use the curlew that wrote it",
        file.display(),
        FORMAT.trim()
    )]
    Format {
        /// The format file.
        file: PathBuf,
        /// Its content.
        found: String,
    },
}

impl DataDirError {
    /// Whether another directory may help.
    pub fn concerns_directory(&self) -> bool {
        match self {
            Self::Directory { .. } | Self::InUse { .. } | Self::Format { .. } => true,
            Self::File { .. } => false,
        }
    }
}

/// A data directory, locked for this process as long as the value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // Holds the lock. The file is never deleted, so that two processes cannot lock different files with the same name.
    _lock: File,
}

impl DataDir {
    /// Opens the directory, or creates it with owner-only rights.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |action, source| DataDirError::Directory { action, path: path.to_owned(), source };
        let is_new = !path.exists();
        let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
        created.map_err(|error| failed("create the data directory", error))?;
        if !is_new && !path.join("format").exists() {
            reject_foreign(path).map_err(|error| failed("use the data directory", error))?;
        }
        let lock = acquire_lock(path)?;
        check_format(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the directory, which makes the names of its files durable.
    pub fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Rejects a directory with files that Curlew did not create.
pub(super) fn reject_foreign(path: &Path) -> io::Result<()> {
    // A start that was interrupted leaves a lock file and nothing else.
    let foreign = fs::read_dir(path)?.filter_map(Result::ok).find(|entry| entry.file_name() != "lock");
    match foreign {
        Some(entry) => {
            let name = entry.file_name().to_string_lossy().into_owned();
            Err(io::Error::other(format!("it contains other files ({name}) and was not created by curlew")))
        }
        None => Ok(()),
    }
}

fn acquire_lock(path: &Path) -> Result<File, DataDirError> {
    let file = path.join("lock");
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY).open(&file);
    let mut lock = open.map_err(|source| DataDirError::Directory { action: "open", path: file.clone(), source })?;
    match lock.try_lock() {
        Ok(()) => {
            let note = || -> io::Result<()> {
                lock.set_len(0)?;
                lock.rewind()?;
                writeln!(lock, "{}", std::process::id())
            };
            // The process id is only for the error message of another process, so a failure (such as a full disk) is
            // ignored.
            let _ = { note }();
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = lock.read_to_string(&mut holder);
            Err(DataDirError::InUse { path: path.to_owned(), process: holder.trim().to_owned() })
        }
        Err(TryLockError::Error(source)) => Err(DataDirError::File { action: "lock", file, source }),
    }
}

fn check_format(path: &Path) -> Result<(), DataDirError> {
    let file = path.join("format");
    match fs::read_to_string(&file) {
        Ok(found) if found == FORMAT => Ok(()),
        Ok(found) if found == OLD_FORMAT => write_format(path),
        Ok(found) => Err(DataDirError::Format { file, found: found.trim().to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => write_format(path),
        Err(source) => Err(DataDirError::File { action: "read", file, source }),
    }
}

fn write_format(path: &Path) -> Result<(), DataDirError> {
    let file = path.join("format");
    let write = || -> io::Result<()> {
        let new = path.join("format.new");
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&new)?;
        out.write_all(FORMAT.as_bytes())?;
        out.sync_all()?;
        fs::rename(new, &file)
    };
    write().map_err(|source| DataDirError::File { action: "write", file, source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::embedded::testing::TempDir;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_folder_is_accessible_to_its_owner_only() {
        let scratch = TempDir::new();
        let path = scratch.path().join("a/b");
        let _folder = DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        for file in ["lock", "format"] {
            assert_eq!(fs::metadata(path.join(file)).unwrap().permissions().mode() & 0o077, 0, "{file}");
        }
    }

    #[test]
    fn the_error_for_a_folder_in_use_names_the_process() {
        let scratch = TempDir::new();
        let folder = DataDir::open(scratch.path()).unwrap();
        let said = DataDir::open(scratch.path()).unwrap_err().to_string();
        assert!(said.contains(&format!("stop it (kill {})", std::process::id())), "{said}");
        drop(folder);
        DataDir::open(scratch.path()).unwrap();
    }

    #[test]
    fn another_format_and_foreign_files_are_rejected() {
        let scratch = TempDir::new();
        drop(DataDir::open(scratch.path()).unwrap());
        fs::write(scratch.path().join("format"), "curlew-data 9\n").unwrap();
        let error = DataDir::open(scratch.path()).unwrap_err();
        assert!(error.to_string().contains("curlew-data 9") && error.concerns_directory(), "{error}");

        let foreign = TempDir::new();
        fs::write(foreign.path().join("thesis.tex"), "").unwrap();
        let said = DataDir::open(foreign.path()).unwrap_err().to_string();
        assert!(said.contains("thesis.tex") && !foreign.path().join("lock").exists(), "{said}");
    }
}
