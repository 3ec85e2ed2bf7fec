//! Uploads of bodies that are split, such as NDJSON (`application/x-ndjson`): one record per line, or per element of a
//! JSON array. The response is an `UploadSummary` after the body, or with `?receipts=stream` one receipt per item while
//! the body still arrives.
//!
//! One task reads the body, submits its items in groups and collects their outcomes in order. The items in flight are
//! bounded. The task waits only briefly for the client to read its receipts: a client that writes its complete body
//! before it reads anything must not deadlock.

use super::body::{BodyError, BodyMemory, BodyReader};
use super::held_response::{HeldResponse, ResponseStart};
use super::item_group::{ItemGroup, front};
use super::items::{BodyItems, ItemFormat};
use super::partial_item::{BodyItem, ItemUnit};
use super::queued::{PendingOutcomes, submit};
use super::receipts::{Disconnected, Outbox, ReceiptSink};
use super::summary::{PartialFailure, UploadSummary};
use super::{ProduceTarget, ReceiptMode, Revoked, Settings, Split};
use crate::broker::{BrokerError, DeliveryResult};
use crate::http::problem::Problem;
use crate::hub::{Hub, Rejected};
use crate::logging;
use crate::sync::backoff::Backoff;
use crate::sync::memory_budget::Reservation;
use bytes::{Buf, Bytes};
use futures_util::{Stream, stream};
use log::{info, warn};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::{Reply, Response};

/// Maximum number of items submitted together.
const MAX_GROUP: usize = 4096;
/// Maximum number of groups and of items in flight. At either limit the body is not read.
const MAX_GROUPS: usize = 32;
const MAX_ITEMS: usize = 16 * 1024;
/// Bytes of items that are exempt from the memory budget if the upload has no other items in flight, so that each upload
/// makes progress even when the budget is used up. A connection takes more memory.
const EXEMPT_BYTES: usize = 8 << 10;
/// After a failure the rest of the body is discarded before the response is sent, because many clients do not read the
/// response until they have sent the complete body. Discarding ends when the client pauses for this long.
const DISCARD_PAUSE: Duration = Duration::from_secs(1);
/// The pause that ends discarding, and its time limit, when the bridge shuts down or the client's grant ends: both must
/// finish soon.
const INTERRUPT_PAUSE: Duration = Duration::from_millis(100);
const INTERRUPT_LIMIT: Duration = Duration::from_secs(1);

/// The end of reading a body.
enum UploadEnd {
    Complete,
    /// The client disconnected before the end of the body.
    Cut(String),
    /// The rest of the body is not written, for this reason.
    Stopped(Problem),
    /// Like `Stopped`, because the bridge shuts down or the client's grant has ended.
    Interrupted(Problem),
    /// The client disconnected from its receipts.
    Disconnected,
}

/// How a body is split, and when its response starts.
pub struct UploadKind {
    pub unit: ItemUnit,
    pub format: ItemFormat,
    pub start: ResponseStart,
}

pub async fn post<B, D, E>(
    hub: Arc<Hub>,
    settings: Settings,
    target: ProduceTarget,
    UploadKind { unit, format, start }: UploadKind,
    body: BodyReader<B>,
    interrupt: Option<Revoked>,
) -> Result<Response, Problem>
where
    B: Stream<Item = Result<D, E>> + Send + Sync + Unpin + 'static,
    D: Buf + Send + 'static,
    E: Display + Send + 'static,
{
    let (acks, receipts) = (target.acks, target.receipts);
    // Log shippers, which ask for `split`, treat every 2xx as complete success, and retry after a 503.
    let partial = match target.split {
        Split::Unset => PartialFailure::MultiStatus,
        Split::Array | Split::Lines => PartialFailure::ServerError,
    };
    let items = BodyItems::new(unit, settings.max_body, BodyMemory::new(&settings.bodies));
    let (held, started) = HeldResponse::new(start);
    let report = ReceiptSink::AtEnd(UploadSummary::new(unit));
    let mut upload = Upload {
        hub,
        settings,
        target,
        body,
        interrupt,
        unit,
        format,
        items,
        groups: VecDeque::new(),
        in_flight: 0,
        stop: None,
        held,
        report,
    };
    match receipts {
        ReceiptMode::AtEnd => {
            let (done, summary) = oneshot::channel();
            // A separate task, so that the received items are written and counted in the log even if the client
            // disconnects.
            spawn(async move {
                upload.run().await;
                if let ReceiptSink::AtEnd(summary) = upload.report {
                    let _ = done.send(summary);
                }
            });
            Ok(summary.await.map_err(|_| Problem::unserved())?.respond(acks, partial))
        }
        ReceiptMode::Stream => {
            let (client, mut receipts) = mpsc::channel(1);
            upload.report = ReceiptSink::Stream(Outbox::new(client, acks, unit));
            spawn(async move { upload.run().await });
            // Resolves, with an error, when the sender is dropped.
            let _ = started.await;
            let receipts =
                stream::poll_fn(move |cx| receipts.poll_recv(cx).map(|given| given.map(Ok::<_, Infallible>)));
            let mut response = warp::reply::stream(receipts).into_response();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
            Ok(response)
        }
    }
}

fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    match logging::current() {
        Some(request) => drop(tokio::spawn(logging::while_serving(request, work))),
        None => drop(tokio::spawn(work)),
    }
}

struct Upload<B> {
    hub: Arc<Hub>,
    settings: Settings,
    target: ProduceTarget,
    body: BodyReader<B>,
    interrupt: Option<Revoked>,
    unit: ItemUnit,
    format: ItemFormat,
    items: BodyItems,
    groups: VecDeque<ItemGroup>,
    /// Number of items in `groups`.
    in_flight: usize,
    /// Set if the upload must stop.
    stop: Option<Problem>,
    held: HeldResponse,
    report: ReceiptSink,
}

impl<B, D, E> Upload<B>
where
    B: Stream<Item = Result<D, E>> + Send + Unpin,
    D: Buf,
    E: Display,
{
    async fn run(&mut self) {
        let end = self.read().await;
        self.held.begin();
        while let Some(group) = self.groups.front_mut() {
            let outcomes = group.outcomes().await;
            self.settle(outcomes);
        }
        self.close(end).await;
    }

    async fn read(&mut self) -> UploadEnd {
        let mut has_chunk = false;
        loop {
            while has_chunk && self.has_room() {
                let Some((count, mut memory)) = self.reserve_items() else { break };
                let found = self.items.take(count);
                // Elements of an array are estimated by their commas, of which objects have several.
                if let Some(memory) = &mut memory {
                    memory.shrink(found.len() * self.target.memory());
                }
                has_chunk = !found.is_empty();
                if let Some(end) = self.submit(found, memory).await {
                    return end;
                }
            }
            if let Some(problem) = self.items.failure() {
                return UploadEnd::Stopped(problem);
            }
            let may_read = !has_chunk && self.has_room();
            if !may_read {
                self.held.pause();
            }
            let may_settle = self.report.has_room() && !self.groups.is_empty();
            let Self { body, groups, interrupt, report, held, .. } = self;
            tokio::select! {
                chunk = held.next(body), if may_read => match chunk {
                    Some(Ok(chunk)) => {
                        self.items.feed(chunk);
                        has_chunk = true;
                    }
                    Some(Err(BodyError::Cut(what))) => return UploadEnd::Cut(what),
                    Some(Err(damaged)) => return UploadEnd::Stopped(damaged.into()),
                    None => {
                        let last = self.items.finish();
                        let end = self.submit(last.into_iter().collect(), None).await;
                        let failed = || self.items.failure().map_or(UploadEnd::Complete, UploadEnd::Stopped);
                        return end.unwrap_or_else(failed);
                    }
                },
                outcomes = front(groups), if may_settle => {
                    self.settle(outcomes);
                    if let Some(problem) = self.stop.take() {
                        return UploadEnd::Stopped(problem);
                    }
                }
                sent = report.send() => if let Err(Disconnected) = sent {
                    return UploadEnd::Disconnected;
                },
                problem = interrupted(interrupt) => return UploadEnd::Interrupted(problem),
            }
        }
    }

    fn has_room(&self) -> bool {
        self.groups.len() < MAX_GROUPS && self.in_flight < MAX_ITEMS && self.report.has_room()
    }

    /// Returns the number of items that may be read, and the memory reserved for them. Returns `None` if items in flight
    /// must be settled first.
    fn reserve_items(&self) -> Option<(usize, Option<Reservation>)> {
        let each = self.target.memory();
        let exempt = (EXEMPT_BYTES / each).max(1);
        let mut count = self.items.complete_items(MAX_GROUP).max(1);
        loop {
            if count <= exempt && self.groups.is_empty() {
                return Some((count, None));
            }
            if let Some(memory) = self.settings.bodies.lines(count * each) {
                return Some((count, Some(memory)));
            }
            if count <= exempt {
                return None;
            }
            count /= 2;
        }
    }

    /// Submits the valid items. Returns the end of the upload if the rest of the body should not be read.
    async fn submit(&mut self, found: Vec<BodyItem>, memory: Option<Reservation>) -> Option<UploadEnd> {
        if found.is_empty() {
            return None;
        }
        let queued = Vec::with_capacity(found.len());
        let mut group = ItemGroup { invalid: Vec::new(), queued, waiting: None, _memory: memory };
        let mut values = Vec::with_capacity(found.len());
        for BodyItem { number, text } in found {
            match text.and_then(|text| self.format.check(self.unit, &text).map(|()| text)) {
                Ok(text) => {
                    group.queued.push(number);
                    values.push(text);
                }
                Err(problem) => group.invalid.push((number, problem)),
            }
        }
        self.in_flight += group.len();
        let mut stop = None;
        if !values.is_empty() {
            match queue(&self.hub, &self.settings, &self.target, &values).await {
                Ok(waiting) => group.waiting = Some(waiting),
                Err(rejected) => {
                    let problem = Problem::from(rejected);
                    group.invalid.extend(group.queued.drain(..).map(|number| (number, problem.clone())));
                    group.invalid.sort_by_key(|(number, _)| *number);
                    stop = match rejected {
                        Rejected::ShuttingDown => Some(UploadEnd::Interrupted(problem)),
                        _ if self.report.is_at_end() => Some(UploadEnd::Stopped(problem)),
                        _ => None,
                    };
                }
            }
        }
        self.groups.push_back(group);
        stop
    }

    /// Reports the outcomes of the first group.
    fn settle(&mut self, outcomes: Vec<DeliveryResult>) {
        let Some(group) = self.groups.pop_front() else { return };
        self.in_flight -= group.len();
        let is_lost = |index: usize| outcomes.get(index).is_none_or(|outcome| outcome.as_ref().is_err_and(is_lasting));
        let all_lost = !group.queued.is_empty() && (0..group.queued.len()).all(is_lost);
        let mut invalid = group.invalid.into_iter().peekable();
        let mut outcomes = outcomes.into_iter();
        for number in group.queued {
            while let Some((number, problem)) = invalid.next_if(|(before, _)| *before < number) {
                self.report.add(number, Err(problem));
            }
            let entry = outcomes.next().unwrap_or(Err(BrokerError::LostTrack)).map_err(Problem::from);
            // Stop early: otherwise an endless body would fail item by item, and its sender would never learn of it.
            if let (true, Err(problem)) = (all_lost && self.report.is_at_end(), &entry) {
                self.stop.get_or_insert_with(|| problem.clone());
            }
            self.report.add(number, entry);
        }
        invalid.for_each(|(number, problem)| self.report.add(number, Err(problem)));
    }

    /// Reports how the upload ended to the client and, if the body was not read to its end, to the log.
    async fn close(&mut self, end: UploadEnd) {
        let (number, is_begun) = self.items.current();
        let (topic, unit) = (&self.target.topic, self.unit);
        let written = self.report.counts();
        let (pause, most) = match end {
            UploadEnd::Interrupted(_) => (INTERRUPT_PAUSE, INTERRUPT_LIMIT),
            _ => (DISCARD_PAUSE, self.settings.timeout),
        };
        match end {
            UploadEnd::Complete => {}
            UploadEnd::Disconnected => {
                info!("upload to {topic} ended before {unit} {number}: the client disconnected; {written}")
            }
            UploadEnd::Cut(what) => {
                info!("upload to {topic} was cut off in {unit} {number}: {what}; {written}");
                let rest = if is_begun { "it was cut off in the middle and was" } else { "it is missing, and was" };
                self.report.cut(number, is_begun, Problem::cut(&what, &format!("{unit} {number}: {rest} not written")));
            }
            UploadEnd::Stopped(problem) | UploadEnd::Interrupted(problem) => {
                let why = problem.detail();
                warn!("stopped an upload to {topic} before {unit} {number}: {why}; {written}");
                self.report.stopped(number, problem);
                if self.report.is_at_end() {
                    self.discard_body(pause, most).await;
                }
            }
        }
        self.report.finish().await;
    }

    /// Discards the rest of the body until it pauses for `pause`, or `most` has passed.
    async fn discard_body(&mut self, pause: Duration, most: Duration) {
        let deadline = Instant::now() + most;
        while Instant::now() < deadline && matches!(timeout(pause, self.body.next()).await, Ok(Some(Ok(_)))) {
            // A body that is always ready must not block the thread.
            tokio::task::yield_now().await;
        }
    }
}

/// Resolves when the upload must end early, possibly never.
async fn interrupted(interrupt: &mut Option<Revoked>) -> Problem {
    match interrupt {
        Some(interrupt) => interrupt.await,
        None => std::future::pending().await,
    }
}

/// Whether further records would fail as well, because the error is not the fault of one record.
fn is_lasting(error: &BrokerError) -> bool {
    !matches!(error, BrokerError::TooLarge(_) | BrokerError::InvalidRecord(_))
}

/// Submits the records, and waits while the queue is full: this is the backpressure on an upload.
async fn queue(
    hub: &Hub,
    settings: &Settings,
    target: &ProduceTarget,
    values: &[Bytes],
) -> Result<PendingOutcomes, Rejected> {
    let until = Instant::now() + settings.timeout;
    let mut pauses = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));
    loop {
        let records = values.iter().map(|value| target.record(value.clone())).collect();
        match submit(hub, target, records) {
            Err(Rejected::QueueFull) if Instant::now() < until => {
                tokio::time::sleep(pauses.pause(fastrand::f64())).await;
            }
            result => return result,
        }
    }
}
