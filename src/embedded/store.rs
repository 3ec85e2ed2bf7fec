//! The file of the log, a redb database with the batches by partition and last offset, and the [`catalog`].

use super::catalog::{self, CatalogEdit};
use super::data_dir::OWNER_ONLY;
use super::failure::{Damage, StoreError};
use super::keys::{PartitionKey, key, keys};
use super::topics::{LogTopic, NewEpoch, Segment, Topics};
use crate::record::{Offset, TopicName};
use crate::sync::watchdog;
use crate::sync::{read_lock, write_lock};
use log::info;
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};
use std::cell::Cell;
use std::fs::OpenOptions;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::RwLock;

/// The batches by [`key`] of their last offset, so that the first entry at or after an offset contains it.
const BATCHES: TableDefinition<u128, &[u8]> = TableDefinition::new("batches");
/// The size of redb's page cache. It is small because the operating system caches pages too.
const CACHE: usize = 8 << 20;
/// The space that a transaction may need in addition to its batches, for copies of tree pages.
const MARGIN: u64 = 2 << 20;

#[derive(Debug)]
pub struct BatchStore {
    path: PathBuf,
    /// `None` after a failed write, until the file is reopened.
    database: RwLock<Option<Database>>,
}

impl BatchStore {
    /// Opens the file, or creates it. After a clean shutdown this is fast, and damaged batches are detected when they
    /// are read. Otherwise redb first verifies the checksums of all pages.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("log.redb");
        let database = RwLock::new(Some(open(&path)?));
        Ok(Self { path, database })
    }

    /// Reopens the file after a failed write, and reloads the state of the last commit. After such a failure redb
    /// rejects all further operations. If reopening fails, the file stays closed, so that nothing is written from
    /// outdated state. Reopening can take as long as reading the entire file; meanwhile readers get an error
    /// immediately.
    pub fn reopen(&self) -> Result<Topics, StoreError> {
        let _paused = watchdog::pause();
        self.set_database(None);
        let opened = open(&self.path)?;
        let topics = catch_panics(|| load(&opened), &self.path)?;
        self.set_database(Some(opened));
        Ok(topics)
    }

    fn set_database(&self, database: Option<Database>) {
        *write_lock(&self.database) = database;
    }

    pub fn load(&self) -> Result<Topics, StoreError> {
        self.with(load)
    }

    /// Closes the file, as a failed write followed by a failed reopening does.
    #[cfg(test)]
    pub fn close(&self) {
        self.set_database(None);
    }

    /// Runs `work` in a transaction, calls `before_sync`, and commits. After an error nothing of the transaction is
    /// stored, or all of it if only the end of the commit failed.
    pub fn write(
        &self,
        work: impl FnOnce(&Changes) -> Result<(), redb::Error>,
        before_sync: impl FnOnce(),
    ) -> Result<(), StoreError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            let changes = Changes { transaction: &transaction, edit: CatalogEdit::of(&transaction) };
            work(&changes)?;
            changes.edit.finish()?;
            before_sync();
            Ok(transaction.commit()?)
        })
    }

    /// Passes the batches to `each`, from the first one at or after `from`, until `each` breaks.
    pub fn read(
        &self,
        partition: PartitionKey,
        from: Offset,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.with(|database| {
            let read = database.begin_read()?;
            for entry in read.open_table(BATCHES)?.range(keys(partition, from..=Offset::MAX))? {
                if each(entry?.1.value()).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Fails unless the disk has space for a transaction with `bytes` bytes of batches, while `live` bytes are in use.
    ///
    /// Called before each transaction, because a failed one requires reopening the file. Free pages inside the file
    /// count as space.
    pub fn check_space(&self, bytes: u64, live: u64) -> Result<(), StoreError> {
        let needed = 3 * bytes + MARGIN;
        let disk = rustix::fs::statvfs(&self.path).map_err(|e| StoreError::from_io(e.into(), &self.path))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) >= needed {
            return Ok(());
        }
        let file = rustix::fs::stat(&self.path).map_err(|e| StoreError::from_io(e.into(), &self.path))?;
        let held = u64::try_from(file.st_blocks).unwrap_or_default() * 512;
        // The pages of a batch take up to one and a half times its size.
        if held.saturating_sub(live + live / 2) >= needed {
            return Ok(());
        }
        Err(StoreError::Full { file: self.path.clone() })
    }

    /// False between a failed write and the next successful [`reopen`](Self::reopen).
    pub fn is_open(&self) -> bool {
        read_lock(&self.database).is_some()
    }

    pub fn ready(&self) -> Result<(), StoreError> {
        self.with(|_| Ok(()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let database = read_lock(&self.database);
        let database = database.as_ref().ok_or_else(|| StoreError::Closed { file: self.path.clone() })?;
        catch_panics(|| work(database), &self.path)
    }
}

/// Turns panics into errors. redb trusts its pages, and can panic if they were damaged on the disk.
fn catch_panics<T>(work: impl FnOnce() -> Result<T, redb::Error>, file: &Path) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| StoreError::from_redb(error, file)),
        Err(_) => Err(StoreError::Damaged { file: file.to_owned(), damage: Damage::Pages }),
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let create = || {
        // redb would create the file readable for everyone.
        let file = OpenOptions::new().append(true).create(true).mode(OWNER_ONLY).open(path)?;
        let size = file.metadata()?.len();
        let mut builder = redb::Builder::new();
        let (is_logged, shown) = (Cell::new(false), path.display().to_string());
        builder.set_cache_size(CACHE).set_repair_callback(move |_| {
            if !is_logged.replace(true) {
                info!(
                    "checking {shown} after an unclean end (a kill, a power cut): all of its {} MiB are read first",
                    size >> 20
                );
            }
        });
        let database = builder.create(path)?;
        // Skipped for an existing file, because on a full disk even this write fails, and reading must still work.
        if database.begin_read()?.list_tables()?.next().is_none() {
            let tables = database.begin_write()?;
            tables.open_table(BATCHES)?;
            catalog::create_tables(&tables)?;
            tables.commit()?;
        }
        Ok(database)
    };
    catch_panics(create, path)
}

fn load(database: &Database) -> Result<Topics, redb::Error> {
    catalog::load(&database.begin_read()?)
}

/// The changes of one transaction.
pub struct Changes<'a> {
    transaction: &'a WriteTransaction,
    edit: CatalogEdit<'a>,
}

impl Changes<'_> {
    pub fn put_topic(&self, name: &TopicName, topic: &LogTopic) -> Result<(), redb::Error> {
        self.edit.put_topic(name, topic)
    }

    pub fn remove_topic(&self, name: &TopicName, topic: u32) -> Result<(), redb::Error> {
        let all = key(PartitionKey { topic, partition: 0 }, 0)..=key(PartitionKey { topic, partition: u32::MAX }, -1);
        self.edit.remove_topic(name, all.clone())?;
        self.transaction.open_table(BATCHES)?.retain_in(all, |_, _| false)?;
        Ok(())
    }

    pub fn append(
        &self,
        partition: PartitionKey,
        batches: Vec<(Offset, Vec<u8>)>,
        grown: &[Segment],
    ) -> Result<(), redb::Error> {
        let mut table = self.transaction.open_table(BATCHES)?;
        for (last, batch) in batches {
            table.insert(key(partition, last), batch.as_slice())?;
        }
        self.edit.put_segments(partition, grown)
    }

    pub fn begin_epoch(&self, partition: PartitionKey, new: NewEpoch) -> Result<(), redb::Error> {
        self.edit.begin_epoch(partition, new)
    }

    /// Forgets the epochs that began before the offset `first`.
    pub fn forget_epochs(&self, partition: PartitionKey, first: Offset) -> Result<(), redb::Error> {
        self.edit.forget_epochs(partition, first)
    }

    /// Removes the batches and segments before `start`.
    pub fn trim(&self, partition: PartitionKey, start: Offset, end: Offset) -> Result<(), redb::Error> {
        self.transaction.open_table(BATCHES)?.retain_in(keys(partition, 0..=start - 1), |_, _| false)?;
        self.edit.trim(partition, start, end)
    }
}
