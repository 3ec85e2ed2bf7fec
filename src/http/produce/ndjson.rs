//! `application/x-ndjson`: a JSON record a line, a receipt a line, while the body still comes.
//!
//! One task reads lines and queues them, a group for each chunk of the body; the answer's body waits for the
//! groups in order. A client that does not read its receipts stops its own body: few groups may be under way.

use super::answer;
use super::body::{Body, Fault, Held};
use super::{Over, Settings, Target, Waiting, check_json};
use crate::backoff::Backoff;
use crate::broker::{Acks, BrokerError, Outcome};
use crate::http::problem::Problem;
use crate::hub::{Hub, Refused};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::{Reply, Response};

/// Groups of lines that may wait for their receipts; with more under way the body is not read on.
const GROUPS: usize = 32;

/// Lines that were read together.
struct Group {
    /// What was wrong with each line; `None`: it was sent.
    lines: Vec<Option<Problem>>,
    acks: Acks,
    /// `None`: none of them was sent.
    waiting: Option<Waiting>,
}

pub fn post<B, D, E>(hub: Arc<Hub>, settings: Settings, target: Target, body: Body<B>, over: Option<Over>) -> Response
where
    B: Stream<Item = Result<D, E>> + Send + Unpin + 'static,
    D: Buf + Send + 'static,
    E: Display + Send + 'static,
{
    let (groups, receipts) = mpsc::channel(GROUPS);
    // It ends with the body, or when nobody reads the receipts any more.
    tokio::spawn(read(hub, settings, target, body, over, groups));
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
        let outcomes = match &mut group.waiting {
            Some(waiting) => ready!(Pin::new(waiting).poll(cx)),
            None => Vec::new(),
        };
        let (lines, acks) = (std::mem::take(&mut group.lines), group.acks);
        self.current = None;
        Poll::Ready(Some(Ok(receipts(lines, outcomes, acks))))
    }
}

fn receipts(lines: Vec<Option<Problem>>, outcomes: Vec<Outcome>, acks: Acks) -> Bytes {
    let mut outcomes = outcomes.into_iter();
    let mut out = Vec::with_capacity(40 * lines.len());
    for line in lines {
        let entry = match line {
            Some(problem) => Err(problem),
            None => outcomes.next().unwrap_or(Err(BrokerError::Lost)).map_err(Problem::from),
        };
        answer::write(&mut out, &entry, acks);
        out.push(b'\n');
    }
    out.into()
}

async fn read<B, D, E>(
    hub: Arc<Hub>,
    settings: Settings,
    target: Target,
    mut body: Body<B>,
    mut over: Option<Over>,
    groups: mpsc::Sender<Group>,
) where
    B: Stream<Item = Result<D, E>> + Unpin,
    D: Buf,
    E: Display,
{
    let mut lines = Lines::new(settings.max_body, Held::new(&settings.bodies));
    let mut next = Next::Chunk;
    while next == Next::Chunk {
        let chunk = tokio::select! {
            chunk = body.next() => chunk,
            problem = until(&mut over) => {
                let last = Group { lines: vec![Some(problem)], acks: target.acks, waiting: None };
                return drop(groups.send(last).await);
            }
        };
        let found = match chunk {
            Some(Ok(chunk)) => lines.add(chunk),
            // The last line may lack its end, but not where the client was cut off.
            Some(Err(Fault::Cut(_))) => return,
            Some(Err(damaged)) => {
                next = Next::End;
                vec![Err(damaged.into())]
            }
            None => {
                next = Next::End;
                lines.finish()
            }
        };
        if found.is_empty() {
            continue;
        }
        let (group, refused) = submit(&hub, &settings, &target, found).await;
        if groups.send(group).await.is_err() {
            return;
        }
        if refused == Some(Refused::ShuttingDown) {
            next = Next::End;
        }
    }
}

/// Waits for what ends it before its time, which may be for ever.
async fn until(over: &mut Option<Over>) -> Problem {
    match over {
        Some(over) => over.await,
        None => std::future::pending().await,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Chunk,
    End,
}

/// Queues the lines that are JSON, and says why where the hub took none of them.
async fn submit(
    hub: &Hub,
    settings: &Settings,
    target: &Target,
    found: Vec<Result<Bytes, Problem>>,
) -> (Group, Option<Refused>) {
    let mut values = Vec::with_capacity(found.len());
    let mut lines = Vec::with_capacity(found.len());
    for line in found {
        let checked = line.and_then(|line| match check_json(&line) {
            Ok(()) => Ok(line),
            Err(what) => Err(Problem::unprocessable(format!("the line is not JSON: {what}"))),
        });
        lines.push(checked.map(|line| values.push(line)).err());
    }
    let acks = target.acks;
    if values.is_empty() {
        return (Group { lines, acks, waiting: None }, None);
    }
    match queue(hub, settings, target, &values).await {
        Ok(waiting) => (Group { lines, acks, waiting: Some(waiting) }, None),
        Err(refused) => {
            let problem = Problem::from(refused);
            for line in lines.iter_mut().filter(|line| line.is_none()) {
                *line = Some(problem.clone());
            }
            (Group { lines, acks, waiting: None }, Some(refused))
        }
    }
}

/// A stream that comes faster than the broker takes it waits here, and its client with it.
async fn queue(hub: &Hub, settings: &Settings, target: &Target, values: &[Bytes]) -> Result<Waiting, Refused> {
    let until = Instant::now() + settings.timeout;
    let mut pauses = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));
    loop {
        let records = values.iter().map(|value| target.record(value.clone())).collect();
        match super::submit(hub, target, records) {
            Err(Refused::QueueFull) if Instant::now() < until => {
                tokio::time::sleep(pauses.pause(fastrand::f64())).await;
            }
            result => return result,
        }
    }
}

/// Splits chunks into lines: at LF, a CR before it left out, empty ones passed over.
struct Lines {
    begun: BytesMut,
    held: Held,
    most: usize,
    /// Why the line under way is refused already; the rest of it is passed over.
    refused: Option<Problem>,
}

impl Lines {
    fn new(most: usize, held: Held) -> Self {
        Self { begun: BytesMut::new(), held, most, refused: None }
    }

    fn add(&mut self, mut chunk: Bytes) -> Vec<Result<Bytes, Problem>> {
        let mut found = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', &chunk) {
            let line = chunk.split_to(end);
            chunk.advance(1);
            self.take(line, &mut found);
        }
        let length = self.begun.len() + chunk.len();
        if self.refused.is_none() {
            let room = if length > self.most { Err(self.too_long()) } else { self.held.set(length) };
            self.refused = room.err();
        }
        match self.refused {
            None => self.begun.extend_from_slice(&chunk),
            // Its memory too.
            Some(_) => {
                self.begun = BytesMut::new();
                let _ = self.held.set(0);
            }
        }
        found
    }

    fn finish(&mut self) -> Vec<Result<Bytes, Problem>> {
        let mut found = Vec::new();
        self.take(Bytes::new(), &mut found);
        found
    }

    /// `rest` ends the line under way.
    fn take(&mut self, rest: Bytes, found: &mut Vec<Result<Bytes, Problem>>) {
        if let Some(problem) = self.refused.take() {
            found.push(Err(problem));
            return;
        }
        let mut line = if self.begun.is_empty() {
            rest
        } else {
            self.begun.extend_from_slice(&rest);
            self.begun.split().freeze()
        };
        if line.len() > self.most {
            found.push(Err(self.too_long()));
            return;
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        if !line.is_empty() {
            found.push(Ok(line));
        }
    }

    fn too_long(&self) -> Problem {
        let most = self.most;
        Problem::too_large(format!("the line has more than {most} bytes, the most that --max-body allows"))
    }
}
