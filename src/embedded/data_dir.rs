//! The data folder: created with owner-only rights, locked by one process at a time, with a known format.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The content of the format file. A folder with another number is left to another version of Curlew.
pub(super) const FORMAT: &str = "curlew-data 3\n";
/// The previous format, which has no epochs. It is upgraded on opening: new writes add epochs.
pub(super) const OLD_FORMAT: &str = "curlew-data 2\n";
/// The mode of every file in the folder.
pub(super) const OWNER_ONLY: u32 = 0o600;

/// A data folder, locked for this process as long as the value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // Holds the lock. The file is never deleted, so that two processes cannot lock two different files of one name.
    _lock: File,
}

impl DataDir {
    /// Opens the folder, or creates it with owner-only rights. The error is one line for the operator.
    pub fn open(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let failed = |what: &str, e: &io::Error| format!("cannot {what} {shown}: {e}; choose another with --data");
        let is_new = !path.exists();
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| failed("make the data folder", &e))?;
        if !is_new && !path.join("format").exists() {
            reject_foreign(path).map_err(|e| failed("use the data folder", &e))?;
        }
        let lock = acquire_lock(path)?;
        check_format(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the folder, which makes the names of its files durable.
    pub fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Rejects a folder with files that Curlew did not create.
pub(super) fn reject_foreign(path: &Path) -> io::Result<()> {
    // A start that was interrupted leaves a lock file and nothing else.
    let foreign = fs::read_dir(path)?.filter_map(Result::ok).find(|entry| entry.file_name() != "lock");
    match foreign {
        Some(entry) => {
            let name = entry.file_name().to_string_lossy().into_owned();
            Err(io::Error::other(format!("it holds other files ({name}) and was not made by curlew")))
        }
        None => Ok(()),
    }
}

fn acquire_lock(path: &Path) -> Result<File, String> {
    let file = path.join("lock");
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY).open(&file);
    let mut lock =
        open.map_err(|e| format!("cannot open {}: {e}; choose another folder with --data", file.display()))?;
    match lock.try_lock() {
        Ok(()) => {
            let note = || -> io::Result<()> {
                lock.set_len(0)?;
                lock.rewind()?;
                writeln!(lock, "{}", std::process::id())
            };
            // The process id is only for the error of the next process, so a failure (a full disk) is ignored.
            let _ = { note }();
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = lock.read_to_string(&mut holder);
            let (holder, shown) = (holder.trim(), path.display());
            Err(format!(
                "another curlew (process {holder}) uses the data folder {shown}: stop it (kill {holder}), or choose \
                 another folder with --data"
            ))
        }
        Err(TryLockError::Error(e)) => Err(format!("cannot lock {}: {e}", file.display())),
    }
}

fn check_format(path: &Path) -> Result<(), String> {
    let file = path.join("format");
    match fs::read_to_string(&file) {
        Ok(found) if found == FORMAT => Ok(()),
        Ok(found) if found == OLD_FORMAT => write_format(path),
        Ok(found) => Err(format!(
            "{} says {:?}, and this curlew reads only {:?}: use the curlew that wrote it, or another folder with --data",
            file.display(),
            found.trim(),
            FORMAT.trim()
        )),
        Err(e) if e.kind() == ErrorKind::NotFound => write_format(path),
        Err(e) => Err(format!("cannot read {}: {e}", file.display())),
    }
}

fn write_format(path: &Path) -> Result<(), String> {
    let file = path.join("format");
    let write = || -> io::Result<()> {
        let new = path.join("format.new");
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&new)?;
        out.write_all(FORMAT.as_bytes())?;
        out.sync_all()?;
        fs::rename(new, &file)
    };
    write().map_err(|e| format!("cannot write {}: {e}", file.display()))
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
        let said = DataDir::open(scratch.path()).unwrap_err();
        assert!(said.contains(&format!("stop it (kill {})", std::process::id())), "{said}");
        drop(folder);
        DataDir::open(scratch.path()).unwrap();
    }

    #[test]
    fn another_format_and_foreign_files_are_rejected() {
        let scratch = TempDir::new();
        drop(DataDir::open(scratch.path()).unwrap());
        fs::write(scratch.path().join("format"), "curlew-data 9\n").unwrap();
        let said = DataDir::open(scratch.path()).unwrap_err();
        assert!(said.contains("curlew-data 9") && said.contains("--data"), "{said}");

        let foreign = TempDir::new();
        fs::write(foreign.path().join("thesis.tex"), "").unwrap();
        let said = DataDir::open(foreign.path()).unwrap_err();
        assert!(said.contains("thesis.tex") && !foreign.path().join("lock").exists(), "{said}");
    }
}
