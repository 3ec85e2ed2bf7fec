//! Tracks whether the disk is full, by the results of writes, or of probes while there are no writes.

use super::failure::StoreError;
use crate::sync::lock;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The size of the probe. Larger than a group of small records, so that writes are likely to succeed after a successful
/// probe.
const PROBE: usize = 1 << 20;
/// The minimum interval between probes of a full disk.
const PROBED_EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct DiskSpace(Mutex<Option<Full>>);

struct Full {
    why: StoreError,
    probed: Instant,
}

impl DiskSpace {
    /// Records the result of a write.
    pub fn record(&self, written: &Result<(), StoreError>) {
        match written {
            Err(why @ StoreError::Full { .. }) => {
                *self.state() = Some(Full { why: why.clone(), probed: Instant::now() });
            }
            Ok(()) => *self.state() = None,
            Err(_) => {}
        }
    }

    /// Fails if the disk was full at the last write, and no probe in `folder` has succeeded since.
    pub fn check(&self, folder: &Path) -> Result<(), StoreError> {
        let mut state = self.state();
        let Some(full) = &mut *state else { return Ok(()) };
        if full.probed.elapsed() >= PROBED_EVERY {
            full.probed = Instant::now();
            if probe(folder).is_ok() {
                *state = None;
                return Ok(());
            }
        }
        Err(full.why.clone())
    }

    /// Whether the disk was full at the last write, and no probe has succeeded since.
    pub fn is_full(&self) -> bool {
        self.state().is_some()
    }

    fn state(&self) -> MutexGuard<'_, Option<Full>> {
        lock(&self.0)
    }
}

/// Tests for free space by writing and removing a file. Load balancers send no requests to a bridge with a full disk,
/// so no regular write would detect free space.
fn probe(folder: &Path) -> std::io::Result<()> {
    let path = folder.join("probe");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(super::data_dir::OWNER_ONLY).open(&path);
    let written = file.and_then(|mut file| file.write_all(&vec![0; PROBE]).and_then(|()| file.sync_data()));
    let removed = fs::remove_file(&path);
    written.and(removed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::embedded::testing::TempDir;

    #[test]
    fn a_disk_is_full_until_a_write_or_a_probe_succeeds() {
        let folder = TempDir::new();
        let space = DiskSpace::default();
        space.record(&Err(StoreError::Full { file: "log.redb".into() }));
        assert!(space.is_full() && space.check(folder.path()).is_err(), "not probed at once");
        space.record(&Err(StoreError::Closed { file: "log.redb".into() }));
        assert!(space.is_full());
        space.record(&Ok(()));
        assert!(!space.is_full() && space.check(folder.path()).is_ok());

        space.record(&Err(StoreError::Full { file: "log.redb".into() }));
        let probe_now = || space.state().as_mut().unwrap().probed = Instant::now().checked_sub(PROBED_EVERY).unwrap();
        probe_now();
        assert!(space.check(&folder.path().join("nowhere")).is_err(), "the probe cannot be written");
        probe_now();
        assert!(space.check(folder.path()).is_ok() && !space.is_full());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the probe is removed");
    }
}
