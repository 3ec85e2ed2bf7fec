//! `GET /topics/{topic}/partitions/{partition}/records`: a page of records.

mod messages;
mod page_format;

pub use messages::messages;

use super::App;
use super::arrival::Arrival;
use super::problem::Problem;
use super::query::Query;
use super::request::Request;
use super::response::{SMALL_RESPONSE, as_json};
use super::subscribe::tag;
use crate::auth::Permit;
use crate::broker::{
    Broker, BrokerError, FetchLimits, FetchPosition, FetchResult, NodeId, OffsetAt, PartitionReader, SCHEMA_PAUSE,
    Staleness, TopicInfo,
};
use crate::record::{NO_EPOCH, Offset, Partition, RecordRef, Records, TopicName, TopicPartition};
use crate::sync::backoff::Backoff;
use crate::sync::lock;
use crate::sync::memory_budget::{Reservation, Share, Shortage};
use bytes::Bytes;
use page_format::PageFormat;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use warp::reply::Response;

/// The maximum and the default number of records in a page.
const MAX_PAGE: usize = 10_000;
const DEFAULT_PAGE: usize = 100;
/// Approximate bytes of a page, as fetched and as JSON. A single record may be larger.
const PAGE_BYTES: usize = 1 << 20;
const JSON_BYTES: usize = 4 << 20;
/// Bytes reserved for the offsets at the end of a page, of at most 20 digits each.
const ENDS_BYTES: usize = 128;
/// Maximum of `timeout`, in ms.
const MAX_WAIT: u64 = 30_000;
/// How long a page waits for the schema of its first record.
const SCHEMA_WAIT: Duration = Duration::from_secs(30);
/// The first and the longest pause between two reads of a page that waits. Each read fetches up to [`PAGE_BYTES`].
const SCHEMA_PAUSES: (Duration, Duration) = (SCHEMA_PAUSE, Duration::from_secs(1));
/// Idle readers kept per leader; further ones are dropped.
const MAX_IDLE: usize = 4;

/// Idle readers, kept between pages, because a new reader needs a connection and possibly a login.
#[derive(Default)]
pub struct Readers(Mutex<HashMap<NodeId, Vec<Box<dyn PartitionReader>>>>);

impl Readers {
    /// Fetches with an idle reader, else with a new one. Brokers close connections that are idle for long, so a fetch
    /// that fails with an idle reader is repeated with a new one.
    fn fetch(
        &self,
        leader: NodeId,
        open: impl FnOnce() -> Box<dyn PartitionReader>,
        position: FetchPosition,
        limits: FetchLimits,
    ) -> Result<Vec<FetchResult>, BrokerError> {
        let positions = [position];
        let kept = self.idle().get_mut(&leader).and_then(Vec::pop);
        let fetch =
            |mut reader: Box<dyn PartitionReader>| reader.fetch(&positions, limits).map(|fetched| (reader, fetched));
        let (reader, fetched) = match kept.map(fetch) {
            Some(Ok(done)) => done,
            _ => fetch(open())?,
        };
        let mut idle = self.idle();
        let idle = idle.entry(leader).or_default();
        if idle.len() < MAX_IDLE {
            idle.push(reader);
        }
        Ok(fetched)
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<NodeId, Vec<Box<dyn PartitionReader>>>> {
        lock(&self.0)
    }
}

/// A request for a page.
struct PageRequest {
    topic_partition: TopicPartition,
    /// `None` means the log start offset.
    offset: Option<Offset>,
    limit: usize,
    format: PageFormat,
}

/// The records of a [`PageRequest`].
struct PageRecords {
    json: Bytes,
    /// The offset after the last record.
    next: Offset,
    /// The offset of the next record to be written if the page is empty, else `None`.
    empty_at: Option<Offset>,
}

pub async fn records(
    app: &Arc<App>,
    permit: &Permit,
    topic: &str,
    partition: &str,
    request: &Request,
) -> Result<Response, Problem> {
    let query = Query::parse(&request.query, &["offset", "limit", "timeout", "format"])?;
    let page = Arc::new(PageRequest {
        topic_partition: topic_partition(topic, partition)?,
        offset: number(&query, "offset", i64::MAX as u64)?.map(|offset| offset as Offset),
        limit: number(&query, "limit", MAX_PAGE as u64)?.map_or(DEFAULT_PAGE, |limit| limit as usize),
        format: PageFormat::of(query.one("format")?, &request.headers)?,
    });
    let deadline = Instant::now() + Duration::from_millis(number(&query, "timeout", MAX_WAIT)?.unwrap_or(0));
    let find = || find(app, &page);
    let mut found = find().await?;
    if let Some(offset) = found.empty_at
        && page.limit > 0
        && Instant::now() < deadline
    {
        // To the hub, a waiting request is a live stream, so it counts as one.
        let caller = request.caller(permit);
        let _slot = app.limits.stream(&caller)?;
        let mut next = Some(offset);
        while let Some(offset) = next
            && timeout_at(deadline, Arrival::of(&app.hub, tag(&caller), &page.topic_partition, offset)?.wait())
                .await
                .is_ok()
        {
            found = find().await?;
            next = found.empty_at;
        }
    }
    let mut response = as_json(found.json);
    page.format.set_headers(response.headers_mut(), found.next, page.limit);
    Ok(response)
}

/// Returns the number of a parameter.
fn number(query: &Query, name: &str, most: u64) -> Result<Option<u64>, Problem> {
    let Some(text) = query.one(name)? else { return Ok(None) };
    match text.parse::<u64>() {
        Ok(number) if number <= most => Ok(Some(number)),
        _ => Err(Problem::bad_request(format!("{name} is {text:?}; it must be a number from 0 to {most}"))),
    }
}

/// Returns the partition of a path.
pub fn topic_partition(topic: &str, partition: &str) -> Result<TopicPartition, Problem> {
    let number = partition.parse::<Partition>().ok().filter(|number| *number >= 0);
    let invalid = || Problem::bad_request(format!("partition is {partition:?}; it must be a number from 0 on"));
    Ok(TopicPartition { topic: TopicName::new(topic)?, partition: number.ok_or_else(invalid)? })
}

/// Reads a page. Waits, without a thread, while the schema of its first record is being fetched.
async fn find(app: &Arc<App>, page: &Arc<PageRequest>) -> Result<PageRecords, Problem> {
    let until = Instant::now() + SCHEMA_WAIT;
    let mut pauses = Backoff::new(SCHEMA_PAUSES.0, SCHEMA_PAUSES.1);
    loop {
        let (shared, page) = (app.clone(), page.clone());
        let read = move || read(&**shared.hub.broker(), &shared.readers, &page, &shared.settings.memory.pages);
        match app.page(read).await? {
            Err(PageError::Broker(BrokerError::SchemaPending(_))) if Instant::now() < until => {
                tokio::time::sleep(pauses.pause(fastrand::f64())).await;
            }
            read => return read.map_err(Problem::from),
        }
    }
}

/// Why a page cannot be read.
enum PageError {
    Broker(BrokerError),
    Other(Problem),
}

impl From<BrokerError> for PageError {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

impl From<Problem> for PageError {
    fn from(problem: Problem) -> Self {
        Self::Other(problem)
    }
}

impl From<Shortage> for PageError {
    fn from(shortage: Shortage) -> Self {
        Self::Other(shortage.into())
    }
}

impl From<PageError> for Problem {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Broker(error) => error.into(),
            PageError::Other(problem) => problem,
        }
    }
}

fn read(
    broker: &dyn Broker,
    readers: &Readers,
    page: &PageRequest,
    memory: &Arc<Share>,
) -> Result<PageRecords, PageError> {
    let PageRequest { topic_partition, limit, format, .. } = page;
    let mut is_empty = true;
    let info = one_topic(broker.topics(std::slice::from_ref(&topic_partition.topic))?)?;
    let at = info.partitions.iter().find(|p| p.partition == topic_partition.partition);
    let at = at.ok_or_else(|| BrokerError::UnknownPartition(topic_partition.clone()))?;
    let leader = at.leader.ok_or_else(|| BrokerError::from(Staleness::NoLeader(topic_partition.clone())))?;
    let ends =
        broker.offsets(&[(topic_partition.clone(), OffsetAt::Earliest), (topic_partition.clone(), OffsetAt::Latest)]);
    let [earliest, latest] =
        <[_; 2]>::try_from(ends).map_err(|_| BrokerError::Corrupt("offsets are missing".into()))?;
    let (earliest, latest) = (earliest?, latest?);
    let offset = page.offset.unwrap_or(earliest);
    if offset < earliest || offset > latest {
        let range = format!("{topic_partition} has offsets {earliest} to {latest} (the next to be written)");
        return Err(Problem::bad_request(format!("offset is {offset}; {range}")).into());
    }
    let position = FetchPosition {
        topic: topic_partition.topic.clone(),
        topic_id: info.id,
        partition: topic_partition.partition,
        offset,
        leader_epoch: at.leader_epoch,
        last_epoch: NO_EPOCH,
    };
    let limits = FetchLimits { wait: Duration::ZERO, max_bytes: PAGE_BYTES, partition_max_bytes: PAGE_BYTES };
    let mut out = PageBody::new(memory)?;
    out.add(format.start())?;
    let mut next = offset;
    for fetched in readers.fetch(leader, || broker.reader(leader, memory), position, limits)? {
        let data = fetched.result?;
        next = data.next_offset.max(offset);
        // A batch may begin before the requested offset.
        let records = data.batches.iter().flat_map(Records::iter).filter(|record| record.offset >= offset);
        for (count, record) in records.enumerate() {
            if count == *limit || (count > 0 && out.is_full_with(format.bound(&record))) {
                next = record.offset;
                break;
            }
            if !std::mem::take(&mut is_empty) {
                out.add(",")?;
            }
            out.add_record(*format, topic_partition, &record)?;
        }
    }
    let latest = latest.max(next);
    let json = out.finish(&format.end(next, earliest, latest))?;
    Ok(PageRecords { json, next, empty_at: is_empty.then_some(next) })
}

/// Returns the topic of a response about a single topic.
pub fn one_topic(topics: Vec<Result<TopicInfo, BrokerError>>) -> Result<TopicInfo, BrokerError> {
    topics
        .into_iter()
        .next()
        .unwrap_or_else(|| Err(BrokerError::Corrupt("the topic is missing in the response".into())))
}

/// The JSON of a large response. Its memory is reserved before it is written, and released when the client has received
/// it.
pub struct PageBody {
    json: Vec<u8>,
    memory: Reservation,
    share: Arc<Share>,
}

impl PageBody {
    pub fn new(share: &Arc<Share>) -> Result<Self, Shortage> {
        let mut body = Self { json: Vec::new(), memory: share.empty_reservation(), share: share.clone() };
        body.make_room(SMALL_RESPONSE)?;
        Ok(body)
    }

    /// Reserves memory for data that is read while the response is written.
    pub fn reserve(&self, bytes: usize) -> Result<Reservation, Shortage> {
        self.share.reserve(bytes)
    }

    pub fn add(&mut self, json: &str) -> Result<(), Shortage> {
        self.make_room(json.len())?;
        self.json.extend_from_slice(json.as_bytes());
        Ok(())
    }

    /// Whether a record of at most `more` bytes must be left for the next page: escaping can make a page several times larger than the
    /// fetched batches.
    fn is_full_with(&self, more: usize) -> bool {
        self.json.len() + more + ENDS_BYTES > JSON_BYTES.min(self.largest())
    }

    /// Returns the maximum size in bytes that the memory budget ever allows.
    pub fn largest(&self) -> usize {
        self.memory.largest() + SMALL_RESPONSE
    }

    fn add_record(&mut self, format: PageFormat, at: &TopicPartition, record: &RecordRef<'_>) -> Result<(), Shortage> {
        self.make_room(format.bound(record))?;
        format.write(&mut self.json, at, record);
        Ok(())
    }

    pub fn finish(mut self, ends: &str) -> Result<Bytes, Problem> {
        self.add(ends)?;
        Ok(self.memory.hold(self.json))
    }

    fn make_room(&mut self, more: usize) -> Result<(), Shortage> {
        let (length, capacity) = (self.json.len(), self.json.capacity());
        if capacity - length >= more {
            return Ok(());
        }
        let capacity = (length + more).max((capacity + capacity / 2).min(self.largest()));
        self.memory.set(capacity.saturating_sub(SMALL_RESPONSE))?;
        self.json.reserve_exact(capacity - length);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Connected(Arc<AtomicBool>);

    impl PartitionReader for Connected {
        fn fetch(&mut self, _: &[FetchPosition], _: FetchLimits) -> Result<Vec<FetchResult>, BrokerError> {
            let closed = || BrokerError::Unavailable("closed".into());
            self.0.load(Ordering::SeqCst).then(Vec::new).ok_or_else(closed)
        }

        fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
            Arc::new(|| ())
        }
    }

    #[test]
    fn a_reader_is_reused_for_the_next_page_and_replaced_when_it_fails() {
        let readers = Readers::default();
        let limits = FetchLimits { wait: Duration::ZERO, max_bytes: 1, partition_max_bytes: 1 };
        let position = FetchPosition {
            topic: TopicName::new("t").unwrap(),
            topic_id: None,
            partition: 0,
            offset: 0,
            leader_epoch: -1,
            last_epoch: NO_EPOCH,
        };
        let mut opened: Vec<Arc<AtomicBool>> = Vec::new();
        let mut pages_of = |leader: NodeId, is_up: bool| {
            let open = || {
                opened.push(Arc::new(AtomicBool::new(is_up)));
                Box::new(Connected(opened.last().unwrap().clone())) as Box<dyn PartitionReader>
            };
            let page = readers.fetch(leader, open, position.clone(), limits).map(drop);
            (page, opened.clone())
        };
        for (leader, are_open) in [(1, 1), (1, 1), (2, 2), (1, 2), (2, 2)] {
            let (page, opened) = pages_of(leader, true);
            assert_eq!((page, opened.len()), (Ok(()), are_open), "leader {leader}");
        }
        pages_of(1, true).1[0].store(false, Ordering::SeqCst);
        assert_eq!(pages_of(1, true).1.len(), 3);
        pages_of(1, true).1[2].store(false, Ordering::SeqCst);
        assert!(pages_of(1, false).0.is_err(), "the new one fails as well");
        assert_eq!(pages_of(1, true).1.len(), 5, "the failed reader was not kept");
    }
}
