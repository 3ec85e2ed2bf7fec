//! `application/x-ndjson`: a JSON record a line, a receipt a line, while the body still comes.
//!
//! One task reads lines and queues them, a group for each chunk of the body; the answer's body waits for the
//! groups in order. A client that does not read its receipts stops its own body: few groups may be under way.

use super::answer::Entry;
use super::{Settings, Target, check_json};
use crate::broker::Outcome;
use crate::http::problem::Problem;
use crate::hub::{Hub, Refused};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::{Reply, Response};

/// Groups of lines that may wait for their receipts; with more under way the body is not read on.
const GROUPS: usize = 32;

/// Lines that were read together.
struct Group {
    /// What was wrong with each line; `None`: it was sent.
    lines: Vec<Option<Problem>>,
    outcomes: oneshot::Receiver<Vec<Outcome>>,
}

pub fn post<B, D>(hub: Arc<Hub>, settings: Settings, target: Target, body: B) -> Response
where
    B: Stream<Item = Result<D, warp::Error>> + Send + Unpin + 'static,
    D: Buf + Send + 'static,
{
    let (groups, receipts) = mpsc::channel(GROUPS);
    // It ends with the body, or when nobody reads the receipts any more.
    tokio::spawn(read(hub, settings, target, body, groups));
    let mut response = warp::reply::stream(Receipts { groups: receipts, current: None }).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

/// The answer's body.
struct Receipts {
    groups: mpsc::Receiver<Group>,
    current: Option<Group>,
}

impl Stream for Receipts {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.current.is_none() {
            self.current = ready!(self.groups.poll_recv(cx));
        }
        let Some(group) = &mut self.current else { return Poll::Ready(None) };
        let outcomes = ready!(Pin::new(&mut group.outcomes).poll(cx)).unwrap_or_default();
        let lines = self.current.take().map_or(Vec::new(), |group| group.lines);
        Poll::Ready(Some(Ok(receipts(lines, outcomes))))
    }
}

fn receipts(lines: Vec<Option<Problem>>, outcomes: Vec<Outcome>) -> Bytes {
    let mut outcomes = outcomes.into_iter();
    let mut out = Vec::with_capacity(40 * lines.len());
    for line in lines {
        let entry = match line {
            Some(problem) => Entry::Invalid(problem),
            None => {
                outcomes.next().map_or_else(|| Entry::Failed(Problem::internal("a receipt is missing")), Entry::from)
            }
        };
        entry.write(&mut out);
        out.push(b'\n');
    }
    out.into()
}

async fn read<B, D>(hub: Arc<Hub>, settings: Settings, target: Target, mut body: B, groups: mpsc::Sender<Group>)
where
    B: Stream<Item = Result<D, warp::Error>> + Unpin,
    D: Buf,
{
    let mut lines = Lines::new(settings.max_body);
    loop {
        let found = match body.next().await {
            Some(Ok(mut chunk)) => lines.add(chunk.copy_to_bytes(chunk.remaining())),
            // The last line may lack its end, but not where the client was cut off.
            Some(Err(_)) => return,
            None => lines.finish(),
        };
        let ended = lines.ended;
        if !found.is_empty() && groups.send(submit(&hub, &settings, &target, found).await).await.is_err() {
            return;
        }
        if ended {
            return;
        }
    }
}

async fn submit(hub: &Hub, settings: &Settings, target: &Target, found: Vec<Result<Bytes, Problem>>) -> Group {
    let mut records = Vec::with_capacity(found.len());
    let mut lines = Vec::with_capacity(found.len());
    for line in found {
        let checked = line.and_then(|line| match check_json(&line) {
            Ok(()) => Ok(line),
            Err(what) => Err(Problem::unprocessable(format!("the line is not JSON: {what}"))),
        });
        lines.push(checked.map(|line| records.push(target.record(line))).err());
    }
    let (done, outcomes) = oneshot::channel();
    if records.is_empty() {
        drop(done.send(Vec::new()));
        return Group { lines, outcomes };
    }
    if let Err(refused) = queue(hub, settings, target, records, done).await {
        let problem = Problem::from(refused);
        for line in lines.iter_mut().filter(|line| line.is_none()) {
            *line = Some(problem.clone());
        }
    }
    Group { lines, outcomes }
}

/// A stream that comes faster than the broker takes it waits here, and its client with it.
async fn queue(
    hub: &Hub,
    settings: &Settings,
    target: &Target,
    records: Vec<crate::record::NewRecord>,
    done: oneshot::Sender<Vec<Outcome>>,
) -> Result<(), Refused> {
    let until = Instant::now() + settings.timeout;
    let done = Arc::new(std::sync::Mutex::new(Some(done)));
    let mut pause = Duration::from_millis(1);
    loop {
        let done = done.clone();
        let tell = move |outcomes| {
            if let Some(done) = done.lock().ok().and_then(|mut done| done.take()) {
                drop(done.send(outcomes));
            }
        };
        match hub.produce(target.topic.clone(), target.acks, target.auto_create, records.clone(), tell) {
            Err(Refused::QueueFull) if Instant::now() < until => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}

/// Splits chunks into lines: at LF, a CR before it left out, empty ones passed over.
struct Lines {
    begun: BytesMut,
    most: usize,
    /// The line under way is too long already; the rest of it is passed over.
    skipping: bool,
    ended: bool,
}

impl Lines {
    fn new(most: usize) -> Self {
        Self { begun: BytesMut::new(), most, skipping: false, ended: false }
    }

    fn add(&mut self, mut chunk: Bytes) -> Vec<Result<Bytes, Problem>> {
        let mut found = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', &chunk) {
            let line = chunk.split_to(end);
            chunk.advance(1);
            self.take(line, &mut found);
        }
        if self.begun.len() + chunk.len() > self.most {
            self.skipping = true;
            self.begun.clear();
        } else if !self.skipping {
            self.begun.extend_from_slice(&chunk);
        }
        found
    }

    fn finish(&mut self) -> Vec<Result<Bytes, Problem>> {
        self.ended = true;
        let mut found = Vec::new();
        self.take(Bytes::new(), &mut found);
        found
    }

    /// `rest` ends the line under way.
    fn take(&mut self, rest: Bytes, found: &mut Vec<Result<Bytes, Problem>>) {
        let mut line = if self.begun.is_empty() {
            rest
        } else {
            self.begun.extend_from_slice(&rest);
            self.begun.split().freeze()
        };
        if std::mem::take(&mut self.skipping) || line.len() > self.most {
            let most = self.most;
            found.push(Err(Problem::too_large(format!(
                "the line has more than {most} bytes, the most that --max-body allows"
            ))));
            return;
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        if !line.is_empty() {
            found.push(Ok(line));
        }
    }
}
