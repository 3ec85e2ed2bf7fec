//! A request's body, plain or gzip: whole, or as it comes. It is bounded in bytes after inflation, in time, and over all
//! requests together in memory.

use super::Settings;
use super::gunzip::Gunzip;
use crate::http::problem::Problem;
use crate::http::shutdown::BodyEnd;
use crate::sync::memory_budget::{MemoryBudget, Reservation, Share, Shortage};
use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use warp::http::HeaderMap;
use warp::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

/// How long a body may pause; x-ndjson bodies, which may be endless, may pause for as long as they like.
const PAUSE: Duration = Duration::from_secs(30);
/// Bytes of each body that have a share of the memory budget for themselves, so that small bodies get through whatever
/// the large ones do.
const SMALL: usize = 64 << 10;
/// Bytes of each body that are not counted: less than its connection takes. So the measurements of a device get
/// through even where large numbers of bodies are held back.
const EXEMPT: usize = 2 << 10;

pub struct Body<B> {
    chunks: B,
    /// What was read ahead of its time: the first that [`next`](Self::next) gives.
    begun: Option<Option<Result<Bytes, BodyError>>>,
    gzip: Option<Gunzip>,
    turns: Arc<Semaphore>,
}

/// Why there is no more of a body, though it has not ended.
pub enum BodyError {
    /// The client has left.
    Cut(String),
    /// It is not encoded as it says.
    Damaged(String),
}

impl From<BodyError> for Problem {
    fn from(fault: BodyError) -> Self {
        Self::bad_request(match fault {
            BodyError::Cut(what) => format!("the body ended early: {what}"),
            BodyError::Damaged(what) => format!("the body is not gzip, as its Content-Encoding says: {what}"),
        })
    }
}

impl<B, D, E> Body<B>
where
    B: Stream<Item = Result<D, E>> + Unpin,
    D: Buf,
    E: Display,
{
    /// As its headers say that it is encoded.
    pub fn new(chunks: B, headers: &HeaderMap, bodies: &Bodies) -> Result<Self, Problem> {
        let turns = bodies.turns.clone();
        let given: Vec<_> = headers.get_all(CONTENT_ENCODING).iter().map(|value| value.as_bytes()).collect();
        let given = String::from_utf8_lossy(&given.join(&b", "[..])).trim().to_ascii_lowercase();
        match given.as_str() {
            "" | "identity" => Ok(Self { chunks, begun: None, gzip: None, turns }),
            "gzip" | "x-gzip" => Ok(Self { chunks, begun: None, gzip: Some(Gunzip::default()), turns }),
            other => Err(Problem::unsupported_encoding(other, "gzip")),
        }
    }

    /// Waits for the first bytes. A client that expects `100 Continue` gets it when its body is asked for before it is
    /// answered (RFC 9110, 10.1.1).
    pub async fn begin(&mut self) {
        self.begun = Some(self.next().await);
    }

    /// The next bytes, not empty; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        if let Some(first) = self.begun.take() {
            return first;
        }
        loop {
            if let Some(gzip) = &mut self.gzip {
                // Between two pieces of a bomb others have their turn.
                let turn = self.turns.acquire().await;
                let inflated = gzip.inflate();
                drop(turn);
                match inflated {
                    Ok(inflated) if inflated.is_empty() => {}
                    Ok(inflated) => return Some(Ok(inflated)),
                    Err(what) => return Some(Err(BodyError::Damaged(what))),
                }
            }
            let chunk = match (self.chunks.next().await, &mut self.gzip) {
                (Some(Ok(mut chunk)), _) => chunk.copy_to_bytes(chunk.remaining()),
                (Some(Err(error)), _) => return Some(Err(BodyError::Cut(error.to_string()))),
                (None, Some(gzip)) => return gzip.end().err().map(|what| Err(BodyError::Damaged(what))),
                (None, None) => return None,
            };
            match &mut self.gzip {
                Some(gzip) => gzip.feed(chunk),
                None if chunk.is_empty() => {}
                None => return Some(Ok(chunk)),
            }
        }
    }

    /// The whole body; a client that leaves before its end has sent nothing.
    pub async fn whole(
        self,
        settings: &Settings,
        headers: &HeaderMap,
        end: &mut BodyEnd,
    ) -> Result<(Bytes, BodyMemory), Problem> {
        self.within((settings.max_body, "--max-body allows; send smaller ones"), settings, headers, end).await
    }

    /// `most` bytes, and who allows no more.
    async fn within(
        mut self,
        (most, allows): (usize, &str),
        settings: &Settings,
        headers: &HeaderMap,
        end: &mut BodyEnd,
    ) -> Result<(Bytes, BodyMemory), Problem> {
        let too_large = || Problem::too_large(format!("the body has more than {most} bytes, the most that {allows}"));
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if self.gzip.is_none() && announced.is_some_and(|length| length > most) {
            return Err(too_large());
        }
        let deadline = Instant::now() + settings.body_timeout;
        let too_slow = |_| {
            let most = settings.body_timeout;
            Problem::too_slow(format!("the body did not come whole within {most:?} (the limit is --body-timeout)"))
        };
        let paused = |_| Problem::too_slow(format!("nothing more of the body came for {} s", PAUSE.as_secs()));
        let mut held = BodyMemory::new(&settings.bodies);
        let (mut first, mut rest) = (Bytes::new(), Vec::new());
        loop {
            let next = timeout_at(deadline, timeout(PAUSE, self.next()));
            let next = tokio::select! {
                biased;
                next = next => next.map_err(too_slow)?.map_err(paused)?,
                // Nothing of it is written.
                problem = end.paused() => return Err(problem),
            };
            let Some(chunk) = next else { break };
            let chunk = chunk?;
            let length = first.len() + rest.len() + chunk.len();
            if length > most {
                return Err(too_large());
            }
            // Most bodies are one chunk, which is not copied.
            if first.is_empty() && rest.is_empty() {
                held.set(length)?;
                first = chunk;
                continue;
            }
            if rest.capacity() < length {
                // Not twice as much: many grow at a time.
                let capacity = (length + length / 4).min(most);
                held.set(capacity)?;
                rest.reserve_exact(capacity - rest.len());
            }
            rest.extend_from_slice(&std::mem::take(&mut first));
            rest.extend_from_slice(&chunk);
        }
        Ok((if rest.is_empty() { first } else { rest.into() }, held))
    }
}

/// A body of at most `most` bytes, of another request than one that produces.
pub async fn collect<B, D, E>(
    body: B,
    most: usize,
    settings: &Settings,
    headers: &HeaderMap,
    mut end: BodyEnd,
) -> Result<Bytes, Problem>
where
    B: Stream<Item = Result<D, E>> + Unpin,
    D: Buf,
    E: Display,
{
    let body = Body::new(body, headers, &settings.bodies)?;
    Ok(body.within((most, "is taken here"), settings, headers, &mut end).await?.0)
}

/// What all bodies that are being read have in common.
#[derive(Debug, Clone)]
pub struct Bodies {
    small: Arc<Share>,
    large: Arc<Share>,
    /// Bodies that are inflated at a time: who sends plain ones is to be served meanwhile.
    turns: Arc<Semaphore>,
}

impl Bodies {
    pub fn new(memory: &MemoryBudget) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (small, large) = (memory.small_bodies.clone(), memory.bodies.clone());
        Self { small, large, turns: Arc::new(Semaphore::new(cores.div_ceil(2))) }
    }

    /// Memory for lines under way. They leave half of it to bodies, which cannot wait.
    pub fn lines(&self, bytes: usize) -> Option<Reservation> {
        (self.large.used() + bytes <= self.large.most() / 2).then(|| self.large.reserve(bytes).ok()).flatten()
    }
}

/// The memory of one body, as long as it is kept.
#[derive(Debug)]
pub struct BodyMemory {
    small: Reservation,
    large: Reservation,
}

impl BodyMemory {
    pub fn new(bodies: &Bodies) -> Self {
        Self { small: bodies.small.nothing(), large: bodies.large.nothing() }
    }

    /// For so many bytes now.
    pub fn set(&mut self, length: usize) -> Result<(), Problem> {
        let set = self.small.set(length.min(SMALL).saturating_sub(EXEMPT));
        set.and_then(|()| self.large.set(length.saturating_sub(SMALL))).map_err(|shortage| match shortage {
            Shortage::Now => Problem::busy(
                "too many bodies are being read already; try again, or send smaller ones (the limit is --memory-budget)",
            ),
            Shortage::Always { .. } => Problem::too_large(format!("the body takes {shortage}")),
        })
    }

    /// Bytes that keep as much of this as they take, until the last reference to them is dropped.
    pub fn keep(mut self, mut bytes: Vec<u8>) -> Bytes {
        bytes.shrink_to_fit();
        let small = bytes.len().min(SMALL).saturating_sub(EXEMPT);
        self.small.shrink(small);
        self.large.shrink(bytes.len().saturating_sub(SMALL));
        Bytes::from_owner(SharedState { bytes, _held: self })
    }
}

struct SharedState {
    bytes: Vec<u8>,
    _held: BodyMemory,
}

impl AsRef<[u8]> for SharedState {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
