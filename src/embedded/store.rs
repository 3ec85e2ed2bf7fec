//! The one file of the log, a redb database: batches by partition and last offset, the segments they
//! make up, where logs start, and topics.

use super::failure::Failure;
use super::topics::{Log, Segment, Topic, Topics};
use crate::record::{Offset, TopicName};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::ops::{ControlFlow, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// Batches by [`key`] of their last offset, so that the first at or after an offset is the one that holds it.
const BATCHES: TableDefinition<u128, &[u8]> = TableDefinition::new("batches");
/// By [`key`] of their base offset: last offset, bytes, max timestamp, opened, appended.
const SEGMENTS: TableDefinition<u128, (i64, u64, i64, i64, i64)> = TableDefinition::new("segments");
/// Start and end of each log where its segments do not tell, by [`key`] of offset 0.
const LOGS: TableDefinition<u128, (i64, i64)> = TableDefinition::new("logs");
/// By name: number, id, partitions.
const TOPICS: TableDefinition<&str, (u32, u128, u32)> = TableDefinition::new("topics");

/// Pages in memory; the system's page cache does the rest.
const CACHE: usize = 8 << 20;
/// What a transaction may need beside its batches: copies of tree pages.
const MARGIN: u64 = 2 << 20;

/// A partition of a topic by number, in keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub topic: u32,
    pub partition: u32,
}

fn key(place: Place, offset: Offset) -> u128 {
    u128::from(place.topic) << 96 | u128::from(place.partition) << 64 | u128::from(offset as u64)
}

fn keys(place: Place, offsets: RangeInclusive<Offset>) -> RangeInclusive<u128> {
    key(place, *offsets.start())..=key(place, *offsets.end())
}

fn place_of(key: u128) -> (Place, Offset) {
    (Place { topic: (key >> 96) as u32, partition: (key >> 64) as u32 }, key as u64 as Offset)
}

#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// `None` after a failed write until it can be opened again.
    database: RwLock<Option<Database>>,
}

impl Store {
    /// Opens the file, or makes it, and reads every page's checksum: what is damaged is found here.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("log.redb");
        let database = RwLock::new(Some(open(&path, Check::All)?));
        Ok(Self { path, database })
    }

    /// After a failed write the database refuses everything; opened again it stands where the last commit left it, and
    /// says what is there. Where that fails it stays closed: nobody goes on from what was there before.
    pub fn reopen(&self) -> Result<Topics, Failure> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *database = None;
        let opened = open(&self.path, Check::WhatIsNeeded)?;
        let topics = unless_it_panics(|| load(&opened), &self.path.display().to_string())?;
        *database = Some(opened);
        Ok(topics)
    }

    pub fn load(&self) -> Result<Topics, Failure> {
        self.with(load)
    }

    /// As a failed write and a failed opening leave it.
    #[cfg(test)]
    pub fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Does `work` in a transaction, `before_sync`, then makes it durable. After an error nothing of it is there,
    /// or all, if it failed at the very end.
    pub fn write(
        &self,
        work: impl FnOnce(&Changes) -> Result<(), redb::Error>,
        before_sync: impl FnOnce(),
    ) -> Result<(), Failure> {
        self.with(|database| {
            let changes = Changes(database.begin_write()?);
            work(&changes)?;
            before_sync();
            Ok(changes.0.commit()?)
        })
    }

    /// Hands over the batches from the one that holds `from` on, or the next after it, until told to stop.
    pub fn read(
        &self,
        place: Place,
        from: Offset,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
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
    pub fn room(&self, bytes: u64, live: u64) -> Result<(), Failure> {
        let needed = 3 * bytes + MARGIN;
        let what = || self.path.display().to_string();
        let disk = rustix::fs::statvfs(&self.path).map_err(|e| Failure::of_io(&e.into(), &what()))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) >= needed {
            return Ok(());
        }
        let file = rustix::fs::stat(&self.path).map_err(|e| Failure::of_io(&e.into(), &what()))?;
        let held = u64::try_from(file.st_blocks).unwrap_or_default() * 512;
        // A batch takes up to half as much again in pages.
        if held.saturating_sub(live + live / 2) >= needed { Ok(()) } else { Err(Failure::full(&what())) }
    }

    /// False between a failed write and the next [`reopen`](Self::reopen) that works.
    pub fn is_open(&self) -> bool {
        self.database.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub fn ready(&self) -> Result<(), Failure> {
        self.with(|_| Ok(()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, Failure> {
        let what = || self.path.display().to_string();
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| Failure::Io(format!("{} cannot be opened just now", what())))?;
        unless_it_panics(|| work(database), &what())
    }
}

/// redb takes pages that it wrote for sound, and panics on some that were changed since.
fn unless_it_panics<T>(work: impl FnOnce() -> Result<T, redb::Error>, what: &str) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|e| Failure::of(e, what)),
        Err(_) => Err(Failure::damaged(what, "its pages do not fit together")),
    }
}

/// Which checksums are read when the file is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    All,
    /// After a failed write, what redb itself wants to know.
    WhatIsNeeded,
}

fn open(path: &Path, check: Check) -> Result<Database, Failure> {
    let make = || {
        let mut builder = redb::Builder::new();
        let database = builder.set_cache_size(CACHE).set_check_integrity_on_open(check == Check::All).create(path)?;
        // On a full disk not even this could be written, and reading goes on there.
        if database.begin_read()?.list_tables()?.next().is_none() {
            let tables = database.begin_write()?;
            tables.open_table(BATCHES)?;
            tables.open_table(SEGMENTS)?;
            tables.open_table(LOGS)?;
            tables.open_table(TOPICS)?;
            tables.commit()?;
        }
        Ok(database)
    };
    unless_it_panics(make, &path.display().to_string())
}

fn load(database: &Database) -> Result<Topics, redb::Error> {
    let read = database.begin_read()?;
    let (segments, logs) = (read.open_table(SEGMENTS)?, read.open_table(LOGS)?);
    let mut topics = Topics::new();
    for entry in read.open_table(TOPICS)?.iter()? {
        let (name, topic) = entry?;
        let (number, id, partitions) = topic.value();
        let log = |partition| {
            let place = Place { topic: number, partition };
            load_log(place, &segments, &logs)
        };
        let partitions = (0..partitions).map(log).collect::<Result<_, redb::Error>>()?;
        let name = TopicName::new(name.value()).map_err(|e| redb::Error::Corrupted(e.to_string()))?;
        topics.insert(name, Topic { id: uuid::Uuid::from_u128(id), number, partitions });
    }
    Ok(topics)
}

fn load_log(
    place: Place,
    segments: &impl ReadableTable<u128, (i64, u64, i64, i64, i64)>,
    logs: &impl ReadableTable<u128, (i64, i64)>,
) -> Result<Log, redb::Error> {
    let (start, end) = logs.get(key(place, 0))?.map_or((0, 0), |found| found.value());
    let mut log = Log { start, end, ..Log::default() };
    for entry in segments.range(keys(place, 0..=Offset::MAX))? {
        let (key, segment) = entry?;
        let (last, bytes, max_timestamp, opened, appended) = segment.value();
        let base = place_of(key.value()).1;
        log.segments.push_back(Segment { base, last, bytes, max_timestamp, opened, appended });
        log.end = log.end.max(last + 1);
    }
    Ok(log)
}

/// What a transaction can do.
pub struct Changes(WriteTransaction);

impl Changes {
    pub fn put_topic(&self, name: &TopicName, topic: &Topic) -> Result<(), redb::Error> {
        let partitions = topic.partitions.len() as u32;
        self.0.open_table(TOPICS)?.insert(name.as_str(), (topic.number, topic.id.as_u128(), partitions))?;
        Ok(())
    }

    pub fn remove_topic(&self, name: &TopicName, topic: u32) -> Result<(), redb::Error> {
        let all = key(Place { topic, partition: 0 }, 0)..=key(Place { topic, partition: u32::MAX }, -1);
        self.0.open_table(TOPICS)?.remove(name.as_str())?;
        self.0.open_table(LOGS)?.retain_in(all.clone(), |_, _| false)?;
        self.0.open_table(SEGMENTS)?.retain_in(all.clone(), |_, _| false)?;
        self.0.open_table(BATCHES)?.retain_in(all, |_, _| false)?;
        Ok(())
    }

    pub fn append(&self, place: Place, batches: Vec<(Offset, Vec<u8>)>, grown: &[Segment]) -> Result<(), redb::Error> {
        let mut table = self.0.open_table(BATCHES)?;
        for (last, batch) in batches {
            table.insert(key(place, last), batch.as_slice())?;
        }
        let mut table = self.0.open_table(SEGMENTS)?;
        for s in grown {
            table.insert(key(place, s.base), (s.last, s.bytes, s.max_timestamp, s.opened, s.appended))?;
        }
        Ok(())
    }

    /// Takes away what is before `start`, whole segments.
    pub fn trim(&self, place: Place, start: Offset, end: Offset) -> Result<(), redb::Error> {
        let before = keys(place, 0..=start - 1);
        self.0.open_table(BATCHES)?.retain_in(before.clone(), |_, _| false)?;
        self.0.open_table(SEGMENTS)?.retain_in(before, |_, _| false)?;
        self.0.open_table(LOGS)?.insert(key(place, 0), (start, end))?;
        Ok(())
    }
}
