//! The one file of the log, a redb database: batches by partition and last offset, and the [`catalogue`] of what
//! there is.

use super::catalog::{self, CatalogEdit};
use super::data_dir::OWNER_ONLY;
use super::failure::StoreError;
use super::topics::{LogTopic, NewEpoch, Segment, Topics};
use crate::record::{Offset, TopicName};
use crate::sync::watchdog;
use crate::sync::{read_lock, write_lock};
use log::info;
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};
use std::cell::Cell;
use std::fs::OpenOptions;
use std::ops::{ControlFlow, RangeInclusive};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::RwLock;

/// Batches by [`key`] of their last offset, so that the first at or after an offset is the one that holds it.
const BATCHES: TableDefinition<u128, &[u8]> = TableDefinition::new("batches");
/// Pages in memory; the system's page cache does the rest.
const CACHE: usize = 8 << 20;
/// What a transaction may need beside its batches: copies of tree pages.
const MARGIN: u64 = 2 << 20;

/// A partition of a topic by number, in keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionKey {
    pub topic: u32,
    pub partition: u32,
}

pub fn key(place: PartitionKey, offset: Offset) -> u128 {
    u128::from(place.topic) << 96 | u128::from(place.partition) << 64 | u128::from(offset as u64)
}

pub fn keys(place: PartitionKey, offsets: RangeInclusive<Offset>) -> RangeInclusive<u128> {
    key(place, *offsets.start())..=key(place, *offsets.end())
}

pub fn place_of(key: u128) -> (PartitionKey, Offset) {
    (PartitionKey { topic: (key >> 96) as u32, partition: (key >> 64) as u32 }, key as u64 as Offset)
}

#[derive(Debug)]
pub struct BatchStore {
    path: PathBuf,
    /// `None` after a failed write until it can be opened again.
    database: RwLock<Option<Database>>,
}

impl BatchStore {
    /// Opens the file, or makes it. After a clean end that is quick, and damage to batches is found when they are read;
    /// after any other end redb reads every page's checksum.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("log.redb");
        let database = RwLock::new(Some(open(&path)?));
        Ok(Self { path, database })
    }

    /// After a failed write the database refuses everything; opened again it stands where the last commit left it, and
    /// says what is there. Where that fails it stays closed: nobody goes on from what was there before. As long as it
    /// takes, which may be as long as reading all of it, readers get an error and do not wait.
    pub fn reopen(&self) -> Result<Topics, StoreError> {
        let _unhurried = watchdog::pause();
        self.set_database(None);
        let opened = open(&self.path)?;
        let topics = catch_panics(|| load(&opened), &self.path.display().to_string())?;
        self.set_database(Some(opened));
        Ok(topics)
    }

    fn set_database(&self, database: Option<Database>) {
        *write_lock(&self.database) = database;
    }

    pub fn load(&self) -> Result<Topics, StoreError> {
        self.with(load)
    }

    /// As a failed write and a failed opening leave it.
    #[cfg(test)]
    pub fn close(&self) {
        self.set_database(None);
    }

    /// Does `work` in a transaction, `before_sync`, then makes it durable. After an error nothing of it is there,
    /// or all, if it failed at the very end.
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

    /// Hands over the batches from the one that holds `from` on, or the next after it, until told to stop.
    pub fn read(
        &self,
        place: PartitionKey,
        from: Offset,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.with(|database| {
            let read = database.begin_read()?;
            for entry in read.open_table(BATCHES)?.range(keys(place, from..=Offset::MAX))? {
                if each(entry?.1.value()).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Whether the disk has room for a transaction with `bytes` of batches, `live` bytes being in use now.
    ///
    /// Asked before each, because a failed one costs opening the file again. Room that was given back within the
    /// file counts too.
    pub fn check_space(&self, bytes: u64, live: u64) -> Result<(), StoreError> {
        let needed = 3 * bytes + MARGIN;
        let what = || self.path.display().to_string();
        let disk = rustix::fs::statvfs(&self.path).map_err(|e| StoreError::from_io(&e.into(), &what()))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) >= needed {
            return Ok(());
        }
        let file = rustix::fs::stat(&self.path).map_err(|e| StoreError::from_io(&e.into(), &what()))?;
        let held = u64::try_from(file.st_blocks).unwrap_or_default() * 512;
        // A batch takes up to half as much again in pages.
        if held.saturating_sub(live + live / 2) >= needed { Ok(()) } else { Err(StoreError::full(&what())) }
    }

    /// False between a failed write and the next [`reopen`](Self::reopen) that works.
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
        let what = || self.path.display().to_string();
        let database = read_lock(&self.database);
        let database =
            database.as_ref().ok_or_else(|| StoreError::Io(format!("{} cannot be opened just now", what())))?;
        catch_panics(|| work(database), &what())
    }
}

/// redb takes pages that it wrote for sound, and panics on some that were changed since.
fn catch_panics<T>(work: impl FnOnce() -> Result<T, redb::Error>, what: &str) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|e| StoreError::from_redb(e, what)),
        Err(_) => Err(StoreError::damaged(what, "its pages do not fit together")),
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let make = || {
        // Left to redb, it would be everybody's to read in a folder that is.
        let file = OpenOptions::new().append(true).create(true).mode(OWNER_ONLY).open(path)?;
        let size = file.metadata()?.len();
        let mut builder = redb::Builder::new();
        let (told, shown) = (Cell::new(false), path.display().to_string());
        builder.set_cache_size(CACHE).set_repair_callback(move |_| {
            if !told.replace(true) {
                info!(
                    "checking {shown} after an unclean end (a kill, a power cut): all of its {} MiB are read first",
                    size >> 20
                );
            }
        });
        let database = builder.create(path)?;
        // On a full disk not even this could be written, and reading goes on there.
        if database.begin_read()?.list_tables()?.next().is_none() {
            let tables = database.begin_write()?;
            tables.open_table(BATCHES)?;
            catalog::create_tables(&tables)?;
            tables.commit()?;
        }
        Ok(database)
    };
    catch_panics(make, &path.display().to_string())
}

fn load(database: &Database) -> Result<Topics, redb::Error> {
    catalog::load(&database.begin_read()?)
}

/// What a transaction can do.
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
        place: PartitionKey,
        batches: Vec<(Offset, Vec<u8>)>,
        grown: &[Segment],
    ) -> Result<(), redb::Error> {
        let mut table = self.transaction.open_table(BATCHES)?;
        for (last, batch) in batches {
            table.insert(key(place, last), batch.as_slice())?;
        }
        self.edit.put_segments(place, grown)
    }

    pub fn begin_epoch(&self, place: PartitionKey, new: NewEpoch) -> Result<(), redb::Error> {
        self.edit.begin_epoch(place, new)
    }

    /// Forgets the epochs that began before the offset `first`.
    pub fn forget_epochs(&self, place: PartitionKey, first: Offset) -> Result<(), redb::Error> {
        self.edit.forget_epochs(place, first)
    }

    /// Takes away what is before `start`, whole segments.
    pub fn trim(&self, place: PartitionKey, start: Offset, end: Offset) -> Result<(), redb::Error> {
        self.transaction.open_table(BATCHES)?.retain_in(keys(place, 0..=start - 1), |_, _| false)?;
        self.edit.trim(place, start, end)
    }
}
