//! The checks of `curlew doctor` for a data directory. They do not create or change anything.

use super::data_dir::{self, FORMAT, OLD_FORMAT};
use crate::broker::diagnosis::{Diagnosis, DiagnosisStep};
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Below this much free space, a few requests can fill the disk.
const LOW: u64 = 256 << 20;

/// Checks the data directory at `path`, and passes each result to `found`.
pub fn inspect(path: &Path, found: &mut dyn FnMut(Diagnosis)) {
    let shown = path.display();
    if !path.exists() {
        let parent = path.ancestors().skip(1).find(|folder| folder.exists() || folder.as_os_str().is_empty());
        found(Diagnosis::ok(
            DiagnosisStep::DataFolder,
            format!("{shown} does not exist yet; it is created at the start"),
        ));
        found(Diagnosis::skipped(DiagnosisStep::DataFormat, "nothing is stored yet"));
        found(Diagnosis::skipped(DiagnosisStep::DataLock, "nothing is stored yet"));
        let parent = parent.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return found(space(parent));
    }
    found(folder(path));
    found(format(path));
    found(lock(path));
    found(space(path));
}

fn folder(path: &Path) -> Diagnosis {
    let other = "choose another directory with --data";
    if !path.is_dir() {
        return Diagnosis::failed(DiagnosisStep::DataFolder, format!("{} is not a directory", path.display()), other);
    }
    let foreign = if path.join("format").exists() { Ok(()) } else { data_dir::reject_foreign(path) };
    let writable = || rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    match foreign.map_err(|e| e.to_string()).and_then(|()| writable().map_err(|e| format!("cannot be written: {e}"))) {
        Ok(()) => {
            let size = std::fs::metadata(path.join("log.redb")).map_or(0, |file| file.len());
            Diagnosis::ok(
                DiagnosisStep::DataFolder,
                format!("{} can be written; its log takes {}", path.display(), mib(size)),
            )
        }
        Err(why) => Diagnosis::failed(DiagnosisStep::DataFolder, format!("{}: {why}", path.display()), other),
    }
}

fn format(path: &Path) -> Diagnosis {
    match std::fs::read_to_string(path.join("format")) {
        Ok(found) if found == FORMAT || found == OLD_FORMAT => Diagnosis::ok(DiagnosisStep::DataFormat, found.trim()),
        Ok(found) => Diagnosis::failed(
            DiagnosisStep::DataFormat,
            format!("the format is {:?}, and this curlew reads only {:?}", found.trim(), FORMAT.trim()),
            "use the curlew that wrote it, or choose another directory with --data",
        ),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Diagnosis::skipped(DiagnosisStep::DataFormat, "nothing is stored yet")
        }
        Err(e) => Diagnosis::failed(
            DiagnosisStep::DataFormat,
            format!("cannot be read: {e}"),
            "check the permissions of the directory",
        ),
    }
}

/// Tries to lock the directory, and unlocks it at once.
fn lock(path: &Path) -> Diagnosis {
    let Ok(mut file) = File::open(path.join("lock")) else {
        return Diagnosis::ok(DiagnosisStep::DataLock, "not in use");
    };
    match file.try_lock() {
        Ok(()) => Diagnosis::ok(DiagnosisStep::DataLock, "not in use"),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            // Only curlew locks this file.
            Diagnosis::ok(DiagnosisStep::DataLock, format!("a running curlew (process {}) uses it", holder.trim()))
        }
        Err(TryLockError::Error(e)) => Diagnosis::failed(
            DiagnosisStep::DataLock,
            format!("cannot be locked: {e}"),
            "choose a directory on a local disk with --data",
        ),
    }
}

fn space(path: &Path) -> Diagnosis {
    match rustix::fs::statvfs(path) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let what = format!("{} are free", mib(free));
            if free < LOW {
                Diagnosis::failed(
                    DiagnosisStep::DataSpace,
                    what,
                    "free some, or lower --retention-time or --retention-bytes",
                )
            } else {
                Diagnosis::ok(DiagnosisStep::DataSpace, what)
            }
        }
        Err(e) => Diagnosis::failed(
            DiagnosisStep::DataSpace,
            format!("the free space is unknown: {e}"),
            "check the permissions of the directory",
        ),
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::broker::diagnosis::StepOutcome;
    use crate::embedded::data_dir::DataDir;
    use crate::embedded::testing::TempDir;

    /// Returns the outcome of each check, and the output of all checks.
    fn look(path: &Path) -> (Vec<StepOutcome>, String) {
        let mut findings = Vec::new();
        inspect(path, &mut |finding| findings.push(finding));
        let said: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        (findings.iter().map(|finding| finding.outcome).collect(), said)
    }

    #[test]
    fn a_missing_folder_is_not_created() {
        let scratch = TempDir::new();
        let path = scratch.path().join("a/b");
        let (outcomes, said) = look(&path);
        assert_eq!(outcomes, [StepOutcome::Ok, StepOutcome::Skipped, StepOutcome::Skipped, StepOutcome::Ok], "{said}");
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_in_use_is_reported_with_its_process() {
        let scratch = TempDir::new();
        let folder = DataDir::open(scratch.path()).unwrap();
        let (outcomes, said) = look(scratch.path());
        assert_eq!(outcomes, [StepOutcome::Ok; 4], "{said}");
        assert!(said.contains(&format!("a running curlew (process {}) uses it", std::process::id())), "{said}");
        drop(folder);
        let (outcomes, said) = look(scratch.path());
        assert_eq!(outcomes, [StepOutcome::Ok; 4], "{said}");
        // The check has released the lock.
        drop(DataDir::open(scratch.path()).unwrap());
    }

    #[test]
    fn foreign_files_and_another_format_are_reported() {
        let foreign = TempDir::new();
        std::fs::write(foreign.path().join("thesis.tex"), "").unwrap();
        let (outcomes, said) = look(foreign.path());
        assert_eq!(outcomes[0], StepOutcome::Failed, "{said}");
        assert!(said.contains("thesis.tex") && !foreign.path().join("lock").exists(), "{said}");
        let other = TempDir::new();
        std::fs::write(other.path().join("format"), "curlew-data 99\n").unwrap();
        let (outcomes, said) = look(other.path());
        assert_eq!(outcomes[1], StepOutcome::Failed, "{said}");
        let (outcomes, said) = look(&other.path().join("format"));
        assert_eq!(outcomes[0], StepOutcome::Failed, "{said}");
    }
}
