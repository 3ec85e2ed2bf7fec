//! A request body, plain or gzip, read completely or in chunks. Bounded in size after decompression, in time, and in
//! the memory of all requests together.

use super::Settings;
use super::gunzip::{Gunzip, InvalidGzip};
use crate::http::problem::Problem;
use crate::http::shutdown::BodyEnd;
use crate::sync::memory_budget::{MemoryBudget, Reservation, Share, Shortage};
use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use warp::http::HeaderMap;
use warp::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

/// The longest pause within a body. NDJSON bodies, which may be endless, may pause for any time.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// The first bytes of each body are charged to a separate share of the memory budget, so that large bodies cannot keep
/// small ones out.
const SMALL: usize = 64 << 10;
/// The first bytes of each body are charged to no share, because a connection takes more memory. Measurements from devices
/// are accepted even when many incomplete bodies use up the budget.
const EXEMPT: usize = 2 << 10;

pub struct BodyReader<B> {
    chunks: B,
    /// A result that was read ahead; [`next`](Self::next) returns it first.
    first: Option<Option<Result<Bytes, BodyError>>>,
    gzip: Option<Gunzip>,
    turns: Arc<Semaphore>,
}

/// A body could not be read to its end.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The client disconnected. Contains the text of the connection's error.
    #[error("the body ended early: {0}")]
    Cut(String),
    /// The bytes do not match the `Content-Encoding`.
    #[error("the body is not gzip, as its Content-Encoding says: {0}")]
    Damaged(#[from] InvalidGzip),
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl<B, D, E> BodyReader<B>
where
    B: Stream<Item = Result<D, E>> + Unpin,
    D: Buf,
    E: Display,
{
    /// Creates a reader that decodes the `Content-Encoding`. Rejects encodings other than gzip.
    pub fn new(chunks: B, headers: &HeaderMap, bodies: &Bodies) -> Result<Self, Problem> {
        let turns = bodies.turns.clone();
        let given: Vec<_> = headers.get_all(CONTENT_ENCODING).iter().map(|value| value.as_bytes()).collect();
        let given = String::from_utf8_lossy(&given.join(&b", "[..])).trim().to_ascii_lowercase();
        match given.as_str() {
            "" | "identity" => Ok(Self { chunks, first: None, gzip: None, turns }),
            "gzip" | "x-gzip" => Ok(Self { chunks, first: None, gzip: Some(Gunzip::default()), turns }),
            other => Err(Problem::unsupported_encoding(other, "gzip")),
        }
    }

    /// Reads the first bytes ahead. hyper sends `100 Continue` when the body is first polled, so a client that waits
    /// for it (RFC 9110, section 10.1.1) gets it before the response.
    pub async fn read_ahead(&mut self) {
        self.first = Some(self.next().await);
    }

    /// Returns the next bytes, never empty; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        if let Some(first) = self.first.take() {
            return first;
        }
        loop {
            if let Some(gzip) = &mut self.gzip {
                // Between two pieces of a decompression bomb, other bodies get a turn.
                let turn = self.turns.acquire().await;
                let inflated = gzip.inflate();
                drop(turn);
                match inflated {
                    Ok(inflated) if inflated.is_empty() => {}
                    Ok(inflated) => return Some(Ok(inflated)),
                    Err(error) => return Some(Err(error.into())),
                }
            }
            let chunk = match (self.chunks.next().await, &mut self.gzip) {
                (Some(Ok(mut chunk)), _) => chunk.copy_to_bytes(chunk.remaining()),
                (Some(Err(error)), _) => return Some(Err(BodyError::Cut(error.to_string()))),
                (None, Some(gzip)) => return gzip.end().err().map(|error| Err(error.into())),
                (None, None) => return None,
            };
            match &mut self.gzip {
                Some(gzip) => gzip.feed(chunk),
                None if chunk.is_empty() => {}
                None => return Some(Ok(chunk)),
            }
        }
    }

    /// Reads the complete body. Fails if the client disconnects before its end.
    pub async fn read_all(
        self,
        settings: &Settings,
        headers: &HeaderMap,
        end: &mut BodyEnd,
    ) -> Result<(Bytes, BodyMemory), Problem> {
        self.read_within((settings.max_body, "the limit of --max-body; send smaller bodies"), settings, headers, end)
            .await
    }

    /// Reads a body of at most `most` bytes; `limit` completes the error for a larger one.
    async fn read_within(
        mut self,
        (most, limit): (usize, &str),
        settings: &Settings,
        headers: &HeaderMap,
        end: &mut BodyEnd,
    ) -> Result<(Bytes, BodyMemory), Problem> {
        let too_large = || Problem::too_large(format!("the body has more than {most} bytes, {limit}"));
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if self.gzip.is_none() && announced.is_some_and(|length| length > most) {
            return Err(too_large());
        }
        let deadline = Instant::now() + settings.body_timeout;
        let too_slow = |_| {
            let most = settings.body_timeout;
            Problem::too_slow(format!(
                "the body did not arrive within {most:?} (the limit is --body-timeout); send it faster, or in parts"
            ))
        };
        let paused = |_| {
            Problem::too_slow(format!(
                "no byte of the body arrived for {} s, the longest pause allowed",
                MAX_PAUSE.as_secs()
            ))
        };
        let mut held = BodyMemory::new(&settings.bodies);
        let (mut first, mut rest) = (Bytes::new(), Vec::new());
        loop {
            let next = timeout_at(deadline, timeout(MAX_PAUSE, self.next()));
            let next = tokio::select! {
                biased;
                next = next => next.map_err(too_slow)?.map_err(paused)?,
                // Nothing of the body has been written yet.
                problem = end.paused() => return Err(problem),
            };
            let Some(chunk) = next else { break };
            let chunk = chunk?;
            let length = first.len() + rest.len() + chunk.len();
            if length > most {
                return Err(too_large());
            }
            // Most bodies are a single chunk, which is not copied.
            if first.is_empty() && rest.is_empty() {
                held.set(length)?;
                first = chunk;
                continue;
            }
            if rest.capacity() < length {
                // Grow by a quarter instead of doubling: many bodies grow at the same time.
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

/// Reads the body of any request except a produce request, up to `most` bytes.
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
    let body = BodyReader::new(body, headers, &settings.bodies)?;
    Ok(body.read_within((most, "the limit for this request"), settings, headers, &mut end).await?.0)
}

/// The resources that all request bodies share: memory, and turns to decompress.
#[derive(Debug, Clone)]
pub struct Bodies {
    small: Arc<Share>,
    large: Arc<Share>,
    /// Turns to decompress, one for every two cores. The other cores serve plain bodies meanwhile.
    turns: Arc<Semaphore>,
}

impl Bodies {
    pub fn new(memory: &MemoryBudget) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (small, large) = (memory.small_bodies.clone(), memory.bodies.clone());
        Self { small, large, turns: Arc::new(Semaphore::new(cores.div_ceil(2))) }
    }

    /// Reserves memory for NDJSON lines in flight. They leave half of the share to other bodies, which cannot wait.
    pub fn lines(&self, bytes: usize) -> Option<Reservation> {
        (self.large.used() + bytes <= self.large.limit() / 2).then(|| self.large.reserve(bytes).ok()).flatten()
    }
}

/// The memory reserved for one body. Dropping it releases the memory.
#[derive(Debug)]
pub struct BodyMemory {
    small: Reservation,
    large: Reservation,
}

impl BodyMemory {
    pub fn new(bodies: &Bodies) -> Self {
        Self { small: bodies.small.empty_reservation(), large: bodies.large.empty_reservation() }
    }

    /// Changes the reservation to cover `length` bytes.
    pub fn set(&mut self, length: usize) -> Result<(), Problem> {
        let set = self.small.set(length.min(SMALL).saturating_sub(EXEMPT));
        set.and_then(|()| self.large.set(length.saturating_sub(SMALL))).map_err(|shortage| match shortage {
            Shortage::Now => Problem::busy(
                "request bodies use all the memory they may (the limit is --memory-budget); try again, or send smaller bodies",
            ),
            Shortage::Always { .. } => Problem::too_large(format!("the body takes {shortage}")),
        })
    }

    /// Returns `bytes` with as much of the reservation as they need, held until their last reference is dropped.
    pub fn keep(mut self, mut bytes: Vec<u8>) -> Bytes {
        bytes.shrink_to_fit();
        let small = bytes.len().min(SMALL).saturating_sub(EXEMPT);
        self.small.shrink(small);
        self.large.shrink(bytes.len().saturating_sub(SMALL));
        Bytes::from_owner(ChargedBytes { bytes, _held: self })
    }
}

struct ChargedBytes {
    bytes: Vec<u8>,
    _held: BodyMemory,
}

impl AsRef<[u8]> for ChargedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
